"""Errors, named by what to do about them. `api/errors.py` maps this tree to HTTP."""

from __future__ import annotations


class TocsinError(Exception):
    """Root of every error that tocsin raises on purpose; its text is a plain sentence for a person."""


class UserError(TocsinError):
    """Fix the input. `field` names the part of it that is wrong, where that is known."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFoundError(UserError):
    """The thing that was asked for does not exist."""


class ConflictError(UserError):
    """Somebody changed it meanwhile, or it exists already: read it again and decide."""


class AccessError(UserError):
    """The caller may not do this."""


class NotSignedInError(AccessError):
    """Nobody knows yet who the caller is: sign in, or send a token."""


class LimitError(TocsinError):
    """Ask for less; the text says what to ask for instead."""


class MetricLimitError(LimitError):
    """One metric has as many series as a metric may have."""


class TooLargeError(LimitError):
    """The body is larger than the limit."""


class TransientError(TocsinError):
    """Nothing is wrong with the input: try again, after `retry_after_s` where that is known."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFullError(TransientError):
    """There is no room in a bounded queue."""


class StoreError(TransientError):
    """A database is away or refuses to write; what was acknowledged before is safe."""


class DeliveryError(TocsinError):
    """A message did not reach its receiver. `permanent` means that trying again cannot help."""

    def __init__(self, message: str, *, permanent: bool, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after_s = retry_after_s

"""What can be wrong with a template."""

from __future__ import annotations

from tocsin.model.errors import UserError


class TemplateError(UserError):
    """A template that cannot be parsed or run. `offset` is the character of its text where that shows."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class CallError(UserError):
    """A function that cannot do what it was asked for; who called it knows the place."""

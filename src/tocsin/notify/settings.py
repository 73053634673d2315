"""What can be set about messages: the mail server, and how hard delivery tries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tocsin.model.duration import DAY_MS, MINUTE_MS, SECOND_MS, Duration
from tocsin.model.errors import UserError
from tocsin.notify.address import parse_address

Security = Literal["starttls", "tls", "none"]

_PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}
_FALLBACK_SENDER = "tocsin@localhost"


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """The mail server that alert e-mails leave through. Without a `host` no e-mail is sent."""

    host: str = field(default="", metadata={"doc": "the mail server's name; empty: no e-mail"})
    port: int = field(default=0, metadata={"doc": "0: 587 for `starttls`, 465 for `tls`, 25 for `none`"})
    security: Security = field(
        default="starttls",
        metadata={"doc": "`starttls` (required, never skipped), `tls` from the first byte, or `none`"},
    )
    username: str = field(default="", metadata={"doc": "the account to sign in with; empty: no sign-in"})
    password: str = field(default="", repr=False, metadata={"doc": "its password", "secret": True})
    password_file: str = field(default="", metadata={"doc": "a file that holds the password"})
    from_: str = field(
        default="",
        metadata={"doc": "the sender, `alerts@example.org` or `Alerts <alerts@example.org>`; empty: the username"},
    )
    to: tuple[str, ...] = field(default=(), metadata={"doc": "who gets every alert, a list of addresses"})
    timeout: Duration = field(
        default=Duration(20 * SECOND_MS), metadata={"doc": "how long one step of a conversation may take"}
    )
    ca_file: str = field(
        default="", metadata={"doc": "a PEM file with the authority to trust instead of the system's, for private ones"}
    )
    connections: int = field(default=4, metadata={"doc": "how many connections may be open at once"})

    @property
    def enabled(self) -> bool:
        return bool(self.host)

    @property
    def port_used(self) -> int:
        return self.port or _PORTS[self.security]

    @property
    def sender(self) -> str:
        """`from`, else the account where that is an address: most providers accept no other sender."""
        return self.from_ or (self.username if "@" in self.username else _FALLBACK_SENDER)


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How messages are tried and tried again. A letter's own deadline ends its retries."""

    retry_first: Duration = field(
        default=Duration(5 * SECOND_MS), metadata={"doc": "the wait after a first failure; it doubles with each"}
    )
    retry_max: Duration = field(default=Duration(5 * MINUTE_MS), metadata={"doc": "the longest such wait"})
    send_timeout: Duration = field(
        default=Duration(MINUTE_MS), metadata={"doc": "when one attempt is given up as failed"}
    )
    at_once: int = field(default=32, metadata={"doc": "how many messages may be under way at once"})
    at_once_each: int = field(default=8, metadata={"doc": "how many of them through one receiver"})
    resend_for: Duration = field(
        default=Duration(DAY_MS), metadata={"doc": "how long a message that a person sends again is tried"}
    )
    grace: Duration = field(
        default=Duration(3 * SECOND_MS), metadata={"doc": "how long messages under way may take to finish at shutdown"}
    )


def check_smtp(settings: SmtpSettings) -> SmtpSettings:
    """The settings themselves, if mail can leave with them. Raises UserError that names the field."""
    if not settings.host:
        if settings.username or settings.to:
            raise UserError("smtp.host is empty: name the mail server that alerts leave through.", field="host")
        return settings
    if settings.security == "none" and settings.username:
        raise UserError(
            'smtp.security = "none" would send the password unencrypted: set it to "starttls" or "tls", '
            "or remove smtp.username.",
            field="security",
        )
    if settings.password and not settings.username:
        raise UserError("smtp.password is set without smtp.username: name the account too.", field="username")
    if settings.username and not settings.password:
        raise UserError("smtp.username is set without a password: set smtp.password_file.", field="password")
    for address in (settings.sender, *settings.to):
        parse_address(address)
    if not 0 <= settings.port <= 65_535:
        raise UserError("smtp.port must be between 1 and 65535, or 0 for the usual one.", field="port")
    if settings.connections < 1:
        raise UserError("smtp.connections must be at least 1.", field="connections")
    if settings.timeout <= 0:
        raise UserError("smtp.timeout must be longer than 0 seconds.", field="timeout")
    return settings


def check_delivery(settings: DeliverySettings) -> DeliverySettings:
    """The settings themselves, if letters can leave with them. Raises UserError that names the field."""
    if not 0 < settings.retry_first <= settings.retry_max:
        raise UserError(
            "delivery.retry_first must be longer than 0 seconds and not longer than delivery.retry_max.",
            field="retry_first",
        )
    if settings.send_timeout <= 0:
        raise UserError("delivery.send_timeout must be longer than 0 seconds.", field="send_timeout")
    if not 1 <= settings.at_once_each <= settings.at_once:
        raise UserError(
            "delivery.at_once_each must be at least 1 and not more than delivery.at_once.", field="at_once_each"
        )
    return settings

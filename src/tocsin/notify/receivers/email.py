"""E-mail over SMTP: one recipient a letter, so that one bad address harms nobody else."""

from __future__ import annotations

import asyncio
import base64
import ssl
from email.headerregistry import Address

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from tocsin.model.errors import DeliveryError, UserError
from tocsin.model.outbox import Letter
from tocsin.notify.address import parse_address
from tocsin.notify.message import compose, render_letter
from tocsin.notify.plain import inert
from tocsin.notify.ports import Delivered, Outcome, Rejected, Retry
from tocsin.notify.settings import SmtpSettings, check_smtp
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("notify")

IDLE_S = 20.0
QUIT_S = 1.0
ANSWER_CHARS_MAX = 300

_SIGN_INS = ("plain", "login", "cram-md5")  # the connection is encrypted: the simplest is the safest to get right

# RFC 5321 (3.8, 4.2.2) and RFC 4954 (6)
_UNAVAILABLE = 421
_MECHANISM_UNKNOWN = 504
_SIGN_IN_WANTED = 530
_TOO_LARGE = 552


class _SetupError(DeliveryError):
    """Settings and server do not fit: nothing leaves until a person has looked, and then every letter may."""

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message, permanent=False)
        self.fault = fault


class _StaleError(Exception):
    """A kept connection was gone before it had heard of this mail, so that sending it anew is safe."""


class EmailReceiver:
    """Sends each letter over one of at most `settings.connections` connections; idle ones are kept for a burst.

    Raises UserError where the settings cannot work. `external_url` is where people open tocsin, for links.
    """

    def __init__(self, settings: SmtpSettings, clock: Clock, telemetry: Telemetry, external_url: str = "") -> None:
        self._settings = check_smtp(settings)
        self._clock = clock
        self._external_url = external_url
        self._sender = parse_address(settings.sender)
        self._tls = _tls_context(settings)
        self._server = f"{settings.host}:{settings.port_used}"
        self._places = asyncio.Semaphore(settings.connections)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}
        self._partings: set[asyncio.Task[None]] = set()
        self._faults = telemetry.counter(
            "smtp_setup_failures", "Attempts that failed because settings and mail server do not fit.", ["fault"]
        )

    async def send(self, letter: Letter) -> Outcome:
        try:
            recipient = parse_address(letter.target.recipient)
        except UserError as error:
            return Rejected(str(error))
        now_ms = self._clock.now_ms()
        mail = render_letter(letter, now_ms, self._external_url)
        raw = compose(letter, mail, self._sender, recipient, now_ms)
        try:
            async with self._places:
                return Delivered(await self._deliver(recipient, raw))
        except _SetupError as error:
            return self._setup_failed(error)
        except SMTPResponseException as error:
            return self._refused(error)
        except (SMTPException, OSError) as error:
            return Retry(self._trouble(error))

    async def close(self) -> None:
        """Say goodbye on the idle connections."""
        for smtp in tuple(self._idle):
            self._part(smtp)
        if self._partings:
            await asyncio.wait(self._partings)

    async def _deliver(self, recipient: Address, raw: bytes) -> str:
        """What the server said when it took the mail."""
        while self._idle:
            smtp, timer = self._idle.popitem()
            timer.cancel()
            try:
                return await self._transact(smtp, recipient, raw, kept=True)
            except _StaleError:
                continue
        return await self._transact(await self._open(), recipient, raw, kept=False)

    async def _transact(self, smtp: SMTP, recipient: Address, raw: bytes, *, kept: bool) -> str:
        """One mail on an open connection, which is kept for the next one where it is still good."""
        good = False
        try:
            await self._announce(smtp, kept=kept)
            await smtp.rcpt(recipient.addr_spec)
            answer = await smtp.data(raw)
            good = True
        except SMTPResponseException:
            good = await _reset(smtp)
            raise
        finally:
            if good and smtp.is_connected:
                self._keep(smtp)
            else:
                smtp.close()
        return inert(f"{answer.code} {answer.message}", ANSWER_CHARS_MAX)

    async def _announce(self, smtp: SMTP, *, kept: bool) -> None:
        """The first word about a mail, which tells whether a kept connection is still alive."""
        try:
            await smtp.mail(self._sender.addr_spec)
        except (SMTPServerDisconnected, SMTPSenderRefused) as error:
            if kept and (isinstance(error, SMTPServerDisconnected) or error.code == _UNAVAILABLE):
                raise _StaleError from error
            raise

    def _refused(self, error: SMTPResponseException) -> Outcome:
        """Whether a refusal is about this mail, or about all of them."""
        said = self._said(error)
        if error.code == _SIGN_IN_WANTED:
            return self._setup_failed(
                _SetupError("sign-in", f"{self._server} wants a sign-in; set smtp.username ({said}).")
            )
        if isinstance(error, SMTPSenderRefused) and error.code >= 500 and error.code != _TOO_LARGE:
            sender = self._sender.addr_spec
            return self._setup_failed(
                _SetupError("sender", f"{self._server} takes no mail from {sender}; check smtp.from ({said}).")
            )
        why = f"{self._server} answered {said}"
        return Rejected(why) if error.code >= 500 else Retry(why)

    def _setup_failed(self, error: _SetupError) -> Retry:
        self._faults.labels(error.fault).inc()
        log.error("no e-mail can leave", fault=error.fault, reason=str(error))
        return Retry(str(error))

    async def _open(self) -> SMTP:
        """A connection that is encrypted and signed in as the settings say. Raises _SetupError, SMTPException."""
        settings = self._settings
        domain = self._sender.domain
        smtp = SMTP(
            hostname=settings.host,
            port=settings.port_used,
            # A greeting that a strict server takes; looking up this machine's name could take seconds.
            local_hostname=domain if "." in domain else "[127.0.0.1]",
            timeout=settings.timeout.seconds,
            use_tls=settings.security == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        ready = False
        try:
            await smtp.connect()
            await smtp.ehlo()
            if settings.security == "starttls":
                await self._encrypt(smtp)
            if settings.username:
                await self._sign_in(smtp)
            ready = True
        except (ssl.SSLError, SMTPException) as error:
            fault = self._connection_fault(error)
            if fault is None:
                raise
            raise fault from error
        finally:
            if not ready:
                smtp.close()
        return smtp

    async def _encrypt(self, smtp: SMTP) -> None:
        if not smtp.supports_extension("starttls"):
            raise _SetupError(
                "tls",
                f"{self._server} does not offer STARTTLS, and mail is not sent unencrypted unless you ask for it; "
                'set smtp.security = "tls" (usually port 465), or "none" on a network that you trust.',
            )
        await smtp.starttls()
        await smtp.ehlo()  # RFC 3207, 4.2: what was offered before the encryption counts for nothing

    async def _sign_in(self, smtp: SMTP) -> None:
        settings = self._settings
        offered = [name for name in _SIGN_INS if name in smtp.server_auth_methods]
        if not offered:
            raise _SetupError(
                "sign-in", f"{self._server} offers no sign-in with a password; remove smtp.username, or check the port."
            )
        ways = {"plain": smtp.auth_plain, "login": smtp.auth_login, "cram-md5": smtp.auth_crammd5}
        for name in offered:
            try:
                await ways[name](settings.username, settings.password)
            except SMTPAuthenticationError as error:
                if error.code == _MECHANISM_UNKNOWN and name != offered[-1]:
                    continue  # offered, and not known after all; any other refusal would only count as one more attack
                if error.code < 500:
                    raise
                raise _SetupError(
                    "sign-in",
                    f"{self._server} refused the sign-in of {settings.username!r}; check smtp.username and its "
                    f"password ({self._said(error)}).",
                ) from error
            else:
                return

    def _connection_fault(self, error: Exception) -> _SetupError | None:
        """What a person has to change, where waiting alone will not help."""
        if isinstance(error, SMTPResponseException) and error.code >= 500:
            return _SetupError("connection", f"{self._server} refuses to talk: {self._said(error)}")
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _SetupError(
                "certificate",
                f"the certificate of {self._server} is not trusted: {cause.verify_message}; "
                "check smtp.host, or name its authority in smtp.ca_file.",
            )
        if isinstance(cause, ssl.SSLError):
            return _SetupError(
                "tls",
                f"{self._server} does not speak TLS as expected ({cause.reason}); port 587 usually wants "
                'smtp.security = "starttls", port 465 "tls".',
            )
        return None

    def _keep(self, smtp: SMTP) -> None:
        self._idle[smtp] = asyncio.get_running_loop().call_later(IDLE_S, self._part, smtp)

    def _part(self, smtp: SMTP) -> None:
        """Leave an idle connection politely."""
        self._idle.pop(smtp).cancel()
        task = asyncio.create_task(_goodbye(smtp))
        self._partings.add(task)
        task.add_done_callback(self._partings.discard)

    def _said(self, error: SMTPResponseException) -> str:
        """The server's words, on one line and without the password, which some servers echo."""
        text = error.message
        for secret in _secrets(self._settings):
            text = text.replace(secret, "…")
        return inert(f"{error.code} {text}", ANSWER_CHARS_MAX)

    def _trouble(self, error: Exception) -> str:
        if isinstance(error, SMTPTimeoutError):
            return f"{self._server} did not answer within {self._settings.timeout}."
        if isinstance(error, SMTPServerDisconnected):
            return f"{self._server} closed the connection."
        cause = error.__cause__ or error
        said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
        return f"{self._server} cannot be reached: {inert(said, ANSWER_CHARS_MAX)}."


async def _reset(smtp: SMTP) -> bool:
    """Make a connection ready for another mail after a refusal; False where it is of no more use."""
    try:
        await smtp.rset()
    except (SMTPException, OSError):
        return False
    return True


async def _goodbye(smtp: SMTP) -> None:
    try:
        await smtp.quit(timeout=QUIT_S)
    except (SMTPException, OSError):
        smtp.close()


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext | None:
    """Made once: reading the authorities takes longer than sending a mail."""
    if settings.security == "none":
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise UserError(
            f"smtp.ca_file: cannot read certificates from {settings.ca_file}: {error}.", field="ca_file"
        ) from error


def _secrets(settings: SmtpSettings) -> tuple[str, ...]:
    """The password in every form in which it travels, the longest first."""
    if not settings.password:
        return ()
    plain = f"\0{settings.username}\0{settings.password}"
    encoded = (base64.b64encode(text.encode()).decode() for text in (plain, settings.password))
    return (*encoded, settings.password)

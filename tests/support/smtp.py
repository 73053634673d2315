"""A real SMTP server on loopback that keeps what it is given and answers as it is told."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, AnyStr, Literal, Self, TypeVar, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, TLSSetupException
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

T = TypeVar("T")
Security = Literal["none", "starttls", "tls"]
Stage = Literal["connect", "auth", "mail", "rcpt", "data"]

HOST = "127.0.0.1"
DROP = "drop"  # a scripted answer: cut the connection instead of answering
HANG = "hang"  # a scripted answer: never answer
LOSE = "lose"  # a scripted answer to data: take the mail, and cut the connection instead of saying so
THREAD_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """A mail that was accepted. `user` is who signed in, empty where nobody did."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    raw: bytes
    encrypted: bool
    user: str

    def part(self, subtype: str) -> str:
        """The `plain` or `html` body."""
        body = self.message.get_body((subtype,))
        assert body is not None
        return cast("str", body.get_content())


class SmtpSink:
    """Listens from `with` to its end; `down()` and `up()` in between, always on the same port.

    `script(stage, *answers)` sets what the next commands of a stage are answered with: a reply such as
    `450 try later`, DROP, HANG or LOSE; after those it accepts again. `refused` holds a reply per recipient that
    never ends. `credentials` makes it want a sign-in. `certificate_for` names the host of its certificate.
    """

    host = HOST

    def __init__(
        self,
        security: Security = "none",
        credentials: tuple[str, str] | None = None,
        *,
        certificate_for: str = HOST,
    ) -> None:
        self.port = 0
        self.messages: list[Received] = []
        self.refused: dict[str, str] = {}
        self.commands: list[str] = []
        self.connections = 0
        self.on_message: Callable[[Received], object] | None = None
        self.errors: list[Exception] = []
        self._security = security
        self._credentials = credentials
        self._certificate_for = certificate_for
        self._scripts: defaultdict[str, deque[str]] = defaultdict(deque)
        self._folder = TemporaryDirectory(prefix="smtp-")
        self._tls: ssl.SSLContext | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[_Conversation] = set()

    @property
    def ca_file(self) -> Path:
        """The authority to trust; made together with the certificate, and thrown away with it."""
        return Path(self._folder.name) / "ca.pem"

    def script(self, stage: Stage, *answers: str) -> None:
        self._scripts[stage].extend(answers)

    def down(self) -> None:
        """Stop listening and cut every connection, as a server does that is switched off."""
        self._call(self._close())

    def up(self) -> None:
        self._call(self._listen())

    def cut(self) -> None:
        """Cut every connection, and go on listening."""
        self._call(self._cut())

    def __enter__(self) -> Self:
        if self._security != "none":
            self._tls = _server_context(Path(self._folder.name), self._certificate_for)
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(THREAD_TIMEOUT_S)
        self._loop.close()
        self._folder.cleanup()
        if self.errors and error is None:
            raise AssertionError("the mail server of the test failed") from self.errors[0]

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(THREAD_TIMEOUT_S)

    async def _listen(self) -> None:
        implicit = self._tls if self._security == "tls" else None
        self._server = await self._loop.create_server(self._conversation, HOST, self.port, ssl=implicit)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        gone = [conversation.cut() for conversation in tuple(self._open)]
        if gone:
            await asyncio.wait(gone, timeout=THREAD_TIMEOUT_S)

    def _conversation(self) -> _Conversation:
        return _Conversation(
            self,
            self._open,
            _Handler(self, self._scripts, self._credentials, implicit_tls=self._security == "tls"),
            hostname="mail.example.org",
            loop=self._loop,
            tls_context=self._tls if self._security == "starttls" else None,
            # aiosmtpd does not know of TLS from the first byte; without TLS it offers no sign-in
            auth_require_tls=self._security != "tls",
            authenticator=self._sign_in,
        )

    def _sign_in(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.commands.append("auth")
        scripted = self._scripts["auth"]
        if scripted:
            return AuthResult(success=False, handled=False, message=scripted.popleft())
        good = (data.login.decode(), data.password.decode()) == self._credentials
        return AuthResult(success=good, handled=False, auth_data=data)


class _Handler:
    def __init__(
        self,
        sink: SmtpSink,
        scripts: defaultdict[str, deque[str]],
        credentials: tuple[str, str] | None,
        *,
        implicit_tls: bool,
    ) -> None:
        self._sink = sink
        self._scripts = scripts
        self._credentials = credentials
        self._implicit_tls = implicit_tls

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._sink.commands.append("mail")
        if (answer := await self._scripted(server, "mail")) is not None:
            return answer
        if self._credentials is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._sink.commands.append("rcpt")
        if (answer := await self._scripted(server, "rcpt")) is not None:
            return answer
        if address in self._sink.refused:
            return self._sink.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self._sink.commands.append("data")
        answer = await self._scripted(server, "data")
        if answer not in (None, LOSE):
            return answer
        raw = envelope.original_content or b""
        login = cast("object", session.auth_data)
        received = Received(
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            message=message_from_bytes(raw, policy=policy.default),
            raw=raw,
            encrypted=self._implicit_tls or session.ssl is not None,
            user=login.login.decode() if isinstance(login, LoginPassword) else "",
        )
        self._sink.messages.append(received)
        if self._sink.on_message is not None:
            self._sink.on_message(received)
        if answer == LOSE:
            await self._drop(server)
        return f"250 2.0.0 taken as {len(self._sink.messages)}"

    async def handle_exception(self, error: Exception) -> str:
        if not isinstance(
            error, (TLSSetupException, ssl.SSLError, ConnectionError)
        ):  # the client left, which tests want
            self._sink.errors.append(error)
        return "451 the mail server of the test failed"

    async def _scripted(self, server: SMTP, stage: Stage) -> str | None:
        answers = self._scripts[stage]
        if not answers:
            return None
        answer = answers.popleft()
        if answer == DROP:
            await self._drop(server)
        if answer == HANG:
            await asyncio.Event().wait()  # until the client leaves
        return answer

    async def _drop(self, server: SMTP) -> None:
        cast("_Conversation", server).cut()
        await asyncio.Event().wait()  # until the lost connection cancels the conversation


class _Conversation(SMTP):
    """aiosmtpd's protocol, which can be cut and greets as scripted."""

    def __init__(self, sink: SmtpSink, open_: set[_Conversation], handler: _Handler, **more: Any) -> None:
        super().__init__(handler, **more)
        self._sink = sink
        self._open = open_
        self._first: asyncio.BaseTransport | None = None
        self._gone: asyncio.Future[None] = self.loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._first is None:
            self._first = transport
            self._open.add(self)
            self._sink.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._open.discard(self)
        if not self._gone.done():
            self._gone.set_result(None)

    def cut(self) -> asyncio.Future[None]:
        """Abort the TCP connection; the future ends when it is gone."""
        assert self._first is not None
        cast("asyncio.Transport", self._first).abort()
        return self._gone

    async def push(self, status: AnyStr) -> None:
        greetings = self._sink._scripts["connect"]
        if greetings and str(status).startswith("220 mail.example.org"):
            greeting = greetings.popleft()
            if greeting == DROP:
                self.cut()
            if greeting in (DROP, HANG):
                await asyncio.Event().wait()
            await super().push(greeting)
        else:
            await super().push(status)


def _server_context(folder: Path, host: str) -> ssl.SSLContext:
    """A throw-away authority in ca.pem, and a server with a certificate of it."""
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), _name("tocsin's tests")
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate(_name(host), ca_name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

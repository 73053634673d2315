from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs
from tests.notify.letters import FIRED_MS, OPS, a_letter, an_alert
from tests.support.smtp import DROP, HANG, SmtpSink, Stage

from tocsin.model.duration import SECOND_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.rule import Severity
from tocsin.notify.ports import Delivered, Rejected, Retry
from tocsin.notify.receivers.email import EmailReceiver
from tocsin.notify.settings import SmtpSettings
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

SECRET = "correct horse battery"
ACCOUNT = ("tocsin@example.org", SECRET)

Opener = Callable[..., EmailReceiver]


class Faults:
    """The receiver's telemetry, to read what it counted."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()

    def count(self, fault: str) -> float:
        value = self.telemetry.registry.get_sample_value("tocsin_smtp_setup_failures_total", {"fault": fault})
        return value or 0.0


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def open_receiver(faults: Faults) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:

        def opened(sink: SmtpSink, settings: SmtpSettings) -> EmailReceiver:
            there = replace(settings, host=sink.host, port=sink.port, from_=settings.from_ or "alerts@example.org")
            receiver = EmailReceiver(there, FixedClock(FIRED_MS), faults.telemetry)
            stack.push_async_callback(receiver.close)
            return receiver

        yield opened


PLAIN = SmtpSettings(security="none")


async def test_a_mail_travels_plainly_where_that_was_asked_for(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        outcome = await open_receiver(sink, PLAIN).send(a_letter())
    assert outcome == Delivered("250 2.0.0 taken as 1")
    [mail] = sink.messages
    assert mail.sender == "alerts@example.org"
    assert mail.recipients == (OPS,)
    assert mail.message["Subject"] == "[WARNING] System Alert: High CPU Usage"
    assert parsedate_to_datetime(mail.message["Date"]).timestamp() * 1_000 == FIRED_MS
    assert "Current Value:   91.30" in mail.part("plain")
    assert "border-left: 4px solid #FFA500" in mail.part("html")
    assert not mail.encrypted


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_travels_encrypted_and_signed_in(
    open_receiver: Opener, security: Literal["starttls", "tls"]
) -> None:
    with SmtpSink(security, ACCOUNT) as sink:
        settings = SmtpSettings(
            security=security,
            username=ACCOUNT[0],
            password=SECRET,
            ca_file=str(sink.ca_file),
        )
        outcome = await open_receiver(sink, settings).send(a_letter())
    assert isinstance(outcome, Delivered)
    [mail] = sink.messages
    assert mail.encrypted
    assert mail.user == ACCOUNT[0]


async def test_without_starttls_on_offer_nothing_is_sent_unencrypted(open_receiver: Opener, faults: Faults) -> None:
    with SmtpSink("none") as sink:
        outcome = await open_receiver(sink, SmtpSettings()).send(a_letter())
    assert isinstance(outcome, Retry)
    assert "does not offer STARTTLS" in outcome.why
    assert sink.commands == []
    assert faults.count("tls") == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_of_an_unknown_authority_is_not_accepted(
    open_receiver: Opener, faults: Faults, security: Literal["starttls", "tls"]
) -> None:
    with SmtpSink(security) as sink:
        outcome = await open_receiver(sink, SmtpSettings(security=security)).send(a_letter())
    assert isinstance(outcome, Retry)
    assert "is not trusted" in outcome.why
    assert sink.commands == []
    assert faults.count("certificate") == 1


async def test_a_certificate_for_another_host_is_not_accepted(open_receiver: Opener, faults: Faults) -> None:
    with SmtpSink("starttls", certificate_for="mail.elsewhere.org") as sink:
        outcome = await open_receiver(sink, SmtpSettings(ca_file=str(sink.ca_file))).send(a_letter())
    assert isinstance(outcome, Retry)
    assert "is not trusted" in outcome.why
    assert faults.count("certificate") == 1


async def test_tls_towards_a_plain_port_says_which_setting_to_change(open_receiver: Opener, faults: Faults) -> None:
    with SmtpSink("none") as sink:
        settings = SmtpSettings(security="tls", timeout=Duration(2 * SECOND_MS))
        outcome = await open_receiver(sink, settings).send(a_letter())
    assert isinstance(outcome, Retry)
    assert 'smtp.security = "starttls"' in outcome.why
    assert faults.count("tls") == 1


async def test_a_refused_sign_in_is_tried_later_and_never_tells_the_password(
    open_receiver: Opener, faults: Faults
) -> None:
    token = base64.b64encode(f"\0{ACCOUNT[0]}\0{SECRET}".encode()).decode()
    with SmtpSink("starttls", ACCOUNT) as sink, capture_logs() as logs:
        sink.script("auth", f"535 5.7.8 no such account: AUTH PLAIN {token} ({SECRET})")
        settings = SmtpSettings(username=ACCOUNT[0], password=SECRET, ca_file=str(sink.ca_file))
        receiver = open_receiver(sink, settings)
        outcome = await receiver.send(a_letter())
    assert isinstance(outcome, Retry)
    assert "refused the sign-in of 'tocsin@example.org'" in outcome.why
    assert "535 5.7.8" in outcome.why
    for words in (outcome.why, repr(logs), repr(settings), repr(receiver)):
        assert SECRET not in words
        assert token not in words
    assert faults.count("sign-in") == 1
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_only_one_guess_is_made_at_a_wrong_password(open_receiver: Opener) -> None:
    with SmtpSink("starttls", ACCOUNT) as sink:
        settings = SmtpSettings(username=ACCOUNT[0], password="wrong", ca_file=str(sink.ca_file))
        outcome = await open_receiver(sink, settings).send(a_letter())
    assert isinstance(outcome, Retry)
    assert sink.commands == ["auth"]


async def test_a_server_that_wants_a_sign_in_says_so(open_receiver: Opener, faults: Faults) -> None:
    with SmtpSink("none", ACCOUNT) as sink:
        outcome = await open_receiver(sink, PLAIN).send(a_letter())
    assert isinstance(outcome, Retry)
    assert "set smtp.username" in outcome.why
    assert faults.count("sign-in") == 1


async def test_a_sign_in_that_is_refused_for_now_is_no_fault_of_the_setup(
    open_receiver: Opener, faults: Faults
) -> None:
    with SmtpSink("starttls") as sink:
        settings = SmtpSettings(username="tocsin", password=SECRET, ca_file=str(sink.ca_file))
        sink.script("auth", "454 4.7.0 not now")
        outcome = await open_receiver(sink, settings).send(a_letter())
    assert isinstance(outcome, Retry)
    assert "454 4.7.0" in outcome.why
    assert faults.count("sign-in") == 0


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("mail", "451 4.3.0 later"),
        ("rcpt", "450 4.2.1 mailbox busy"),
        ("rcpt", "421 4.3.2 going down"),
        ("data", "452 4.3.1 disk full"),
        ("connect", "421 4.7.0 too many connections"),
    ],
)
async def test_a_4xx_is_tried_again(open_receiver: Opener, stage: Stage, answer: str) -> None:
    with SmtpSink() as sink:
        sink.script(stage, answer)
        receiver = open_receiver(sink, PLAIN)
        first = await receiver.send(a_letter())
        second = await receiver.send(a_letter())
    assert isinstance(first, Retry)
    assert answer in first.why
    assert isinstance(second, Delivered)


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("rcpt", "550 5.1.1 no such user"),
        ("data", "554 5.7.1 looks like spam"),
        ("mail", "552 5.3.4 too large"),
    ],
)
async def test_a_5xx_about_the_mail_is_final(open_receiver: Opener, stage: Stage, answer: str) -> None:
    with SmtpSink() as sink:
        sink.script(stage, answer)
        outcome = await open_receiver(sink, PLAIN).send(a_letter())
    assert isinstance(outcome, Rejected)
    assert answer in outcome.why


@pytest.mark.parametrize(
    ("stage", "answer", "fault"),
    [
        ("mail", "550 5.7.1 not your address", "sender"),
        ("connect", "554 5.7.1 you are on a list", "connection"),
    ],
)
async def test_a_5xx_about_the_setup_is_not_held_against_the_mail(
    open_receiver: Opener, faults: Faults, stage: Stage, answer: str, fault: str
) -> None:
    with SmtpSink() as sink:
        sink.script(stage, answer)
        outcome = await open_receiver(sink, PLAIN).send(a_letter())
    assert isinstance(outcome, Retry)
    assert answer in outcome.why
    assert faults.count(fault) == 1


@pytest.mark.parametrize("stage", ["connect", "mail", "rcpt", "data"])
async def test_a_connection_that_breaks_is_tried_again(open_receiver: Opener, stage: Stage) -> None:
    with SmtpSink() as sink:
        sink.script(stage, DROP)
        receiver = open_receiver(sink, PLAIN)
        assert isinstance(await receiver.send(a_letter()), Retry)
        assert isinstance(await receiver.send(a_letter()), Delivered)


@pytest.mark.parametrize("stage", ["connect", "rcpt", "data"])
async def test_a_server_that_never_answers_is_given_up(open_receiver: Opener, stage: Stage) -> None:
    with SmtpSink() as sink:
        sink.script(stage, HANG)
        outcome = await open_receiver(sink, replace(PLAIN, timeout=Duration(50))).send(a_letter())
    assert isinstance(outcome, Retry)
    assert "did not answer within 50ms" in outcome.why


async def test_a_server_that_is_down_is_tried_again(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        receiver = open_receiver(sink, PLAIN)
        sink.down()
        outcome = await receiver.send(a_letter())
        sink.up()
        again = await receiver.send(a_letter())
    assert isinstance(outcome, Retry)
    assert "cannot be reached" in outcome.why
    assert isinstance(again, Delivered)


async def test_a_name_that_does_not_exist_is_tried_again() -> None:
    settings = SmtpSettings(host="mail.invalid", security="none", timeout=Duration(5 * SECOND_MS))
    outcome = await EmailReceiver(settings, FixedClock(FIRED_MS), Telemetry()).send(a_letter())
    assert isinstance(outcome, Retry)


async def test_a_burst_shares_connections(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        receiver = open_receiver(sink, replace(PLAIN, connections=2))
        letters = [a_letter(id=number, to=f"person{number}@example.org") for number in range(20)]
        outcomes = await asyncio.gather(*map(receiver.send, letters))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert sorted(recipient for mail in sink.messages for recipient in mail.recipients) == sorted(
        letter.target.recipient for letter in letters
    )
    assert sink.connections == 2


async def test_a_kept_connection_that_went_stale_is_replaced(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        receiver = open_receiver(sink, PLAIN)
        await receiver.send(a_letter())
        sink.cut()
        assert isinstance(await receiver.send(a_letter()), Delivered)
        sink.script("mail", "421 4.4.2 idle for too long")
        assert isinstance(await receiver.send(a_letter()), Delivered)
    assert len(sink.messages) == 3


async def test_after_a_refusal_the_connection_serves_the_next_mail(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        sink.refused["gone@example.org"] = "550 5.1.1 no such user"
        receiver = open_receiver(sink, PLAIN)
        assert isinstance(await receiver.send(a_letter(to="gone@example.org")), Rejected)
        assert isinstance(await receiver.send(a_letter()), Delivered)
    assert sink.connections == 1
    assert [mail.recipients for mail in sink.messages] == [(OPS,)]


async def test_an_address_that_is_none_is_final_and_reaches_no_server(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        outcome = await open_receiver(sink, PLAIN).send(a_letter(to="ops@example.org\r\nBcc: x@example.net"))
    assert isinstance(outcome, Rejected)
    assert sink.connections == 0


async def test_hostile_text_adds_no_header_and_no_recipient(open_receiver: Opener) -> None:
    hostile = an_alert(
        name="CPU\r\nBcc: x@example.net\r\n\r\n.\r\nMAIL FROM:<x@example.net>", severity=Severity.CRITICAL
    )
    with SmtpSink() as sink:
        outcome = await open_receiver(sink, PLAIN).send(a_letter(hostile))
    assert isinstance(outcome, Delivered)
    [mail] = sink.messages
    assert mail.recipients == (OPS,)
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"].startswith("[CRITICAL] System Alert: CPU  Bcc: x@example.net")


async def test_the_same_letter_carries_the_same_message_id_when_it_is_sent_again(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        receiver = open_receiver(sink, PLAIN)
        await receiver.send(a_letter())
        await receiver.send(a_letter())
        await receiver.send(a_letter(created_ms=FIRED_MS + 1))
    first, again, other = (mail.message["Message-ID"] for mail in sink.messages)
    assert first == again
    assert first != other


async def test_a_cancelled_mail_leaves_no_open_connection(open_receiver: Opener) -> None:
    with SmtpSink() as sink:
        sink.script("rcpt", HANG)
        receiver = open_receiver(sink, PLAIN)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await receiver.send(a_letter())
        assert isinstance(await receiver.send(a_letter()), Delivered)
    assert sink.connections == 2


def test_an_authority_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    settings = SmtpSettings(host="mail.example.org", ca_file=str(tmp_path / "none.pem"))
    with pytest.raises(UserError, match=r"smtp\.ca_file"):
        EmailReceiver(settings, FixedClock(), Telemetry())

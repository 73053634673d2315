from __future__ import annotations

from tests.notify.letters import a_letter

from tocsin.model.outbox import Letter
from tocsin.notify.ports import Delivered, Outcome, Rejected
from tocsin.notify.registry import Registry, open_registry
from tocsin.notify.settings import SmtpSettings
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry


class Drawer:
    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.closed = False

    async def send(self, letter: Letter) -> Outcome:
        self.letters.append(letter)
        return Delivered("ok")

    async def close(self) -> None:
        self.closed = True


async def test_a_letter_goes_to_the_receiver_that_it_names() -> None:
    email, pager = Drawer(), Drawer()
    registry = Registry({"email": email, "pager": pager})
    assert await registry.send(a_letter(receiver="pager")) == Delivered("ok")
    assert (len(email.letters), len(pager.letters)) == (0, 1)
    await registry.close()
    assert email.closed
    assert pager.closed


async def test_a_letter_for_nobody_is_rejected() -> None:
    outcome = await Registry({}).send(a_letter(receiver="carrier pigeon"))
    assert isinstance(outcome, Rejected)
    assert "'carrier pigeon'" in outcome.why


def test_email_is_there_where_a_mail_server_is_named() -> None:
    clock, telemetry = FixedClock(), Telemetry()
    assert open_registry(SmtpSettings(), clock, telemetry).names == ()
    assert open_registry(SmtpSettings(host="mail.example.org"), clock, telemetry).names == ("email",)

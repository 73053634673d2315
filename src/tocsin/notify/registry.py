"""Which receivers there are, by the name that a letter carries."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.model.outbox import Letter
from tocsin.notify.ports import Outcome, Receiver, Rejected
from tocsin.notify.receivers.email import EmailReceiver
from tocsin.notify.settings import SmtpSettings
from tocsin.runtime.clock import Clock
from tocsin.runtime.telemetry import Telemetry

EMAIL = "email"


class Registry:
    """Every receiver that is set up; itself one, which hands each letter to the right one."""

    def __init__(self, receivers: Mapping[str, Receiver]) -> None:
        self._receivers = dict(receivers)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._receivers)

    async def send(self, letter: Letter) -> Outcome:
        receiver = self._receivers.get(letter.target.receiver)
        if receiver is None:
            return Rejected(f"There is no receiver {letter.target.receiver!r}; set it up and send this again.")
        return await receiver.send(letter)

    async def close(self) -> None:
        for receiver in self._receivers.values():
            await receiver.close()


def open_registry(smtp: SmtpSettings, clock: Clock, telemetry: Telemetry, external_url: str = "") -> Registry:
    """The receivers that the settings describe. Raises UserError where those cannot work."""
    receivers: dict[str, Receiver] = {}
    if smtp.enabled:
        receivers[EMAIL] = EmailReceiver(smtp, clock, telemetry, external_url)
    return Registry(receivers)

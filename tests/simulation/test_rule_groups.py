"""Half a day of a group of rules in seconds: it records, alerts on what it recorded, and is restarted while pending.

What fired and resolved, and when, is what an oracle finds in the readings; nobody is told twice. `SEED=n` runs one
world again.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.simulation.oracle import Episode
from tests.simulation.world import START_MS, Machine, MailServer, virtual_world
from tests.support.virtual_time import run_virtual

from tocsin.app.config import Settings
from tocsin.app.wiring import Server, open_server
from tocsin.ingest.settings import HostSettings
from tocsin.model.alert import HistoryQuery
from tocsin.model.audit import Actor
from tocsin.model.duration import HOUR_MS, MINUTE_MS, Duration
from tocsin.model.outbox import LetterKind
from tocsin.model.page import PAGE_SIZE_MAX, PageRequest
from tocsin.notify.settings import SmtpSettings
from tocsin.rules.group import moment_ms
from tocsin.rules.settings import RulesSettings
from tocsin.runtime.clock import LoopClock
from tocsin.store.memory import MemorySampleStore

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2, 3]
LENGTH_MS = 12 * HOUR_MS
END_MS = START_MS + LENGTH_MS
INTERVAL_MS, FOR_MS = 30_000, 2 * MINUTE_MS
READ_EVERY = Duration(13_000)
DOWN_MS = 90_000
GRACE_MS = int(RulesSettings().start_grace)
SETTINGS = Settings(
    host=HostSettings(interval=READ_EVERY), smtp=SmtpSettings(host="mail.test", to=("night@example.org",))
)
FILE = """groups:
- name: sim
  interval: 30s
  rules:
  - record: sim:busy
    expr: max({"sim.load"}) > bool 80
  - alert: Busy
    expr: sim:busy == 1
    for: 2m
    labels: {severity: critical}
"""


@dataclass
class Outcome:
    readings: Sequence[tuple[int, float]]
    up: Sequence[tuple[int, int]]
    offset_ms: int
    found: list[Episode]
    kinds: Counter[LetterKind]
    keys: list[str]
    failures: set[str]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_fires_and_resolves_as_the_readings_say(seed: int, tmp_path: Path) -> None:
    outcome = run_virtual(lambda: _days(seed, tmp_path))
    wanted = _episodes(outcome)
    assert outcome.found == wanted, f"seed {seed}"
    assert len(wanted) > 5, f"seed {seed}: hardly anything fired, so this world proves nothing"
    assert outcome.failures == set()
    assert len(outcome.keys) == len(set(outcome.keys)), f"seed {seed}: a letter was sent twice"
    assert outcome.kinds[LetterKind.FIRING] == outcome.kinds[LetterKind.RESOLVED] == len(wanted), f"seed {seed}"


def _episodes(outcome: Outcome) -> list[Episode]:
    """One pass over the moments at which the group was evaluated."""
    found: list[Episode] = []
    since: int | None = None
    fired: int | None = None
    readings, newest = list(outcome.readings), 0
    for began, ended in outcome.up:
        restored = since is not None
        first = (began - outcome.offset_ms) // INTERVAL_MS * INTERVAL_MS + outcome.offset_ms + INTERVAL_MS
        for at_ms in range(first, ended + 1, INTERVAL_MS):
            while newest + 1 < len(readings) and readings[newest + 1][0] <= at_ms:
                newest += 1
            busy = readings[newest][0] <= at_ms and readings[newest][1] > 80
            if busy:
                since = at_ms if since is None else since
                fired = at_ms if fired is None and at_ms - since >= FOR_MS else fired
            elif since is not None and not (restored and at_ms - began < GRACE_MS):
                if fired is not None:
                    found.append(Episode(fired, at_ms))
                since = fired = None
            restored = restored and since is not None
    return found


async def _days(seed: int, folder: Path) -> Outcome:
    clock, chance = LoopClock(asyncio.get_running_loop(), START_MS), random.Random(seed)
    spells = _spells(chance)
    machine = Machine(clock, {"sim.load": lambda at_ms: 95.0 if any(a <= at_ms < b for a, b in spells) else 10.0})
    mail, samples = MailServer(clock), MemorySampleStore(clock=clock)
    world = virtual_world(machine, mail, samples, clock, seed)
    async with open_server(SETTINGS, folder, world, url="http://sim") as server:
        await server.services.rule_files.put("sim.yml", FILE, Actor("sim"))
        began = clock.now_ms()
        await _until_pending(server, clock)
        first = began, clock.now_ms()
    await asyncio.sleep(DOWN_MS / 1_000)
    async with open_server(SETTINGS, folder, world, url="http://sim") as server:
        again = clock.now_ms()
        await asyncio.sleep((END_MS - again) / 1_000)
        page = await server.services.alerts.history(HistoryQuery(), PageRequest(PAGE_SIZE_MAX))
        mine = sorted((one.triggered_at_ms, one.resolved_at_ms) for one in page.items if one.rule_name == "Busy")
        (group,) = server.services.rule_groups.groups()
        return Outcome(
            machine.read_so_far["sim.load"],
            (first, (again, clock.now_ms())),
            moment_ms(server.services.rule_files.files()[0].groups[0], INTERVAL_MS),
            list(itertools.starmap(Episode, mine)),
            Counter(one.kind for one in mail.taken if one.rule == "Busy" and one.kind is not LetterKind.REPEAT),
            [one.key for one in mail.taken],
            {rule.last.error for rule in group.rules} - {""},
        )


async def _until_pending(server: Server, clock: LoopClock) -> None:
    """Four hours, and then into the next time that the alert is pending."""
    await asyncio.sleep((START_MS + 4 * HOUR_MS - clock.now_ms()) / 1_000)
    while not _is_pending(server):  # noqa: ASYNC110 - time is virtual
        await asyncio.sleep(1)


def _is_pending(server: Server) -> bool:
    alerts = [alert for group in server.services.rule_groups.groups() for rule in group.rules for alert in rule.alerts]
    return any(alert.state == "pending" for alert in alerts)


def _spells(chance: random.Random) -> list[tuple[int, int]]:
    """Over two hours before the end, so that every alert is seen to its end."""
    starts = [START_MS + chance.randrange(HOUR_MS, LENGTH_MS - 3 * HOUR_MS) for _ in range(25)]
    return [(start, start + chance.randrange(MINUTE_MS, 30 * MINUTE_MS)) for start in starts]

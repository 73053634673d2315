"""A week of one machine in seconds: readings, flapping, a restart while an alert is pending, mail down for an hour.

Nothing is lost, nothing is told twice, "resolved" never comes before "firing", and the history says what the
oracle says. `SEED=n` runs one world again.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.simulation.oracle import Episode, episodes
from tests.simulation.world import START_MS, Machine, Mail, MailServer, Signal, virtual_world
from tests.support.virtual_time import run_virtual

from tocsin.app.config import Settings
from tocsin.app.wiring import Server, open_server
from tocsin.ingest.settings import HostSettings
from tocsin.model.alert import HistoryItem, HistoryQuery
from tocsin.model.audit import Actor
from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS, Duration
from tocsin.model.outbox import LetterKind
from tocsin.model.page import PAGE_SIZE_MAX, PageRequest
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.notify.settings import SmtpSettings
from tocsin.runtime.clock import LoopClock
from tocsin.store.memory import MemorySampleStore

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2, 3]
WEEK_MS = 7 * DAY_MS
INTERVAL = Duration(47_000)  # no multiple of it is a rule's duration, so no reading comes just at a deadline
FLAP = Rule(0, "Flap", "sim.flap", Condition.ABOVE, 0.5, duration_ms=0, severity=Severity.CRITICAL)
SETTINGS = Settings(
    host=HostSettings(interval=INTERVAL), smtp=SmtpSettings(host="mail.test", to=("night@example.org",))
)
MAIL_DOWN_MS = (START_MS + 3 * DAY_MS, START_MS + 3 * DAY_MS + HOUR_MS)
FLAPPING_MS = (START_MS + 2 * DAY_MS, START_MS + 2 * DAY_MS + 2 * HOUR_MS)


@dataclass
class World:
    """What is left when the week is over."""

    machine: Machine
    mail: MailServer
    rules: tuple[Rule, ...]
    history: tuple[HistoryItem, ...]
    end_ms: int


@pytest.mark.parametrize("seed", SEEDS)
def test_a_week_loses_nothing_and_doubles_nothing(seed: int, tmp_path: Path) -> None:
    world = run_virtual(lambda: _week(seed, tmp_path))
    for rule in world.rules:
        wanted = episodes(rule, world.machine.read_so_far[rule.metric_name], world.end_ms)
        items = sorted((one for one in world.history if one.rule_id == rule.id), key=lambda one: one.triggered_at_ms)
        assert [_rounded(Episode(one.triggered_at_ms, one.resolved_at_ms)) for one in items] == [
            _rounded(one) for one in wanted
        ], f"seed {seed}, {rule.name}"
        assert wanted, f"seed {seed}: {rule.name} never fired, so this world proves nothing"
    _check_mail(seed, world)


def _check_mail(seed: int, world: World) -> None:
    by_alert: dict[int, list[Mail]] = defaultdict(list)
    for mail in world.mail.taken:
        by_alert[mail.alert_id].append(mail)
    repeat_ms = {rule.name: rule.severity.repeat_ms for rule in world.rules}
    assert len({mail.key for mail in world.mail.taken}) == len(world.mail.taken), (
        f"seed {seed}: a letter was sent twice"
    )
    assert len(by_alert) == len(world.history), f"seed {seed}: not every alert that fired was told"
    for mails in by_alert.values():
        kinds = [mail.kind for mail in mails]
        assert kinds.count(LetterKind.FIRING) <= 1, f"seed {seed}: {mails}"
        assert kinds.count(LetterKind.RESOLVED) == 1, f"seed {seed}: {mails}"
        assert kinds[-1] is LetterKind.RESOLVED, f"seed {seed}: {mails}"
        if LetterKind.FIRING in kinds:
            assert kinds[0] is LetterKind.FIRING, f"seed {seed}: {mails}"
        else:  # only where the mail server was down may the first notice be merged into what came after it
            assert _overlaps_mail_down(mails[0].created_at_ms, mails), f"seed {seed}: {mails}"
        decided = [mail.created_at_ms for mail in mails if mail.kind is not LetterKind.RESOLVED]
        gaps = [later - earlier for earlier, later in itertools.pairwise(decided)]
        assert all(gap >= repeat_ms[mails[0].rule] for gap in gaps), f"seed {seed}: {mails}"


def _overlaps_mail_down(created_at_ms: int, mails: list[Mail]) -> bool:
    start, end = MAIL_DOWN_MS
    return mails[0].at_ms >= start and created_at_ms < end + HOUR_MS


async def _week(seed: int, folder: Path) -> World:
    clock = LoopClock(asyncio.get_running_loop(), START_MS)
    machine = Machine(clock, _signals(random.Random(seed)))
    mail = MailServer(clock, (MAIL_DOWN_MS,))
    samples = MemorySampleStore(clock=clock)
    world = virtual_world(machine, mail, samples, clock, seed)
    async with open_server(SETTINGS, folder, world, url="http://sim") as server:
        await server.services.rules.add(FLAP, Actor("sim"))
        await _until_pending(server, clock, "High CPU Usage")
    await asyncio.sleep(90)  # the server is down, in the middle of a pending alert
    async with open_server(SETTINGS, folder, world, url="http://sim") as server:
        await _sleep_until(clock, START_MS + WEEK_MS)
        history = await _history(server)
        return World(machine, mail, server.services.rules.rules(), history, clock.now_ms())


async def _until_pending(server: Server, clock: LoopClock, rule: str) -> None:
    """At least a day, and then to 100 seconds into the next time that the rule is pending."""
    await _sleep_until(clock, START_MS + DAY_MS)
    rule_id = next(one.id for one in server.services.rules.rules() if one.name == rule)
    while server.services.rules.summary().get(rule_id, (0, 0))[0] == 0:  # noqa: ASYNC110 - time is virtual
        await asyncio.sleep(1)
    await asyncio.sleep(100)
    assert server.services.rules.summary()[rule_id] == (1, 0)


async def _sleep_until(clock: LoopClock, at_ms: int) -> None:
    await asyncio.sleep((at_ms - clock.now_ms()) / 1_000)


async def _history(server: Server) -> tuple[HistoryItem, ...]:
    page = await server.services.alerts.history(HistoryQuery(), PageRequest(PAGE_SIZE_MAX))
    assert page.next is None
    return page.items


def _signals(chance: random.Random) -> dict[str, Signal]:
    busy = _spells(chance, count=60, shortest_ms=MINUTE_MS, longest_ms=20 * MINUTE_MS)
    full = _spells(chance, count=4, shortest_ms=30 * MINUTE_MS, longest_ms=6 * HOUR_MS)
    squeezed = _spells(chance, count=20, shortest_ms=4 * MINUTE_MS, longest_ms=90 * MINUTE_MS)
    return {
        "system.cpu.usage": lambda at_ms: 97.0 if _inside(busy, at_ms) else 20.0 + at_ms % 7,
        "system.memory.usage": lambda at_ms: 93.5 if _inside(squeezed, at_ms) else 60.0,
        "system.disk.usage": lambda at_ms: 91.0 if _inside(full, at_ms) else 70.0,
        "sim.flap": lambda at_ms: float(_inside([FLAPPING_MS], at_ms) and at_ms // INTERVAL % 2),
    }


def _spells(chance: random.Random, count: int, shortest_ms: int, longest_ms: int) -> list[tuple[int, int]]:
    """Bad times, which may overlap; over by the last two hours, so that every alert is seen to its end."""
    starts = [START_MS + chance.randrange(HOUR_MS, WEEK_MS - longest_ms - 2 * HOUR_MS) for _ in range(count)]
    return [(start, start + chance.randrange(shortest_ms, longest_ms)) for start in starts]


def _inside(spells: list[tuple[int, int]], at_ms: int) -> bool:
    return any(start <= at_ms < end for start, end in spells)


def _rounded(episode: Episode) -> Episode:
    """To the second: a timer may come a millisecond late."""
    return replace(
        episode,
        fired_at_ms=round(episode.fired_at_ms, -3),
        resolved_at_ms=round(episode.resolved_at_ms, -3),
    )

"""An older database on its way into both stores."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from tests.support.older import NOON, NOON_MS, OLDER_KINDS, Older, older
from tests.support.state import open_kind

from tocsin.app.adopt import Report, copy
from tocsin.app.config import Settings
from tocsin.app.wiring import Engine
from tocsin.app.world import real_world
from tocsin.model.alert import HistoryQuery
from tocsin.model.audit import SYSTEM, AuditEntry
from tocsin.model.errors import StoreError
from tocsin.model.page import PageRequest
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.adopt.source import OldDatabase
from tocsin.store.lock import PathLock
from tocsin.store.memory import MemorySampleStore
from tocsin.store.retention import RetentionBook

NOW_MS = NOON_MS + 60_000


class Stumbling(MemorySampleStore):
    """Takes `room` appends and then fails."""

    room = 1_000_000

    async def append(self, batch: SampleBatch) -> None:
        self.room -= 1
        if self.room < 0:
            raise StoreError("The disk is full.")
        await super().append(batch)


@asynccontextmanager
async def an_engine(tmp_path: Path, kind: str = "sqlite memory") -> AsyncIterator[tuple[Engine, Stumbling]]:
    clock = FixedClock(NOW_MS)
    async with open_kind(kind, tmp_path) as state:
        samples = Stumbling(clock=clock)
        retention = RetentionBook(samples, state.policies, clock)
        yield Engine(Settings(), replace(real_world(), clock=clock), Telemetry(), samples, state, retention), samples


async def adopted(engine: Engine, made: Older, page: int = 10_000, zone: str = "UTC") -> Report:
    old = OldDatabase(made.url, UTC, page)
    old.check()
    return await copy(old, engine, zone, InlineOffload(), lambda _: None)


async def stored(engine: Engine) -> dict[str, list[tuple[int, float]]]:
    block = await engine.samples.select((), 0, NOW_MS)
    return {str(labels): list(zip(times.tolist(), values.tolist(), strict=True)) for labels, times, values in block}


@pytest.mark.parametrize("kind", OLDER_KINDS)
@pytest.mark.parametrize("into", ["sqlite memory", "postgresql"])
async def test_rules_history_and_samples_arrive_whole(kind: str, into: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.fill()
        async with an_engine(tmp_path, into) as (engine, _):
            report = await adopted(engine, made)
            rules = {rule.name: rule for rule in await engine.state.rules.rules()}
            (firing,) = (await engine.state.book.history(HistoryQuery(), PageRequest())).items
            samples = await stored(engine)
    assert (report.rules_added, report.history_added, report.samples_stored) == (2, 1, 3)
    assert rules["Queue"].expression() == '{"queue.length"} > 5'
    assert (rules["Queue"].severity, rules["Queue"].enabled) == ("warning", False)
    assert (firing.rule_id, firing.rule_name, firing.triggered_at_ms) == (rules["Queue"].id, "Queue", NOON_MS)
    assert (firing.value, firing.acknowledged, firing.acknowledged_by) == (7.5, True, "anna")
    assert samples == {
        'queue.length{deep="{\\"a\\":[1]}", n="3", queue="mail"}': [(NOON_MS, 1.5), (NOON_MS + 1_250, 2.5)],
        "system.cpu.usage": [(NOON_MS, 40.0)],
    }


@pytest.mark.parametrize("kind", OLDER_KINDS)
async def test_a_second_run_changes_nothing_and_takes_what_is_new(kind: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.fill()
        async with an_engine(tmp_path) as (engine, _):
            await adopted(engine, made)
            before = await stored(engine)
            made.add("metric", (4, "new", 1, "", NOON))
            made.add("alert_history", (2, 1, NOON, 90, False, None))
            report = await adopted(engine, made)
            history = (await engine.state.book.history(HistoryQuery(), PageRequest())).items
            assert await stored(engine) == {**before, "new": [(NOON_MS, 1.0)]}
            assert (report.rules_added, report.history_added) == (0, 1)
            assert len(history) == 2


async def test_rules_that_somebody_changed_or_deleted_stay_so(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.fill()
        async with an_engine(tmp_path) as (engine, _):
            await adopted(engine, made)
            cpu, queue = await engine.state.rules.rules()
            entry = AuditEntry(NOW_MS, SYSTEM, "rule.change", "rule 1")
            await engine.state.rules.replace_rule(replace(cpu, threshold=95.0), entry)
            await engine.state.rules.delete_rule(queue.id, entry)
            await adopted(engine, made)
            assert [(rule.name, rule.threshold) for rule in await engine.state.rules.rules()] == [
                ("High CPU Usage", 95.0)
            ]


async def test_a_rule_that_is_here_already_is_not_doubled(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.fill()
        async with an_engine(tmp_path) as (engine, _):
            await adopted(engine, made)
            made.execute("UPDATE metric_alert SET id = id + 100")
            report = await adopted(engine, made)
            assert (report.rules_read, report.rules_added) == (2, 0)


async def test_a_copy_that_broke_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.add("metric", *((at, "m", at, None, NOON_MS - at) for at in range(1, 51)))
        async with an_engine(tmp_path) as (engine, samples):
            samples.room = 3
            with pytest.raises(StoreError, match="disk is full"):
                await adopted(engine, made, page=10)
            samples.room = 2
            report = await adopted(engine, made, page=10)
            assert (report.samples_read, report.samples_stored) == (50, 50)
            assert len((await stored(engine))["m"]) == 50


async def test_under_other_terms_it_begins_anew(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.add("metric", *((at, "m", at, None, NOON_MS - at) for at in range(1, 51)))
        async with an_engine(tmp_path) as (engine, samples):
            samples.room = 3
            with pytest.raises(StoreError):
                await adopted(engine, made, page=10)
            samples.room = 5
            samples.cuts.defaults = replace(samples.cuts.defaults, raw_ms=2 * samples.cuts.defaults.raw_ms)
            assert (await adopted(engine, made, page=10)).samples_stored == 50


async def test_what_is_left_out_is_counted_with_examples(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.add(
            "metric",
            (1, "m", 1, "{broken", NOON),
            (2, "m", 1, "[1]", NOON),
            (3, "", 1, None, NOON),
            (4, "m", 1, '{"__name__": "x"}', NOON),
            (5, "m", 1, None, "2020-01-01"),
            (6, "m", None, None, NOON),
            (7, "m", 7, "null", NOON),
        )
        async with an_engine(tmp_path) as (engine, _):
            report = await adopted(engine, made)
            assert await stored(engine) == {"m": [(NOON_MS, 7.0)]}
    assert report.samples_skipped == {"bad name or tags": 4, "past retention": 1, "missing value": 1}
    assert (report.samples_read, report.samples_stored) == (7, 1)
    assert [one.row for one in report.examples if one.kind == "bad name or tags"] == [1, 2, 3]


@pytest.mark.process
def test_the_command_copies_and_says_what_it_did(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.fill()
        made.add("metric", (9, "ancient", 1, None, "1999-01-01"))
        said = tocsin("adopt", str(tmp_path / "older.db"), "--data-dir", str(tmp_path / "data"), "--json")
        assert said.returncode == 0, said.stderr
        report = json.loads(said.stdout)
        assert (report["rules_added"], report["samples_read"]) == (2, 4)
        said = tocsin("adopt", made.url, "--data-dir", str(tmp_path / "data"))
        assert said.returncode == 0, said.stderr
        assert "retention.raw" in said.stdout


@pytest.mark.process
def test_the_command_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    data = tmp_path / "data"
    said = tocsin("adopt", str(tmp_path / "none.db"), "--data-dir", str(data))
    assert (said.returncode, data.exists()) == (1, False)
    assert "There is no SQLite file" in said.stderr
    assert tocsin("adopt").returncode == 2
    with older("sqlite", tmp_path) as made:
        assert "no time zone" in tocsin("adopt", made.url, "--timezone", "Mars/Base", "--data-dir", str(data)).stderr
        (data / "samples").mkdir(parents=True)
        lock = PathLock(data / "samples")
        said = tocsin("adopt", made.url, "--data-dir", str(data))
        lock.release()
    assert said.returncode == 1
    assert "Stop that one" in said.stderr


def tocsin(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tocsin.app", *arguments], capture_output=True, text=True, timeout=60, check=False
    )

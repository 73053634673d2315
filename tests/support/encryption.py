"""Data directories with things in them that must not be found on the disk."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.samples import Row, batch, rows
from tests.support.state import a_rule

from tocsin.app.config import Settings, load_settings
from tocsin.app.wiring import Engine, open_engine
from tocsin.app.world import World, real_world
from tocsin.model.audit import SYSTEM, AuditEntry
from tocsin.model.duration import DAY_MS, MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo
from tocsin.runtime.clock import FixedClock
from tocsin.store.samples.store import SampleStore
from tocsin.store.sealing import key_text

NOW_MS = 1_800_000_000_000
KEY, OTHER_KEY = key_text(bytes(range(32))), key_text(bytes(range(1, 33)))
VALUE = 48_611.337_519_2
METRIC, LABEL, HELP = "quagga.count", "zebra-crossing", "okapi herds"
SETTING, RUNBOOK = "tapir-password", "ask the lynx"
SERIES = tuple(Labels.metric(METRIC, {"site": f"{LABEL}-{number}"}) for number in range(40))
ROWS: tuple[Row, ...] = tuple(
    (labels, NOW_MS - day * DAY_MS - at * MINUTE_MS, VALUE) for labels in SERIES for day in (0, 1, 2) for at in range(9)
)
SECRETS = (
    *(text.encode() for text in (METRIC, LABEL, HELP, SETTING, RUNBOOK)),
    struct.pack("<d", VALUE),
    struct.pack("<Q", SERIES[0].series_id()),
)


def world() -> World:
    return replace(real_world(), clock=FixedClock(NOW_MS))


def under(key: str) -> Settings:
    """Settings with that key, or with none."""
    return load_settings(None, {"TOCSIN_STORE__ENCRYPTION_KEY": key, "TOCSIN_STORE__FSYNC": "false"})


@asynccontextmanager
async def opened(data_dir: Path, key: str) -> AsyncIterator[Engine]:
    async with open_engine(under(key), data_dir, world()) as engine:
        yield engine


async def fill(engine: Engine) -> None:
    """Samples of three days, what is known of their metric, a rule, a setting, and roll-ups of all of it."""
    store = engine.samples
    assert isinstance(store, SampleStore)
    for part in (ROWS[::2], ROWS[1::2]):
        await store.append(batch(store, part))
        await store.flush()
    await store.describe([MetricInfo(METRIC, "", "gauge", HELP)])
    await engine.state.rules.add_rules([a_rule(description=RUNBOOK)], [_entry()])
    await engine.state.settings.put("smtp", {"password": SETTING}, _entry())
    while await store.roll_up():
        pass


async def contents(engine: Engine) -> tuple[list[Row], list[float], tuple[MetricInfo, ...], object, str]:
    """All that `fill` has put there, as it is read back."""
    block = await engine.samples.select((), 0, 2 * NOW_MS)
    steps = await engine.samples.steps((), NOW_MS - 3 * DAY_MS, NOW_MS, 3 * DAY_MS)
    described = await engine.samples.metrics()
    (rule,) = await engine.state.rules.rules()
    return rows(block), steps.max.ravel().tolist(), described, await engine.state.settings.get("smtp"), rule.description


def everything_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def in_plain(folder: Path) -> set[str]:
    """The files that hold any of the secrets."""
    return {name for name, data in everything_under(folder).items() if any(secret in data for secret in SECRETS)}


def _entry() -> AuditEntry:
    return AuditEntry(NOW_MS, SYSTEM, "test", "settings", None, {"password": SETTING})

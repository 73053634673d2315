# ruff: noqa: A005 - in this package it hides nothing
"""How samples are best kept: bytes a value of each column, and what writing, merging and reading cost.

python -m bench codecs. First real shapes in candidate layouts; then two fleets (1,000 series × 12 h and 40,000 ×
30 min at 10 s) in today's layout and in the first one; then the store as a whole, beside VictoriaMetrics where that
is installed. Bytes are exact on every machine; seconds are not. docs/adr/0006 says what was decided.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cramjam
import httpx
import numpy as np
from tests.support.remote_write import block, label, sample
from tests.support.samples import open_store

from bench.devops import INTERVAL_MS, Fleet
from bench.figures import show
from bench.host import Nowhere, opened
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray, IdArray, SampleBatch, TimeArray
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.store.samples.decimal import Exponents
from tocsin.store.samples.embedded import EmbeddedEngine
from tocsin.store.samples.engine import IDS, Connection
from tocsin.store.samples.native import Columns, Shape
from tocsin.store.samples.schema import ROWS, SAMPLES, value
from tocsin.store.samples.writer import joined
from tocsin.store.settings import StoreSettings

END_MS = 1_790_000_000_000 // DAY_MS * DAY_MS + 18 * HOUR_MS
FLEETS = {"1,000 series × 12 h": Fleet(100, 4_320, END_MS), "40,000 series × 30 min": Fleet(4_000, 180, END_MS)}
SERIES, STEPS = 100, 4_320
STEPS_AT_ONCE = 20
HOST_ROUNDS, HOST_S = 80, 0.5
BATCH_ROWS = 400_000
READS = 15
PER_REQUEST = 2_000
WAITS_MAX, WAIT_S, SAME = 120, 0.5, 10

TURNED = "codec(Delta, T64('bit'), ZSTD)"
FLOATS = {
    "ALP": "v Float64 codec(ALP, ZSTD)",
    "Gorilla": "v Float64 codec(Gorilla, ZSTD)",
    "FPC": "v Float64 codec(FPC, ZSTD)",
    "Delta": "v Float64 codec(Delta, ZSTD)",
    "turned": f"bits Int64 {TURNED}",
}
DECIMALS = {
    "m Delta": "codec(Delta, ZSTD)",
    "Delta Z9": "codec(Delta, ZSTD(9))",
    "m DoubleD": "codec(DoubleDelta, ZSTD)",
    "m T64": "codec(T64('bit'), ZSTD)",
    "m turned": TURNED,
    "turned Z3": "codec(Delta, T64('bit'), ZSTD(3))",
    "turn LZ4": "codec(Delta, T64('bit'), LZ4)",
}
LAYOUTS = {name: [column] for name, column in FLOATS.items()} | {
    name: [f"m Int64 {codec}", "e Int8 codec(ZSTD)"] for name, codec in DECIMALS.items()
}
"""Value columns; "turned" is the layout that was chosen."""
KEYS = "id UInt64 codec(Delta, ZSTD), t Int64 codec(DoubleDelta, ZSTD)"
VALUES = {
    "floats": "v Float64 codec(ALP, ZSTD)",
    "decimals": f"m Int64 {TURNED}, e Int8 codec(ZSTD), v Float64 alias {value('m')}",
}
WIDE = "settings min_bytes_for_wide_part = 0"
"""Parts of a few megabytes are kept in one file, of which the engine does not tell the bytes of each column."""
_SIZE = Shape({"name": "String", "bytes": "UInt64"})
_GROUPS = Shape({"id": "UInt64", "k": "Int64", "low": "Float64", "mean": "Float64", "high": "Float64"})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = EmbeddedEngine(Path(folder) / "layouts", StoreSettings())
        connection = engine.connect(reading=False)
        _shapes(connection)
        for title, fleet in FLEETS.items():
            _fleet(connection, title, fleet)
        connection.close()
        engine.close()
        for title, fleet in FLEETS.items():
            # a process has one store, so each whole store is measured in one of its own
            subprocess.run([sys.executable, "-m", "bench.codecs", title], check=True)
            if shutil.which("victoria-metrics"):
                _victoria(Path(folder) / title, fleet)


# --- shapes and layouts


def shapes() -> dict[str, FloatArray]:
    """float64[steps, series] of what programs report, every 10 s."""
    chance = np.random.default_rng(7)
    size = (STEPS, SERIES)
    walk = _walk(chance, 1.0)
    gauge = np.round(walk, 2)
    return {
        "gauge, 2 decimals": gauge,
        "the same, 1 % NaN": np.where(chance.random(size) < 0.01, np.nan, gauge),
        "gauge, full precision": walk,
        "share of two counts": np.round(walk * 1e6) / 9.7e7,
        "seconds, 9 decimals": np.round(chance.gamma(2, 0.005, size), 9),
        "memory, pages": np.round(_walk(chance, 0.5) * 1e4) * 4096,
        "counter of requests": np.cumsum(chance.poisson(50, size), 0).astype(float),
        "counter of bytes": np.cumsum(chance.integers(0, 2_000_000, size), 0).astype(float),
        "counter, 2 decimals": np.round(np.cumsum(chance.gamma(2, 0.5, size), 0), 2),
        "counter, full": np.cumsum(chance.gamma(2, 0.5, size), 0),
        "constant": np.tile(chance.choice([0, 1, 0.25, 5_000, 1 / 3], SERIES), (STEPS, 1)),
        "boolean": (chance.random(size) > 0.001).astype(float),
    }


def _walk(chance: np.random.Generator, step: float) -> FloatArray:
    level = chance.uniform(0, 100, SERIES)
    rows = np.empty((STEPS, SERIES))
    for row in rows:
        level = np.clip(level + step * chance.standard_normal(SERIES), 0, 100)
        row[:] = level
    return rows


class Kept(Nowhere):
    """Keeps what this machine's collector appends."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[SampleBatch] = []

    def intern(self, labels: Labels) -> int:
        return self.ids.setdefault(labels, labels.series_id())

    async def append(self, batch: SampleBatch) -> None:
        self.batches.append(batch)


async def _host_readings() -> list[SampleBatch]:
    """Real ones, ten times as often as usual, each round told to be five seconds after the last."""
    kept, clock = Kept(), FixedClock(END_MS)
    bench = opened(kept, clock)
    for _ in range(HOST_ROUNDS):
        await bench.collector.round()
        await asyncio.sleep(HOST_S)
        clock.advance(5_000)
    bench.close()
    return kept.batches


def _shapes(connection: Connection) -> None:
    print("bytes a value, merged (value columns without id and t)")
    print(f"{'':24}", *(f"{name:>9}" for name in LAYOUTS))
    ids = np.sort(np.random.default_rng(3).integers(0, 2**63, SERIES).astype(np.uint64))
    times = END_MS + INTERVAL_MS * np.arange(STEPS)
    for title, values in shapes().items():
        steps = range(0, STEPS, STEPS_AT_ONCE)
        _shape(connection, title, [_of_steps(ids, times, values, slice(at, at + STEPS_AT_ONCE)) for at in steps])
    _shape(connection, "this machine's readings", asyncio.run(_host_readings()))


def _of_steps(ids: IdArray, times: TimeArray, values: FloatArray, steps: slice) -> SampleBatch:
    some = values[steps]
    return SampleBatch(np.tile(ids, len(some)), np.repeat(times[steps], len(ids)), some.ravel())


def _shape(connection: Connection, title: str, batches: Sequence[SampleBatch]) -> None:
    """Scaled as they come, batch by batch."""
    exponents = Exponents()
    scaled = [exponents.scale(batch.ids, batch.values) for batch in batches]
    every = joined(batches)
    columns = {
        "id": every.ids,
        "t": every.times,
        "v": every.values,
        "bits": every.values.view(np.int64),
        "m": np.concatenate([m for m, _ in scaled]),
        "e": np.concatenate([e for _, e in scaled]),
    }
    connection.run("drop table if exists source sync")
    connection.run(f"create table source ({_SOURCE}) engine = Memory")
    connection.insert("source", _SOURCE, columns)
    used = [_value_bytes(connection, columns) / len(every) for columns in LAYOUTS.values()]
    print(f"{title:24}", *(f"{one:9.3f}" for one in used), flush=True)


_SOURCE = Shape({"id": "UInt64", "t": "Int64", "v": "Float64", "bits": "Int64", "m": "Int64", "e": "Int8"})


def _value_bytes(connection: Connection, columns: Sequence[str]) -> int:
    names = ", ".join(column.split()[0] for column in columns)
    _table(connection, ", ".join(columns), WIDE)
    connection.run(f"insert into layout select id, t, {names} from source settings max_threads = 1")
    connection.run("optimize table layout final")
    return sum(used for name, used in _column_bytes(connection, "layout").items() if name not in ("id", "t"))


def _table(connection: Connection, columns: str, settings: str) -> None:
    connection.run("drop table if exists layout sync")
    connection.run(f"create table layout ({KEYS}, {columns}) engine = ReplacingMergeTree order by (id, t) {settings}")


def _column_bytes(connection: Connection, table: str) -> dict[str, int]:
    rows = connection.read(
        "select column as name, sum(column_data_compressed_bytes) as bytes from system.parts_columns "
        f"where active and table = '{table}' group by name order by name",
        _SIZE,
    )
    return dict(zip(rows["name"], rows["bytes"].tolist(), strict=True))


# --- fleets: what writing, merging and reading cost


@dataclass(frozen=True, slots=True)
class Meter:
    """CPU seconds of this process, the engine's threads among them: they depend less on who else is at work."""

    started_s: float

    @classmethod
    def start(cls) -> Meter:
        return cls(time.process_time())

    @property
    def spent(self) -> float:
        return time.process_time() - self.started_s


def _fleet(connection: Connection, title: str, fleet: Fleet) -> None:
    print(f"\n{title}: {fleet.samples:,} samples")
    for name, columns in VALUES.items():
        _table(connection, columns, WIDE)
        insert_s = encode_s = 0.0
        exponents = Exponents()
        for batch in _batches(fleet, _ids(fleet)):
            meter = Meter.start()
            rows = _floats(batch) if name == "floats" else exponents.encode(batch, END_MS)
            encode_s += meter.spent
            meter = Meter.start()
            connection.insert("layout", _shape_of(rows), rows)
            insert_s += meter.spent
        millions = fleet.samples / 1e6
        meter = Meter.start()
        connection.run("optimize table layout final")
        merge_s = meter.spent
        used = _column_bytes(connection, "layout")
        show(f"{name}: bytes a sample, columns", [sum(used.values()) / fleet.samples], "B", digits=3)
        print("   ", ", ".join(f"{column} {size / fleet.samples:.4f}" for column, size in used.items() if size))
        show(f"{name}: to encode a million", [encode_s / millions], "CPU-s", digits=3)
        show(f"{name}: to insert a million", [insert_s / millions], "CPU-s", digits=3)
        show(f"{name}: to merge a million", [merge_s / millions], "CPU-s", digits=3)
        _reads(connection, name, fleet)


def _floats(batch: SampleBatch) -> Columns:
    return {"id": batch.ids, "t": batch.times, "v": batch.values}


def _shape_of(rows: Columns) -> Shape:
    return Shape({name: _SOURCE.types[name] for name in rows})


def _ids(fleet: Fleet) -> IdArray:
    return np.array([labels.series_id() for labels in fleet.labels()], np.uint64)


def _batches(fleet: Fleet, ids: IdArray) -> Iterator[SampleBatch]:
    steps = max(1, BATCH_ROWS // len(ids))
    held: list[FloatArray] = []
    times = fleet.times
    for number, values in enumerate(fleet.readings(), 1):
        held.append(values)
        if len(held) == steps or number == fleet.steps:
            at = times[number - len(held) : number]
            yield SampleBatch(np.tile(ids, len(held)), np.repeat(at, len(ids)), np.concatenate(held))
            held = []


def _reads(connection: Connection, name: str, fleet: Fleet) -> None:
    ids = np.sort(_ids(fleet))
    where = f"id in {IDS} and t >= 0 and t < {END_MS}"
    values, shape = ("v", SAMPLES) if name == "floats" else ("m, e", ROWS)
    every = f"select id, t, {values} from layout final where {where} order by id, t"
    grouped = (
        "select id, intDiv(t, 60000) as k, min(v) as low, avg(v) as mean, max(v) as high "
        f"from layout final where {where} and not isNaN(v) group by id, k"
    )
    thousand = ids[:: max(1, len(ids) // 1_000)]
    _read(f"{name}: one series, all samples", lambda: connection.read(every, shape, ids[500:501]), READS)
    _read(f"{name}: 1,000 series, all samples", lambda: connection.read(every, shape, thousand), 3)
    _read(f"{name}: 1,000 series by minutes", lambda: connection.read(grouped, _GROUPS, thousand), 3)


def _read(title: str, read: Callable[[], object], runs: int) -> None:
    costs = []
    for _ in range(runs):
        meter = Meter.start()
        read()
        costs.append(meter.spent * 1e3)
    show(title, costs, "ms of CPU")


# --- the whole store, and a peer


async def _whole(folder: Path, title: str) -> None:
    fleet = FLEETS[title]
    threads = ThreadOffload("store", 1)
    async with open_store(
        folder / "samples", FixedClock(END_MS + 2 * HOUR_MS), StoreSettings(), offload=threads
    ) as store:
        ids = np.array([store.intern(labels) for labels in fleet.labels()], np.uint64)
        for batch in _batches(fleet, ids):
            await store.append(batch)
        await store.merge()
        while await store.roll_up():
            pass
        writing = store._parts.writing  # noqa: SLF001 - what the engine keeps is not the store's to tell
        for table in ("series", "rollup_5m", "rollup_1h", "rollup_hours"):
            writing.run(f"optimize table {table} final")
        rows = writing.read(
            "select table as name, sum(bytes_on_disk) as bytes from system.parts "
            "where active and database = currentDatabase() group by name order by name",
            _SIZE,
        )
        used = dict(zip(rows["name"], rows["bytes"].tolist(), strict=True))
    threads.close()
    print(f"\n{title}: the store as a whole, with marks and primary indexes")
    for table, size in used.items():
        show(f"tocsin: {table}", [size / fleet.samples], "B a sample", digits=4)
    rolled = sum(size for table, size in used.items() if table.startswith("rollup_"))
    show("tocsin: samples and series", [(sum(used.values()) - rolled) / fleet.samples], "B a sample", digits=3)
    show("tocsin: with roll-ups", [sum(used.values()) / fleet.samples], "B a sample", digits=3)


def _victoria(folder: Path, fleet: Fleet) -> None:
    """The same samples, sent as remote write; sizes by its own count, after a merge."""
    yesterday_ms = (int(time.time() * 1_000) // DAY_MS - 1) * DAY_MS  # noqa: TID251 - it keeps nothing older than a month
    with _running(folder) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        _wait(lambda: client.get("/health").is_success)
        for body in remote_write_bodies(fleet, yesterday_ms - END_MS // DAY_MS * DAY_MS):
            client.post("/api/v1/write", content=body).raise_for_status()
        for work in ("force_flush", "force_merge"):
            client.get(f"/internal/{work}").raise_for_status()
        sizes = _settled(client)
    index = sum(size for kind, size in sizes.items() if "indexdb" in kind)
    show("VictoriaMetrics: samples", [(sum(sizes.values()) - index) / fleet.samples], "B a sample", digits=3)
    show("VictoriaMetrics: index", [index / fleet.samples], "B a sample", digits=3)


def remote_write_bodies(fleet: Fleet, later_ms: int) -> Iterator[bytes]:
    """Requests of 2,000 samples, so many series or a few times each of them."""
    heads = [b"".join(block(1, label(*pair)) for pair in labels) for labels in fleet.labels()]
    steps = max(1, PER_REQUEST // len(heads))
    rows = list(zip((fleet.times + later_ms).tolist(), fleet.readings(), strict=True))
    for at in range(0, len(rows), steps):
        for first in range(0, len(heads), PER_REQUEST):
            some = range(first, min(first + PER_REQUEST, len(heads)))
            yield bytes(
                cramjam.snappy.compress_raw(b"".join(_series(heads[n], n, rows[at : at + steps]) for n in some))
            )


def _series(head: bytes, number: int, rows: Sequence[tuple[int, FloatArray]]) -> bytes:
    return block(1, head + b"".join(block(2, sample(at_ms, float(values[number]))) for at_ms, values in rows))


def _settled(client: httpx.Client) -> dict[str, float]:
    """Merges run behind its back: sizes that stay the same for five seconds are its last word."""
    seen: list[dict[str, float]] = []

    def same() -> bool:
        seen.append(_figures(client, "vm_data_size_bytes"))
        return len(seen) > SAME and all(one == seen[-1] for one in seen[-SAME:])

    _wait(same)
    return seen[-1]


def _figures(client: httpx.Client, name: str) -> dict[str, float]:
    """Its own metrics of this name, by their labels."""
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def _wait(done: Callable[[], bool]) -> None:
    for _ in range(WAITS_MAX):
        time.sleep(WAIT_S)
        try:
            if done():
                return
        except httpx.TransportError:
            continue
    raise TimeoutError("VictoriaMetrics")


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    command = ["victoria-metrics", f"-storageDataPath={folder}", f"-httpListenAddr={address}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_whole(Path(temporary), sys.argv[1]))

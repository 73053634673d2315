"""Enforcement: what the retention's rules let go is taken off the disk, one partition at a time.

A partition all of whose series are past is dropped (see `store.clean_up`). Where some are past and some are not, the
engine rewrites it without the former, in the background, while inserts and reads go on (a mutation; docs/adr/0009).
What is to go is named by the ids of its series in the table `doomed`, so that the engine can take up a rewrite again
after a crash; and before it begins, `enforced` says so. From then on no roll-up is computed from what may be half gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.errors import LimitError, StoreError
from tocsin.model.matcher import parse_matcher
from tocsin.model.retention import Lengths, Policy, Resolution, Rules
from tocsin.model.series import IdArray
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.cuts import BoolArray, Cuts, InForce
from tocsin.store.samples.engine import IDS, MUTATIONS, PARTS, Connection
from tocsin.store.samples.native import Shape
from tocsin.store.samples.rollup import BLOCK_MS

log = get_log("store")

ROWS_A_ROUND = 200_000_000
"""Rows of the partitions that one round rewrites: a minute or two of one core."""
PARTITIONS_A_ROUND = 100
BY_DAY_UNDER_MS = 90 * DAY_MS
"""Roll-ups of a policy that is shorter are cut by the day, others by whole blocks, as the defaults' always are."""
POLL_S = 0.1
WAIT_S_MAX = 600.0
"""So long one table's rewrites are waited for, while which no other housekeeping is done."""
PREVIEW_S = 5
"""Counting takes no longer; then it is estimated."""

REWRITE, DROP = "rewrite", "drop"
BEGUN, DONE, OVER = 0, 1, 2

ENFORCED = Shape({"name": "String", "part": "Int64", "rules": "String", "at": "Int64", "state": "UInt64"})
DOOMED = Shape({"job": "Int64", "id": "UInt64"})
_PARTITIONS = Shape({"name": "String", "part": "String", "n": "UInt64", "bytes": "UInt64"})
_COUNT = Shape({"n": "UInt64"})
_BY_SERIES = Shape({"id": "UInt64", "n": "UInt64"})
_NAME = Shape({"name": "String"})
_NEWEST = Shape({"n": "Int64"})
_UNFINISHED = Shape({"id": "String", "reason": "String"})


@dataclass(frozen=True, slots=True)
class Table:
    """`part_ms`: how long a partition is."""

    name: str
    resolution: Resolution
    part_ms: int


RAW = Table("samples", Resolution.RAW, DAY_MS)
FIVE_MINUTES = Table("rollup_5m", Resolution.FIVE_MINUTES, BLOCK_MS)
HOURS = Table("rollup_1h", Resolution.HOURS, BLOCK_MS)
TABLES = (RAW, FIVE_MINUTES, HOURS)
_BY_NAME = {table.name: table for table in TABLES}


@dataclass(frozen=True, slots=True)
class Partition:
    """`rows` count duplicates that are not yet merged."""

    table: Table
    number: int
    rows: int
    bytes: int

    @property
    def start_ms(self) -> int:
        return self.number * self.table.part_ms

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.table.part_ms

    def __str__(self) -> str:
        return f"{self.table.name} {self.number}"


def partitions(connection: Connection) -> list[Partition]:
    """What is stored, the oldest first."""
    rows = connection.read(
        f"select table as name, partition_id as part, sum(rows) as n, sum(bytes_on_disk) as bytes from {PARTS} "  # noqa: S608
        "where table in ('samples', 'rollup_5m', 'rollup_1h') "
        "group by name, part",
        _PARTITIONS,
    )
    columns = (rows["name"], rows["part"], rows["n"].tolist(), rows["bytes"].tolist())
    found = [Partition(_BY_NAME[name], int(part), n, used) for name, part, n, used in zip(*columns, strict=True)]
    return sorted(found, key=lambda each: (each.start_ms, TABLES.index(each.table)))


def drop(connection: Connection, table: Table, numbers: Sequence[int]) -> None:
    connection.run(f"alter table {table.name} " + ", ".join(f"drop partition id '{number}'" for number in numbers))


def due(rules: Rules, partition: Partition, at_ms: int) -> tuple[int, ...]:
    """For each place of the rules, before which time its rows of the partition are to be gone; 0 for none."""
    befores = []
    for place, lengths in enumerate(rules.lengths):
        length_ms = lengths.of(partition.table.resolution)
        step_ms = DAY_MS if place and length_ms < BY_DAY_UNDER_MS else partition.table.part_ms
        before_ms = min((at_ms - length_ms) // step_ms * step_ms, partition.end_ms)
        befores.append(before_ms if before_ms > partition.start_ms else 0)
    return tuple(befores)


@dataclass(frozen=True, slots=True)
class Entry:
    """`rules` as text; what they let go at `at_ms` is gone, or going."""

    rules: str
    at_ms: int
    state: int


class Enforced:
    """What was removed by which rules, kept by the engine. Changed on the write thread; any thread may read."""

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts
        self._entries: dict[tuple[str, int], tuple[Entry, ...]] = {}
        self._read: dict[str, InForce] = {}

    def load(self, connection: Connection) -> None:
        rows = connection.read(f"select {ENFORCED.names} from enforced final", ENFORCED)  # noqa: S608 - names
        columns = (rows["name"], rows["part"].tolist(), rows["rules"], rows["at"].tolist(), rows["state"].tolist())
        for name, part, rules, at_ms, state in zip(*columns, strict=True):
            if state != OVER:
                self._entries[name, part] = (*self._entries.get((name, part), ()), Entry(rules, at_ms, state))

    def note(self, connection: Connection, some: Sequence[Partition], rules: Rules, at_ms: int, state: int) -> None:
        keys, entry = [(one.table.name, one.number) for one in some], Entry(rules_text(rules), at_ms, state)
        _write(connection, [(key, entry) for key in keys])
        for key in keys:
            others = (one for one in self._entries.get(key, ()) if one.rules != entry.rules)
            self._entries[key] = (*others, entry)

    def forget(self, connection: Connection, table: Table, last: int) -> None:
        """Partitions up to this one are gone, and nothing is accepted into them any more."""
        over = [key for key in self._entries if key[0] == table.name and key[1] <= last]
        _write(connection, [(key, Entry(one.rules, one.at_ms, OVER)) for key in over for one in self._entries[key]])
        for key in over:
            del self._entries[key]

    def settled(self, partition: Partition, rules: Rules, at_ms: int) -> bool:
        """Whether everything that the rules let go now has gone before."""
        text = rules_text(rules)
        return any(
            one.state == DONE and one.rules == text and due(rules, partition, one.at_ms) == due(rules, partition, at_ms)
            for one in self._entries.get((partition.table.name, partition.number), ())
        )

    def touched(self, day: int) -> bool:
        """Whether any raw sample of that day was removed by a policy."""
        return (RAW.name, day) in self._entries

    def gone(self, day: int, ids: IdArray) -> BoolArray:
        """bool[n]: of which of these series the raw samples of that day were, or are being, removed."""
        mask = np.zeros(len(ids), np.bool_)
        for entry in self._entries.get((RAW.name, day), ()):
            cut_ms = entry.at_ms - (day + 1) * DAY_MS
            mask |= self._rules(entry.rules).lengths_ms(ids, Resolution.RAW) <= cut_ms
        return mask

    def _rules(self, text: str) -> InForce:
        known = self._read.get(text)
        if known is None:
            rules = rules_of(text)
            known = self._read[text] = InForce(rules, self._cuts.resolved(rules.policies))
        return known


def _write(connection: Connection, entries: Sequence[tuple[tuple[str, int], Entry]]) -> None:
    if not entries:
        return
    columns = {
        "name": [name for (name, _), _ in entries],
        "part": [part for (_, part), _ in entries],
        "rules": [one.rules for _, one in entries],
        "at": [one.at_ms for _, one in entries],
        "state": [one.state for _, one in entries],
    }
    connection.insert("enforced", ENFORCED, columns)


def rules_text(rules: Rules) -> str:
    """All that decides how long a series is kept."""
    said: dict[str, Any] = {
        "defaults": [rules.defaults.of(resolution) for resolution in Resolution],
        "policies": [
            [[str(matcher) for matcher in one.matchers], one.raw_ms, one.five_minutes_ms, one.hours_ms]
            for one in rules.policies
        ],
    }
    return msgspec.json.encode(said).decode()


def rules_of(text: str) -> Rules:
    said = msgspec.json.decode(text)
    policies = (
        Policy(at, str(at), tuple(map(parse_matcher, matchers)), *lengths)
        for at, (matchers, *lengths) in enumerate(said["policies"], 1)
    )
    return Rules(Lengths(*said["defaults"]), tuple(policies))


@dataclass(frozen=True, slots=True)
class Begun:
    """`count` rows of the partition are going; `how` is empty where there were none."""

    partition: Partition
    count: int
    how: str


@dataclass(frozen=True, slots=True)
class Removed:
    """`more`: there is work left for another round."""

    samples: int = 0
    buckets: int = 0
    more: bool = False


class Enforcer:
    """Rewrites partitions in which some series are past and some are not. One round at a time.

    `write` runs on the write thread, between commits; `read` beside it. `settle` rolls up the hours before its
    argument and then does what it is given, while nothing is rolled up.
    """

    def __init__(
        self,
        cuts: Cuts,
        enforced: Enforced,
        ids: Callable[[], IdArray],
        *,
        write: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
        read: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
        settle: Callable[[int, Callable[[], Awaitable[bool]]], Awaitable[bool]],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._cuts = cuts
        self._enforced = enforced
        self._ids = ids
        self._write = write
        self._read = read
        self._settle = settle
        self._clock = clock
        self._removing = asyncio.Lock()
        self._rows = telemetry.counter("store_rows_expired", "Rows removed by retention policies.", ["table", "how"])
        self._partitions = telemetry.counter(
            "store_partitions_enforced",
            "Partitions rewritten or dropped for retention policies.",
            ["table", "how"],
        )
        self._behind = telemetry.gauge("store_retention_behind", "Partitions that wait to be rewritten.")

    async def round(self, at_ms: int) -> Removed:
        """Raises StoreError."""
        in_force = self._cuts.in_force
        if not in_force.rules.policies:
            self._behind.set(0)
            return Removed()
        async with self._removing:
            return await self._round(in_force, at_ms)

    async def _round(self, in_force: InForce, at_ms: int) -> Removed:
        found: list[Partition] = await self._read(partitions)
        rules = in_force.rules
        waiting = [
            each for each in found if any(due(rules, each, at_ms)) and not self._enforced.settled(each, rules, at_ms)
        ]
        self._behind.set(len(waiting))
        if not waiting:
            return Removed()
        await self._write(clear_doomed)
        sorted_out = await self._read(lambda _: _by_place(in_force, self._ids()))
        jobs: dict[frozenset[int], int] = {}
        began_s = self._clock.monotonic_s()
        begun: list[Begun] = []
        more = False
        for partition in waiting:
            rows = sum(one.partition.rows for one in begun if one.how == REWRITE)
            if len(begun) >= PARTITIONS_A_ROUND or (rows and rows + partition.rows > ROWS_A_ROUND):
                more = True
                break
            one = await self._one(partition, in_force, at_ms, sorted_out, jobs)
            if one is None:  # the rules have changed meanwhile
                more = True
                break
            begun.append(one)
        for table in dict.fromkeys(one.partition.table for one in begun if one.how == REWRITE):
            await self._finished(table.name)
        await self._write(
            lambda connection: self._enforced.note(connection, [one.partition for one in begun], rules, at_ms, DONE)
        )
        self._behind.set(len(waiting) - len(begun))
        return self._told(begun, self._clock.monotonic_s() - began_s, more=more)

    def _told(self, begun: Sequence[Begun], seconds: float, *, more: bool) -> Removed:
        removed = dict.fromkeys(TABLES, 0)
        for one in begun:
            table = one.partition.table
            removed[table] += one.count
            if one.count:
                self._rows.labels(table.name, one.how).inc(one.count)
                self._partitions.labels(table.name, one.how).inc()
        if any(removed.values()):
            log.info(
                "rows past their policy removed",
                samples=removed[RAW],
                buckets=removed[FIVE_MINUTES] + removed[HOURS],
                rewritten=sum(one.how == REWRITE for one in begun),
                dropped=sum(one.how == DROP for one in begun),
                seconds=round(seconds, 3),
                more=more,
            )
        return Removed(removed[RAW], removed[FIVE_MINUTES] + removed[HOURS], more)

    async def _one(
        self,
        partition: Partition,
        in_force: InForce,
        at_ms: int,
        ids: dict[int, IdArray],
        jobs: dict[frozenset[int], int],
    ) -> Begun | None:
        """None where the rules are no longer in force."""
        cuts = enumerate(due(in_force.rules, partition, at_ms))
        befores = {place: before_ms for place, before_ms in cuts if before_ms and place in ids}
        conditions = []
        for before_ms in sorted(set(befores.values())):
            places = frozenset(place for place, one in befores.items() if one == before_ms)
            if places not in jobs:
                jobs[places] = await self._doom(np.concatenate([ids[place] for place in places]))
            conditions.append(f"(t < {before_ms} and {await self._doomed(jobs[places])})")
        condition = " or ".join(conditions) or "0"
        count = int((await self._read(lambda one: _count(one, partition, condition)))["n"][0])
        if not count:
            return Begun(partition, 0, "")
        whole = [place for place in ids if befores.get(place) == partition.end_ms]
        kept = [ids[place] for place in ids if place not in whole]
        newest: int = await self._read(lambda one: newest_part(one, partition))
        alone = bool(whole) and await self._read(lambda one: _none_of(one, partition, kept))
        how = ""

        async def begin() -> bool:
            nonlocal how
            how = str(
                await self._write(
                    lambda one: self._begin(one, partition, in_force, at_ms, condition, newest, alone=alone)
                )
            )
            return bool(how)

        # only a raw day is the source of anything
        begun = await (self._settle(partition.end_ms // HOUR_MS, begin) if partition.table is RAW else begin())
        return Begun(partition, count, how) if begun else None

    def _begin(
        self,
        connection: Connection,
        partition: Partition,
        in_force: InForce,
        at_ms: int,
        condition: str,
        newest: int,
        *,
        alone: bool,
    ) -> str:
        """On the write thread: nothing is inserted meanwhile. How the rows go; empty where they do not."""
        if self._cuts.in_force is not in_force:
            return ""
        self._enforced.note(connection, [partition], in_force.rules, at_ms, BEGUN)
        if alone and newest_part(connection, partition) == newest:
            drop(connection, partition.table, [partition.number])
            return DROP
        begin_delete(connection, partition.table.name, condition, partition.number)
        return REWRITE

    async def _doom(self, ids: IdArray) -> int:
        return int(await self._write(lambda one: doom(one, ids)))

    async def _doomed(self, job: int) -> str:
        return doomed(await self._read(database_of), job)

    def alone(self) -> asyncio.Lock:
        """While it is held nothing else is rewritten."""
        return self._removing

    async def finished(self, tables: Sequence[str]) -> None:
        """Returns when nothing in these tables waits to be rewritten.

        Raises StoreError where the engine cannot do it; then it gives up.
        """
        for table in tables:
            await self._finished(table)

    async def _finished(self, table: str) -> None:
        until_s = self._clock.monotonic_s() + WAIT_S_MAX
        while unfinished := await self._read(lambda one: _unfinished(one, table)):
            reasons = [reason for _, reason in unfinished if reason]
            if reasons:
                await self._write(lambda one: _kill(one, table))
                raise StoreError(f"The sample store could not rewrite a partition: {reasons[0][:300]}")
            if self._clock.monotonic_s() >= until_s:
                raise StoreError("The sample store is still rewriting partitions; it goes on, and is looked at again.")
            await asyncio.sleep(POLL_S)


def _by_place(in_force: InForce, ids: IdArray) -> dict[int, IdArray]:
    places = in_force.places.of(ids)
    return {int(place): ids[places == place] for place in np.unique(places)}


def _span(partition: Partition) -> str:
    return f"t >= {partition.start_ms} and t < {partition.end_ms}"


def _count(connection: Connection, partition: Partition, condition: str) -> Any:
    return connection.read(
        f"select count() as n from {partition.table.name} where {_span(partition)} and ({condition})",  # noqa: S608 - integers
        _COUNT,
    )


def _none_of(connection: Connection, partition: Partition, kept: Sequence[IdArray]) -> bool:
    """Whether the partition has no row of these series."""
    ids = np.concatenate([np.zeros(0, np.uint64), *kept])
    if not len(ids):
        return True
    found = connection.read(
        f"select count() as n from (select 1 from {partition.table.name} "  # noqa: S608 - integers
        f"where {_span(partition)} and id in {IDS} limit 1)",
        _COUNT,
        ids,
    )
    return not int(found["n"][0])


def newest_part(connection: Connection, partition: Partition) -> int:
    """A number that rises with every insert into the partition."""
    rows = connection.read(
        "select toInt64(sum(newest)) as n from (select shard, max(max_block_number) as newest "  # noqa: S608 - integers
        f"from {PARTS} where table = '{partition.table.name}' and partition_id = '{partition.number}' group by shard)",
        _NEWEST,
    )
    return int(rows["n"][0])


def database_of(connection: Connection) -> str:
    return str(connection.read("select currentDatabase() as name", _NAME)["name"][0])


def doom(connection: Connection, ids: IdArray) -> int:
    """Note them down as what a rewrite removes; the number of that job, which no other has or had."""
    job = 1 + int(connection.read("select max(job) as n from doomed", _NEWEST)["n"][0])
    connection.insert("doomed", DOOMED, {"job": np.full(len(ids), job), "id": ids})
    return job


def doomed(database: str, job: int) -> str:
    """A condition that also holds where the engine takes up the rewrite again after a restart."""
    return f"id in (select id from {database}.doomed where job = {job})"  # noqa: S608 - integers


def begin_delete(connection: Connection, table: str, condition: str, number: int | None = None) -> None:
    """Returns at once; the engine rewrites in the background what holds such rows, whole table or one partition."""
    where = "" if number is None else f" in partition id '{number}'"
    connection.run(f"alter table {table} delete{where} where {condition} settings mutations_sync = 0")


def clear_doomed(connection: Connection) -> None:
    """Forget what earlier rewrites had to remove, unless one of them is still under way, as after a crash."""
    rows = connection.read(
        f"select mutation_id as id, latest_fail_reason as reason from {MUTATIONS} where not is_done",  # noqa: S608 - a word of ours
        _UNFINISHED,
    )
    if not rows["id"]:
        connection.run("truncate table doomed")


def _unfinished(connection: Connection, table: str) -> list[tuple[str, str]]:
    rows = connection.read(
        f"select mutation_id as id, latest_fail_reason as reason from {MUTATIONS} "  # noqa: S608 - our own table
        f"where not is_done and table = '{table}'",
        _UNFINISHED,
    )
    return list(zip(rows["id"], rows["reason"], strict=True))


def _kill(connection: Connection, table: str) -> None:
    connection.run(f"kill mutation where database = currentDatabase() and table = '{table}' and not is_done")


@dataclass(frozen=True, slots=True)
class Loss:
    """What would no longer be there: stored samples and roll-up buckets, of how many series.

    `approximate`: there was no time to count, and the figures are estimated from the partitions' sizes.
    """

    samples: int = 0
    buckets: int = 0
    series: int = 0
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of these series with start ≤ time < end."""

    table: Table
    ids: IdArray
    start_ms: int
    end_ms: int


def shortened(before: InForce, after: InForce, ids: IdArray, at_ms: int) -> list[Stretch]:
    """What `before` keeps and `after` does not."""
    found: list[Stretch] = []
    for table in TABLES:
        old = before.lengths_ms(ids, table.resolution)
        new = after.lengths_ms(ids, table.resolution)
        pairs, which = np.unique(np.stack([old, new], axis=1), axis=0, return_inverse=True)
        for number, (old_ms, new_ms) in enumerate(pairs.tolist()):
            if new_ms < old_ms:
                found.append(Stretch(table, ids[which.ravel() == number], at_ms - old_ms, at_ms - new_ms))
    return found


def loss(connection: Connection, stretches: Sequence[Stretch], every: int) -> Loss:
    """`every`: how many series there are."""
    counts = dict.fromkeys(TABLES, 0)
    series: list[IdArray] = [np.zeros(0, np.uint64)]
    approximate = False
    for stretch in stretches:
        try:
            rows = connection.read(
                f"select id, count() as n from {stretch.table.name} final "  # noqa: S608 - integers
                f"where id in {IDS} and t >= {stretch.start_ms} and t < {stretch.end_ms} group by id "
                f"settings max_execution_time = {PREVIEW_S}",
                _BY_SERIES,
                stretch.ids,
            )
            counts[stretch.table] += int(rows["n"].sum())
            series.append(rows["id"])
        except LimitError:
            approximate = True
            counts[stretch.table] += _estimate(partitions(connection), stretch, len(stretch.ids) / max(every, 1))
            series.append(stretch.ids)
    buckets = counts[FIVE_MINUTES] + counts[HOURS]
    return Loss(counts[RAW], buckets, len(np.unique(np.concatenate(series))), approximate)


def _estimate(stored: Sequence[Partition], stretch: Stretch, share: float) -> int:
    rows = 0.0
    for one in stored:
        if one.table is stretch.table:
            overlap = min(one.end_ms, stretch.end_ms) - max(one.start_ms, stretch.start_ms)
            rows += one.rows * share * max(0, overlap) / one.table.part_ms
    return round(rows)

"""Making a backup: the state first, in one snapshot, then the samples, then a look at all that was written.

The state comes first, so that nothing in it refers to samples that the backup does not have. The manifest comes last.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from tocsin.model.errors import StoreError, TocsinError
from tocsin.runtime.chance import SecretMaker
from tocsin.runtime.clock import Clock
from tocsin.runtime.offload import Offload
from tocsin.store.backup import chunk as chunking
from tocsin.store.backup import manifest as manifests
from tocsin.store.backup import rows
from tocsin.store.backup.chunk import Packing, Sealer
from tocsin.store.backup.manifest import Chunk, Manifest, Part, Table
from tocsin.store.backup.place import Place
from tocsin.store.backup.ports import SampleDump, StateSnapshot
from tocsin.store.samples.dump import TABLES, Piece, StoredPart, pieces
from tocsin.store.samples.native import Shape, encode, height
from tocsin.store.state.migrate import revision
from tocsin.version import __version__


@dataclass(slots=True)
class Progress:
    """How far a backup is, for those who watch: in rows while it writes, then in chunks while it checks."""

    phase: str = "starting"
    done: int = 0
    total: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Stores:
    samples: SampleDump
    state: StateSnapshot


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`share` of the time it works; in the rest it waits. `offload` runs what blocks."""

    clock: Clock
    secrets: SecretMaker
    offload: Offload
    sealer: Sealer | None = None
    share: float = 1.0


@dataclass(slots=True)
class Writer:
    """Puts contents into a place, each once. `known` holds the sizes of what earlier backups have put there.

    What a backup that broke off has left there is written again, since nobody has looked at it.
    """

    place: Place
    packing: Packing
    known: dict[str, int]
    progress: Progress
    fresh: dict[str, Chunk] = field(default_factory=dict)

    def put(self, content: bytes) -> Chunk:
        name = self.packing.name_of(content)
        if name not in self.known:
            packed = self.packing.pack(content)
            self.place.put(chunking.path_of(name), packed)
            self.known[name] = len(packed)
            self.fresh[name] = Chunk(name, len(content), len(packed))
            self.progress.written += len(packed)
        return Chunk(name, len(content), self.known[name])

    def state(self, connection: sa.Connection) -> tuple[str, tuple[Table, ...]]:
        tables = rows.tables()
        self.progress.phase = "state"
        self.progress.total += sum(rows.count(connection, table) for table in tables)
        return revision(connection) or "", tuple(self._table(connection, table) for table in tables)

    def _table(self, connection: sa.Connection, table: sa.Table) -> Table:
        chunks: list[Chunk] = []
        read = 0
        for count, content in rows.chunks(connection, table):
            chunks.append(self.put(content))
            read += count
            self.progress.done += count
        return Table(str(table.name), rows.kinds(table), read, rows.last_id(connection, table), tuple(chunks))


async def back_up(stores: Stores, place: Place, about: Circumstances, progress: Progress) -> Manifest:
    """Returns when the backup is whole and was read back. Raises StoreError, UserError; then there is none."""
    run, clock = about.offload.run, about.clock
    began_ms = clock.now_ms()
    before = await run(_newest, place, about.sealer)
    packing, salt = await run(_packing, before, about)
    known = await run(_known, place, before.distinct() if before else {})
    writer = Writer(place, packing, known, progress)
    await stores.samples.flush()
    state_revision, state = await stores.state.snapshot(writer.state)
    samples = await _Samples(stores.samples, writer, before, about).write()
    made = Manifest(
        id=new_id(began_ms, about.secrets),
        tocsin=__version__,
        began_at_ms=began_ms,
        finished_at_ms=clock.now_ms(),
        sealed=packing.sealer is not None,
        salt=salt,
        revision=state_revision,
        state=state,
        samples=samples,
    )
    await _check(made, writer, about)
    await run(_finish, place, made, packing)
    return made


def new_id(at_ms: int, secrets: SecretMaker) -> str:
    """Ids sort by time. What follows it keeps two apart that began at once."""
    began = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return f"{began:%Y%m%dT%H%M%S}{at_ms % 1_000:03d}Z-{hashlib.sha256(secrets().encode()).hexdigest()[:6]}"


class _Samples:
    def __init__(self, samples: SampleDump, writer: Writer, before: Manifest | None, about: Circumstances) -> None:
        self._samples = samples
        self._writer = writer
        self._before = {(part.table, part.partition): part for part in before.samples} if before else {}
        self._about = about

    async def write(self) -> tuple[Part, ...]:
        progress = self._writer.progress
        progress.phase = "samples"
        found = {table: await self._samples.stored(table) for table in TABLES}
        progress.total += sum(part.rows for parts in found.values() for part in parts)
        written: list[Part] = []
        for table in TABLES:
            # looked at again: what has come meanwhile may be needed by what was read before
            parts = [await self._part(part) for part in await self._samples.stored(table)]
            left = {part.partition for part in await self._samples.stored(table)}
            written += (part for part in parts if part.partition in left)  # one that was dropped may be half read
        return tuple(written)

    async def _part(self, part: StoredPart) -> Part:
        columns = dict(TABLES[part.table].shape.types)
        done = self._writer.progress.done
        known = self._before.get((part.table, part.partition))
        if known and part.mark and (known.mark, known.columns) == (part.mark, columns) and self._all_there(known):
            made = known
        else:
            chunks: list[Chunk] = []
            count = 0
            for piece in pieces(part):
                left: Piece | None = piece
                while left is not None:
                    read, chunk, left = await self._piece(left, TABLES[part.table].shape)
                    count += read
                    self._writer.progress.done += read
                    if chunk is not None:
                        chunks.append(chunk)
            made = Part(part.table, part.partition, columns, count, part.mark, tuple(chunks))
        self._writer.progress.done = done + part.rows  # duplicates are read, but not written
        return made

    def _all_there(self, part: Part) -> bool:
        return all(self._writer.known.get(chunk.name) == chunk.stored for chunk in part.chunks)

    async def _piece(self, piece: Piece, shape: Shape) -> tuple[int, Chunk | None, Piece | None]:
        began_s = self._about.clock.monotonic_s()
        columns, left = await self._samples.dump(piece)
        count = height(shape, columns)
        chunk = None
        if count:
            chunk = await self._about.offload.run(lambda: self._writer.put(encode(shape, columns)))
        await rest(self._about, began_s)
        return count, chunk, left


async def rest(about: Circumstances, began_s: float) -> None:
    """Wait, after work that began then, so long that it had its share of the time."""
    worked_s = about.clock.monotonic_s() - began_s
    await asyncio.sleep(worked_s * (1 / about.share - 1))


async def _check(made: Manifest, writer: Writer, about: Circumstances) -> None:
    """Read back what was written now; what earlier backups wrote was read back then."""
    progress = writer.progress
    progress.phase, progress.done, progress.total = "checking", 0, len(writer.fresh)
    used = made.distinct()
    for name, chunk in writer.fresh.items():
        if name in used:
            began_s = about.clock.monotonic_s()
            await about.offload.run(chunking.fetch, writer.place, writer.packing, chunk)
            await rest(about, began_s)
        progress.done += 1


def _finish(place: Place, made: Manifest, packing: Packing) -> None:
    data = manifests.encode(made, packing.salt)
    path = manifests.path_of(made.id)
    place.put(path, data)
    if place.get(path) != data:
        place.delete([path])
        raise StoreError(f"The manifest of the backup {made.id} does not read back as it was written.")


def _newest(place: Place, sealer: Sealer | None) -> Manifest | None:
    """The newest backup that can be built on; None where there is none, or it is damaged or sealed otherwise."""
    for backup_id in reversed(manifests.ids(place)):
        try:
            found, _ = read(place, backup_id, sealer)
        except TocsinError:
            continue
        if found.sealed == (sealer is not None):
            return found
    return None


def read(place: Place, backup_id: str, sealer: Sealer | None) -> tuple[Manifest, Packing]:
    """A whole backup's manifest, checked. Raises NotFoundError, StoreError for damage, UserError without its key."""
    found, check, body = manifests.decode(place.get(manifests.path_of(backup_id)), backup_id)
    packing = chunking.packing_of(found, sealer)
    manifests.verify(found, check, body, packing.salt)
    return found, packing


def _packing(before: Manifest | None, about: Circumstances) -> tuple[Packing, str]:
    """The same salt as before, so that the same content has the same name."""
    if about.sealer is None:
        return Packing(b"", None), ""
    if before is not None:
        return chunking.packing_of(before, about.sealer), before.salt
    salt = hashlib.sha256(about.secrets().encode()).digest()
    return Packing(salt, about.sealer), about.sealer.seal(salt, chunking.SALT).hex()


def _known(place: Place, before: dict[str, Chunk]) -> dict[str, int]:
    sizes = ((entry.name.rpartition("/")[2], entry.size) for entry in place.entries(chunking.FOLDER))
    return {name: size for name, size in sizes if name in before and before[name].stored == size}


def verify(
    place: Place, found: Manifest, packing: Packing, seen: Callable[[int], None] = lambda _: None
) -> tuple[str, ...]:
    """Read all of it back; what is wrong with it, a sentence each. `seen` hears the bytes of each chunk."""
    wrong: list[str] = []
    for one in found.distinct().values():
        try:
            chunking.fetch(place, packing, one)
        except StoreError as error:
            wrong.append(str(error))
        seen(one.stored)
    return tuple(wrong)


def prune(place: Place, keep: int, before_ms: int) -> tuple[str, ...]:
    """Remove all but the newest `keep` backups, and the chunks that none uses; the ids that are gone.

    Chunks that are newer than `before_ms` stay: they may belong to a backup that is being made. Nothing is removed
    where a manifest that stays cannot be read, since nobody knows which chunks it uses.
    """
    known = manifests.ids(place)
    gone, left = known[:-keep], known[-keep:]
    if not gone:
        return ()
    used: set[str] = set()
    for backup_id in left:
        found, _, _ = manifests.decode(place.get(manifests.path_of(backup_id)), backup_id)
        used.update(found.distinct())
    place.delete([manifests.path_of(backup_id) for backup_id in gone])
    place.delete(list(_unused(place, used, before_ms)))
    return tuple(gone)


def _unused(place: Place, used: set[str], before_ms: int) -> Iterator[str]:
    for entry in place.entries(chunking.FOLDER):
        if entry.name.rpartition("/")[2] not in used and entry.changed_at_ms < before_ms:
            yield entry.name


def listed(place: Place, newest: int) -> Sequence[Manifest]:
    """The manifests of so many, the newest first. Raises StoreError for one that is damaged."""
    found: list[Manifest] = []
    for backup_id in reversed(manifests.ids(place)[-newest:]):
        made, _, _ = manifests.decode(place.get(manifests.path_of(backup_id)), backup_id)
        found.append(made)
    return found

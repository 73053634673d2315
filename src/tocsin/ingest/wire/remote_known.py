"""Remote write from senders that are known: series are recognised by the bytes of their labels, and not decoded.

Nearly every request holds series that came before, with samples and nothing unusual. `blocks` reads those; whatever
it does not read goes to `remote_write`, and both say the same of the same bytes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tocsin.ingest.rows import Rows, SeriesBook
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.blocks import BlockTable
from tocsin.ingest.wire.remote_write import SYMBOLS_MAX, Written, info_of, labels_of_block, parse_v1, parse_v2
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo

REMEMBERED_BYTES_MAX = 128 * 1024 * 1024
"""Memory for label blocks: about 400,000 series as node exporters have them. Beyond it all are forgotten, and the
active ones come again with the next request."""

Version = Literal[1, 2]


class KnownSeries:
    """Reads requests, and remembers the series of each. `seed` is chance, so that nobody can choose what collides.

    May be used from several threads: no Python code runs while the table of blocks is being read or changed.
    """

    def __init__(self, limits: IngestSettings, *, seed: int, bytes_max: int = REMEMBERED_BYTES_MAX) -> None:
        self._limits = limits
        self._bytes_max = bytes_max
        self._seed = seed
        self._forget()

    def quick(self, version: Version, body: bytes, *, learn: bool) -> Written | None:
        """None where there is something unusual, or without `learn` an unknown series: `read` reads everything."""
        if self._table.nbytes > self._bytes_max:
            self._forget()
        table, book = self._table, self._book
        teach = (lambda block: self._learn(table, block)) if learn else None
        if version == 1:
            found = table.read_v1(body, teach, self._limits.samples_max)
            infos: tuple[MetricInfo, ...] = ()
        else:
            read = table.read_v2(body, teach, self._limits.samples_max, SYMBOLS_MAX)
            found = None if read is None else read[:4]
            infos = () if read is None else self._infos(book, read[4])
        if found is None:
            return None
        slots, times, bits, exemplars = found
        which = np.frombuffer(slots, np.int64)
        values = np.frombuffer(bits, np.uint64).view(np.float64)
        rows = Rows(book, which, np.frombuffer(times, np.int64), values, np.arange(len(which)))
        return Written(rows, (), infos, len(which), exemplars)

    def read(self, version: Version, body: bytes) -> Written:
        """Raises UserError where the body is no such message; TooLargeError where it holds too many samples."""
        written = self.quick(version, body, learn=True)
        if written is not None:
            return written
        return parse_v1(body, self._limits) if version == 1 else parse_v2(body, self._limits)

    def retell(self) -> None:
        """What was said of metrics has not been kept: say it again with the next requests."""
        self._table.retell()

    def _forget(self) -> None:
        table = BlockTable(self._seed)
        limits = self._limits

        def labels_of(slot: int) -> Labels:
            labels = labels_of_block(table.block(slot), limits)
            if not isinstance(labels, Labels):
                raise TypeError(f"the labels of slot {slot} were good once: {labels.reason}")
            return labels

        self._table, self._book = table, SeriesBook(labels_of, lambda: len(table))

    def _learn(self, table: BlockTable, block: bytes) -> int:
        try:
            labels = labels_of_block(block, self._limits)
        except UserError:
            return -1  # `remote_write` says where in the body it is
        return table.add(block) if isinstance(labels, Labels) else -1

    def _infos(self, book: SeriesBook, told: list[tuple[int, int, bytes, bytes]]) -> tuple[MetricInfo, ...]:
        found: dict[str, MetricInfo] = {}
        for slot, kind, help_, unit in told:
            name, words, measured = book[slot].name, help_.decode(errors="ignore"), unit.decode(errors="ignore")
            info = info_of(name, kind, words, measured, self._limits)
            if info is not None:
                found[info.name] = info
        return tuple(found.values())

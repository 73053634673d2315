"""The journal: acknowledged samples that the engine does not hold yet, in files of their own.

An insert costs the engine about 10 ms whatever its size, and leaves a part behind that has to be merged again and
again; a record here costs a fifth of a millisecond, synced. So samples are acknowledged when they are in the journal,
and reach the engine later, many at a time. After a crash the records are read again. Rows that the engine had taken
already are then inserted once more, which changes nothing: the later of two equal rows counts, and the order is kept.

A segment is a file of records: size and CRC-32 of the payload, then the payload. Whatever follows the last whole
record of a segment was never acknowledged. With a cipher each payload is sealed, bound to its segment and its place
there.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from tocsin.model.errors import StoreError
from tocsin.model.series import SampleBatch
from tocsin.runtime.log import get_log
from tocsin.store.sealing import Cipher, SealError

log = get_log("store")

NewSeries: TypeAlias = Sequence[tuple[int, str]]
"""Ids, each with its labels as a JSON object: text is written as it is, and the garbage collector passes it by."""

MAGIC = b"tocsin journal 1\n"
SEALED_MAGIC = b"tocsin sealed 1 \n"
"""As long as the other."""
SERIES_AT_ONCE = 20_000
"""Series in one record: about 5 MB."""

_HEAD = struct.Struct("<II")
_ROWS = struct.Struct("<BI")
_SERIES, _SAMPLES = 1, 2
_ROW_BYTES = 24
_SUFFIX = ".segment"
_DAMAGED = ".damaged"
_DECODER = msgspec.json.Decoder(list[tuple[int, msgspec.Raw]])


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """New series, or samples; the other is empty."""

    series: NewSeries
    batch: SampleBatch


class Journal:
    """Records in `folder`, which is made where it is missing. One thread at a time.

    Raises StoreError where the folder cannot be made or read.
    """

    def __init__(self, folder: Path, *, fsync: bool, cipher: Cipher | None = None) -> None:
        self._folder = folder
        self._fsync = fsync
        self._cipher = cipher
        self._file: int | None = None
        self._written = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._kept = _numbers(folder)
        except OSError as error:
            raise _refusal(error) from error
        self._number = max(self._kept, default=0)

    def append(self, series: NewSeries, batch: SampleBatch) -> None:
        """Returns when all of it is durable. Raises StoreError, and then none of it is promised."""
        records = [_series_record(series[at : at + SERIES_AT_ONCE]) for at in range(0, len(series), SERIES_AT_ONCE)]
        if len(batch):
            records.append(_samples_record(batch))
        try:
            file = self._open()
            at = self._written
            for record in records:
                at += self._put(file, record, at)
        except OSError as error:
            self._take_back()
            raise _refusal(error) from error
        try:
            if self._fsync:
                os.fdatasync(file)
        except OSError as error:
            self._take_back()
            self._close_file()  # the system has given up the pages that it could not write: not this file again
            raise _refusal(error) from error
        self._written = at

    def cut(self) -> int:
        """End the segment: every record so far is in a segment up to the returned number, later ones are not."""
        self._close_file()
        return self._number

    def drop(self, upto: int) -> None:
        """Forget the segments up to this number; a file that cannot be removed is read once more after a restart."""
        for number in [number for number in self._kept if number <= upto]:
            self._remove(number)

    def replay(self) -> Iterator[Record]:
        """Every whole record, in the order in which they were appended. Raises StoreError."""
        for number in sorted(self._kept):
            yield from self._read(number, last=number == self._number)

    def close(self) -> None:
        self._close_file()

    def _put(self, file: int, payload: list[memoryview], at: int) -> int:
        """How many bytes it took."""
        if self._cipher is not None:
            payload = [memoryview(self._cipher.seal(b"".join(payload), _context(self._number, at)))]
        parts = _framed(payload)
        _write(file, parts)
        return sum(map(len, parts))

    def _open(self) -> int:
        if self._file is None:
            self._number += 1
            file = os.open(
                self._path(self._number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            self._kept.append(self._number)
            try:
                _write(file, [memoryview(MAGIC if self._cipher is None else SEALED_MAGIC)])
                if self._fsync:
                    _sync_folder(self._folder)
            except OSError:
                os.close(file)
                self._remove(self._number)
                raise
            self._file, self._written = file, len(MAGIC)
        return self._file

    def _take_back(self) -> None:
        """What was written of a record that failed must not stand before the next one."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._written)
        except OSError:
            self._close_file()

    def _remove(self, number: int) -> None:
        try:
            self._path(number).unlink(missing_ok=True)
        except OSError as error:
            log.warning("a segment of the journal was not removed", segment=number, reason=str(error))
        else:
            self._kept.remove(number)

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012}{_SUFFIX}"

    def _read(self, number: int, *, last: bool) -> Iterator[Record]:
        path = self._path(number)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _refusal(error) from error
        at = len(MAGIC)
        sealed = data.startswith(SEALED_MAGIC)
        while (sealed or data.startswith(MAGIC)) and at < len(data):
            end, payload = _payload(data, at)
            if payload is None:
                break
            yield _decoded(self._opened(payload, number, at) if sealed else payload)
            at = end
        if at < len(data) and not last:
            # a kill leaves such an end in the last segment alone
            log.error("a segment of the journal is damaged", segment=path.name, kept_bytes=at, bytes=len(data))
            path.with_suffix(_DAMAGED).write_bytes(data)

    def _opened(self, payload: memoryview, number: int, at: int) -> memoryview:
        if self._cipher is None:
            raise StoreError("The journal of the sample store is encrypted, and there is no key.")
        try:
            return memoryview(self._cipher.open(payload, _context(number, at)))
        except SealError as error:
            raise SealError(f"A record in {self._path(number)} cannot be read. {error}") from error


def _context(number: int, at: int) -> bytes:
    return f"journal {number} {at}".encode()


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}"))


def _series_record(series: NewSeries) -> list[memoryview]:
    body = f"[{','.join([f'[{series_id},{text}]' for series_id, text in series])}]"
    return [memoryview(bytes([_SERIES]) + body.encode())]


def _samples_record(batch: SampleBatch) -> list[memoryview]:
    columns = (
        np.ascontiguousarray(batch.ids, "<u8"),
        np.ascontiguousarray(batch.times, "<i8"),
        np.ascontiguousarray(batch.values, "<f8"),
    )
    return [memoryview(_ROWS.pack(_SAMPLES, len(batch))), *(column.data.cast("B") for column in columns)]


def _framed(parts: list[memoryview]) -> list[memoryview]:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return [memoryview(_HEAD.pack(sum(map(len, parts)), crc)), *parts]


def _payload(data: bytes, at: int) -> tuple[int, memoryview | None]:
    """(where the record ends, its payload); None where the record is not whole."""
    if at + _HEAD.size > len(data):
        return at, None
    size, crc = _HEAD.unpack_from(data, at)
    start, end = at + _HEAD.size, at + _HEAD.size + size
    payload = memoryview(data)[start:end]
    if not size or len(payload) < size or zlib.crc32(payload) != crc:
        return at, None
    return end, payload


def _decoded(payload: memoryview) -> Record:
    if payload[0] == _SERIES:
        rows = _DECODER.decode(payload[1:])
        return Record([(series_id, bytes(text).decode()) for series_id, text in rows], _NO_SAMPLES)
    _, count = _ROWS.unpack_from(payload)
    raw = np.frombuffer(payload, np.uint8, count * _ROW_BYTES, _ROWS.size).reshape(3, count * 8)
    return Record((), SampleBatch(raw[0].view("<u8"), raw[1].view("<i8"), raw[2].view("<f8")))


_NO_SAMPLES = SampleBatch(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0))


def _write(file: int, parts: Iterable[memoryview]) -> None:
    left = [part for part in parts if len(part)]
    while left:
        done = os.writev(file, left)
        while left and done >= len(left[0]):
            done -= len(left.pop(0))
        if done:
            left[0] = left[0][done:]


def _sync_folder(folder: Path) -> None:
    """A new file's name must survive a power cut too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refusal(error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("The disk of the sample store is full. Make room or shorten retention.raw.")
    return StoreError(f"The journal of the sample store cannot be used: {error.strerror}.")

"""The journal alone: what was acknowledged comes back whole and in order, whatever happened to the file's end."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.samples import floats

from tocsin.model.errors import StoreError
from tocsin.model.series import SampleBatch
from tocsin.store.samples.journal import MAGIC, SERIES_AT_ONCE, Journal, Record
from tocsin.store.sealing import Cipher, KeyRing

CPU_TEXT = '{"__name__":"system.cpu.usage","host":"ä \\" ]"}'
NOTHING = SampleBatch(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0))


def one(value: float, at_ms: int = 7) -> SampleBatch:
    return SampleBatch(np.array([2**64 - 1], np.uint64), np.array([at_ms], np.int64), np.array([value]))


def values(journal: Journal) -> list[float]:
    return [value for record in journal.replay() for value in record.batch.values.tolist()]


def opened(folder: Path) -> Journal:
    return Journal(folder, fsync=False)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to let a file grow further, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_records_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", fsync=True)
    journal.append([(5, CPU_TEXT)], one(1.5))
    journal.append((), one(2.5))
    journal.cut()
    journal.append((), one(3.5))
    first, second, third, last = opened(tmp_path / "journal").replay()
    assert first.series == [(5, CPU_TEXT)]
    assert not len(first.batch)
    assert [record.batch.values.tolist() for record in (second, third, last)] == [[1.5], [2.5], [3.5]]
    assert second.batch.ids.tolist() == [2**64 - 1]
    assert second.batch.times.tolist() == [7]


def test_bits_of_a_nan_survive(tmp_path: Path) -> None:
    stale = floats(0x7FF0000000000002)
    journal = opened(tmp_path)
    journal.append((), SampleBatch(np.zeros(1, np.uint64), np.zeros(1, np.int64), stale))
    (record,) = opened(tmp_path).replay()
    assert record.batch.values.view(np.uint64).tolist() == stale.view(np.uint64).tolist()


def test_what_was_dropped_does_not_come_back(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append((), one(1.0))
    upto = journal.cut()
    journal.append((), one(2.0))
    journal.drop(upto)
    assert values(opened(tmp_path)) == [2.0]
    journal.drop(journal.cut())
    assert list(tmp_path.iterdir()) == []


def test_segments_of_another_life_are_dropped_too(tmp_path: Path) -> None:
    opened(tmp_path).append((), one(1.0))
    journal = opened(tmp_path)
    journal.append((), one(2.0))
    assert values(journal) == [1.0, 2.0]
    journal.drop(journal.cut())
    assert list(tmp_path.iterdir()) == []


def test_many_series_are_several_records(tmp_path: Path) -> None:
    many = [(number, f'{{"n":"{number}"}}') for number in range(SERIES_AT_ONCE + 1)]
    opened(tmp_path).append(many, NOTHING)
    records = list(opened(tmp_path).replay())
    assert [row for record in records for row in record.series] == many
    assert len(records) == 2


@given(rows=st.lists(st.integers(0, 20), max_size=6), cut=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_a_torn_end_takes_nothing_else_with_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = opened(folder)
    ends = []
    for number, count in enumerate(rows):
        journal.append((), SampleBatch(np.zeros(count, np.uint64), np.full(count, number), np.zeros(count)))
        ends.append((sum(path.stat().st_size for path in folder.iterdir()), number, count))
    if not list(folder.iterdir()):
        return
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = [number for size, number, count in ends for _ in range(count) if size <= len(whole) - cut]
    assert [time for record in opened(folder).replay() for time in record.batch.times.tolist()] == kept


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_is_never_read_as_a_sample(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = opened(folder)
    for number in range(5):
        journal.append([(number, CPU_TEXT)], one(float(number)))
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert values(opened(folder)) == [0.0, 1.0, 2.0, 3.0, 4.0][: len(values(opened(folder)))]


def test_a_damaged_segment_that_is_not_the_last_is_put_aside(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append((), one(1.0))
    journal.append((), one(2.0))
    journal.cut()
    journal.append((), one(3.0))
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    again = opened(tmp_path)
    assert values(again) == [1.0, 3.0]
    again.drop(again.cut())
    assert [path.suffix for path in tmp_path.iterdir()] == [".damaged"]


def test_a_record_without_room_is_refused_and_the_next_one_that_fits_is_kept(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append((), one(1.0))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    with files_of_at_most(size + 20), pytest.raises(StoreError, match="journal"):
        journal.append((), one(2.0))
    assert values(opened(tmp_path)) == [1.0]
    journal.append((), one(3.0))
    assert values(opened(tmp_path)) == [1.0, 3.0]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_segment_without_room_leaves_nothing_that_cannot_be_read(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append((), one(1.0))
    journal.cut()
    with files_of_at_most(len(MAGIC) - 3), pytest.raises(StoreError):
        journal.append((), one(2.0))
    assert len(list(tmp_path.iterdir())) == 1
    journal.append((), one(3.0))
    assert values(opened(tmp_path)) == [1.0, 3.0]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="journal"):
        opened(tmp_path / "file" / "journal")


def test_an_empty_journal_has_no_records(tmp_path: Path) -> None:
    empty: list[Record] = []
    assert list(opened(tmp_path).replay()) == empty


CIPHER = Cipher(KeyRing.fresh())


def sealed(folder: Path, cipher: Cipher | None = CIPHER) -> Journal:
    return Journal(folder, fsync=False, cipher=cipher)


def test_a_sealed_journal_comes_back_whole_and_shows_nothing(tmp_path: Path) -> None:
    journal = sealed(tmp_path)
    journal.append([(5, CPU_TEXT)], one(1.5))
    journal.cut()
    journal.append((), one(2.5))
    first, *others = sealed(tmp_path).replay()
    assert first.series == [(5, CPU_TEXT)]
    assert [record.batch.values.tolist() for record in others] == [[1.5], [2.5]]
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"system.cpu.usage" not in stored
    assert np.float64(1.5).tobytes() not in stored


def test_a_sealed_journal_is_not_read_without_its_key(tmp_path: Path) -> None:
    sealed(tmp_path).append((), one(1.5))
    for cipher in (None, Cipher(KeyRing.fresh())):
        with pytest.raises(StoreError, match=r"there is no key|cannot be read"):
            list(sealed(tmp_path, cipher).replay())


def test_a_plain_journal_is_read_with_a_key_too(tmp_path: Path) -> None:
    opened(tmp_path).append((), one(1.5))
    journal = sealed(tmp_path)
    journal.append((), one(2.5))
    assert values(sealed(tmp_path)) == [1.5, 2.5]


def test_a_sealed_record_opens_at_its_own_place_alone(tmp_path: Path) -> None:
    journal = sealed(tmp_path)
    journal.append((), one(1.5))
    journal.append((), one(2.5))
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    size = (len(data) - len(MAGIC)) // 2
    path.write_bytes(data[: len(MAGIC)] + data[-size:] + data[len(MAGIC) : -size])
    with pytest.raises(StoreError, match="belongs somewhere else"):
        values(sealed(tmp_path))


@given(cut=st.integers(0, 150))
@settings(max_examples=20)
def test_the_torn_end_of_a_sealed_journal_is_left_out(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("torn")
    journal = sealed(folder)
    journal.append((), one(1.5))
    (path,) = folder.iterdir()
    whole = path.stat().st_size
    journal.append((), one(2.5))
    journal.close()
    with path.open("r+b") as file:
        file.truncate(max(whole, path.stat().st_size - cut))
    assert values(sealed(folder)) == [1.5] + [2.5] * (not cut)

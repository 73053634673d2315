from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.rows import Rows, SeriesBook
from tocsin.ingest.scrape.digest import EMPTY, Change, chunks, compare, with_extras
from tocsin.model.labels import Labels

A, B, C = (Labels.metric(name) for name in "abc")


def test_nothing_has_changed_where_the_series_are_the_same_objects() -> None:
    assert compare((A, B), (A, B)) == Change()


def test_the_same_series_as_other_objects_are_the_same_series() -> None:
    assert compare((A, B), (Labels.metric("b"), Labels.metric("a"))) == Change()


def test_series_come_and_go() -> None:
    assert compare((A, B), (B, C)) == Change(1, (A,))
    assert compare((), (A, B)) == Change(2)
    assert compare((A,), ()) == Change(0, (A,))


SERIES = st.lists(st.sampled_from("abcdefgh").map(Labels.metric), max_size=8, unique=True)


@given(SERIES, SERIES)
def test_what_came_and_what_went_is_the_difference_of_the_sets(before: list[Labels], now: list[Labels]) -> None:
    change = compare(tuple(before), tuple(now))
    assert change.added == len(set(now) - set(before))
    assert set(change.gone) == set(before) - set(now)
    assert len(change.gone) == len(set(change.gone))


def rows(count: int, series: int) -> Rows:
    which = np.arange(count) * 7 % max(series, 1)
    names = tuple(Labels.metric(f"s{number}") for number in range(series))
    return Rows(names, which, np.arange(count) + 100, np.arange(count, dtype=np.float64), np.arange(count))


def told(part: Rows) -> list[tuple[str, int, float, int]]:
    return [
        (part.series[which].name, int(time), float(value), int(index))
        for which, time, value, index in zip(part.which, part.times, part.values, part.index, strict=True)
    ]


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 20))
def test_parts_hold_the_same_rows_in_the_same_order(count: int, series: int, size: int) -> None:
    whole = rows(count, series)
    parts = chunks(whole, size)
    assert [row for part in parts for row in told(part)] == told(whole)
    assert all(len(part) <= size for part in parts)


def test_parts_of_a_book_keep_the_book() -> None:
    whole = rows(10, 3)
    names = tuple(whole.series)
    book = SeriesBook(names.__getitem__, names.__len__)
    parts = chunks(replace(whole, series=book), 4)
    assert all(part.series is book for part in parts)
    assert [row for part in parts for row in told(part)] == told(whole)


def test_ends_and_report_follow_the_rows() -> None:
    made = with_extras(rows(2, 2), (A,), (B, C), (1.0, 0.5), 9)
    assert [series.name for series in made.series] == ["s0", "s1", "a", "b", "c"]
    assert made.which.tolist() == [0, 1, 2, 3, 4]
    assert made.times.tolist() == [100, 101, 9, 9, 9]
    assert made.values[[0, 1, 3, 4]].tolist() == [0.0, 1.0, 1.0, 0.5]
    assert made.values[2:3].view(np.uint64).tolist() == [0x7FF0_0000_0000_0002]
    assert made.index.tolist() == [0, 1, 2, 3, 4]


def test_a_report_may_stand_alone() -> None:
    assert told(with_extras(EMPTY, (), (A,), (0.0,), 5)) == [("a", 5, 0.0, 0)]

"""The compiled table of label blocks, against a dict; what it reads is held against the thorough parser elsewhere."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.remote_write import Sent, block, label, request_v1, request_v2

from tocsin.ingest.wire.blocks import BlockTable

MANY = 1_000_000


def block_of(*pairs: tuple[str, str]) -> bytes:
    return b"".join(block(1, label(*pair)) for pair in pairs)


def slots(found: tuple[bytearray, *tuple[object, ...]] | None) -> list[int] | None:
    return None if found is None else np.frombuffer(found[0], np.int64).tolist()


@given(st.lists(st.binary(max_size=40)), st.integers(0, 2**64 - 1))
def test_a_block_has_one_slot_for_ever(blocks: list[bytes], seed: int) -> None:
    table, wanted = BlockTable(seed), dict[bytes, int]()
    for each in blocks:
        assert table.add(each) == wanted.setdefault(each, len(wanted))
    assert len(table) == len(wanted)
    for each, slot in wanted.items():
        assert table.find(each) == slot
        assert table.block(slot) == each


def test_a_hundred_thousand_blocks_are_told_apart() -> None:
    table = BlockTable(5)
    blocks = [block_of(("__name__", "m"), ("n", str(number))) for number in range(100_000)]
    assert [table.add(each) for each in blocks] == list(range(100_000))
    assert [table.find(each) for each in blocks[::997]] == list(range(0, 100_000, 997))
    assert table.find(b"never added") == -1
    assert table.nbytes < 100_000 * 120


def test_a_slot_that_was_never_given_is_an_error() -> None:
    table = BlockTable(0)
    table.add(b"x")
    for wrong in (-1, 1):
        with pytest.raises(IndexError):
            table.block(wrong)


@pytest.mark.parametrize("version", [1, 2])
def test_series_are_recognised_in_any_order(version: int) -> None:
    table = BlockTable(7)
    series = [Sent((("__name__", "m"), ("n", str(number))), [(number + 1, 2.0)]) for number in range(50)]
    chance = random.Random(1)

    def read(some: list[Sent]) -> list[int] | None:
        if version == 1:
            return slots(table.read_v1(request_v1(some), table.add, MANY))
        return slots(table.read_v2(request_v2(some), table.add, MANY, MANY))

    assert read(series) == list(range(50))
    for _ in range(20):
        order = chance.choices(range(50), k=30)
        assert read([series[at] for at in order]) == order
    assert len(table) == 50


def test_both_versions_share_what_was_learned() -> None:
    table = BlockTable(7)
    series = [Sent((("__name__", "m"), ("long", "x" * 300)), [(1, 2.0)])]
    assert slots(table.read_v1(request_v1(series), table.add, MANY)) == [0]
    assert slots(table.read_v2(request_v2(series), None, MANY, MANY)) == [0]


def test_unknown_series_are_not_read_without_learning() -> None:
    table = BlockTable(7)
    series = [Sent((("__name__", "m"),), [(1, 2.0)])]
    assert table.read_v1(request_v1(series), None, MANY) is None
    assert table.read_v1(request_v1(series), lambda _: -1, MANY) is None
    assert len(table) == 0


def test_a_wrong_slot_from_outside_is_refused() -> None:
    body = request_v1([Sent((("__name__", "m"),), [(1, 2.0)])])
    for wrong in (5, -2):
        with pytest.raises(IndexError):
            BlockTable(7).read_v1(body, lambda _, slot=wrong: slot, MANY)  # type: ignore[misc] # the loop's own


def test_the_table_may_grow_while_it_learns() -> None:
    table = BlockTable(7)

    def learn(one: bytes) -> int:
        for number in range(2_000):
            table.add(b"%d" % number)
        return table.add(one)

    series = [Sent((("__name__", "m"), ("n", str(number))), [(1, 2.0)]) for number in range(3)]
    assert slots(table.read_v2(request_v2(series), learn, MANY, MANY)) == [2_000, 2_001, 2_002]


def test_one_long_symbol_named_many_times_takes_no_memory() -> None:
    refs = bytes([1, 2] * 2_000)
    symbols = block(4, b"") + block(4, b"name") + block(4, b"x" * 10_000)
    table = BlockTable(7)
    assert table.read_v2(symbols + block(5, block(1, refs)), table.add, MANY, MANY) is None
    assert table.nbytes < 3_000_000


def test_what_was_told_of_a_metric_is_told_once_and_again_when_asked() -> None:
    table = BlockTable(7)
    body = request_v2([Sent((("__name__", "m"),), [(1, 2.0)], info=(1, "help", "unit"))])
    other = request_v2([Sent((("__name__", "m"),), [(1, 2.0)], info=(2, "help", "unit"))])

    def told(one: bytes) -> list[tuple[int, int, bytes, bytes]]:
        found = table.read_v2(one, table.add, MANY, MANY)
        assert found is not None
        return found[4]

    assert told(body) == [(0, 1, b"help", b"unit")]
    assert told(body) == []
    assert told(other) == [(0, 2, b"help", b"unit")]
    table.retell()
    assert told(other) == [(0, 2, b"help", b"unit")]

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.store.samples.native import Shape, decode, encode

SHAPE = Shape({"id": "UInt64", "t": "Int64", "v": "Float64", "name": "String"})
ROW = st.tuples(
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.text(max_size=300).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)),
)


@given(st.lists(st.lists(ROW, max_size=20), max_size=4))
def test_blocks_come_back_joined_and_bit_by_bit(blocks: list[list[tuple[int, int, int, str]]]) -> None:
    data = b"".join(
        encode(
            SHAPE,
            {
                "id": np.array([row[0] for row in block], np.uint64),
                "t": np.array([row[1] for row in block], np.int64),
                "v": np.array([row[2] for row in block], np.uint64).view(np.float64),
                "name": [row[3] for row in block],
            },
        )
        for block in blocks
    )
    columns = decode(SHAPE, data)
    back = zip(
        columns["id"].tolist(),
        columns["t"].tolist(),
        columns["v"].view(np.uint64).tolist(),
        columns["name"],
        strict=True,
    )
    assert list(back) == [row for block in blocks for row in block]


def test_no_bytes_are_no_rows() -> None:
    columns = decode(SHAPE, b"")
    assert columns["id"].dtype == np.uint64
    assert len(columns["v"]) == 0
    assert columns["name"] == []


def test_counts_over_127_take_more_bytes() -> None:
    names = ["x" * 128, "y" * 20_000]
    assert decode(Shape({"s": "String"}), encode(Shape({"s": "String"}), {"s": names}))["s"] == names


def test_a_column_that_was_not_expected_is_an_error() -> None:
    data = encode(Shape({"n": "UInt64"}), {"n": [1]})
    with pytest.raises(ValueError, match="a column n UInt64 where n Int64 was expected"):
        decode(Shape({"n": "Int64"}), data)


def test_columns_of_different_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"different lengths: \[1, 2\]"):
        encode(Shape({"a": "UInt64", "b": "UInt64"}), {"a": [1], "b": [1, 2]})


def test_lists_of_numbers_are_read_as_their_lengths_and_all_numbers() -> None:
    def block(*rows: list[int]) -> bytes:
        head = b"\x01" + bytes([len(rows)]) + b"\x01p\x0dArray(UInt64)"
        ends = np.cumsum([len(row) for row in rows]).astype("<u8")
        return head + ends.tobytes() + np.array([number for row in rows for number in row], "<u8").tobytes()

    shape = Shape({"p": "Array(UInt64)"})
    lengths, numbers = decode(shape, block([7, 8], [], [2**64 - 1]) + block() + block([5]))["p"]
    assert (lengths.tolist(), numbers.tolist()) == ([2, 0, 1, 1], [7, 8, 2**64 - 1, 5])
    assert [len(column) for column in decode(shape, b"")["p"]] == [0, 0]

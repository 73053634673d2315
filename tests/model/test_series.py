from __future__ import annotations

import numpy as np

from tocsin.model.labels import Labels
from tocsin.model.series import EMPTY_BLOCK, SampleBatch, SeriesBlock


def test_a_block_gives_each_series_its_own_samples() -> None:
    names = tuple(Labels.metric(name) for name in ("a", "b", "c"))
    block = SeriesBlock(names, np.array([0, 2, 2, 3]), np.array([10, 20, 30]), np.array([1.0, 2.0, 3.0]))
    assert len(block) == 3
    assert [(str(labels), times.tolist(), values.tolist()) for labels, times, values in block] == [
        ("a", [10, 20], [1.0, 2.0]),
        ("b", [], []),
        ("c", [30], [3.0]),
    ]


def test_an_empty_block_has_no_series() -> None:
    assert len(EMPTY_BLOCK) == 0
    assert list(EMPTY_BLOCK) == []


def test_a_batch_is_as_long_as_its_columns() -> None:
    assert len(SampleBatch(np.zeros(3, np.uint64), np.zeros(3, np.int64), np.zeros(3))) == 3

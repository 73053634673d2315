from __future__ import annotations

import math

import pytest

from tocsin.promql.numerals import general, positional


@pytest.mark.parametrize(
    ("value", "digits", "short"),
    [
        (1.0, "1", "1"),
        (-0.0, "-0", "-0"),
        (0.1, "0.1", "0.1"),
        (123456.5, "123456.5", "123456.5"),
        (1234567.0, "1234567", "1.234567e+06"),
        (1e21, "1000000000000000000000", "1e+21"),
        (1e-5, "0.00001", "1e-05"),
        (0.0001, "0.0001", "0.0001"),
        (math.nan, "NaN", "NaN"),
        (math.inf, "+Inf", "+Inf"),
        (-math.inf, "-Inf", "-Inf"),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: float, digits: str, short: str) -> None:
    assert positional(value) == digits
    assert general(value) == short

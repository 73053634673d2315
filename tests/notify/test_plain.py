from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.notify.plain import inert, number_text, span_text, time_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("web-1", "web-1"),
        ("Überlast – größer 90 %", "Überlast – größer 90 %"),
        ("a\r\nBcc: x@example.net", "a  Bcc: x@example.net"),
        ("a\x00b\x1b[31mc", "a�b�[31mc"),
        ("invoice\u202egpj.exe", "invoice�gpj.exe"),
        ("a\u2028b", "a b"),
        ("\ud800", "�"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("x" * 65_536, "x" * 19 + "…"),
    ],
)
def test_text_from_outside_becomes_inert(text: str, shown: str) -> None:
    assert inert(text, 20 if len(text) > 1_000 else 100) == shown


@given(st.text(alphabet=st.characters(), max_size=300), st.integers(1, 200))
def test_inert_text_is_one_short_line_of_utf_8_without_controls(text: str, chars_max: int) -> None:
    shown = inert(text, chars_max)
    assert len(shown) <= chars_max
    assert len((shown + "x").splitlines()) == 1
    assert not {unicodedata.category(char) for char in shown if char not in "\u200c\u200d"} & {"Cc", "Cf", "Cs"}
    assert shown.encode().decode() == shown
    assert inert(shown, chars_max) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(91.304, "91.30"), (0.0, "0.00"), (-1.005, "-1.00"), (1e20, "1.00e+20"), (math.inf, "inf"), (math.nan, "nan")],
)
def test_a_value_has_two_decimals(value: float, shown: str) -> None:
    assert number_text(value) == shown


@pytest.mark.parametrize(
    ("at_ms", "shown"),
    [
        (1_795_426_200_999, "2026-11-23 09:30:00"),
        (0, "1970-01-01 00:00:00"),
        (-5, "1970-01-01 00:00:00"),
        (2**62, "9999-12-31 23:59:59"),
    ],
)
def test_a_time_is_utc_to_the_second(at_ms: int, shown: str) -> None:
    assert time_text(at_ms) == shown


@pytest.mark.parametrize(
    ("span_ms", "shown"),
    [
        (6 * HOUR_MS, "6 h"),
        (2 * HOUR_MS + 15 * MINUTE_MS + 7_000, "2 h 15 min"),
        (2 * DAY_MS + 5_000, "2 d"),
        (45_000, "45 s"),
        (999, "0 s"),
        (-1, "0 s"),
    ],
)
def test_a_span_is_its_two_largest_units(span_ms: int, shown: str) -> None:
    assert span_text(span_ms) == shown

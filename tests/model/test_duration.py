from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS, Duration, format_ms
from tocsin.model.errors import UserError


@given(st.integers(min_value=0, max_value=2**53 - 1))
def test_a_duration_reads_back_as_it_was_written(ms: int) -> None:
    assert Duration.parse(format_ms(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("0s", 0),
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 5 * MINUTE_MS),
        ("1h30m", 90 * MINUTE_MS),
        ("7d", 7 * DAY_MS),
        ("2w", 14 * DAY_MS),
        ("1y", 365 * DAY_MS),
        ("1d2h3m4s5ms", DAY_MS + 2 * HOUR_MS + 3 * MINUTE_MS + 4_005),
        ("1.5h", 90 * MINUTE_MS),
        ("0.1s", 100),
        (" 30s ", 30_000),
        ("90", 90_000),
        ("0.25", 250),
        ("1e3", 1_000_000),
        (90, 90_000),
        (0.25, 250),
    ],
)
def test_durations_are_read_as_people_write_them(text: str | float, ms: int) -> None:
    assert Duration.parse(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "5x", "5M", "5 m", "5m s", "m5", "5m5", "--5s", "1m1h", "1h1h", "5,5s", "1h 30m", True, "x" * 1_000],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str | float) -> None:
    with pytest.raises(UserError, match="is not a duration; write it like 30s, 5m, 1h30m or 7d"):
        Duration.parse(text)


@pytest.mark.parametrize("text", ["-5", -5, -0.001, "nan", float("nan"), "inf", float("inf"), "9" * 60 + "y", 10**400])
def test_a_duration_has_two_ends(text: str | float) -> None:
    with pytest.raises(UserError, match="is not a duration between 0"):
        Duration.parse(text)


def test_the_answer_to_a_huge_text_is_short() -> None:
    with pytest.raises(UserError) as caught:
        Duration.parse("1" * 1_000_000 + "x")
    assert len(str(caught.value)) < 200


def test_a_duration_is_not_taken_for_a_number_of_seconds() -> None:
    assert Duration.parse(Duration(5_000)) == 5_000


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (1_001, "1s1ms"),
        (90 * MINUTE_MS, "1h30m"),
        (7 * DAY_MS, "7d"),
        (365 * DAY_MS, "365d"),
        (-90_000, "-1m30s"),
    ],
)
def test_durations_are_written_short_and_exact(ms: int, text: str) -> None:
    assert format_ms(ms) == text
    assert str(Duration(ms)) == text
    assert f"{Duration(ms)}" == text


def test_a_duration_is_its_milliseconds() -> None:
    span = Duration.parse("1m30s")
    assert span == 90_000
    assert span + 1 == 90_001
    assert span.seconds == 90.0
    assert json.dumps(span) == "90000"

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.api.times import NICE_STEPS_MS, parse_time, rfc3339, rfc3339_or_none, step_for
from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.errors import UserError


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000_000),
        ("1700000000.25", 1_700_000_000_250),
        ("-1", -1_000),
        ("2026-11-23T10:00:00Z", 1_795_428_000_000),
        ("2026-11-23T10:00:00.5Z", 1_795_428_000_500),
        ("2026-11-23T11:00:00+01:00", 1_795_428_000_000),
        ("2026-11-23T11:00:00 01:00", 1_795_428_000_000),
    ],
)
def test_times_are_read_in_both_forms(text: str, ms: int) -> None:
    assert parse_time(text, "start") == ms


@pytest.mark.parametrize(
    "text", ["", "yesterday", "nan", "inf", "1e300", "2026-11-23T10:00:00", "2026-13-01T00:00:00Z"]
)
def test_a_time_that_is_none_names_its_field(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_time(text, "since")
    assert caught.value.field == "since"


@given(st.integers(min_value=-60_000_000_000_000, max_value=250_000_000_000_000))
def test_a_time_that_was_written_is_read_back(ms: int) -> None:
    assert parse_time(rfc3339(ms), "at") == ms


def test_a_time_beyond_the_calendar_is_still_written() -> None:
    assert rfc3339(2**62) == "9999-12-31T23:59:59.999Z"


def test_what_has_not_happened_has_no_time() -> None:
    assert rfc3339_or_none(0) is None
    assert rfc3339_or_none(None) is None


@pytest.mark.parametrize(
    ("span_ms", "step_ms"),
    [
        (1, 1_000),
        (15 * MINUTE_MS, 5_000),
        (HOUR_MS, 15_000),
        (6 * HOUR_MS, 2 * MINUTE_MS),
        (DAY_MS, 5 * MINUTE_MS),
        (7 * DAY_MS, HOUR_MS),
        (300 * DAY_MS, DAY_MS),
        (3_000 * DAY_MS, 10 * DAY_MS),
    ],
)
def test_a_round_step_is_chosen(span_ms: int, step_ms: int) -> None:
    assert step_for(span_ms) == step_ms


@given(st.integers(min_value=1, max_value=10_000 * DAY_MS))
def test_a_chosen_step_never_makes_more_than_300_steps(span_ms: int) -> None:
    step_ms = step_for(span_ms)
    assert span_ms / step_ms <= 300
    assert step_ms in NICE_STEPS_MS or step_ms % DAY_MS == 0

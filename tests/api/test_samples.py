import msgspec
import numpy as np
import pytest

from tocsin.api.samples import aligned, check_points, encode_steps, selector, step_of, window
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.errors import LimitError, UserError
from tocsin.model.labels import Labels
from tocsin.model.series import StepBlock

NOW_MS = 1_800_000_000_000


def test_a_name_and_matchers_select() -> None:
    assert [str(each) for each in selector("cpu", ['host="a"', 'core=~"1.*"'])] == [
        '__name__="cpu"',
        'host="a"',
        'core=~"1.*"',
    ]
    assert [str(each) for each in selector(None, ['host="a"'])] == ['host="a"']


@pytest.mark.parametrize(
    ("name", "match", "field"),
    [
        (None, [], "name"),
        ("", [], "name"),
        ("cpu", ["host"], "match"),
        ("cpu", ['host=~"("'], "match"),
        ("cpu", ['a="b"'] * 33, "match"),
    ],
)
def test_a_wrong_selection_names_its_field(name: str | None, match: list[str], field: str) -> None:
    with pytest.raises(UserError) as caught:
        selector(name, match)
    assert caught.value.field == field


def test_the_window_is_the_last_hour_unless_told() -> None:
    assert window(None, None, NOW_MS) == (NOW_MS + 1 - HOUR_MS, NOW_MS + 1)
    assert window(None, "1000", NOW_MS) == (1_000_000 - HOUR_MS, 1_000_000)
    assert window("10", "20.5", NOW_MS) == (10_000, 20_500)


@pytest.mark.parametrize(("start", "end"), [("20", "10"), ("10", "10"), ("1900000000", None)])
def test_a_window_that_ends_before_it_starts_is_refused(start: str, end: str | None) -> None:
    with pytest.raises(UserError, match="before end"):
        window(start, end, NOW_MS)


def test_a_step_may_be_asked_for() -> None:
    assert step_of("90s", HOUR_MS) == 90_000
    assert step_of(None, HOUR_MS) == 15_000


@pytest.mark.parametrize("step", ["often", "0", "-5", ""])
def test_a_wrong_step_names_its_field(step: str) -> None:
    with pytest.raises(UserError) as caught:
        step_of(step, HOUR_MS)
    assert caught.value.field == "step"


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(LimitError, match="longer step"):
        step_of("1s", DAY_MS)


def test_too_many_points_are_refused() -> None:
    check_points(1_000, HOUR_MS, 15_000)
    with pytest.raises(LimitError, match="narrow"):
        check_points(10_000, HOUR_MS, 15_000)


def test_the_window_is_widened_to_whole_steps() -> None:
    assert aligned(1_001, 1_999, 1_000) == (1_000, 2_000)
    assert aligned(1_000, 2_000, 1_000) == (1_000, 2_000)
    assert aligned(-1, 1, 1_000) == (-1_000, 1_000)


async def test_steps_are_written_with_null_where_they_are_empty() -> None:
    values = np.array([[1.5, np.nan], [np.inf, 2.0]])
    block = StepBlock(
        (Labels.metric("cpu", {"host": 'a"'}), Labels.metric("cpu")),
        1_000,
        np.array([0, 1_000], np.int64),
        values,
        values + 1,
        values + 2,
    )
    assert msgspec.json.decode(await encode_steps(block)) == {
        "step_ms": 1_000,
        "resolution": "raw",
        "times": [0, 1_000],
        "series": [
            {"labels": {"host": 'a"'}, "min": [1.5, None], "avg": [2.5, None], "max": [3.5, None]},
            {"labels": {}, "min": [None, 2.0], "avg": [None, 3.0], "max": [None, 4.0]},
        ],
    }

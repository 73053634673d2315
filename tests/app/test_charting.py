"""Lines in the terminal."""

from __future__ import annotations

import math
import re

import pytest

from tocsin.app.charting import COLOURS, Line, chart, span_of, sparkline, under, visible

DAY_MS = 86_400_000


def _line(*values: float, name: str = "a", every_ms: int = 1_000) -> Line:
    return Line(name, [at * every_ms for at in range(len(values))], values)


def _spark(line: Line, width: int) -> str:
    return sparkline(line, span_of([line]), width)


def _drawn(*lines: Line, width: int = 24, height: int = 3) -> list[str]:
    return [row.plain for row in chart(lines, width=width, height=height)]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ((0, 1, 2, 3, 4, 5, 6, 7), "▁▂▃▄▅▆▇█"),
        ((5, 5, 5), "▄▄▄"),
        ((0, math.nan, 7), "▁ █"),
        ((0, math.inf, 7), "▁ █"),
        ((math.nan,), " "),
        ((-1.7e308, 1.7e308), "▁█"),
    ],
)
def test_a_sparkline_goes_from_the_least_to_the_greatest(values: tuple[float, ...], drawn: str) -> None:
    assert _spark(_line(*values), len(values)) == drawn


def test_a_part_of_a_sparkline_is_the_mean_of_what_is_in_it() -> None:
    assert _spark(_line(0, 0, 6, 8, 0, 0), 3) == "▁█▁"


def test_a_sparkline_without_gaps_in_its_series_has_none_at_any_width() -> None:
    for width in range(1, 50):
        assert " " not in _spark(_line(*range(50)), width)


def test_series_that_begin_later_begin_later() -> None:
    whole, late = _line(1, 2, 3, 4), Line("b", [2_000, 3_000], [1, 2])
    assert sparkline(late, span_of([whole, late]), 4) == "  ▁█"


def test_a_chart_has_values_beside_it_and_times_below() -> None:
    assert _drawn(_line(0, 10, 0, every_ms=60_000), width=30) == [
        "10 ┤         ⣀⡠⠔⠊⠉⠒⠤⣀         ",
        " 5 ┤    ⢀⡠⠔⠒⠉        ⠉⠑⠢⢄⣀    ",
        " 0 ┤⣀⠤⠒⠉⠁                 ⠉⠒⠤⣀",
        "   └──────────────────────────",
        "    00:00:00      00:02:00 UTC",
        "",
        "━━ a",
    ]


def test_points_are_not_joined_over_a_gap() -> None:
    assert _drawn(_line(0, math.nan, 10))[:3] == [
        "10 ┤                   ⠈",
        " 5 ┤                    ",
        " 0 ┤⡀                   ",
    ]


def test_a_series_that_does_not_change_is_a_line_in_the_middle() -> None:
    assert _drawn(_line(5, 5))[:3] == [
        "5.5 ┤                   ",
        "  5 ┤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒",
        "4.5 ┤                   ",
    ]


def test_the_times_of_a_long_span_have_their_day() -> None:
    below = _drawn(_line(1, 2, every_ms=DAY_MS), width=60)[4]
    assert re.fullmatch(r" +1970-01-01 00:00 +1970-01-02 00:00 UTC", below)
    assert len(below) == 60


def test_each_series_has_a_colour_and_those_without_are_counted() -> None:
    rows = chart([_line(at, at + 1, name=f"s{at}") for at in range(len(COLOURS) + 2)], width=40, height=5)
    assert [row.plain for row in rows[-3:]] == ["━━ s6", "━━ s7", "2 more series are not drawn."]
    assert tuple(str(row.style) for row in rows[8:-1]) == COLOURS
    assert {str(span.style) for row in rows[:5] for span in row.spans} == set(COLOURS)


def test_values_at_the_ends_of_what_a_float_holds_are_drawn() -> None:
    assert _drawn(_line(-1.7e308, 1.7e308), width=30)[:3] == [
        " 1.7e+308 ┤             ⣀⡠⠤⠒⠒⠉",
        "        0 ┤      ⣀⣀⠤⠔⠒⠉⠉      ",
        "-1.7e+308 ┤⣀⠤⠤⠒⠊⠉             ",
    ]


def test_without_a_number_nothing_is_drawn() -> None:
    assert _drawn(_line(math.nan, math.inf)) == ["There is no number to draw."]


@pytest.mark.parametrize(
    ("text", "at", "shown"), [("abc", 1, " ^"), ("\tab", 2, "\t ^"), ("日b", 1, "  ^"), ("a", 1, " ^")]
)
def test_a_caret_stands_below_its_character(text: str, at: int, shown: str) -> None:
    assert under(text, at) == shown


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert visible("a\x1b[2J\x9b\tb\nc é") == "a\\x1b[2J\\x9b\tb\nc é"
    assert _drawn(_line(1, 2, name="\x1b[2J"))[-1] == "━━ \\x1b[2J"

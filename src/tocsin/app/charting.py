"""Lines in the terminal: a sparkline of one series, and a chart of several in braille."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from rich.cells import cell_len
from rich.text import Text

from tocsin.api.times import rfc3339
from tocsin.model.duration import DAY_MS

BARS = "▁▂▃▄▅▆▇█"
LEVEL = BARS[3]
"""A series that does not change stands in the middle."""
COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue", "bright_cyan", "bright_yellow")
DOTS_WIDE, DOTS_HIGH = 2, 4
GAP_MAX = 1.5
"""Times the usual distance of two points, up to which they are joined."""

_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a cell, by row and column. Source: Unicode, block "Braille Patterns"."""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


@dataclass(frozen=True, slots=True)
class Line:
    """A series: `times_ms` rise, values may be NaN or infinite."""

    name: str
    times_ms: Sequence[int]
    values: Sequence[float]

    def finite(self) -> list[tuple[int, float]]:
        return [(at, value) for at, value in zip(self.times_ms, self.values, strict=True) if math.isfinite(value)]


def span_of(lines: Sequence[Line]) -> tuple[int, int]:
    """From the first to the last moment of any."""
    return min(line.times_ms[0] for line in lines), max(line.times_ms[-1] for line in lines)


def sparkline(line: Line, span_ms: tuple[int, int], width: int) -> str:
    """One character for each part of the span: the mean there, between the line's own least and greatest value.

    A part without a number is a space.
    """
    start_ms, end_ms = span_ms
    parts: list[list[float]] = [[] for _ in range(width)]
    for at_ms, value in line.finite():
        parts[_place(at_ms, start_ms, end_ms, width)].append(value)
    means = [sum(part) / len(part) if part else math.nan for part in parts]
    real = [mean for mean in means if math.isfinite(mean)]
    low, high = (min(real), max(real)) if real else (0.0, 0.0)
    return "".join(_bar(mean, low, high) for mean in means)


def chart(lines: Sequence[Line], *, width: int, height: int) -> list[Text]:
    """The first lines, as many as there are colours, and what they are called. `width` and `height` in characters."""
    shown = lines[: len(COLOURS)]
    numbers = [value for line in shown for _, value in line.finite()]
    if not numbers:
        return [Text("There is no number to draw.")]
    low, high = _room(min(numbers), max(numbers))
    middle = height // 2 / (height - 1)
    marks = {0: high, height // 2: high * (1 - middle) + low * middle, height - 1: low}
    margin = max(len(f"{value:.6g}") for value in marks.values())
    canvas = _Canvas(max(width - margin - 2, 10), height)
    span_ms = span_of(shown)
    for line, colour in zip(shown, COLOURS, strict=False):
        _draw(canvas, line, span_ms, (low, high), colour)
    rows = [
        Text(f"{marks[row]:.6g}".rjust(margin) + " ┤" if row in marks else " " * margin + " │").append_text(drawn)
        for row, drawn in enumerate(canvas.rows())
    ]
    axis = Text(" " * margin + " └" + "─" * canvas.width)
    times = Text(" " * (margin + 2) + _times(span_ms, canvas.width))
    return [*rows, axis, times, *_legend(shown, len(lines) - len(shown))]


class _Canvas:
    """Dots, two wide and four high in each character. A character has the colour of what was drawn last."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._bits = [[0] * width for _ in range(height)]
        self._colours = [[""] * width for _ in range(height)]

    def dot(self, x: int, y: int, colour: str) -> None:
        """`x` from the left, `y` from above, in dots."""
        (row, down), (column, across) = divmod(y, DOTS_HIGH), divmod(x, DOTS_WIDE)
        self._bits[row][column] |= _DOTS[down][across]
        self._colours[row][column] = colour

    def rows(self) -> Iterator[Text]:
        for bits, colours in zip(self._bits, self._colours, strict=True):
            row = Text()
            for some, colour in zip(bits, colours, strict=True):
                row.append(chr(_BRAILLE + some) if some else " ", colour or None)
            yield row


def _draw(canvas: _Canvas, line: Line, span_ms: tuple[int, int], room: tuple[float, float], colour: str) -> None:
    """Points, joined where none is missing between them."""
    wide, high = canvas.width * DOTS_WIDE, canvas.height * DOTS_HIGH
    low, top = room
    usual_ms = median(later - sooner for sooner, later in pairwise(line.times_ms)) if len(line.times_ms) > 1 else 0
    before: tuple[int, int, int] | None = None
    for at_ms, value in line.finite():
        x = _place(at_ms, *span_ms, wide)
        y = high - 1 - round((value / 2 - low / 2) / (top / 2 - low / 2) * (high - 1))
        if before is not None and at_ms - before[0] <= usual_ms * GAP_MAX:
            for dot in _between(before[1:], (x, y)):
                canvas.dot(*dot, colour)
        canvas.dot(x, y, colour)
        before = at_ms, x, y


def _between(one: tuple[int, int], other: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots from one to the other."""
    (x, y), (right, down) = one, other
    steps = max(right - x, abs(down - y))
    return ((x + round((right - x) * at / steps), y + round((down - y) * at / steps)) for at in range(1, steps))


def _place(at_ms: int, start_ms: int, end_ms: int, width: int) -> int:
    """Which of `width` parts of the span a moment is in; halves belong to the later."""
    return 0 if end_ms == start_ms else (2 * (at_ms - start_ms) * (width - 1) // (end_ms - start_ms) + 1) // 2


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    if low == high:
        return LEVEL
    share = (value / 2 - low / 2) / (high / 2 - low / 2)  # halved: the whole span may be past what a float holds
    return BARS[round(share * (len(BARS) - 1))]


def _room(low: float, high: float) -> tuple[float, float]:
    """Where all values are one, some room around it."""
    around = (abs(low) / 10 or 1.0) if low == high else 0.0
    return low - around, high + around


def _times(span_ms: tuple[int, int], width: int) -> str:
    start_ms, end_ms = span_ms
    part = slice(11, 19) if end_ms - start_ms < DAY_MS else slice(0, 16)
    first, last = (rfc3339(at_ms)[part].replace("T", " ") for at_ms in span_ms)
    last += " UTC"
    return first + last.rjust(width - len(first)) if width > len(first + last) else first


def _legend(lines: Sequence[Line], more: int) -> Iterator[Text]:
    yield Text()
    for line, colour in zip(lines, COLOURS, strict=False):
        yield Text("━━ ", colour).append(visible(line.name), "default")
    if more:
        yield Text(f"{more} more series are not drawn.")


def visible(text: str) -> str:
    """Control characters as `\\x1b`: what a label holds must not steer the terminal. Tabs and line ends stay."""
    return text.translate(_CONTROLS)


def under(text: str, at: int) -> str:
    """A caret below the character at `at`, as the terminal shows the text: tabs stay, wide characters are wide."""
    return "".join("\t" if one == "\t" else " " * cell_len(one) for one in text[:at]) + "^"

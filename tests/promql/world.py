"""Vectors as tests write and read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from hypothesis import strategies as st
from tests.promql.reference.instant import Sample

from tocsin.model.labels import Labels
from tocsin.promql.ast import Number, Span
from tocsin.promql.frame import LabelFrame
from tocsin.promql.here import Here
from tocsin.promql.notes import Notes
from tocsin.promql.values import Grid, Vector

SPAN = Span(0, 0)
Row: TypeAlias = tuple[Mapping[str, str], Sequence[float | None]]
"""A series: its labels, and its value at each step or None."""


def here(steps: int = 1, notes: Notes | None = None) -> Here:
    return Here(Grid(0, 60_000, steps), Number(0, SPAN), notes or Notes())


def labels(text: str) -> dict[str, str]:
    """`up a=1 b=2` as labels; a first word without = is the metric's name."""
    pairs = [word.partition("=") for word in text.split()]
    return {name if sign else "__name__": value if sign else name for name, sign, value in pairs}


def vector(*rows: Row, steps: int | None = None) -> Vector:
    width = len(rows[0][1]) if steps is None else steps
    table = np.array([[math.nan if value is None else value for value in values] for _, values in rows], np.float64)
    present = np.array([[value is not None for value in values] for _, values in rows], np.bool_)
    frame = LabelFrame.of([Labels.of(each) for each, _ in rows])
    return Vector(frame, table.reshape(len(rows), width), present.reshape(len(rows), width))


def instant(series: Mapping[str, float]) -> Vector:
    """One step of series by their labels, as `labels` reads them."""
    return vector(*((labels(text), [value]) for text, value in series.items()), steps=1)


def at(found: Vector, step: int) -> list[Sample]:
    """What is there at a step, in order."""
    rows = np.flatnonzero(found.present[:, step])
    return [(found.frame.labels(int(row)).as_dict(), float(found.values[row, step])) for row in rows]


def text(each: Mapping[str, str]) -> str:
    """The inverse of `labels`."""
    tags = [f"{name}={value}" for name, value in sorted(each.items()) if name != "__name__"]
    return " ".join([each["__name__"], *tags] if "__name__" in each else tags)


def shown(found: Vector) -> dict[str, list[float | None]]:
    """Every series by its labels, and its values, None where there is none."""
    return {
        text(each.as_dict()): [float(value) if there else None for value, there in zip(*row, strict=True)]
        for each, *row in zip(found.frame, found.values, found.present, strict=True)
    }


def same(ours: Sequence[Sample], theirs: Sequence[Sample], rel: float = 0.0) -> bool:
    """The same series with the same values, in whatever order; NaN is NaN."""
    left, right = ({text(each): value for each, value in side} for side in (ours, theirs))
    return (
        len(ours) == len(theirs)
        and left.keys() == right.keys()
        and all(alike(value, right[key], rel) for key, value in left.items())
    )


def alike(ours: float, theirs: float, rel: float = 0.0) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or ours == theirs or math.isclose(ours, theirs, rel_tol=rel)


NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 2.0, 2.0, 3.5, -4.0, 1e16, -1e16, 1e308, math.nan, math.inf, -math.inf])
LABELS = st.fixed_dictionaries(
    {"__name__": st.sampled_from(["up", "down"])},
    optional={"a": st.sampled_from(["1", "2"]), "b": st.sampled_from(["1", "2"]), "c": st.sampled_from(["x"])},
)
STEPS = 3


@st.composite
def vectors(draw: st.DrawFn) -> Vector:
    """Up to six series over three steps, some of them absent now and then."""
    known = draw(st.lists(LABELS, max_size=6, unique_by=lambda each: tuple(sorted(each.items()))))
    values = st.lists(st.none() | NUMBERS, min_size=STEPS, max_size=STEPS)
    return vector(*((each, draw(values)) for each in known), steps=STEPS)

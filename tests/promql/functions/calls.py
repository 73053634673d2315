"""Functions called as the walk calls them."""

from __future__ import annotations

import numpy as np
from tests.promql.world import SPAN, shown

from tocsin.promql import ast
from tocsin.promql.functions.registry import FUNCTIONS
from tocsin.promql.here import Here
from tocsin.promql.notes import Notes
from tocsin.promql.values import Grid, Scalar, Text, Value, Vector

NOBODY = ast.Number(0, SPAN)


def called(
    name: str,
    *args: Value | str | float,
    grid: Grid | None = None,
    notes: Notes | None = None,
    nodes: tuple[ast.Expr, ...] | None = None,
) -> Value:
    """Numbers and texts stand for constants; without a grid there are as many steps as in the first vector."""
    vectors = [arg for arg in args if isinstance(arg, Vector)]
    moments = grid or Grid(0, 60_000, vectors[0].values.shape[1] if vectors else 1)
    call = ast.Call(name, nodes or (NOBODY,) * len(args), SPAN)
    return FUNCTIONS[name].apply([_value(arg, moments) for arg in args], Here(moments, call, notes or Notes()))


def answer(name: str, *args: Value | str | float, notes: Notes | None = None) -> dict[str, list[float | None]]:
    found = called(name, *args, notes=notes)
    assert isinstance(found, Vector)
    return shown(found)


def _value(arg: Value | str | float, grid: Grid) -> Value:
    if isinstance(arg, str):
        return Text(arg)
    return Scalar(np.full(grid.count, float(arg))) if isinstance(arg, float | int) else arg

"""Every function over instant vectors, scalars and strings, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tocsin.promql.functions import absent, angles, dates, histograms, labelling, rounding, shape, sorting
from tocsin.promql.functions.apply import Apply

Family: TypeAlias = Mapping[str, Apply]


@dataclass(frozen=True, slots=True)
class Function:
    """`apply(args, here)` takes the arguments' values in order; how many and of which type the parser has seen to."""

    name: str
    apply: Apply


FAMILIES: tuple[Family, ...] = (
    absent.FAMILY,
    angles.FAMILY,
    dates.FAMILY,
    histograms.FAMILY,
    labelling.FAMILY,
    rounding.FAMILY,
    shape.FAMILY,
    sorting.FAMILY,
)
FUNCTIONS: Mapping[str, Function] = {
    name: Function(name, apply) for family in FAMILIES for name, apply in family.items()
}

"""Numbers as Go writes them, as labels and messages hold them."""

from __future__ import annotations

import math

import numpy as np


def positional(value: float) -> str:
    """All digits and no exponent, as `strconv.FormatFloat(value, 'f', -1, 64)`."""
    return _special(value) or np.format_float_positional(value, trim="-")


def general(value: float) -> str:
    """The fewest digits, with an exponent below 1e-04 and from 1e+06 on, as `%g` and `%v`."""
    if special := _special(value):
        return special
    mantissa, _, exponent = np.format_float_scientific(value, trim="-").partition("e")
    return positional(value) if -4 <= int(exponent) < 6 else f"{mantissa}e{int(exponent):+03d}"


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return ("+Inf" if value > 0 else "-Inf") if math.isinf(value) else ""

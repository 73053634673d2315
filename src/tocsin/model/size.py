"""Sizes as people write them (`50GB`, `512MiB`), in bytes."""

from __future__ import annotations

import re

from tocsin.model.errors import UserError

_UNITS: dict[str, int] = {"": 1, "b": 1} | {f"{letter}b": 1_000**power for power, letter in enumerate("kmgtp", 1)}
_UNITS |= {f"{letter}ib": 1_024**power for power, letter in enumerate("kmgtp", 1)}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")


def parse_size(text: str) -> int:
    """A number without a unit is bytes; `kB`, `MB`, `GB` count in thousands, `KiB`, `MiB`, `GiB` in 1024s.

    Raises UserError.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise UserError(f"{text!r:.80} is not a size; write it like 50GB, 512MiB or a number of bytes.")
    return round(float(found[1]) * unit)


def format_size(size: int) -> str:
    """For people: 1234567 is `1.2 MB`."""
    value, letters = float(size), iter("kMGTP")
    unit = ""
    while value >= 1_000 and unit != "P":
        value, unit = value / 1_000, next(letters)
    return f"{value:.1f} {unit}B" if unit else f"{size} B"

"""Text from outside, made inert: what a label says may be shown, and may do nothing else."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

_JOINERS = "\u200c\u200d"  # invisible, but Persian, Hindi and half of the emoji are misspelt without them
_SPACES = "\t\n\v\f\r\x85\u2028\u2029"
_REPLACEMENT = "\ufffd"
_UNSAFE = {"Cc", "Cf", "Cs"}  # controls; bidirectional overrides and invisible marks; lone surrogates
_TIME_MS_MAX = 253_402_300_799_000  # 9999-12-31, where datetime ends

_SPANS = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s"))


def inert(text: str, chars_max: int) -> str:
    """`text` on one line, without controls or marks that turn the reading direction, cut to `chars_max`."""
    cut = text[: chars_max + 1]  # before the loop: a value of 64 kB costs no more than a short one
    safe = cut if cut.isascii() and cut.isprintable() else "".join(map(_safe, cut))
    return safe if len(safe) <= chars_max else safe[: chars_max - 1] + "…"


def _safe(char: str) -> str:
    if char in _SPACES:
        return " "
    if unicodedata.category(char) in _UNSAFE and char not in _JOINERS:
        return _REPLACEMENT
    return char


def number_text(value: float) -> str:
    """Two decimals, as the contract wants a value to be shown; powers of ten where those would be a wall."""
    return f"{value:.2f}" if abs(value) < 1e15 or not math.isfinite(value) else f"{value:.2e}"


def time_text(at_ms: int) -> str:
    """UTC, as `2026-11-23 09:30:00`."""
    seconds = min(max(at_ms, 0), _TIME_MS_MAX) // SECOND_MS
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def span_text(span_ms: int) -> str:
    """A span as its two largest units: `6 h`, `2 d 4 h`, `45 s`."""
    rest = max(span_ms, 0)
    parts: list[str] = []
    for unit_ms, unit in _SPANS:
        count, rest = divmod(rest, unit_ms)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"

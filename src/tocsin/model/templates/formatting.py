"""Values as Go's fmt writes them: `print`, `printf`, and what an action puts into the text.

Source: Go's fmt package, doc.go.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tocsin.model.templates.calendar import moment_text
from tocsin.model.templates.errors import CallError
from tocsin.model.templates.values import Moment, Record, TemplateSample, TemplateValue, type_name

WIDTH_MAX = 10_000
_EXPONENT_FROM = 6


def shown(value: TemplateValue) -> str:  # noqa: PLR0911 - one for each type
    """`%v`; what an action prints."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case float():
            return float_text(value)
        case Moment():
            return moment_text(value.at_ms)
        case tuple():
            return f"[{' '.join(map(shown, value))}]"
        case TemplateSample():
            return f"{{{shown(value.labels)} {shown(value.value)}}}"
        case Record():
            return f"{{{' '.join(map(shown, value.fields.values()))}}}"
        case _:
            return f"map[{' '.join(f'{key}:{shown(value[key])}' for key in sorted(value))}]"


def float_text(value: float) -> str:
    """The fewest digits that read back the same; an exponent from 1e6 and below 1e-4."""
    if not math.isfinite(value):
        return _unusual(value)
    digits, exponent = _shortest(value)
    return _plain_or_exponent(value, digits, exponent)


def sprint(values: Sequence[TemplateValue]) -> str:
    """`print`: a space between two that are both no text."""
    out: list[str] = []
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            out.append(" ")
        out.append(shown(value))
    return "".join(out)


@dataclass(frozen=True, slots=True)
class _Verb:
    flags: str
    width: int | None
    precision: int | None
    verb: str

    def pad(self, text: str, *, zeros: bool = False) -> str:
        if self.width is None or len(text) >= self.width:
            return text
        if "-" in self.flags:
            return text.ljust(self.width)
        if zeros and "0" in self.flags:
            sign = text[:1] if text[:1] in "+-" else ""
            return sign + text[len(sign) :].rjust(self.width - len(sign), "0")
        return text.rjust(self.width)


_VERB = re.compile(r"%(?P<flags>[+\-# 0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d*))?(?P<verb>.)?", re.DOTALL)


def sprintf(form: str, values: Sequence[TemplateValue]) -> str:
    """As Go does it: what does not fit is told within the text. Raises CallError for a monstrous width."""
    rest = iter(values)
    out: list[str] = []
    at = 0
    for found in _VERB.finditer(form):
        out.append(form[at : found.start()])
        at = found.end()
        out.append(_directive(found, rest))
    out.append(form[at:])
    extra = ", ".join("<nil>" if each is None else f"{type_name(each)}={shown(each)}" for each in rest)
    if extra:
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


_MISSING = object()


def _directive(found: re.Match[str], rest: Iterator[TemplateValue]) -> str:
    flags, verb = found["flags"], found["verb"]
    if verb is None:
        return "%!(NOVERB)"
    if verb == "%":
        return "%"
    width = _size(found["width"], rest)
    if width is not None and width < 0:
        flags, width = flags + "-", -width
    precision = _size(found["precision"] or "0", rest) if found["precision"] is not None else None
    value = next(rest, _MISSING)
    if value is _MISSING:
        return f"%!{verb}(MISSING)"
    return _formatted(_Verb(flags, width, precision, verb), value)  # type: ignore[arg-type]


def _size(written: str | None, rest: Iterator[TemplateValue]) -> int | None:
    if written is None:
        return None
    size = next(rest, None) if written == "*" else int(written[:9])
    if not isinstance(size, int) or isinstance(size, bool):
        raise CallError("a width or precision of * needs a whole number")
    if abs(size) > WIDTH_MAX:
        raise CallError(f"a width or precision may be {WIDTH_MAX} at most")
    return size


def _formatted(verb: _Verb, value: TemplateValue) -> str:
    text: str | None = None
    match verb.verb:
        case "v":
            text = _float(verb, value) if isinstance(value, float) else _default(verb, value)
        case "T":
            return verb.pad(type_name(value))
        case "t" if isinstance(value, bool):
            text = verb.pad(shown(value))
        case "s" | "q" | "x" | "X" if isinstance(value, str):
            text = verb.pad(_string(verb, value))
        case "s" if isinstance(value, Moment):
            text = verb.pad(shown(value))
        case "d" | "b" | "o" | "O" | "x" | "X" | "c" | "q" | "U" if isinstance(value, int) and not _is_flag(value):
            text = _integer(verb, value)
        case "e" | "E" | "f" | "F" | "g" | "G" if isinstance(value, float):
            text = _float(verb, value)
    if text is not None:
        return text
    if isinstance(value, tuple):
        return f"[{' '.join(_formatted(verb, each) for each in value)}]"
    told = "<nil>" if value is None else f"{type_name(value)}={shown(value)}"
    return f"%!{verb.verb}({told})"


def _is_flag(value: TemplateValue) -> bool:
    return isinstance(value, bool)


def _default(verb: _Verb, value: TemplateValue) -> str:
    text = shown(value)
    return verb.pad(text, zeros=isinstance(value, int) and not _is_flag(value))


def _string(verb: _Verb, value: str) -> str:
    cut = value if verb.precision is None else value[: verb.precision]
    match verb.verb:
        case "q":
            return go_quote(cut)
        case "x":
            return cut.encode("utf-8", "replace").hex()
        case "X":
            return cut.encode("utf-8", "replace").hex().upper()
    return cut


def go_quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_BASES = {"d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _integer(verb: _Verb, value: int) -> str:
    if verb.verb in "cqU":
        if not 0 <= value <= 0x10FFFF or 0xD800 <= value < 0xE000:
            value = 0xFFFD
        text = {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb.verb]
        return verb.pad(text)
    digits = format(abs(value), _BASES[verb.verb])
    if verb.precision is not None:
        digits = digits.rjust(verb.precision, "0")
    prefix = "0o" if verb.verb == "O" else _PREFIXES.get(verb.verb, "") if "#" in verb.flags else ""
    return verb.pad(_sign(verb, value < 0) + prefix + digits, zeros=verb.precision is None)


def _sign(verb: _Verb, negative: bool) -> str:
    if negative:
        return "-"
    return "+" if "+" in verb.flags else " " if " " in verb.flags else ""


def _float(verb: _Verb, value: float) -> str:
    negative = math.copysign(1.0, value) < 0 and not math.isnan(value)
    sign = "" if verb.verb == "v" and not negative else _sign(verb, negative)
    size = abs(value)
    if not math.isfinite(value):
        text = ("+" if value > 0 and not sign else sign) + _unusual(size).lstrip("+")
        return verb.pad(text)
    if verb.verb in "vgG" and verb.precision is None:
        digits, exponent = _shortest(size)
        text = _plain_or_exponent(size, digits, exponent)
        text = text.upper() if verb.verb == "G" else text
    elif verb.precision is None and verb.verb in "eE":
        text = f"{size:.6{verb.verb}}"
    else:
        precision = 6 if verb.precision is None else verb.precision
        kind = "g" if verb.verb == "v" else verb.verb
        text = f"{size:.{precision}{kind}}"
    return verb.pad(sign + text, zeros=True)


def _unusual(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _shortest(value: float) -> tuple[str, int]:
    """Digits without zeros at the end, and the power of ten of the first of them."""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = len(whole) if whole != "0" else len(digits) - len(fraction)
    power = leading - 1 + int(exponent or 0)
    return digits.rstrip("0") or "0", power if digits else 0


def _plain_or_exponent(value: float, digits: str, exponent: int) -> str:
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if exponent < -4 or exponent >= _EXPONENT_FROM:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"

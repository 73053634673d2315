"""A function of a template: what it takes and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.templates.calendar import laid_out, when
from tocsin.model.templates.errors import CallError
from tocsin.model.templates.values import Moment, TemplateSample, TemplateValue


class Takes(StrEnum):
    """Types of parameters, with Go's names for them."""

    ANY = "any"
    TEXT = "string"
    VECTOR = "template.queryResult"
    SAMPLE = "*template.sample"

    def fits(self, value: TemplateValue) -> bool:
        match self:
            case Takes.TEXT:
                return isinstance(value, str)
            case Takes.VECTOR:
                return isinstance(value, tuple)
            case Takes.SAMPLE:
                return isinstance(value, TemplateSample)
            case Takes.ANY:
                return True


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` are its parameters in their order; `more` may follow. `run` raises CallError."""

    run: Callable[..., TemplateValue]
    takes: tuple[Takes, ...] = ()
    more: Takes | None = None


def field(value: TemplateValue, name: str, args: tuple[TemplateValue, ...]) -> TemplateValue:
    """A field of a sample, or a method of a moment. Raises CallError where there is none."""
    if isinstance(value, TemplateSample) and not args and name in ("Labels", "Value"):
        return value.labels if name == "Labels" else value.value
    if isinstance(value, Moment):
        return _of_moment(value, name, args)
    raise CallError(name)


def _of_moment(moment: Moment, name: str, args: tuple[TemplateValue, ...]) -> TemplateValue:  # noqa: PLR0911 - one for each method
    if name == "Format" and len(args) == 1 and isinstance(args[0], str):
        return laid_out(moment.at_ms, args[0])
    if args:
        raise CallError(name)
    at = when(moment.at_ms)
    match name:
        case "UTC":
            return moment
        case "Unix":
            return moment.at_ms // 1000
        case "UnixMilli":
            return moment.at_ms
        case "Weekday":
            return f"{at:%A}"
        case "Month":
            return f"{at:%B}"
        case "Year" | "Day" | "Hour" | "Minute" | "Second":
            return int(getattr(at, name.lower()))
        case "YearDay":
            return at.timetuple().tm_yday
    raise CallError(name)

"""What a template's expressions come to: text, numbers, truth, nothing, lists, maps, samples, records and moments.

A closed set of types: no attribute of a Python object is ever looked up by a name that a template gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tocsin.model.templates.errors import CallError


@dataclass(frozen=True, slots=True)
class TemplateSample:
    """One series of a query's answer."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields, as the template is given them."""

    fields: Mapping[str, TemplateValue]


@dataclass(frozen=True, slots=True)
class Moment:
    """ms UTC."""

    at_ms: int


TemplateValue: TypeAlias = (
    str | int | float | bool | tuple["TemplateValue", ...] | Mapping[str, "TemplateValue"]
    | TemplateSample | Record | Moment | None
)  # fmt: skip


def type_name(value: TemplateValue) -> str:  # noqa: PLR0911 - one for each type
    """As Go calls it."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int"
        case float():
            return "float64"
        case None:
            return "<nil>"
        case tuple():
            return "template.queryResult"
        case TemplateSample():
            return "*template.sample"
        case Record():
            return f"struct {{ {'; '.join(f'{name} {type_name(each)}' for name, each in value.fields.items())} }}"
        case Moment():
            return "*time.Time"
        case _:
            return "map[string]string" if all(isinstance(each, str) for each in value.values()) else "map[string]any"


def is_true(value: TemplateValue) -> bool:
    """Zero, nothing and what is empty are false; NaN is true."""
    return True if isinstance(value, TemplateSample | Record | Moment) else bool(value)


def to_float(value: TemplateValue) -> float:
    """Raises CallError where it is no number, nor text that says one."""
    match value:
        case bool():
            pass
        case int() | float():
            return float(value)
        case str():
            try:
                if value == value.strip() and "_" not in value:
                    return float(value)
            except ValueError:
                pass
            raise CallError(f'strconv.ParseFloat: parsing "{value:.80}": invalid syntax')
    raise CallError(f"can't convert {type_name(value)} to float")

"""The tree of a template. Each node knows the characters [start, end) of the text that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. Only whole numbers and floats that are written so may stand where the other is wanted."""

    value: str | int | float | bool | None
    span: Span


@dataclass(frozen=True, slots=True)
class Dot:
    span: Span


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`; `$` alone is what the template was given."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Word:
    """A function."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of something: `.Labels.job`, `$labels.job`, `(query "up").Value`."""

    of: Operand
    fields: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Command:
    """Operands; a function comes first, its arguments after it."""

    operands: tuple[Operand, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each given what the one before made as its last argument.

    What the last makes becomes the variables' value: new ones, or with `assigns` those that there are.
    """

    commands: tuple[Command, ...]
    variables: tuple[str, ...]
    assigns: bool
    span: Span


Operand: TypeAlias = Literal | Dot | Variable | Word | Chain | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Action:
    pipeline: Pipeline
    span: Span


class BranchKind(StrEnum):
    IF = "if"
    WITH = "with"
    RANGE = "range"


@dataclass(frozen=True, slots=True)
class Branch:
    kind: BranchKind
    pipeline: Pipeline
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Include:
    """`{{ template "name" pipeline }}`."""

    name: str
    pipeline: Pipeline | None
    span: Span


@dataclass(frozen=True, slots=True)
class Leave:
    """`break` or `continue`."""

    again: bool
    span: Span


Node: TypeAlias = Text | Action | Branch | Include | Leave


@dataclass(frozen=True, slots=True)
class Template:
    """`defined` are the templates that stand within it, by name."""

    text: str
    nodes: tuple[Node, ...]
    defined: Mapping[str, tuple[Node, ...]]

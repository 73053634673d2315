"""Labels made of other labels. Each different value is looked at once, not each series."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tocsin.model.errors import UserError
from tocsin.model.matcher import compiled
from tocsin.promql.frame import LabelColumn, combined, joined_columns, ranked
from tocsin.promql.functions.apply import Apply, text_of, vector_of
from tocsin.promql.here import EvaluationError, Here
from tocsin.promql.merge import merged
from tocsin.promql.values import Value, Vector

_NUMBER = re.compile("0|[1-9][0-9]{0,7}")
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>\w+)\}|(?P<bare>\w+))")


def _label_replace(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001 - all functions are called in one way
    """`label_replace(v, dst, replacement, src, regex)`: where the whole of src matches, dst is the replacement."""
    vector = vector_of(args[0])
    target, replacement, source, pattern = (text_of(arg) for arg in args[1:])
    try:
        expression = compiled(pattern)
    except UserError as error:
        raise EvaluationError(f"invalid regular expression in label_replace(): {pattern}") from error
    _check_name(target, "destination", "label_replace")
    template, frame = Template.of(replacement), vector.frame
    column = frame.column(source)
    matches = {text: expression.fullmatch(text) for text in (*column.values, "")}
    made = column.mapped({text: template.expanded(found) if found else "" for text, found in matches.items()})
    hit = np.array([bool(matches[text]) for text in (*column.values, "")])[column.codes]  # the last is ABSENT, -1
    both = joined_columns([made, frame.column(target)])
    codes = np.where(hit, both.codes[: len(frame)], both.codes[len(frame) :])
    return _relabelled(vector, target, LabelColumn(codes, both.values))


def _label_join(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001
    """`label_join(v, dst, separator, src…)`; a label that is absent is joined as an empty one."""
    vector = vector_of(args[0])
    target, separator, *sources = (text_of(arg) for arg in args[1:])
    for source in sources:
        _check_name(source, "source", "label_join")
    _check_name(target, "destination", "label_join")
    columns = [vector.frame.column(source) for source in sources]
    of, first = ranked(combined([column.codes for column in columns], len(vector)))
    parts = [column.take(first).texts() for column in columns]
    joined = map(separator.join, zip(*parts, strict=True)) if parts else [""] * len(first)
    return _relabelled(vector, target, LabelColumn.of(joined).take(of))


def _relabelled(vector: Vector, name: str, column: LabelColumn) -> Vector:
    """Raises EvaluationError where two series are one now, at one step."""
    return merged(Vector(vector.frame.with_column(name, column), vector.values, vector.present, vector.sorted))


def _check_name(name: str, role: str, function: str) -> None:
    if not name:
        raise EvaluationError(f"invalid {role} label name in {function}(): {name}")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `$1`, `${1}` and `$name` as Go's Regexp.Expand reads it: parts in turn text and group."""

    texts: tuple[str, ...]
    groups: tuple[int | str, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        texts: list[str] = [""]
        groups: list[int | str] = []
        at = 0
        for found in _REFERENCE.finditer(text):
            texts[-1] += text[at : found.start()]
            at = found.end()
            if found["dollar"]:
                texts[-1] += "$"
            else:
                name = found["braced"] or found["bare"]
                groups.append(int(name) if _NUMBER.fullmatch(name) else name)
                texts.append("")
        texts[-1] += text[at:]
        return cls(tuple(texts), tuple(groups))

    def expanded(self, match: Any) -> str:
        """A group that there is not, or that took no part, is empty."""
        parts = [self.texts[0]]
        for group, text in zip(self.groups, self.texts[1:], strict=True):
            parts += [_group(match, group), text]
        return "".join(parts)


def _group(match: Any, name: int | str) -> str:
    number = name if isinstance(name, int) else match.re.groupindex.get(name, -1)
    return (match.group(number) or "") if 0 <= number <= match.re.groups else ""


FAMILY: Mapping[str, Apply] = {"label_join": _label_join, "label_replace": _label_replace}

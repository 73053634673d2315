"""A whole evaluator of trees, written to be obvious: every node at every moment, labels as dicts, one step at a time.

It knows no matrices, plans or push-downs; whatever the server answers must be what this answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tests.promql.reference import aggregation, functions, instant, windows
from tests.promql.reference.instant import RefusedError, Sample, key, nameless

from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, matches_all
from tocsin.promql import ast

Answer: TypeAlias = "list[Sample] | float | str"
Points: TypeAlias = Sequence[windows.Sample]
Series: TypeAlias = Sequence[tuple[Mapping[str, str], Points]]
NAMED = ("last_over_time", "first_over_time")


@dataclass(frozen=True)
class Reference:
    """`series` with their samples, times rising; what `start()`, `end()`, look-back and `[5m:]` refer to."""

    series: Series
    start_ms: int
    end_ms: int
    lookback_ms: int = 300_000
    default_step_ms: int = 60_000

    def value(self, node: ast.Expr, moments: Sequence[int]) -> Sequence[Answer]:
        """One for each moment. Raises RefusedError."""
        match node:
            case ast.Number() | ast.String():
                return [node.value for _ in moments]
            case ast.Paren():
                return self.value(node.expr, moments)
            case ast.Selector():
                return [self.newest(node, moment) for moment in self.looked_at(node, moments)]
            case ast.Unary():
                values = self.value(node.expr, moments)
                return [negated(value) for value in values] if node.op == "-" else values
            case ast.Binary():
                sides = zip(self.value(node.left, moments), self.value(node.right, moments), strict=True)
                return [binary(node, left, right) for left, right in sides]
            case ast.Aggregate():
                params = self.value(node.param, moments) if node.param else [None] * len(moments)
                each = zip(self.value(node.expr, moments), params, strict=True)
                return [aggregated(node, vector, param) for vector, param in each]
            case ast.Call():
                return self.call(node, moments)
            case _:
                raise AssertionError(f"{node} has no value by itself")

    def looked_at(self, node: ast.Selector | ast.Subquery, moments: Sequence[int]) -> list[int]:
        """When a selector is evaluated: earlier by its offset, or where `@` fixes it."""
        fixed = {ast.Edge.START: self.start_ms, ast.Edge.END: self.end_ms}
        at = fixed[node.at] if isinstance(node.at, ast.Edge) else node.at
        return [(moment if at is None else at) - node.offset_ms for moment in moments]

    def matching(self, matchers: Sequence[Matcher]) -> Series:
        return [(labels, points) for labels, points in self.series if matches_all(matchers, Labels.of(labels))]

    def newest(self, node: ast.Selector, moment: int, function: str = "newest") -> list[Sample]:
        found = (
            (dict(labels), windows.evaluate(function, points, moment, self.lookback_ms))
            for labels, points in self.matching(node.matchers)
        )
        return [(labels, value) for labels, value in found if value is not None]

    def call(self, node: ast.Call, moments: Sequence[int]) -> Sequence[Answer]:
        args = [ast.unwrapped(arg) for arg in node.args]
        for arg in args:
            if isinstance(arg, ast.RangeSelector | ast.Subquery):
                return self.windowed(node, arg, moments)
        if node.function == "timestamp" and isinstance(args[0], ast.Selector):
            stamps = [self.newest(args[0], moment, "newest_time") for moment in self.looked_at(args[0], moments)]
            return [instant.unique([(nameless(labels), value) for labels, value in each]) for each in stamps]
        values = [self.value(arg, moments) for arg in args]
        if node.function == "absent":
            return [absence(args[0], nothing=not each) for each in values[0]]
        return [
            functions.call(node.function, [value[at] for value in values], moment) for at, moment in enumerate(moments)
        ]

    def windowed(
        self, node: ast.Call, over: ast.RangeSelector | ast.Subquery, moments: Sequence[int]
    ) -> Sequence[Answer]:
        """A function over a range vector."""
        ends = self.looked_at(over.selector if isinstance(over, ast.RangeSelector) else over, moments)
        inside = self.inner(over, ends) if isinstance(over, ast.Subquery) else self.matching(over.selector.matchers)
        others = [self.value(arg, moments) for arg in node.args if ast.unwrapped(arg) is not over]
        absent = node.function == "absent_over_time"
        found: list[list[Sample]] = []
        for at, end in enumerate(ends):
            params = [float_of(other[at]) for other in others]
            if node.function == "predict_linear":
                params.append(moments[at] - end)
            function = "present_over_time" if absent else node.function
            answers = [windows.evaluate(function, points, end, over.range_ms, params) for _, points in inside]
            each = zip(inside, answers, strict=True)
            found.append([(dict(labels), value) for (labels, _), value in each if value is not None])
        if absent:
            return [absence(over, nothing=not each) for each in found]
        if node.function in NAMED:
            return found
        refuse_namesakes(found)
        return [[(nameless(labels), value) for labels, value in each] for each in found]

    def inner(self, node: ast.Subquery, ends: Sequence[int]) -> Series:
        """What the expression inside came to, at multiples of the step, as samples."""
        if not ends:
            return []
        step = node.step_ms or self.default_step_ms
        first = (min(ends) - node.range_ms) // step + 1
        moments = [number * step for number in range(first, max(ends) // step + 1)]
        held: dict[instant.Key, list[windows.Sample]] = {}
        for moment, vector in zip(moments, self.value(node.expr, moments), strict=True):
            assert isinstance(vector, list)
            for labels, value in vector:
                held.setdefault(key(labels), []).append(windows.Sample(moment, value))
        return [(dict(labels), points) for labels, points in held.items()]


def float_of(value: Answer) -> float:
    assert isinstance(value, float)
    return value


def negated(value: Answer) -> Answer:
    if isinstance(value, list):
        return instant.unique([(nameless(labels), -number) for labels, number in value])
    return -float_of(value)


def refuse_namesakes(vectors: Iterable[list[Sample]]) -> None:
    """Series that differ in their name alone may not lose it, even where they take turns."""
    known: dict[instant.Key, instant.Key] = {}
    for vector in vectors:
        for labels, _ in vector:
            if known.setdefault(key(nameless(labels)), key(labels)) != key(labels):
                raise RefusedError("vector cannot contain metrics with the same labelset")


def absence(node: ast.Expr, *, nothing: bool) -> list[Sample]:
    """1 where there is nothing, with the labels that the selector asks for."""
    selector = node.selector if isinstance(node, ast.RangeSelector) else node
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in selector.matchers if isinstance(selector, ast.Selector) else ():
        if matcher.label == "__name__":
            continue
        if matcher.op == "=" and matcher.label not in seen:
            labels[matcher.label] = matcher.value
            seen.add(matcher.label)
        else:
            labels.pop(matcher.label, None)
    return [({name: value for name, value in labels.items() if value}, 1.0)] if nothing else []


def binary(node: ast.Binary, left: Answer, right: Answer) -> Answer:
    if isinstance(left, list) and isinstance(right, list):
        assert node.matching is not None
        if node.op in instant.SETS:
            return instant.sets(node.op, left, right, node.matching)
        return instant.vectors(node.op, left, right, node.matching, node.as_bool)
    if isinstance(left, list):
        return instant.with_scalar(node.op, left, float_of(right), node.as_bool, scalar_first=False)
    if isinstance(right, list):
        return instant.with_scalar(node.op, right, float_of(left), node.as_bool, scalar_first=True)
    if node.op in instant.ARITHMETIC:
        return instant.operate(node.op, float_of(left), float_of(right))
    return float(instant.compare(node.op, float_of(left), float_of(right)))


def aggregated(node: ast.Aggregate, vector: Answer, param: Answer | None) -> list[Sample]:
    assert isinstance(vector, list)
    assert not isinstance(param, list)
    return instant.unique(aggregation.aggregate(node.op, vector, node.labels, node.without, param))

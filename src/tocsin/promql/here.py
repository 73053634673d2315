"""What a function, an operator or an aggregation is told about where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.model.errors import UserError
from tocsin.promql.ast import Expr, Span
from tocsin.promql.notes import Notes
from tocsin.promql.values import Grid


class EvaluationError(UserError):
    """The expression is well-formed, but what it asks for has no answer (two series with the same labels, …)."""


@dataclass(frozen=True, slots=True)
class Here:
    """`grid` holds the moments of evaluation (of the subquery's inside a subquery); `node` is the node of the tree."""

    grid: Grid
    node: Expr
    notes: Notes

    @property
    def span(self) -> Span:
        return self.node.span

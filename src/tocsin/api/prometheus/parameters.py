"""Parameters as Prometheus' clients send them: in the query, in a form, or in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from tocsin.api.times import parse_time
from tocsin.model.duration import SECOND_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.matcher import Matcher
from tocsin.promql import ast
from tocsin.promql.parse import parse
from tocsin.promql.parse_error import ParseError

FIELDS_MAX = 10_000
MIN_MS, MAX_MS = -(1 << 53), 1 << 53
"""What seconds as a float64 can name; earlier and later moments are drawn to these."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Every value of each name, those of the form first."""

    values: Mapping[str, Sequence[str]]

    def all(self, name: str) -> Sequence[str]:
        return self.values.get(name, ())

    def text(self, name: str, default: str = "") -> str:
        found = self.all(name)
        return found[0] if found else default

    def time_ms(self, name: str, default_ms: int | None = None) -> int:
        """Seconds since 1970 or RFC 3339. Raises UserError; also where it is missing and there is no default."""
        text = self.text(name)
        if not text and default_ms is not None:
            return default_ms
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if math.isfinite(seconds):
            return min(max(round(seconds * SECOND_MS), MIN_MS), MAX_MS)
        try:
            return parse_time(text, name)
        except UserError:
            raise invalid(name, f'cannot parse "{text}" to a valid timestamp') from None

    def span(self) -> tuple[int | None, int | None]:
        """`start` and `end` of a list, None where they are not sent. Raises UserError."""
        start_ms, end_ms = (self.time_ms(name) if self.text(name) else None for name in ("start", "end"))
        if start_ms is not None and end_ms is not None and end_ms < start_ms:
            raise invalid("end", "end timestamp must not be before start time")
        return start_ms, end_ms

    def selectors(self, name: str = "match[]") -> tuple[tuple[Matcher, ...], ...]:
        """Each a selector such as `cpu{host="a"}`. Raises UserError."""
        return tuple(selector(text, name) for text in self.all(name))

    def duration_ms(self, name: str) -> int | None:
        """Seconds or `5m`; None where it is not sent. Raises UserError."""
        text = self.text(name)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            pass
        else:
            if not math.isfinite(seconds) or abs(seconds) * SECOND_MS >= MAX_MS:
                raise invalid(name, f'cannot parse "{text}" to a valid duration. It overflows int64')
            return round(seconds * SECOND_MS)
        try:
            return int(Duration.parse(text))
        except UserError:
            raise invalid(name, f'cannot parse "{text}" to a valid duration') from None

    def limit(self, name: str = "limit") -> int:
        """0 is no limit. Raises UserError."""
        text = self.text(name)
        if not text:
            return 0
        try:
            limit = int(text)
        except ValueError:
            limit = -1
        if limit < 0:
            raise invalid(name, "limit must be a non-negative number")
        return limit

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in ("1", "true", "all")


def invalid(name: str, why: str) -> UserError:
    return UserError(f'invalid parameter "{name}": {why}')


def selector(text: str, name: str = "match[]") -> tuple[Matcher, ...]:
    """The matchers of a selector without anything around it. Raises UserError."""
    try:
        tree = parse(text)
    except ParseError as error:
        raise invalid(name, str(error)) from error
    if not isinstance(tree, ast.Selector) or tree.offset_ms or tree.at is not None:
        raise invalid(name, f'"{text}" is an expression, and a selector such as up{{job="a"}} is asked for')
    return tree.matchers


async def _parameters(request: Request) -> Parameters:
    """Raises UserError for a form that cannot be read."""
    pairs: list[tuple[str, str]] = []
    if request.method == "POST":
        try:
            body = (await request.body()).decode()
            pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS_MAX)
        except (UnicodeDecodeError, ValueError) as error:
            raise UserError("The body is no form: send name=value pairs, percent-encoded.") from error
    values: dict[str, list[str]] = {}
    for name, value in [*pairs, *request.query_params.multi_items()]:
        values.setdefault(name, []).append(value)
    return Parameters(values)


Asked = Annotated[Parameters, Depends(_parameters)]

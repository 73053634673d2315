"""Prometheus' lists of series, labels, values and metadata, and the forms of expressions."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from tocsin.api.deps import Reader, Wired
from tocsin.api.prometheus.answers import TRUNCATED, enveloped, success, written
from tocsin.api.prometheus.escaping import unescaped
from tocsin.api.prometheus.metadata import described
from tocsin.api.prometheus.parameters import Asked
from tocsin.api.routes.promql import BOTH, invalid_query
from tocsin.model.errors import UserError
from tocsin.promql.engine import parsed
from tocsin.promql.outline import outline
from tocsin.promql.parse import ParseError
from tocsin.promql.text import pretty

router = APIRouter(include_in_schema=False)


@router.api_route("/api/v1/series", methods=BOTH)
async def list_series(request: Request, wired: Wired, reader: Reader, asked: Asked) -> Response:
    """The label sets of the series that fit any of `match[]`, in their order."""
    limit, (start_ms, end_ms), selectors = asked.limit(), asked.span(), asked.selectors()
    if not selectors:
        raise UserError("no match[] parameter provided")
    found = await reader.frame(selectors, start_ms, end_ms, limit + 1 if limit else 0)

    def write() -> bytes:
        rows = found.json()
        told = rows[:limit] if limit else rows
        return enveloped(b"[" + b",".join(told) + b"]", _warnings(len(rows), limit))

    return await written(write, request, wired.queries.threads)


@router.api_route("/api/v1/labels", methods=BOTH)
async def list_labels(reader: Reader, asked: Asked) -> Response:
    """The names of labels, sorted."""
    limit, span = asked.limit(), asked.span()
    found = [await reader.label_names(each, *span) for each in asked.selectors() or ((),)]
    return _listed(found, limit)


@router.get("/api/v1/label/{name:path}/values")
async def list_label_values(name: str, reader: Reader, asked: Asked) -> Response:
    """The values of a label, sorted. Names that are escaped (`U__…`) are understood."""
    limit, span, label = asked.limit(), asked.span(), unescaped(name)
    if not label:
        raise UserError('invalid label name: ""')
    found = [await reader.label_values(label, each, *span) for each in asked.selectors() or ((),)]
    return _listed(found, limit)


def _listed(found: Sequence[Sequence[str]], limit: int) -> Response:
    """Lists that are sorted, as one."""
    texts = list(found[0]) if len(found) == 1 else sorted(set().union(*found))
    return success(texts[:limit] if limit else texts, warnings=_warnings(len(texts), limit))


def _warnings(found: int, limit: int) -> Sequence[str]:
    return [TRUNCATED] if limit and found > limit else []


@router.get("/api/v1/metadata")
async def list_metadata(reader: Reader, asked: Asked) -> Response:
    """Type, help and unit of each metric. There is one description a metric: the last that was told."""
    limit = _number(asked.text("limit"), "limit")
    each = _number(asked.text("limit_per_metric"), "limit_per_metric")
    metric = asked.text("metric")
    infos = [info for info in await reader.metrics() if metric in ("", info.name)]
    some = infos if limit is None or limit < 0 else infos[:limit]
    return success({info.name: [] if each == 0 else [described(info)] for info in some})


def _number(text: str, name: str) -> int | None:
    """Raises UserError."""
    try:
        return int(text) if text else None
    except ValueError:
        raise UserError(f"{name} must be a number") from None


@router.api_route("/api/v1/format_query", methods=BOTH)
async def format_query(_: Reader, asked: Asked) -> Response:
    """The expression, laid out."""
    try:
        return success(pretty(parsed(asked.text("query"))))
    except ParseError as error:
        raise invalid_query(error) from error


@router.api_route("/api/v1/parse_query", methods=BOTH)
async def parse_query(_: Reader, asked: Asked) -> Response:
    """The expression as a tree."""
    try:
        return success(outline(parsed(asked.text("query"))))
    except ParseError as error:
        raise invalid_query(error) from error

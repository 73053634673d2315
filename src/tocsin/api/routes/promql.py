"""PromQL over HTTP, as Prometheus' own API has it: `/api/v1/query` and `/api/v1/query_range`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tocsin.api.deps import Reader, Wired
from tocsin.api.prometheus.answers import answered, success
from tocsin.api.prometheus.parameters import Asked, Parameters
from tocsin.api.push import come_again
from tocsin.model.duration import SECOND_MS
from tocsin.model.errors import QueueFullError, UserError
from tocsin.promql.engine import Options, too_many_steps
from tocsin.promql.parse import ParseError
from tocsin.promql.values import Grid

router = APIRouter(include_in_schema=False)

BOTH = ["GET", "POST"]


@router.api_route("/api/v1/query", methods=BOTH)
async def query(request: Request, wired: Wired, reader: Reader, asked: Asked) -> Response:
    """The expression at one moment, now unless `time` says otherwise."""
    limit, at_ms = asked.limit(), asked.time_ms("time", wired.clock.now_ms())
    options = _options(asked)
    try:
        answer = await wired.queries.query(reader, asked.text("query"), at_ms, options)
    except ParseError as error:
        raise invalid_query(error) from error
    except QueueFullError as error:
        raise come_again(error) from error
    return await answered(answer, request, wired.queries.threads, limit=limit, **_more(asked))


@router.api_route("/api/v1/query_range", methods=BOTH)
async def query_range(request: Request, wired: Wired, reader: Reader, asked: Asked) -> Response:
    """The expression at every `step` from `start` to `end`."""
    limit = asked.limit()
    grid = _grid(asked, wired.queries.settings.steps_max)
    options = _options(asked)
    try:
        answer = await wired.queries.query_range(reader, asked.text("query"), grid, options)
    except ParseError as error:
        raise invalid_query(error) from error
    except QueueFullError as error:
        raise come_again(error) from error
    return await answered(answer, request, wired.queries.threads, limit=limit, **_more(asked))


@router.api_route("/api/v1/query_exemplars", methods=BOTH)
async def query_exemplars(_: Reader) -> Response:
    """Exemplars are not kept."""
    return success([])


def _more(asked: Parameters) -> dict[str, bool]:
    """What may come with an answer."""
    return {"explain": asked.flag("explain"), "stats": bool(asked.text("stats"))}


def _grid(asked: Parameters, steps_max: int) -> Grid:
    start_ms, end_ms = asked.time_ms("start"), asked.time_ms("end")
    if end_ms < start_ms:
        raise UserError('invalid parameter "end": end timestamp must not be before start time')
    step_ms = asked.duration_ms("step")
    if step_ms is None:
        raise UserError('invalid parameter "step": cannot parse "" to a valid duration')
    if step_ms <= 0:
        raise UserError(
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )
    grid = Grid(start_ms, step_ms, (end_ms - start_ms) // step_ms + 1)
    if grid.count - 1 > steps_max:
        raise UserError(too_many_steps(steps_max))
    return grid


def _options(asked: Parameters) -> Options:
    timeout_ms, lookback_ms = asked.duration_ms("timeout"), asked.duration_ms("lookback_delta")
    if lookback_ms is not None and lookback_ms < 0:
        raise UserError('invalid parameter "lookback_delta": it must not be negative')
    return Options(
        timeout_s=None if timeout_ms is None else timeout_ms / SECOND_MS,
        lookback_ms=lookback_ms or None,
        approximate=asked.flag("approximate"),
    )


def invalid_query(error: ParseError) -> UserError:
    return UserError(f'invalid parameter "query": {error}')

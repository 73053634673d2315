"""`/federate`: the newest samples, for another Prometheus to scrape."""

from __future__ import annotations

import numpy as np
from fastapi import APIRouter, Request, Response

from tocsin.api.deps import Reader, Wired
from tocsin.api.prometheus.answers import written
from tocsin.api.prometheus.federation import Newest, exposition, negotiated
from tocsin.api.prometheus.parameters import Asked
from tocsin.model.duration import SECOND_MS
from tocsin.model.matcher import Matcher
from tocsin.promql import points
from tocsin.promql.ports import Ask, Budget
from tocsin.promql.values import Grid, Vector

router = APIRouter(include_in_schema=False)


@router.get("/federate")
async def federate(request: Request, wired: Wired, reader: Reader, asked: Asked) -> Response:
    """The series that fit any of `match[]`, each with the newest sample of the last `query.lookback`."""
    settings, now_ms = wired.queries.settings, wired.clock.now_ms()
    asks = [_asks(matchers, now_ms, int(settings.lookback)) for matchers in asked.selectors()]
    deadline_s = wired.clock.monotonic_s() + settings.timeout.seconds
    budget = Budget(settings.samples_max, settings.series_max, settings.points_max, deadline_s)
    answers = await reader.gather(list(dict.fromkeys(ask for pair in asks for ask in pair)), budget) if asks else {}
    form = negotiated(request.headers.get("accept", ""))

    def write() -> bytes:
        return exposition([_newest(answers[values].found, answers[times].found) for values, times in asks], form)

    return await written(write, request, wired.queries.threads, media_type=form.media_type)


def _asks(matchers: tuple[Matcher, ...], now_ms: int, lookback_ms: int) -> tuple[Ask, Ask]:
    """Values and times; they are read together."""
    grid = Grid(now_ms)
    return Ask(matchers, grid, lookback_ms), Ask(matchers, grid, lookback_ms, "newest_time")


def _newest(values: object, times: object) -> Newest:
    assert isinstance(values, Vector)
    assert isinstance(times, Vector)
    rows = np.flatnonzero(values.present[:, 0])
    moments = np.rint(times.values[rows, 0] * SECOND_MS).astype(np.int64).tolist()
    return Newest(values.frame.take(rows), moments, points.texts(values.values[rows, 0]))

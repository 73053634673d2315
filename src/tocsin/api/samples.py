"""Questions about samples, and their answers as JSON without an object for each number."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tocsin.api.times import parse_time, step_for
from tocsin.model.duration import HOUR_MS, Duration
from tocsin.model.errors import LimitError, UserError
from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher, MatchOp, parse_matcher
from tocsin.model.series import StepBlock

MATCHERS_MAX = 32
STEPS_MAX = 11_000
POINTS_MAX = 500_000
_POINTS_PER_TURN = 10_000
"""Encoding so many numbers takes about a millisecond; then the loop gets a turn."""


def selector(name: str | None, match: Sequence[str]) -> tuple[Matcher, ...]:
    """Matchers for a metric's name and for `match`. Raises UserError where there is nothing to select by."""
    if len(match) > MATCHERS_MAX:
        raise UserError(f"Give at most {MATCHERS_MAX} matchers.", field="match")
    matchers = [_matcher(text) for text in match]
    if name:
        matchers.insert(0, Matcher(METRIC_NAME, MatchOp.EQUAL, name))
    if not matchers:
        raise UserError("Say which metric: give a name, or at least one match.", field="name")
    return tuple(matchers)


def _matcher(text: str) -> Matcher:
    try:
        return parse_matcher(text)
    except UserError as error:
        raise UserError(str(error), field="match") from error


def window(start: str | None, end: str | None, now_ms: int) -> tuple[int, int]:
    """[start, end) in ms UTC: for an hour and up to what arrives just now unless told. Raises UserError."""
    end_ms = parse_time(end, "end") if end is not None else now_ms + 1
    start_ms = parse_time(start, "start") if start is not None else end_ms - HOUR_MS
    if start_ms >= end_ms:
        raise UserError("start must be before end.", field="start")
    return start_ms, end_ms


def step_of(step: str | None, span_ms: int) -> int:
    """The step that was asked for in ms, or a round one for about 300 steps. Raises UserError, LimitError."""
    if step is None:
        return step_for(span_ms)
    try:
        step_ms = Duration.parse(step)
    except UserError as error:
        raise UserError(str(error), field="step") from error
    if step_ms < 1:
        raise UserError("step must be at least 1ms.", field="step")
    if span_ms / step_ms > STEPS_MAX:
        raise LimitError(f"That would be more than {STEPS_MAX} steps; ask for a longer step or a shorter time.")
    return int(step_ms)


def aligned(start_ms: int, end_ms: int, step_ms: int) -> tuple[int, int]:
    """The window widened to whole steps, so that a chart that moves on keeps the steps that it has."""
    return start_ms // step_ms * step_ms, -(-end_ms // step_ms) * step_ms


def check_points(series: int, span_ms: int, step_ms: int) -> None:
    """Raises LimitError where the answer would be too large."""
    points = series * (span_ms // step_ms + 1)
    if points > POINTS_MAX:
        detail = f"{series} series fit, which makes {points} points where {POINTS_MAX} may be asked for at once; "
        raise LimitError(detail + "narrow the match, ask for a longer step or a shorter time.")


async def encode_steps(block: StepBlock) -> bytes:
    """`shapes.samples.Range` as JSON; NaN becomes null in msgspec's own encoder."""
    parts: list[bytes] = []
    points = 0
    for at, labels in enumerate(block.series):
        row = {
            "labels": labels.tags,
            "min": block.min[at].tolist(),
            "avg": block.avg[at].tolist(),
            "max": block.max[at].tolist(),
        }
        parts.append(msgspec.json.encode(row))
        points += 3 * len(block.times)
        if points > _POINTS_PER_TURN:
            points = 0
            await asyncio.sleep(0)
    head = b'{"step_ms":%d,"resolution":"%s","times":%s,"series":[' % (
        block.step_ms,
        block.resolution.encode(),
        msgspec.json.encode(block.times.tolist()),
    )
    return b"".join((head, b",".join(parts), b"]}"))

"""What the routes that take samples are given: the request's body, and the writer of its caller.

They get no other way to store, so that what a token is held to holds at every door.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Concatenate, ParamSpec, TypeVar

from fastapi import Depends, Request

from tocsin.access.policy import Permission
from tocsin.api.bodies import read_body
from tocsin.api.deps import Caller, Services, Wired, body_max, require
from tocsin.ingest.intake import Writer
from tocsin.ingest.rows import Appended, Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.errors import QueueFullError, TransientError
from tocsin.model.series import MetricInfo
from tocsin.runtime.telemetry import Telemetry

P = ParamSpec("P")
T = TypeVar("T")


def come_again(error: QueueFullError) -> TransientError:
    """503 and not 429, for senders that take every 4xx for an order to drop what they sent."""
    return TransientError(str(error), retry_after_s=error.retry_after_s)


@dataclass(frozen=True, slots=True)
class Pushed:
    """One request that brings samples, from somebody who may."""

    request: Request
    wired: Services
    writer: Writer

    @property
    def limits(self) -> IngestSettings:
        return self.wired.ingest

    @property
    def telemetry(self) -> Telemetry:
        return self.wired.telemetry

    def now_ms(self) -> int:
        return self.wired.clock.now_ms()

    async def body(self, *, unnamed: str = "identity") -> bytes:
        """As it was before it was packed; `unnamed` as for `read_body`.

        Raises QueueFullError, before anything is read, while the caller's rate is used up; TooLargeError, UserError.
        """
        self.writer.check()
        return await read_body(self.request, body_max(self.request), self.wired.offload, unnamed=unnamed)

    async def parse(
        self,
        at_once_max: int,
        parse: Callable[Concatenate[bytes, P], T],
        body: bytes,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`parse(body, …)`, on a thread where the body is larger than what the loop can read in passing."""
        if len(body) <= at_once_max:
            return parse(body, *args, **kwargs)
        return await self.wired.offload.run(parse, body, *args, **kwargs)

    async def append(self, rows: Rows, source: str, refused: Sequence[Rejection] = ()) -> Appended:
        """Raises QueueFullError, StoreError."""
        return await self.writer.append(rows, source, refused)

    async def describe(self, infos: Sequence[MetricInfo]) -> None:
        """Raises StoreError."""
        await self.writer.describe(infos)


async def _pushed(
    request: Request, wired: Wired, caller: Annotated[Caller, require(Permission.METRICS_WRITE)]
) -> Pushed:
    principal = caller.principal
    return Pushed(request, wired, wired.intake.writer(principal.token_id, principal.name, principal.allowance))


Push = Annotated[Pushed, Depends(_pushed)]

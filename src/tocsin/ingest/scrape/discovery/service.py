"""Target groups from a service over HTTP. Source: Prometheus, docs/http_sd.md."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from tocsin.ingest import naming
from tocsin.ingest.scrape.config import target_group
from tocsin.ingest.scrape.discovery.source import Found
from tocsin.ingest.scrape.door import Caller
from tocsin.ingest.scrape.job import HttpDiscovery, TargetGroup
from tocsin.model import document
from tocsin.model.document import from_plain
from tocsin.model.duration import SECOND_MS
from tocsin.model.errors import TransientError, UserError
from tocsin.runtime.http import Answer
from tocsin.runtime.inflate import ENCODINGS, inflate
from tocsin.runtime.offload import Offload

BYTES_MAX = 16 * 1024 * 1024
TIME_LIMIT_S = 30.0
REFRESH_HEADER = "X-Prometheus-Refresh-Interval-Seconds"


@dataclass(slots=True)
class HttpSource:
    wanted: HttpDiscovery
    caller: Caller
    offload: Offload

    @property
    def period_ms(self) -> int:
        return self.wanted.refresh_ms

    async def find(self) -> Found:
        """Raises TransientError, LimitError or UserError, so that the targets stay."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            REFRESH_HEADER: f"{self.wanted.refresh_ms / SECOND_MS:g}",
        }
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                answer = await self.caller.get(self.wanted.url, headers, BYTES_MAX)
        except TimeoutError as error:
            raise TransientError(f"{self.wanted.url} has not answered within {TIME_LIMIT_S:g} s.") from error
        return Found(await self.offload.run(parse_answer, answer, self.wanted.url))

    async def close(self) -> None:
        await self.caller.close()


def parse_answer(answer: Answer, url: str) -> tuple[TargetGroup, ...]:
    """Each with `__meta_url`. Raises TransientError, LimitError or UserError."""
    if answer.status != 200:
        raise TransientError(f"{url} answered with status {answer.status}, and should with 200.")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UserError(f"{url} answered with Content-Type {naming.shown(kind)}, and should with application/json.")
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    body = inflate(answer.body, BYTES_MAX, encoding) if encoding in ENCODINGS else answer.body
    try:
        root = from_plain(msgspec.json.decode(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"{url} answered with what is not JSON: {error}.") from error
    try:
        return tuple(
            TargetGroup(each.targets, (*each.labels, ("__meta_url", url)), each.source)
            for each in (target_group(node, f"{url} {at}") for at, node in enumerate(document.items(root)))
        )
    except UserError as error:
        raise UserError(f"{url}: {error}") from error

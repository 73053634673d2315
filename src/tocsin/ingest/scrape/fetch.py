"""One request to a target: what is asked for, and what an answer must be."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.ingest import naming
from tocsin.ingest.scrape.config import PROTOCOLS
from tocsin.ingest.scrape.door import Caller
from tocsin.ingest.scrape.job import ScrapeJob
from tocsin.ingest.scrape.target import Target
from tocsin.model.duration import SECOND_MS
from tocsin.model.errors import TransientError, UserError
from tocsin.runtime.http import Answer
from tocsin.runtime.inflate import ENCODINGS, inflate

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
OPENMETRICS = "application/openmetrics-text"
PLAIN = "text/plain"


@dataclass(frozen=True, slots=True)
class Page:
    """A body as it came, packed with `encoding` where that is not empty."""

    body: bytes
    encoding: str = ""
    openmetrics: bool = False

    def unpacked(self, bytes_max: int) -> bytes:
        """Raises TooLargeError, UserError."""
        return inflate(self.body, bytes_max, self.encoding) if self.encoding else self.body


async def fetch(caller: Caller, target: Target, job: ScrapeJob, bytes_max: int) -> Page:
    """Raises TransientError, LimitError or UserError with what is wrong. The caller bounds the time."""
    headers = {
        "Accept": accept(job.protocols),
        "Accept-Encoding": "gzip" if job.compression else "identity",
        TIMEOUT_HEADER: f"{target.timeout_ms / SECOND_MS:g}",
    }
    return page(await caller.get(target.url, headers, bytes_max), job.fallback_protocol)


def accept(protocols: tuple[str, ...]) -> str:
    """The forms that are read, from the one that is liked best; names may hold any character."""
    wanted = protocols or tuple(PROTOCOLS)
    forms = [
        f"{PROTOCOLS[name]}{';escaping=allow-utf-8' if name.endswith('1.0.0') else ''};q=0.{9 - at}"
        for at, name in enumerate(wanted[:6])
    ]
    return ",".join([*forms, "*/*;q=0.1"])


def page(answer: Answer, fallback: str = "") -> Page:
    """Raises TransientError for another status than 200, UserError for another form than text."""
    if answer.status != 200:
        raise TransientError(f"The answer's status is {answer.status}, and should be 200.")
    encoding = answer.headers.get("Content-Encoding", "").strip().lower().removeprefix("x-")
    if encoding not in ("", "identity", *ENCODINGS):
        raise UserError(f"The answer is packed with {naming.shown(encoding)}, which was not asked for.")
    written = answer.headers.get("Content-Type", "").strip()
    kind = written.partition(";")[0].strip().lower()
    if kind not in (OPENMETRICS, PLAIN):
        if not fallback:
            said = f"Content-Type is {naming.shown(written)}" if written else "The answer has no Content-Type"
            raise UserError(
                f"{said}, and should be {PLAIN} or {OPENMETRICS}. "
                "If it is metrics all the same, set fallback_scrape_protocol."
            )
        kind = PROTOCOLS[fallback].partition(";")[0]
    return Page(answer.body, "" if encoding == "identity" else encoding, kind == OPENMETRICS)

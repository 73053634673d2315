"""A file of samples, sent to the server in parts: constant memory, and nothing is lost where the server is busy."""

from __future__ import annotations

import asyncio
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tocsin.app.client import connect, detail_of
from tocsin.model.errors import TransientError, UserError

Form = Literal["json", "csv", "text"]

PATHS: dict[Form, str] = {
    "json": "/api/v1/import",
    "csv": "/api/v1/import/csv",
    "text": "/api/v1/import/prometheus",
}
SUFFIXES: dict[str, Form] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".prom": "text",
    ".txt": "text",
}

PART_BYTES = 1024 * 1024
PART_LINES = 10_000
LINE_BYTES_MAX = 8 * 1024 * 1024
"""One line, or one CSV row with line ends in quotes; a longer one is no line of samples."""

TRIES = 100
WAIT_S = 1.0
EXAMPLES_MAX = 10

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Asked:
    """What to import, and how it is written. `columns`, `delimiter` and `skip_header` are for CSV."""

    path: Path | None
    form: Form
    columns: str = ""
    delimiter: str = ","
    skip_header: bool = False

    @property
    def params(self) -> dict[str, str]:
        if self.form != "csv":
            return {}
        return {"delimiter": self.delimiter} | ({"format": self.columns} if self.columns else {})


@dataclass(slots=True)
class Report:
    """What became of a file; `examples` are the first refused lines, counted from 1, with their reasons."""

    lines: int = 0
    stored: int = 0
    refused: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Part:
    """Whole lines; `first` is the number of the first one in the file, from 1."""

    body: bytes
    first: int
    lines: int


def form_of(path: Path | None, named: str | None) -> Form:
    """As it was named, or by the file's name. Raises UserError."""
    if named is not None:
        if named not in PATHS:
            raise UserError(f"There is no format {named!r}; there are {', '.join(PATHS)}.")
        return named
    suffixes = [] if path is None else [one.lower() for one in path.suffixes if one.lower() != ".gz"]
    form = SUFFIXES.get(suffixes[-1]) if suffixes else None
    if form is None:
        raise UserError(f"Say with --format how it is written: {', '.join(PATHS)}.")
    return form


async def import_with_bar(config: Path | None, data_dir: Path, asked: Asked) -> Report:
    """As `import_file`, with a bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    size = asked.path.stat().st_size if asked.path is not None and asked.path.is_file() else None
    bar = (TextColumn("bytes"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("import", total=size)
        return await import_file(config, data_dir, asked, lambda read: progress.update(task, completed=read))


async def import_file(config: Path | None, data_dir: Path, asked: Asked, seen: Callable[[int], None]) -> Report:
    """`seen` is told how many bytes of the file have been read. Raises UserError, TransientError."""
    report = Report()
    with _opened(asked.path) as (raw, plain):
        async with connect(config, data_dir) as client:
            await send_parts(client, asked, plain, report, lambda: seen(raw.tell() if raw.seekable() else 0))
    return report


async def send_parts(
    client: httpx.AsyncClient, asked: Asked, lines: IO[bytes], report: Report, after_each: Callable[[], None]
) -> None:
    """Raises UserError, also for a gzip file that is broken, and TransientError."""
    header = b""
    try:
        for part in parts(lines, quoted=asked.form == "csv"):
            if asked.form == "csv" and part.first == 1 and not asked.columns:
                header = part.body.partition(b"\n")[0] + b"\n"
            await _Sender(client, asked, report, header).send(part)
            after_each()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"The file is not whole: {error}") from error


def parts(lines: IO[bytes], *, quoted: bool) -> Iterator[Part]:
    """The file in parts that end where a line does; with `quoted`, where a CSV row does. Raises UserError."""
    taken: list[bytes] = []
    size = rows = 0
    number = first = 1
    even = True
    while line := lines.readline(LINE_BYTES_MAX):
        if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
            raise UserError(f"Line {number} is longer than {LINE_BYTES_MAX} bytes; is this a file of samples?")
        if quoted and line.count(b'"') % 2:
            even = not even
        taken.append(line)
        size += len(line)
        rows += 1
        number += 1
        if size > LINE_BYTES_MAX and not even:
            raise UserError(f"A quote that is opened near line {first} is never closed.")
        if even and (size >= PART_BYTES or rows >= PART_LINES):
            yield Part(b"".join(taken), first, rows)
            taken.clear()
            size = rows = 0
            first = number
    if taken:
        yield Part(b"".join(taken), first, rows)


@dataclass(frozen=True, slots=True)
class _Sender:
    client: httpx.AsyncClient
    asked: Asked
    report: Report
    header: bytes
    """The row of names, for parts that do not begin with it."""

    async def send(self, part: Part) -> None:
        """Raises UserError for a file that the server cannot read at all, TransientError where it stays away."""
        named = bool(self.header) and part.first > 1
        answer = await self._post((self.header if named else b"") + part.body, skip_header=part.first == 1)
        if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            await self._send_halves(part, detail_of(answer))
            return
        told = _told(answer)
        self.report.lines += part.lines
        self.report.stored += told.stored
        self.report.refused += told.refused
        room = EXAMPLES_MAX - len(self.report.examples)
        before = part.first - 1 - named
        self.report.examples += [(before + one.line, one.reason) for one in told.rejected[:room]]

    async def _send_halves(self, part: Part, reason: str) -> None:
        """Lines with many samples each make a part too large for one request."""
        lines = part.body.splitlines(keepends=True)
        if len(lines) > 1 and not (self.asked.form == "csv" and b'"' in part.body):
            half = len(lines) // 2
            await self.send(Part(b"".join(lines[:half]), part.first, half))
            await self.send(Part(b"".join(lines[half:]), part.first + half, len(lines) - half))
        elif self.asked.form == "json" and (halves := _halves(part.body)):
            for line in halves:
                await self.send(Part(line, part.first, 0))
            self.report.lines += 1
        else:
            raise UserError(f"Line {part.first}: {reason}")

    async def _post(self, body: bytes, *, skip_header: bool) -> httpx.Response:
        """Again and again while the server is busy. Raises TransientError when it has been so for very long."""
        params = self.asked.params
        if skip_header and self.asked.skip_header:
            params |= {"skip_header": "true"}
        packed = gzip.compress(body, 1)
        tries = 0
        while True:
            answer = await self.client.post(
                PATHS[self.asked.form],
                content=packed,
                params=params,
                headers={"Content-Type": "text/plain", "Content-Encoding": "gzip"},
            )
            if answer.status_code not in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
                return answer
            tries += 1
            if tries == TRIES:
                raise TransientError(f"The server has been busy for too long: {detail_of(answer)}")
            wait = answer.headers.get("retry-after", "")
            await asyncio.sleep(float(wait) if wait.isdecimal() else WAIT_S)


class _Refused(msgspec.Struct):
    line: int
    reason: str


class _Told(msgspec.Struct):
    stored: int
    refused: int = 0
    rejected: list[_Refused] = []


def _told(answer: httpx.Response) -> _Told:
    """What was stored and what refused. Raises UserError with the server's sentence where it is another answer."""
    if answer.status_code == httpx.codes.NO_CONTENT:
        return _Told(int(answer.headers["x-tocsin-stored"]))
    try:
        return msgspec.json.decode(answer.content, type=_Told)
    except msgspec.DecodeError:
        raise UserError(detail_of(answer)) from None


def _halves(line: bytes) -> list[bytes]:
    """A series with many samples as two lines; none where it is not one."""
    try:
        series: Any = msgspec.json.decode(line)
        values, times = series["values"], series["timestamps"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return []
    if not isinstance(values, list) or not isinstance(times, list) or len(values) != len(times) or len(values) < 2:
        return []
    half = len(values) // 2
    return [
        msgspec.json.encode(series | {"values": values[span], "timestamps": times[span]})
        for span in (slice(None, half), slice(half, None))
    ]


@contextmanager
def _opened(path: Path | None) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """(the file as it lies there, the same unpacked); standard input where there is no path. Raises UserError."""
    with ExitStack() as stack:
        try:
            raw = sys.stdin.buffer if path is None else stack.enter_context(path.open("rb"))
            head = cast("io.BufferedReader", raw).peek(2)[:2]
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from error
        yield raw, cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if head == _GZIP else raw

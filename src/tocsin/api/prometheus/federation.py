"""The newest samples as text that Prometheus scrapes. Pure.

Source: Prometheus web/federate.go; the text format 0.0.4, OpenMetrics 1.0.0, content negotiation of Prometheus 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message

from tocsin.api.prometheus.escaping import escaped, is_plain, underscored
from tocsin.model.duration import SECOND_MS
from tocsin.model.labels import METRIC_NAME, quote
from tocsin.promql.frame import ABSENT, LabelFrame

INSTANCE = "instance"


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """The newest sample of each series of the frame: its time and its value, as text."""

    frame: LabelFrame
    times_ms: Sequence[int]
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Form:
    """How the text is written: `name_of` None keeps names as they are, in quotes where they need them."""

    openmetrics: bool = False
    name_of: Callable[[str], str] | None = underscored
    escaping: str = "underscores"

    @property
    def media_type(self) -> str:
        kind = "application/openmetrics-text; version=1.0.0" if self.openmetrics else "text/plain; version=0.0.4"
        return f"{kind}; charset=utf-8; escaping={self.escaping}"


ESCAPINGS: Mapping[str, Callable[[str], str] | None] = {
    "allow-utf-8": None,
    "underscores": underscored,
    "values": escaped,
}


def negotiated(accept: str) -> Form:
    """The first of what a scraper takes that is one of ours; text 0.0.4 for whoever names nothing that is."""
    ranked = sorted(map(_offer, accept.split(",")), key=lambda one: -one[0])
    for quality, kind, escaping in ranked:
        if quality > 0 and kind in ("application/openmetrics-text", "text/plain"):
            known = escaping if escaping in ESCAPINGS else "underscores"
            return Form(kind == "application/openmetrics-text", ESCAPINGS[known], known)
    return Form()


def _offer(text: str) -> tuple[float, str, str]:
    header = Message()
    header["content-type"] = text.strip() or "*/*"
    try:
        quality = float(str(header.get_param("q", "1")))
    except ValueError:
        quality = 0.0
    return quality, header.get_content_type() if "/" in text else "", str(header.get_param("escaping", ""))


def exposition(found: Iterable[Newest], form: Form) -> bytes:
    """Each series once, sorted by name, and of no type, as Prometheus federates. Series without a name are left out."""
    lines: dict[tuple[str, str], str] = {}
    for part in found:
        lines.update(_lines(part, form))
    kind = "unknown" if form.openmetrics else "untyped"
    text: list[str] = []
    before = None
    for name, labels in sorted(lines):
        if name != before:
            text.append(f"# TYPE {name} {kind}\n")
            before = name
        text.append(lines[name, labels])
    if form.openmetrics:
        text.append("# EOF\n")
    return "".join(text).encode()


def _lines(part: Newest, form: Form) -> Iterator[tuple[tuple[str, str], str]]:
    """((name, labels), line) of each series."""
    frame = part.frame
    names = frame.column(METRIC_NAME)
    shown = [_bare(name, form) for name in names.values]
    pairs: list[list[str]] = [[] for _ in range(len(frame))]
    for label in sorted(frame.columns.keys() - {METRIC_NAME}):
        column, key = frame.columns[label], _bare(label, form)
        texts = [f"{key}={quote(value)}" for value in column.values]
        for row, code in zip(pairs, column.codes.tolist(), strict=True):
            if code != ABSENT:
                row.append(texts[code])
    for row, code in zip(pairs, frame.column(INSTANCE).codes.tolist(), strict=True):
        if code == ABSENT:  # else the scraper would put its own on it
            row.append(f'{INSTANCE}=""')
    for row, code, at_ms, value in zip(pairs, names.codes.tolist(), part.times_ms, part.values, strict=True):
        if code == ABSENT:
            continue
        name, labels = shown[code], ",".join(row)
        series = f"{{{name},{labels}}}" if name.startswith('"') else f"{name}{{{labels}}}"
        moment = f"{at_ms / SECOND_MS:.3f}" if form.openmetrics else str(at_ms)
        yield (name, labels), f"{series} {value} {moment}\n"


def _bare(name: str, form: Form) -> str:
    if form.name_of is not None:
        return form.name_of(name)
    return name if is_plain(name) else quote(name)

"""The newest samples as text that Prometheus scrapes. Pure.

Source: Prometheus web/federate.go; the text format 0.0.4, OpenMetrics 1.0.0, content negotiation of Prometheus 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from itertools import groupby
from typing import TypeAlias

from tocsin.api.prometheus.escaping import escaped, is_plain, underscored
from tocsin.model.duration import SECOND_MS
from tocsin.model.labels import METRIC_NAME, quote

Sample: TypeAlias = tuple[dict[str, str], int, str]
"""(labels, time in ms, the value as text)."""

INSTANCE = "instance"


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


def exposition(samples: Iterable[Sample], form: Form) -> bytes:
    """`samples` have a name each. Sorted by name, and of no type, as Prometheus federates."""
    lines: list[str] = []
    kind = "unknown" if form.openmetrics else "untyped"
    by_name = sorted(samples, key=lambda one: (one[0][METRIC_NAME], sorted(one[0].items())))
    for name, rows in groupby(by_name, key=lambda one: one[0][METRIC_NAME]):
        lines.append(f"# TYPE {_bare(name, form)} {kind}\n")
        lines += [_line(name, labels, at_ms, value, form) for labels, at_ms, value in rows]
    if form.openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode()


def _line(name: str, labels: Mapping[str, str], at_ms: int, value: str, form: Form) -> str:
    pairs = [f"{_bare(label, form)}={quote(text)}" for label, text in sorted(labels.items()) if label != METRIC_NAME]
    if INSTANCE not in labels:  # else the scraper would put its own on it
        pairs.append(f'{INSTANCE}=""')
    shown = _bare(name, form)
    if shown.startswith('"'):
        pairs.insert(0, shown)
        shown = ""
    moment = f"{at_ms / SECOND_MS:.3f}" if form.openmetrics else str(at_ms)
    return f"{shown}{{{','.join(pairs)}}} {value} {moment}\n"


def _bare(name: str, form: Form) -> str:
    if form.name_of is not None:
        return form.name_of(name)
    return name if is_plain(name) else quote(name)

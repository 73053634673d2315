"""From groups of addresses to targets: labels, relabelling, the URL and the moment of the scrape. Pure.

Source: Prometheus scrape/target.go (PopulateLabels, offset).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tocsin.ingest.naming import has_control, shown
from tocsin.ingest.scrape import relabel
from tocsin.ingest.scrape.job import ScrapeJob, TargetGroup
from tocsin.model.duration import Duration, format_ms
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels

ADDRESS = "__address__"
SCHEME = "__scheme__"
METRICS_PATH = "__metrics_path__"
INTERVAL = "__scrape_interval__"
TIMEOUT = "__scrape_timeout__"
PARAM = "__param_"
META = "__meta_"
PRIVATE = "__"

_NO_IDENTITY = (META, INTERVAL, TIMEOUT)
_INTERVAL_MIN_MS = 100
_NO_ADDRESS = re.compile(r"[/?#@\s\x00-\x1f\\]")


@dataclass(frozen=True, slots=True)
class Target:
    """One URL that is scraped.

    `labels` go onto each of its series; `identity` is all that tells it from other targets of the job, the
    private labels among them, but not how often it is scraped; `discovered` is what it was before relabelling.
    """

    job: str
    url: str
    labels: Labels
    identity: Labels
    discovered: Labels
    interval_ms: int
    timeout_ms: int

    @property
    def key(self) -> tuple[str, Labels]:
        return self.job, self.identity

    def offset_ms(self) -> int:
        """When it is scraped within its interval: a hash of what it is, so that a restart changes nothing."""
        return (Labels.of(self.identity, job=self.job).series_id() ^ _hash(self.url)) % self.interval_ms


@dataclass(frozen=True, slots=True)
class Dropped:
    """An address that is not scraped; `reason` is a sentence."""

    job: str
    discovered: Labels
    reason: str


def populate(job: ScrapeJob, groups: Iterable[TargetGroup]) -> tuple[list[Target], list[Dropped]]:
    """Each target once, in the order of the groups."""
    targets: dict[tuple[str, Labels], Target] = {}
    dropped: list[Dropped] = []
    for discovered in _discovered(job, groups):
        found = _populate(job, discovered)
        if isinstance(found, Dropped):
            dropped.append(found)
        else:
            targets.setdefault(found.key, found)
    return list(targets.values()), dropped


def _discovered(job: ScrapeJob, groups: Iterable[TargetGroup]) -> Iterator[dict[str, str]]:
    defaults = {
        "job": job.name,
        SCHEME: job.scheme,
        METRICS_PATH: job.metrics_path,
        INTERVAL: format_ms(job.interval_ms),
        TIMEOUT: format_ms(job.timeout_ms),
        **{PARAM + name: values[0] for name, values in job.params if values},
    }
    for group in groups:
        for address in group.targets:
            yield {**defaults, **dict(group.labels), ADDRESS: address}


def _populate(job: ScrapeJob, discovered: dict[str, str]) -> Target | Dropped:
    before = Labels.of(discovered)
    labels = relabel.apply(job.relabels, discovered)
    if labels is None:
        return Dropped(job.name, before, "A rule of relabel_configs dropped it.")
    try:
        interval_ms, timeout_ms = _times(labels)
        address = _address(labels)
        scheme = _scheme(labels)
        _check_labels(labels)
    except UserError as error:
        return Dropped(job.name, before, str(error))
    labels.setdefault("instance", address)
    return Target(
        job=job.name,
        url=f"{scheme}://{address}{_path(labels.get(METRICS_PATH, ''), _query(job, labels))}",
        labels=Labels.of((name, value) for name, value in labels.items() if not name.startswith(PRIVATE)),
        identity=Labels.of((name, value) for name, value in labels.items() if not name.startswith(_NO_IDENTITY)),
        discovered=before,
        interval_ms=interval_ms,
        timeout_ms=timeout_ms,
    )


def _address(labels: dict[str, str]) -> str:
    """Raises UserError."""
    address = labels.get(ADDRESS, "")
    if not address:
        raise UserError("It has no __address__ after relabelling.")
    if _NO_ADDRESS.search(address):
        raise UserError(f"Its __address__ must be HOST:PORT, and is {address!r:.80}.")
    return address


def _check_labels(labels: dict[str, str]) -> None:
    """Relabelling can make names and values that no series may have. Raises UserError."""
    for name, value in labels.items():
        if has_control(name) or "\0" in value:
            raise UserError(f"Its label {shown(name)} holds a control character.")


def _scheme(labels: dict[str, str]) -> str:
    """Raises UserError."""
    scheme = labels.get(SCHEME, "")
    if scheme not in ("http", "https"):
        raise UserError(f"Its __scheme__ must be http or https, and is {scheme!r:.80}.")
    return scheme


def _times(labels: dict[str, str]) -> tuple[int, int]:
    """(interval, time limit) in ms. Raises UserError."""
    try:
        interval_ms, timeout_ms = (int(Duration.parse(labels.get(name, ""))) for name in (INTERVAL, TIMEOUT))
    except UserError as error:
        raise UserError(f"Its interval or time limit is wrong: {error}") from error
    if interval_ms < _INTERVAL_MIN_MS or not 0 < timeout_ms <= interval_ms:
        raise UserError("Its __scrape_timeout__ must be above 0s and not above __scrape_interval__.")
    return interval_ms, timeout_ms


def _query(job: ScrapeJob, labels: dict[str, str]) -> list[tuple[str, str]]:
    """The job's parameters, the first value of each as relabelling left it."""
    params = {name: list(values) for name, values in job.params}
    for name, value in labels.items():
        if name.startswith(PARAM):
            params[name.removeprefix(PARAM)] = [value, *params.get(name.removeprefix(PARAM), [])[1:]]
    return [(name, value) for name, values in sorted(params.items()) for value in values]


def _path(path: str, query: list[tuple[str, str]]) -> str:
    """A path may bring a query of its own."""
    path = quote(path if path.startswith("/") else f"/{path}", safe="/%:@!$&'()*+,;=~?")
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def _hash(text: str) -> int:
    return Labels((("", text),)).series_id()

"""Where a job's requests go, and so the secrets that they bring. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tocsin.ingest.scrape.job import HttpDiscovery, HttpOptions, ScrapeJob
from tocsin.ingest.scrape.target import PRIVATE


@dataclass(frozen=True, slots=True)
class Destination:
    """`decided_by` is all that chooses the servers and how they prove who they are."""

    decided_by: tuple[object, ...]
    follows_redirects: bool
    trusts_anybody: bool

    def covers(self, later: Destination) -> bool:
        """Whether nothing of `later` may go where nothing of this went."""
        return (
            self.decided_by == later.decided_by
            and self.follows_redirects >= later.follows_redirects
            and self.trusts_anybody >= later.trusts_anybody
        )


def destinations(job: ScrapeJob) -> dict[str, Destination]:
    """By the path of the part whose secrets go there: the job itself (""), and each of its `http_sd_configs`."""
    services = [one for one in job.discoveries if isinstance(one, HttpDiscovery)]
    paths = service_paths(one.url for one in services)
    return {
        "": _destination(job.http, *_targets(job)),
        **{path: _destination(one.http, one.url) for path, one in zip(paths, services, strict=True)},
    }


def service_paths(urls: Iterable[str]) -> Iterator[str]:
    """Services are told apart by their URL, and by their order where several have the same."""
    seen: Counter[str] = Counter()
    for url in urls:
        seen[url] += 1
        yield f"http_sd_configs[{url}]." if seen[url] == 1 else f"http_sd_configs[{url}][{seen[url]}]."


def _targets(job: ScrapeJob) -> Iterator[object]:
    """Relabelling can make an address of any label; without it, the private ones alone count."""
    yield from (job.scheme, job.discoveries, job.relabels)
    for group in job.groups:
        yield group.targets
        yield tuple(label for label in group.labels if job.relabels or label[0].startswith(PRIVATE))
    if job.relabels:
        yield from (job.name, job.metrics_path, job.params)


def _destination(http: HttpOptions, *servers: object) -> Destination:
    tls = http.tls
    return Destination(
        (*servers, http.proxy_url, tls.ca, tls.ca_file, tls.server_name),
        http.follow_redirects,
        tls.insecure_skip_verify,
    )

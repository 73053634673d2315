"""What is scraped and how: frozen values, as the configuration describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tocsin.ingest.scrape.relabel import Relabel
from tocsin.model.duration import MINUTE_MS, SECOND_MS
from tocsin.runtime.tls import Tls

MASK = "<secret>"
"""What stands where a secret is not shown; sent back, it means the secret that is kept."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Given itself, or as the path of a file that is read anew from time to time."""

    text: str = field(default="", repr=False)
    file: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.file)


@dataclass(frozen=True, slots=True)
class BasicAuth:
    username: Secret
    password: Secret


@dataclass(frozen=True, slots=True)
class Authorization:
    """The header `Authorization: TYPE CREDENTIALS`."""

    credentials: Secret
    type: str = "Bearer"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How a server is asked, be it a target or a list of targets."""

    auth: BasicAuth | Authorization | None = None
    tls: Tls = field(default_factory=Tls)
    follow_redirects: bool = True
    proxy_url: str = field(default="", repr=False)
    headers: tuple[tuple[str, Secret], ...] = ()


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Addresses that share labels. `source` says where they were found."""

    targets: tuple[str, ...]
    labels: tuple[tuple[str, str], ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class FileDiscovery:
    """Files of target groups; the last part of each path may be a pattern."""

    files: tuple[str, ...]
    refresh_ms: int = 5 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class DnsDiscovery:
    """`port` is for all kinds but SRV, whose records bring their own."""

    names: tuple[str, ...]
    kind: str = "SRV"
    port: int = 0
    refresh_ms: int = 30 * SECOND_MS


@dataclass(frozen=True, slots=True)
class HttpDiscovery:
    """A URL that answers with target groups as JSON."""

    url: str
    http: HttpOptions = field(default_factory=HttpOptions)
    refresh_ms: int = MINUTE_MS


Discovery: TypeAlias = FileDiscovery | DnsDiscovery | HttpDiscovery


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one scrape; 0 means none. What breaks one fails the whole scrape, as in Prometheus."""

    samples: int = 0
    labels: int = 0
    name_chars: int = 0
    value_chars: int = 0
    targets: int = 0
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """One entry of `scrape_configs`. `written` is the entry as it was written, secrets and all."""

    name: str
    groups: tuple[TargetGroup, ...] = ()
    discoveries: tuple[Discovery, ...] = ()
    interval_ms: int = MINUTE_MS
    timeout_ms: int = 10 * SECOND_MS
    scheme: str = "http"
    metrics_path: str = "/metrics"
    params: tuple[tuple[str, tuple[str, ...]], ...] = ()
    honor_labels: bool = False
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    protocols: tuple[str, ...] = ()
    fallback_protocol: str = ""
    compression: bool = True
    http: HttpOptions = field(default_factory=HttpOptions)
    limits: Limits = field(default_factory=Limits)
    relabels: tuple[Relabel, ...] = ()
    metric_relabels: tuple[Relabel, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

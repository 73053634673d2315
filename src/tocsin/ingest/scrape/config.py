"""Prometheus' own configuration of scraping: `global` and `scrape_configs`.

A key that nobody knows is an error. A key of Prometheus that changes what is scraped, and is not supported
here, is an error of its own; sections that are about something else than scraping are passed over, and named.
Source: Prometheus, docs/configuration/configuration.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tocsin.ingest.naming import has_control
from tocsin.ingest.scrape.job import (
    Authorization,
    BasicAuth,
    DnsDiscovery,
    FileDiscovery,
    HttpDiscovery,
    HttpOptions,
    Limits,
    ScrapeJob,
    Secret,
    TargetGroup,
)
from tocsin.ingest.scrape.relabel import ANYTHING, Action, Relabel
from tocsin.model import document
from tocsin.model.document import FaultError, Node, Section, from_plain, parse_yaml
from tocsin.model.duration import SECOND_MS, format_ms
from tocsin.model.errors import UserError
from tocsin.runtime.dns import KINDS as DNS_KINDS
from tocsin.runtime.tls import VERSIONS, Tls

PROTOCOLS = {
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "PrometheusText1.0.0": "text/plain;version=1.0.0",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}
"""In the order of preference. Prometheus' protobuf form is not read."""

_PROTOBUF = "PrometheusProto"
_FILE_SIZE_MAX = 16 * 1024 * 1024
_JOB_NAME_CHARS_MAX = 200
_INTERVAL_MIN_MS = 100

_NOT_ABOUT_SCRAPING = frozenset(
    {"alerting", "rule_files", "remote_write", "remote_read", "storage", "tracing", "otlp", "runtime"}
)
_GLOBAL_NOT_ABOUT_SCRAPING = frozenset(
    {"evaluation_interval", "rule_query_offset", "external_labels", "query_log_file", "scrape_failure_log_file"}
)
_LIMITS = {
    "sample_limit": "samples",
    "label_limit": "labels",
    "label_name_length_limit": "name_chars",
    "label_value_length_limit": "value_chars",
    "target_limit": "targets",
}
_HISTOGRAMS = frozenset({"always_scrape_classic_histograms", "scrape_classic_histograms", "scrape_native_histograms"})
"""Text holds classic histograms alone, so these change nothing here."""
_GLOBAL = frozenset(
    {
        "scrape_interval",
        "scrape_timeout",
        "scrape_protocols",
        "body_size_limit",
        "keep_dropped_targets",
        "metric_name_validation_scheme",
        "metric_name_escaping_scheme",
        *_LIMITS,
        *_HISTOGRAMS,
        *_GLOBAL_NOT_ABOUT_SCRAPING,
    }
)
_HTTP = frozenset(
    {
        "basic_auth",
        "authorization",
        "bearer_token",
        "bearer_token_file",
        "tls_config",
        "follow_redirects",
        "enable_http2",
        "proxy_url",
        "http_headers",
    }
)
_JOB = (
    _GLOBAL - _GLOBAL_NOT_ABOUT_SCRAPING
    | _HTTP
    | {
        "job_name",
        "scheme",
        "metrics_path",
        "params",
        "honor_labels",
        "honor_timestamps",
        "track_timestamps_staleness",
        "fallback_scrape_protocol",
        "enable_compression",
        "static_configs",
        "file_sd_configs",
        "dns_sd_configs",
        "http_sd_configs",
        "relabel_configs",
        "metric_relabel_configs",
    }
)
_DISCOVERIES = (
    *("azure", "consul", "digitalocean", "docker", "dockerswarm", "ec2", "eureka", "gce", "hetzner", "ionos"),
    *("kubernetes", "kuma", "lightsail", "linode", "marathon", "nerve", "nomad", "openstack", "ovhcloud", "puppetdb"),
    *("scaleway", "serverset", "stackit", "triton", "uyuni", "vultr"),
)
_SUPPORTED = "static_configs, file_sd_configs, dns_sd_configs or http_sd_configs"
_REFUSED_HTTP = {
    "oauth2": "oauth2 is not supported; use authorization with a token.",
    "no_proxy": "no_proxy is not supported; set proxy_url in the jobs that need it.",
    "proxy_from_environment": "proxy_from_environment is not supported; set proxy_url.",
    "proxy_connect_header": "proxy_connect_header is not supported.",
}
_REFUSED_JOB = {
    **{f"{name}_sd_configs": f"{name}_sd_configs is not supported; use {_SUPPORTED}." for name in _DISCOVERIES},
    **{
        name: f"{name} is not supported: native histograms are not read."
        for name in ("native_histogram_bucket_limit", "native_histogram_min_bucket_factor")
    },
    "convert_classic_histograms_to_nhcb": "convert_classic_histograms_to_nhcb is not supported.",
    **_REFUSED_HTTP,
}
_SD_FILE = re.compile(r"[^*]*(\*[^/*]*)*\.(json|yml|yaml)", re.IGNORECASE)
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILES_REFUSED = "A job that is made here cannot name files of the server; give the text itself with {}."


@dataclass(frozen=True, slots=True)
class ScrapeConfig:
    """`passed_over` names the sections that say nothing about scraping."""

    jobs: tuple[ScrapeJob, ...] = ()
    passed_over: tuple[str, ...] = ()


def read_config(path: Path) -> ScrapeConfig:
    """The file as it is now. Raises UserError that names file, line and column."""
    text = read_text(path)
    try:
        return parse_config(text, path.parent)
    except FaultError as error:
        raise error.named(str(path)) from error


def read_text(path: Path) -> str:
    """Raises UserError."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(_FILE_SIZE_MAX + 1)
        if len(raw) > _FILE_SIZE_MAX:
            raise UserError(f"{path} is larger than {_FILE_SIZE_MAX} bytes.")
        return raw.decode()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text.") from error


def parse_config(text: str, folder: Path) -> ScrapeConfig:
    """Relative paths begin at `folder`. Raises FaultError."""
    refused = {"scrape_config_files": "scrape_config_files is not supported; write all jobs into this file."}
    root = Section(parse_yaml(text), frozenset({"global", "scrape_configs"}) | _NOT_ABOUT_SCRAPING, refused)
    common = _global(root)
    jobs: dict[str, ScrapeJob] = {}
    for node in root.items("scrape_configs"):
        job = _Reader(folder).job(node, common)
        if job.name in jobs:
            raise FaultError(node.place, f"There are two jobs named {job.name!r}.")
        jobs[job.name] = job
    over = [key for key in root.node.entries if key in _NOT_ABOUT_SCRAPING]
    inner = root.get("global")
    if inner is not None:
        over += [f"global.{key}" for key in inner.entries if key in _GLOBAL_NOT_ABOUT_SCRAPING]
    return ScrapeConfig(tuple(jobs.values()), tuple(over))


def parse_job(written: Mapping[str, Any]) -> ScrapeJob:
    """A job as JSON, which may name no files of this server. Raises UserError whose field is the wrong key's path."""
    return _Reader(None).job(from_plain(written), ScrapeJob(""))


def _global(root: Section) -> ScrapeJob:
    """What holds for each job that does not say otherwise."""
    node = root.get("global")
    if node is None:
        return ScrapeJob("")
    section = Section(node, _GLOBAL)
    return replace(_common(section, ScrapeJob("")), name="")


def _common(section: Section, default: ScrapeJob) -> ScrapeJob:
    """The keys that both `global` and a job have."""
    interval_ms = section.read("scrape_interval", document.duration_ms, default.interval_ms)
    if interval_ms < _INTERVAL_MIN_MS:
        section.fail(f"scrape_interval must be at least {format_ms(_INTERVAL_MIN_MS)}.", "scrape_interval")
    timeout_ms = section.read("scrape_timeout", document.duration_ms, 0)
    if timeout_ms > interval_ms:
        section.fail(
            f"scrape_timeout must not be longer than scrape_interval, which is {format_ms(interval_ms)}.",
            "scrape_timeout",
        )
    limits = {name: section.read(key, document.count, getattr(default.limits, name)) for key, name in _LIMITS.items()}
    limits["body_bytes"] = section.read("body_size_limit", document.size, default.limits.body_bytes)
    scheme = section.text("metric_name_validation_scheme", "utf8")
    if scheme != "utf8":
        section.fail("Only utf8 is supported: every name that a target has is kept.", "metric_name_validation_scheme")
    return replace(
        default,
        interval_ms=interval_ms,
        timeout_ms=timeout_ms or min(default.timeout_ms, interval_ms),
        protocols=_protocols(section) or default.protocols,
        limits=Limits(**limits),
    )


def _protocols(section: Section) -> tuple[str, ...]:
    wanted = section.texts("scrape_protocols")
    for name in wanted:
        if name not in PROTOCOLS and name != _PROTOBUF:
            section.fail(f"There is no protocol {name!r}; there are {', '.join(PROTOCOLS)}.", "scrape_protocols")
    known = tuple(name for name in wanted if name != _PROTOBUF)
    if wanted and not known:
        section.fail("Prometheus' protobuf form is not supported; add PrometheusText0.0.4.", "scrape_protocols")
    return known


class _Reader:
    """Jobs, from a file in `folder`, or (None) from the API, whose jobs may name no files."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def job(self, node: Node, common: ScrapeJob) -> ScrapeJob:
        section = Section(node, _JOB, _REFUSED_JOB)
        name = section.text("job_name")
        if not name:
            section.fail("A job needs a job_name.", "job_name")
        if len(name) > _JOB_NAME_CHARS_MAX or has_control(name):
            section.fail(f"A job_name may have {_JOB_NAME_CHARS_MAX} characters, and no control ones.", "job_name")
        fallback = section.text("fallback_scrape_protocol")
        if fallback and fallback not in PROTOCOLS:
            section.fail(
                f"There is no protocol {fallback!r}; there are {', '.join(PROTOCOLS)}.", "fallback_scrape_protocol"
            )
        return replace(
            _common(section, common),
            name=name,
            scheme=_one_of(section, "scheme", ("http", "https"), "http"),
            metrics_path=section.text("metrics_path") or "/metrics",
            params=_params(section),
            honor_labels=section.read("honor_labels", document.flag, False),  # noqa: FBT003 - a default
            honor_timestamps=section.read("honor_timestamps", document.flag, True),  # noqa: FBT003
            track_timestamps_staleness=section.read("track_timestamps_staleness", document.flag, False),  # noqa: FBT003
            fallback_protocol=fallback,
            compression=section.read("enable_compression", document.flag, True),  # noqa: FBT003
            http=self._http(section),
            groups=tuple(static_groups(section)),
            discoveries=(
                *map(self._files, section.items("file_sd_configs")),
                *map(_dns, section.items("dns_sd_configs")),
                *map(self._service, section.items("http_sd_configs")),
            ),
            relabels=tuple(map(_relabel, section.items("relabel_configs"))),
            metric_relabels=tuple(map(_relabel, section.items("metric_relabel_configs"))),
            written=node.plain(),
        )

    def _files(self, node: Node) -> FileDiscovery:
        section = Section(node, frozenset({"files", "refresh_interval"}))
        if self._folder is None:
            section.fail(_FILES_REFUSED.format("static_configs"))
        for path in section.items("files"):
            if not _SD_FILE.fullmatch(document.text(path)):
                raise FaultError(
                    path.place, "A file must end in .json, .yml or .yaml; * may stand in its last part alone."
                )
        if not section.texts("files"):
            section.fail("file_sd_configs needs files.", "files")
        return FileDiscovery(
            tuple(map(self._path, section.texts("files"))), _refresh_ms(section, FileDiscovery(()).refresh_ms)
        )

    def _service(self, node: Node) -> HttpDiscovery:
        section = Section(node, _HTTP | {"url", "refresh_interval"}, _REFUSED_HTTP)
        url = section.text("url")
        if not _is_http(url):
            section.fail("http_sd_configs needs a url such as http://inventory/targets.", "url")
        if "@" in urlsplit(url).netloc:  # the URL is shown, in errors and as a label
            section.fail("A url is shown to everybody: put its name and password into basic_auth.", "url")
        return HttpDiscovery(url, self._http(section), _refresh_ms(section, HttpDiscovery("").refresh_ms))

    def _http(self, section: Section) -> HttpOptions:
        return HttpOptions(
            auth=self._auth(section),
            tls=section.read("tls_config", self._tls, Tls()),
            follow_redirects=section.read("follow_redirects", document.flag, True),  # noqa: FBT003
            proxy_url=_proxy_url(section),
            headers=tuple(self._headers(section)),
        )

    def _auth(self, section: Section) -> BasicAuth | Authorization | None:
        bearer = self._secret(section, "bearer_token")
        given = [key for key in ("basic_auth", "authorization") if section.get(key) is not None]
        if len(given) + bool(bearer) > 1:
            section.fail("Give one of basic_auth, authorization and bearer_token.", given[0])
        if bearer:
            return Authorization(bearer)
        if (node := section.get("basic_auth")) is not None:
            inner = Section(node, frozenset({"username", "username_file", "password", "password_file"}))
            return BasicAuth(self._secret(inner, "username"), self._secret(inner, "password"))
        if (node := section.get("authorization")) is not None:
            inner = Section(node, frozenset({"type", "credentials", "credentials_file"}))
            kind = inner.text("type").strip() or "Bearer"
            if kind.lower() == "basic":
                inner.fail("Use basic_auth for that.", "type")
            return Authorization(self._secret(inner, "credentials"), kind)
        return None

    def _tls(self, node: Node) -> Tls:
        names = {"ca", "cert", "key"}
        known = names | {f"{name}_file" for name in names}
        section = Section(
            node, frozenset(known | {"server_name", "insecure_skip_verify", "min_version", "max_version"})
        )
        parts: dict[str, str] = {}
        for name in sorted(names):
            given = self._secret(section, name)
            parts |= {name: given.text, f"{name}_file": given.file}
        if bool(parts["cert"] or parts["cert_file"]) != bool(parts["key"] or parts["key_file"]):
            section.fail("A client certificate needs both cert and key.")
        for key in ("min_version", "max_version"):
            _one_of(section, key, ("", *VERSIONS), "")
        return Tls(
            **parts,
            server_name=section.text("server_name"),
            insecure_skip_verify=section.read("insecure_skip_verify", document.flag, False),  # noqa: FBT003
            min_version=section.text("min_version"),
            max_version=section.text("max_version"),
        )

    def _headers(self, section: Section) -> Iterator[tuple[str, Secret]]:
        node = section.get("http_headers")
        for name, inner in (document.mapping(node) if node is not None else {}).items():
            if name.lower() in _OWN_HEADERS or not _HEADER_NAME.fullmatch(name):
                raise FaultError(inner.place, f"The header {name!r} cannot be set.")
            part = Section(inner, frozenset({"values", "secrets", "files"}))
            if part.get("files") is not None and self._folder is None:
                part.fail(_FILES_REFUSED.format("secrets"), "files")
            for value in (*part.texts("values"), *part.texts("secrets")):
                yield name, Secret(value)
            for path in part.texts("files"):
                yield name, Secret(file=self._path(path))

    def _secret(self, section: Section, key: str) -> Secret:
        """`key`, or the file that `key_file` names."""
        text, path = section.text(key), section.text(f"{key}_file")
        if text and path:
            section.fail(f"Give one of {key} and {key}_file.", f"{key}_file")
        if path and self._folder is None:
            section.fail(_FILES_REFUSED.format(key), f"{key}_file")
        return Secret(text, self._path(path) if path else "")

    def _path(self, path: str) -> str:
        assert self._folder is not None
        return str(self._folder / path)


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset(
    {"authorization", "host", "accept", "accept-encoding", "user-agent", "content-length", "connection"}
    | {"transfer-encoding", "x-prometheus-scrape-timeout-seconds"}
)


def _dns(node: Node) -> DnsDiscovery:
    section = Section(node, frozenset({"names", "type", "port", "refresh_interval"}))
    names = section.texts("names")
    if not all(names) or not names:
        section.fail("dns_sd_configs needs names.", "names")
    kind = section.text("type", "SRV").upper() or "SRV"
    if kind not in DNS_KINDS:
        section.fail(f"type must be one of {', '.join(DNS_KINDS)}.", "type")
    port = section.read("port", document.count, 0)
    if kind != "SRV" and not 0 < port < 65_536:
        section.fail(f"Records of type {kind} name no port; give one.", "port")
    return DnsDiscovery(names, kind, port, _refresh_ms(section, DnsDiscovery(()).refresh_ms))


def _refresh_ms(section: Section, default: int) -> int:
    refresh_ms = section.read("refresh_interval", document.duration_ms, default)
    if refresh_ms < SECOND_MS:
        section.fail("refresh_interval must be at least 1s.", "refresh_interval")
    return refresh_ms


def _one_of(section: Section, key: str, choices: tuple[str, ...], default: str) -> str:
    value = section.text(key, default) or default
    if value not in choices:
        section.fail(f"{key} must be one of {', '.join(filter(None, choices))}.", key)
    return value


def _proxy_url(section: Section) -> str:
    url = section.text("proxy_url")
    if url and not _is_http(url):
        section.fail("proxy_url must be like http://proxy:3128.", "proxy_url")
    return url


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False


def _params(section: Section) -> tuple[tuple[str, tuple[str, ...]], ...]:
    node = section.get("params")
    if node is None:
        return ()
    return tuple(
        (name, tuple(map(document.text, document.items(value)))) for name, value in document.mapping(node).items()
    )


def static_groups(section: Section) -> Iterator[TargetGroup]:
    for at, node in enumerate(section.items("static_configs")):
        yield target_group(node, f"static {at}")


def target_group(node: Node, source: str) -> TargetGroup:
    """`{"targets": [...], "labels": {...}}`, as files and HTTP services list them too. Raises FaultError."""
    section = Section(node, frozenset({"targets", "labels"}))
    targets = section.texts("targets")
    for one, address in zip(section.items("targets"), targets, strict=True):
        if not address or "/" in address:
            raise FaultError(
                one.place, f"A target is HOST:PORT, and is {address!r:.80}; scheme and path have keys of their own."
            )
    labels = document.mapping(found) if (found := section.get("labels")) is not None else {}
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise FaultError(value.place, f"{name!r:.80} is no name for a label.")
    return TargetGroup(targets, tuple((name, document.text(value)) for name, value in labels.items()), source)


_RELABEL = frozenset({"source_labels", "separator", "regex", "modulus", "target_label", "replacement", "action"})


def _relabel(node: Node) -> Relabel:
    section = Section(node, _RELABEL)
    word = section.text("action", "replace").lower()
    if word not in tuple(Action):
        section.fail(f"There is no action {word!r:.80}; there are {', '.join(Action)}.", "action")
    try:
        return Relabel(
            action=Action(word),
            source_labels=section.texts("source_labels"),
            separator=section.text("separator", ";"),
            regex=section.text("regex", ANYTHING),
            modulus=section.read("modulus", document.count, 0),
            target_label=section.text("target_label"),
            replacement=section.text("replacement", "$1"),
        )
    except FaultError:
        raise
    except UserError as error:
        section.fail(str(error), error.field or "")

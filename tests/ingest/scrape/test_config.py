from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.scrape.config import parse_config, parse_job, read_config
from tocsin.ingest.scrape.job import (
    Authorization,
    BasicAuth,
    DnsDiscovery,
    FileDiscovery,
    HttpDiscovery,
    HttpOptions,
    ScrapeJob,
    Secret,
    TargetGroup,
)
from tocsin.ingest.scrape.relabel import Action, Relabel
from tocsin.model.document import FaultError
from tocsin.model.errors import UserError

FOLDER = Path("/etc/tocsin")


def jobs(text: str) -> tuple[ScrapeJob, ...]:
    return parse_config(text, FOLDER).jobs


def job(body: str) -> ScrapeJob:
    """One job; `body` is indented by four."""
    (one,) = jobs(f"scrape_configs:\n  - job_name: node\n{body}")
    return one


EVERYTHING = """
global:
  scrape_interval: 15s
  scrape_timeout: 5s
  sample_limit: 1000
  external_labels: {region: north}
  evaluation_interval: 30s
rule_files: [rules.yml]
remote_write:
  - url: http://elsewhere/
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["a:9100", b:9100]
        labels: {rack: 7, "on": true}
      - targets: [c:9100]
  - job_name: app
    scrape_interval: 1m30s
    scrape_timeout: 20s
    scheme: https
    metrics_path: /stats
    params: {module: [a, b], x: [y]}
    honor_labels: true
    honor_timestamps: false
    track_timestamps_staleness: true
    enable_compression: false
    follow_redirects: false
    body_size_limit: 10MB
    sample_limit: 0
    label_limit: 30
    label_name_length_limit: 40
    label_value_length_limit: 50
    target_limit: 60
    scrape_protocols: [PrometheusProto, PrometheusText0.0.4]
    fallback_scrape_protocol: OpenMetricsText1.0.0
    basic_auth: {username: u, password_file: secret/pw}
    proxy_url: http://proxy:3128
    http_headers:
      X-Scope: {values: [one], secrets: [two], files: [three]}
    tls_config: {ca_file: ca.pem, server_name: inside, insecure_skip_verify: true, min_version: TLS13}
    relabel_configs:
      - source_labels: [__address__]
        regex: (.*):.*
        target_label: host
    metric_relabel_configs:
      - {action: drop, source_labels: [__name__], regex: go_.*}
"""


def test_a_whole_file_is_read() -> None:
    config = parse_config(EVERYTHING, FOLDER)
    node, app = config.jobs
    assert config.passed_over == (
        "rule_files",
        "remote_write",
        "global.external_labels",
        "global.evaluation_interval",
    )
    assert (node.name, node.interval_ms, node.timeout_ms, node.limits.samples) == ("node", 15_000, 5_000, 1_000)
    assert node.groups == (
        TargetGroup(("a:9100", "b:9100"), (("rack", "7"), ("on", "true")), "static 0"),
        TargetGroup(("c:9100",), (), "static 1"),
    )
    assert (app.interval_ms, app.timeout_ms, app.scheme, app.metrics_path) == (90_000, 20_000, "https", "/stats")
    assert app.params == (("module", ("a", "b")), ("x", ("y",)))
    assert (app.honor_labels, app.honor_timestamps, app.track_timestamps_staleness) == (True, False, True)
    assert (app.compression, app.http.follow_redirects) == (False, False)
    limits = app.limits
    assert (limits.body_bytes, limits.samples, limits.labels) == (10 * 2**20, 0, 30)
    assert (limits.name_chars, limits.value_chars, limits.targets) == (40, 50, 60)
    assert (app.protocols, app.fallback_protocol) == (("PrometheusText0.0.4",), "OpenMetricsText1.0.0")
    assert app.http.auth == BasicAuth(Secret("u"), Secret(file="/etc/tocsin/secret/pw"))
    assert app.http.proxy_url == "http://proxy:3128"
    assert app.http.headers == (
        ("X-Scope", Secret("one")),
        ("X-Scope", Secret("two")),
        ("X-Scope", Secret(file="/etc/tocsin/three")),
    )
    assert (app.http.tls.ca_file, app.http.tls.server_name) == ("/etc/tocsin/ca.pem", "inside")
    assert (app.http.tls.insecure_skip_verify, app.http.tls.min_version) == (True, "TLS13")
    assert app.relabels == (Relabel(source_labels=("__address__",), regex="(.*):.*", target_label="host"),)
    assert app.metric_relabels == (Relabel(Action.DROP, ("__name__",), regex="go_.*"),)


def test_defaults_are_those_of_prometheus() -> None:
    plain = job("")
    assert plain == ScrapeJob("node")
    assert (plain.interval_ms, plain.timeout_ms, plain.scheme, plain.metrics_path) == (
        60_000,
        10_000,
        "http",
        "/metrics",
    )


def test_the_time_limit_follows_an_interval_that_is_shorter() -> None:
    assert job("    scrape_interval: 3s\n").timeout_ms == 3_000


@pytest.mark.parametrize("text", ["", "# nothing\n", "global:\n", "scrape_configs:\n", "scrape_configs: []"])
def test_an_empty_file_has_no_jobs(text: str) -> None:
    assert jobs(text) == ()


def test_a_value_without_text_is_the_default() -> None:
    assert job("    metrics_path:\n    params:\n    honor_labels:\n") == ScrapeJob("node")


def test_targets_may_be_looked_for() -> None:
    made = job("""
    file_sd_configs:
      - files: [targets/*.json, /srv/other.yml]
    dns_sd_configs:
      - names: [_http._tcp.example.org]
      - {names: [a, b], type: a, port: 9100, refresh_interval: 1m}
    http_sd_configs:
      - {url: "https://inventory/targets", bearer_token: t, follow_redirects: false}
""")
    assert made.discoveries == (
        FileDiscovery(("/etc/tocsin/targets/*.json", "/srv/other.yml"), 300_000),
        DnsDiscovery(("_http._tcp.example.org",), "SRV", 0, 30_000),
        DnsDiscovery(("a", "b"), "A", 9100, 60_000),
        HttpDiscovery(
            "https://inventory/targets",
            HttpOptions(auth=Authorization(Secret("t")), follow_redirects=False),
            60_000,
        ),
    )


def test_an_empty_replacement_is_not_the_default() -> None:
    (rule,) = job("    relabel_configs:\n      - {target_label: a, replacement: ''}\n").relabels
    assert rule.replacement == ""


def test_a_bearer_token_is_an_authorization() -> None:
    assert job("    bearer_token: t\n").http.auth == Authorization(Secret("t"))
    assert job("    authorization: {type: Token, credentials_file: /run/t}\n").http.auth == Authorization(
        Secret(file="/run/t"), "Token"
    )


def test_aliases_and_merges_are_written_out() -> None:
    text = """
scrape_configs:
  - &one
    job_name: a
    scrape_interval: 5s
  - <<: *one
    job_name: b
"""
    assert [(one.name, one.interval_ms) for one in jobs(text)] == [("a", 5_000), ("b", 5_000)]


@pytest.mark.parametrize(
    ("body", "line", "column", "said"),
    [
        ("    scrape_intervall: 5s\n", 3, 5, "did you mean scrape_interval?"),
        ("    xyzzy: 5s\n", 3, 5, "There is no key 'xyzzy'"),
        ("    file_sd_configs:\n      - files: [a.txt]\n", 4, 17, "must end in .json, .yml or .yaml"),
        ("    file_sd_configs:\n      - files: ['*/a.yml']\n", 4, 17, "its last part alone"),
        ("    file_sd_configs:\n      - {}\n", 4, 9, "needs files"),
        ("    dns_sd_configs:\n      - {names: [a], type: A}\n", 4, 9, "name no port; give one"),
        ("    dns_sd_configs:\n      - {names: [a], type: TXT}\n", 4, 22, "one of A, AAAA, SRV, MX, NS"),
        ("    dns_sd_configs:\n      - {names: a}\n", 4, 17, "must be a list"),
        ("    http_sd_configs:\n      - {url: inventory}\n", 4, 10, "needs a url such as"),
        ("    http_sd_configs:\n      - {url: 'http://u:p@a/'}\n", 4, 10, "into basic_auth"),
        ("    http_sd_configs:\n      - {url: http://a/, refresh_interval: 1ms}\n", 4, 26, "at least 1s"),
        ("    http_sd_configs:\n      - {url: http://a/, no_proxy: x}\n", 4, 26, "no_proxy is not supported"),
        ("    kubernetes_sd_configs: []\n", 3, 5, "kubernetes_sd_configs is not supported"),
        ("    oauth2: {}\n", 3, 5, "oauth2 is not supported"),
        ("    scrape_interval: soon\n", 3, 22, "'soon' is not a duration"),
        (
            "    scrape_interval: 5s\n    scrape_timeout: 6s\n",
            4,
            5,
            "must not be longer than scrape_interval, which is 5s",
        ),
        ("    scrape_interval: 0s\n", 3, 5, "at least 100ms"),
        ("    scheme: ftp\n", 3, 5, "one of http, https"),
        ("    honor_labels: maybe\n", 3, 19, "true or false, and is 'maybe'"),
        ("    sample_limit: -1\n", 3, 19, "whole number"),
        ("    body_size_limit: 5 apples\n", 3, 22, "is not a size"),
        ("    params: [a]\n", 3, 13, "must be a map, and is a list"),
        ("    static_configs:\n      - targets: a:1\n", 4, 18, "must be a list, and is 'a:1'"),
        ("    static_configs:\n      - targets: [http://a/]\n", 4, 19, "A target is HOST:PORT"),
        ("    static_configs:\n      - labels: {a b: c}\n", 4, 23, "no name for a label"),
        ("    relabel_configs:\n      - {action: jump}\n", 4, 10, "no action 'jump'; there are replace, keep"),
        ("    relabel_configs:\n      - action: keep\n        regex: (\n", 5, 9, "not a regular expression"),
        ("    relabel_configs:\n      - action: hashmod\n        target_label: a\n", 4, 9, "needs a modulus"),
        ("    basic_auth: {user: a}\n", 3, 18, "did you mean username?"),
        ("    basic_auth: {password: a, password_file: b}\n", 3, 31, "one of password and password_file"),
        ("    basic_auth: {}\n    bearer_token: x\n", 3, 5, "one of basic_auth, authorization and bearer_token"),
        ("    authorization: {type: Basic}\n", 3, 21, "Use basic_auth"),
        ("    tls_config: {cert_file: a}\n", 3, 17, "both cert and key"),
        ("    tls_config: {min_version: TLS10}\n", 3, 18, "one of TLS12, TLS13"),
        ("    proxy_url: proxy\n", 3, 5, "proxy_url must be like"),
        ("    http_headers: {Host: {values: [a]}}\n", 3, 26, "'Host' cannot be set"),
        ("    scrape_protocols: [Morse]\n", 3, 5, "no protocol 'Morse'"),
        ("    scrape_protocols: [PrometheusProto]\n", 3, 5, "not supported"),
        ("    metric_name_validation_scheme: legacy\n", 3, 5, "Only utf8"),
        ("    scheme: http\n    scheme: https\n", 4, 5, "stands there twice"),
        ("    scheme: [\n", 4, 1, "This is not YAML"),
        ("  - job_name: node\n", 3, 5, "two jobs named 'node'"),
        ("  - scheme: http\n", 3, 5, "needs a job_name"),
    ],
)
def test_a_mistake_is_named_with_its_place(body: str, line: int, column: int, said: str) -> None:
    with pytest.raises(FaultError) as caught:
        job(body)
    assert said in str(caught.value)
    assert (caught.value.place.line, caught.value.place.column) == (line, column)


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text("global:\n  scrape_intervals: 5s\n")
    with pytest.raises(UserError, match=r"prometheus.yml, line 2, column 3: global.scrape_intervals: There is no key"):
        read_config(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read .*none.yml: No such file"):
        read_config(tmp_path / "none.yml")


def test_a_few_lines_that_stand_for_billions_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 12)]
    with pytest.raises(FaultError, match="too large or too deep"):
        jobs("\n".join(lines))


def test_a_list_that_holds_itself_is_refused() -> None:
    with pytest.raises(FaultError, match="too large or too deep"):
        jobs("scrape_configs: &a [*a]")


def test_a_job_of_the_api_is_the_same_as_json() -> None:
    made = parse_job({"job_name": "a", "scrape_interval": "5s", "static_configs": [{"targets": ["x:1"]}]})
    assert made == ScrapeJob("a", interval_ms=5_000, timeout_ms=5_000, groups=(TargetGroup(("x:1",), (), "static 0"),))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("basic_auth", {"username": "u", "password_file": "/etc/shadow"}),
        ("file_sd_configs", [{"files": ["/etc/passwd.yml"]}]),
        ("http_sd_configs", [{"url": "http://a/", "bearer_token_file": "/etc/shadow"}]),
        ("authorization", {"credentials_file": "/etc/shadow"}),
        ("bearer_token_file", "/etc/shadow"),
        ("tls_config", {"ca_file": "/etc/shadow"}),
        ("http_headers", {"X-A": {"files": ["/etc/shadow"]}}),
    ],
)
def test_a_job_of_the_api_names_no_files_of_the_server(key: str, value: object) -> None:
    with pytest.raises(UserError, match="cannot name files of the server"):
        parse_job({"job_name": "a", key: value})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"static_configs": [{"targets": ["a:1"], "labels": {"x": "\ud800"}}]}, "static_configs[0].labels.x"),
        ({"metrics_path": "\ud800"}, "metrics_path"),
        ({"params": {"\ud800": ["x"]}}, "params.?"),
        ({"params": {"x": ["\0"]}}, "params.x[0]"),
        ({"job_name": "a\nb"}, "job_name"),
        ({"proxy_url": "http://proxy:port"}, "proxy_url"),
        ({"proxy_url": "http://["}, "proxy_url"),
        ({"http_sd_configs": [{"url": "http://["}]}, "http_sd_configs[0].url"),
    ],
)
def test_text_that_fits_nowhere_is_refused_at_once(changes: dict[str, object], field: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_job({"job_name": "a", **changes})
    assert caught.value.field == field


def test_json_that_is_too_deep_is_refused() -> None:
    deep: object = "x"
    for _ in range(500):
        deep = [deep]
    with pytest.raises(UserError, match="too large or too deep"):
        parse_job({"job_name": "a", "params": {"x": deep}})


def test_a_mistake_in_json_is_named_by_its_path() -> None:
    with pytest.raises(UserError) as caught:
        parse_job({"job_name": "a", "static_configs": [{"targets": ["x:1"], "lables": {}}]})
    assert caught.value.field == "static_configs[0].lables"
    assert "did you mean labels?" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["targets", "labels", "job_name", "regex", "action", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [
        *("job_name", "static_configs", "params", "relabel_configs", "basic_auth", "tls_config", "http_headers"),
        *("file_sd_configs", "dns_sd_configs", "http_sd_configs", "scheme", "scrape_interval", "body_size_limit"),
        *("sample_limit", "honor_labels", "proxy_url", "authorization"),
    ]
)


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_whatever_is_sent_is_a_job_or_a_sentence(written: dict[str, object]) -> None:
    with suppress(UserError):
        assert parse_job({"job_name": "a", **written}).name

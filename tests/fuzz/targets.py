"""What bytes from outside may do to each parser: be read, or be refused as the input's fault, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from tests.support.remote_write import Sent, metadata_v1, request_v1, request_v2

from tocsin.api.bodies import unpack
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire import (
    collectd,
    csv_rows,
    exposition,
    graphite,
    influx,
    json_lines,
    json_push,
    otlp,
    otlp_weight,
    remote_write,
    statsd,
)
from tocsin.ingest.wire.otlp_deltas import DeltaStreams
from tocsin.ingest.wire.remote_known import KnownSeries, Version
from tocsin.model.errors import LimitError, UserError
from tocsin.model.templates.expand import AlertData, Wanted, expand
from tocsin.model.templates.limits import OUTPUT_MAX
from tocsin.model.templates.values import TemplateSample
from tocsin.promql.outline import outline
from tocsin.promql.parse import parse
from tocsin.promql.text import pretty, text_of
from tocsin.rules.dump import dump
from tocsin.rules.load import load
from tocsin.rules.testing.suite import parse_suite
from tocsin.runtime.telemetry import Telemetry

LIMITS = IngestSettings()
NOW_MS = 1_800_000_000_000
UNPACKED_MAX = 1 << 20

_SENT = [
    Sent(
        (("__name__", "up"), ("job", "a")), [(NOW_MS, 1.5), (NOW_MS + 1, 0.0)], exemplars=1, info=(1, "help", "seconds")
    ),
    Sent((("__name__", "ñ"), ("b", "x" * 200)), [(-5, float("nan"))], histograms=1),
]


@dataclass(frozen=True, slots=True)
class Target:
    """`run` raises where the parser does what it must not; `seeds` are good inputs to begin with."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def sound(rows: Rows, refused: tuple[Rejection, ...] | list[Rejection] = ()) -> None:
    """Columns of one length, labels that exist, and no sample both taken and refused."""
    count = len(rows.times)
    assert len(rows.values) == len(rows.which) == len(rows.index) == count
    assert not count or (rows.which.min() >= 0 and rows.which.max() < len(rows.series))
    for at in np.unique(rows.which).tolist():
        labels = rows.series[at]
        assert labels.name
        assert len(labels.pairs) <= LIMITS.labels_max + 1
        assert all(name.encode() and value.encode() for name, value in labels)
    assert not set(rows.index.tolist()) & {one.index for one in refused}


def _remote(version: Version) -> Callable[[bytes], None]:
    thorough = remote_write.parse_v1 if version == 1 else remote_write.parse_v2
    known = KnownSeries(LIMITS, seed=1, bytes_max=1 << 20)

    def run(body: bytes) -> None:
        wanted, found = _outcome(lambda: thorough(body, LIMITS)), _outcome(lambda: known.read(version, body))
        assert _comparable(wanted) == _comparable(found)

    return run


def _outcome(read: Callable[[], remote_write.Written]) -> remote_write.Written | Exception:
    try:
        return read()
    except (UserError, LimitError) as error:
        return error


def _comparable(found: remote_write.Written | Exception) -> object:
    if isinstance(found, Exception):
        return type(found), str(found)
    sound(found.rows, found.refused)
    rows = found.rows
    series = [rows.series[at] for at in rows.which.tolist()]
    columns = rows.times.tolist(), rows.values.view(np.uint64).tolist(), rows.index.tolist()
    return series, columns, found.refused, found.sent, found.exemplars


def _text(openmetrics: bool) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        memory = exposition.shared_memory(LIMITS)
        found = exposition.parse(body, NOW_MS, LIMITS, memory, openmetrics=openmetrics)
        sound(found.rows, found.rejected)

    return run


def _otlp(as_json: bool) -> Callable[[bytes], None]:
    deltas = DeltaStreams(Telemetry(), streams_max=1_000)

    def run(body: bytes) -> None:
        sound(otlp.parse(body, NOW_MS, LIMITS, deltas.of("fuzz"), as_json).rows)

    return run


def _influx(body: bytes) -> None:
    sound(influx.parse(body, NOW_MS, LIMITS).rows)  # a line of which one field is refused is not refused as a whole


def _json_lines(body: bytes) -> None:
    sound(json_lines.parse(body, NOW_MS, LIMITS).rows)  # as may be a line of many samples


def _csv(form: str) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        sound(csv_rows.parse(body, NOW_MS, LIMITS, form=form).rows)

    return run


def _collectd(body: bytes) -> None:
    sound(collectd.parse(body, LIMITS).rows)


def _otlp_weight(body: bytes) -> None:
    otlp_weight.Count(body, LIMITS.samples_max).walk(0, len(body), "request", 0)


def _statsd(datagram: bytes) -> None:
    read = statsd.parse(datagram)
    for each in read.readings:
        statsd.labels_of(each.series, LIMITS)


def _pair(parse: Callable[[bytes, int, IngestSettings], tuple[Rows, tuple[Rejection, ...]]]) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        sound(*parse(body, NOW_MS, LIMITS))

    return run


def _packed(body: bytes) -> None:
    """The first byte chooses the encoding."""
    encoding = ("gzip", "deflate", "snappy", "zstd")[body[0] % 4] if body else "gzip"
    assert len(unpack(body[1:], UNPACKED_MAX, encoding)) <= UNPACKED_MAX


def _promql(body: bytes) -> None:
    """What is read is written, laid out and drawn, and what is written is read as it was."""
    tree = parse(body.decode(errors="replace"))
    written = text_of(tree)
    assert text_of(parse(written)) == written
    assert text_of(parse(pretty(tree))) == written
    json.dumps(outline(tree))


def _rules(body: bytes) -> None:
    """Every place is one of the file; what is read is read again as it is written out."""
    text = body.decode(errors="replace")
    loaded = load(text, "r.yml")
    lines = text.splitlines()
    for problem in loaded.problems:
        assert 0 <= problem.place.line <= len(lines) + 1
    if not loaded.problems:
        assert load(dump(loaded.groups), "r.yml").checked() == loaded.groups


def _rule_tests(body: bytes) -> None:
    parse_suite(body.decode(errors="replace"))


def _template(body: bytes) -> None:
    """Whatever it says, there is a text of bounded length, or a query is asked."""
    made = expand("A", body.decode(errors="replace"), ALERT, NOW_MS, {"up": (TemplateSample({"job": "a"}, 1.0),)})
    assert isinstance(made, Wanted) or len(made) <= 3 * OUTPUT_MAX


ALERT = AlertData({"job": "a", "instance": "b:9100"}, 0.25, {"cluster": "c"}, "http://x/y")
RULES = b"""groups:
- name: a
  interval: 30s
  rules:
  - {record: 'a:b', expr: "sum by (job) (up)", labels: {team: x}}
  - alert: B
    expr: |
      up ==
        0
    for: 5m
    annotations: {summary: '{{ $labels.job }} {{ if gt $value 1.0 }}x{{ end }}'}
"""
RULE_TESTS = b"""rule_files: [a.yml]
tests:
- interval: 1m
  input_series: [{series: 'up{job="a"}', values: '1+1x3 _x2 stale'}]
  alert_rule_test: [{eval_time: 1m, alertname: B, exp_alerts: [{exp_labels: {job: a}}]}]
  promql_expr_test: [{expr: up, eval_time: 2m, exp_samples: [{labels: up, value: 1}]}]
"""
TEMPLATES = (
    b'{{ range $i, $x := query "up" }}{{ $i }} {{ $x.Labels.job | printf "%-5s|%q" }}{{ else }}none{{ end -}} x',
    b'{{ if and (gt $value 0.2) (ne $labels.job "b") }}{{ humanizePercentage $value }}{{ else if .Value }}b{{ end }}',
    b'{{ define "t" }}[{{ . }}]{{ end }}{{ template "t" (args 1 2.5 "x") }}',
    b'{{ with toTime 1e9 }}{{ .Format "15:04" }}{{ end }}',
    b'{{ reReplaceAll "(a)" "${1}b" "aa" }}{{ $y := stripDomain $labels.instance }}{{ $y = slice $y 0 1 }}{{ $y }}',
)

TEXT = b"""# HELP a_total How many.
# TYPE a_total counter
a_total{code="200",path="C:\\\\x \\"y\\"\\n"} 3 1800000000000
# TYPE h histogram
h_bucket{le="+Inf"} 4
h_sum 5.5e-3
{"utf.8",b="c"} NaN
"""
JSON = b'[{"name":"a","value":1.5,"tags":{"b":"c"},"timestamp":"2026-01-02T03:04:05Z"},{"name":"b","value":"NaN"}]'
LINES = b"""{"metric":{"__name__":"a","b":"c"},"values":[1,null,"NaN",2.5],"timestamps":[1,2,3.0,4.5]}
{"name":"a","value":"-Inf","tags":{"b":1},"timestamp":1800000000.5}
"""
CSV = b'name,value,time,b\na,1.5,2026-01-02T03:04:05Z,"c ""d""\ne"\nb,NaN,1800000000,\n'
COLLECTD = (
    b'[{"values":[1,null],"dstypes":["derive","gauge"],"dsnames":["rx","value"],"time":1800000000.123,"interval":10,'
    b'"host":"h","plugin":"interface","plugin_instance":"eth0","type":"if_octets","type_instance":"a","meta":{"x":1}}]'
)
OTLP_JSON = (
    b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},'
    b'"scopeMetrics":[{"metrics":[{"name":"m","unit":"By","sum":{"aggregationTemporality":1,"isMonotonic":true,'
    b'"dataPoints":[{"asInt":"5","timeUnixNano":"1800000000000000000"}]}},{"name":"h","histogram":{"dataPoints":'
    b'[{"count":"3","sum":4.5,"bucketCounts":["1","2"],"explicitBounds":[1.0]}]}}]}]}]}'
)
PROMQL = (
    b"sum by (job, \"a.b\") (rate(http_requests_total{code=~'5..',job!~`x|y`,}[5m] offset -1h)) / 2 ^ -0x1F",
    b"a > bool on (b) group_left (c) topk(3, x @ start()) # why\nor max_over_time((b - 1_000)[1h:30s] @ 1.5)",
    b'{"my.metric", c="\\xc3\\xa9\\u00e9\\n"} + fill_left(-Inf) d unless ignoring () e[1w2d]',
)
OTLP_PROTO = bytes.fromhex("0a1c121a1218 0a016d2a130a1119 00a0724e18090000 310000000000001440".replace(" ", ""))

TARGETS: Mapping[str, Target] = {
    "remote_write_v1": Target(_remote(1), (request_v1(_SENT), request_v1(_SENT[:1], metadata_v1(1, "up", "help")))),
    "remote_write_v2": Target(_remote(2), (request_v2(_SENT), request_v2(_SENT[:1]))),
    "prometheus_text": Target(_text(openmetrics=False), (TEXT,)),
    "openmetrics": Target(_text(openmetrics=True), (TEXT + b"# EOF\n", b'a_total 3 1.5 # {t="1"} 0.5 1.5\n# EOF\n')),
    "otlp": Target(_otlp(as_json=False), (OTLP_PROTO,)),
    "otlp_json": Target(_otlp(as_json=True), (OTLP_JSON,)),
    "influx": Target(_influx, (b'cpu\\ a,host=x,b=c\\, usage=1.5,n=3i,on=t,s="a b" 1800000000000000000\n',)),
    "graphite": Target(_pair(graphite.parse), (b"a.b.c;t=v 1.5 1800000000\na.b -1 -1\n",)),
    "statsd": Target(_statsd, (b"a:1|c|@0.1|#k:v,k2\nb:1:2:3|h\n_e{1,1}:a|b\n_sc|n|0\ng:-3|g|T1800000000",)),
    "json_lines": Target(_json_lines, (LINES,)),
    "csv": Target(_csv(""), (CSV,)),
    "csv_columns": Target(_csv("1:label:a,2:metric:b,3:time:unix_s,4:metric:c"), (b'x,1,1800000000,2\n"y",Inf,,\n',)),
    "collectd": Target(_collectd, (COLLECTD,)),
    "otlp_weight": Target(_otlp_weight, (OTLP_PROTO,)),
    "json": Target(_pair(json_push.parse), (JSON,)),
    "promql": Target(_promql, PROMQL),
    "rules": Target(_rules, (RULES,)),
    "rule_tests": Target(_rule_tests, (RULE_TESTS,)),
    "template": Target(_template, TEMPLATES),
    "packed": Target(_packed, (b"\x00\x1f\x8b\x08\x00", b"\x02\x05\x10hello", b"\x03\x28\xb5\x2f\xfd\x04\x00")),
}

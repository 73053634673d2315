import pytest

from tocsin.model.document import FaultError
from tocsin.model.labels import Labels
from tocsin.rules.testing.suite import parse_suite


def test_a_file_of_tests_is_read() -> None:
    suite = parse_suite("""
rule_files: [a.yml, "b/*.yml"]
evaluation_interval: 30s
group_eval_order: [first, second]
fuzzy_compare: true
tests:
  - name: one
    interval: 15s
    external_labels: {cluster: c1}
    external_url: http://x
    input_series:
      - series: up{job="a"}
        values: 1 0x2 _ stale
    alert_rule_test:
      - eval_time: 5m
        alertname: Down
        exp_alerts:
          - exp_labels: {job: a}
            exp_annotations: {summary: text}
          - {}
    promql_expr_test:
      - expr: up
        eval_time: 10m
        exp_samples:
          - labels: up{job="a"}
            value: 1e3
          - {labels: '{}', value: .nan}
  - {}
""")
    one, two = suite.tests
    assert (suite.rule_files, suite.interval_ms, suite.order, suite.fuzzy) == (
        ("a.yml", "b/*.yml"), 30_000, ("first", "second"), True
    )  # fmt: skip
    assert (one.name, one.interval_ms, one.length_ms, one.external_url) == ("one", 15_000, 600_000, "http://x")
    assert one.series[0].labels == Labels.metric("up", {"job": "a"})
    assert one.series[0].present.tolist() == [True, True, True, True, False, True]
    (alert,) = one.alerts
    assert (alert.alert, alert.at_ms) == ("Down", 300_000)
    assert [each.labels for each in alert.expected] == [
        Labels.of({"alertname": "Down", "job": "a"}), Labels.of({"alertname": "Down"})
    ]  # fmt: skip
    assert alert.expected[0].annotations == (("summary", "text"),)
    (query,) = one.queries
    assert [each.value for each in query.expected][:1] == [1000.0]
    assert (two.interval_ms, two.length_ms) == (30_000, 0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rule_file: []", "rule_file: There is no key 'rule_file' here; did you mean rule_files?"),
        ("tests: [{input_series: [{values: 1}]}]", "tests[0].input_series[0].series: Say which series this is."),
        ("tests: [{input_series: [{series: up}]}]", "tests[0].input_series[0].values: Give the series values."),
        (
            "tests: [{input_series: [{series: up, values: 1x}]}]",
            "tests[0].input_series[0].values: '1x' is no value; write numbers, 1+2x10, _ or stale.",
        ),
        (
            "tests: [{input_series: [{series: 'rate(up[5m])', values: 1}]}]",
            "tests[0].input_series[0].series: 'rate(up[5m])' names no series; write it like name{label=\"value\"}.",
        ),
        (
            "tests: [{input_series: [{series: h, values: '{{schema:1 count:2}}'}]}]",
            "tests[0].input_series[0].values: Native histograms are not supported; write the series of a classic one.",
        ),
        ("tests: [{alert_rule_test: [{}]}]", "tests[0].alert_rule_test[0].alertname: Say which alert this is about."),
        ("tests: [{promql_expr_test: [{}]}]", "tests[0].promql_expr_test[0].expr: Give the query in `expr`."),
        (
            "tests: [{promql_expr_test: [{expr: up, exp_samples: [{value: x}]}]}]",
            "tests[0].promql_expr_test[0].exp_samples[0].value: 'x' is not a number.",
        ),
        (
            "tests: [{promql_expr_test: [{expr: up, exp_samples: [{histogram: x}]}]}]",
            (
                "tests[0].promql_expr_test[0].exp_samples[0].histogram: Native histograms are not supported; "
                "test the classic series of the histogram instead."
            ),
        ),
        (
            "tests: [{promql_expr_test: [{expr: up, eval_time: 1y}]}]",
            "tests[0]: The last eval_time is more than 100,000 evaluations after the start.",
        ),
    ],
)
def test_what_is_wrong_with_a_file_of_tests_is_told(text: str, told: str) -> None:
    with pytest.raises(FaultError) as fault:
        parse_suite(text)
    assert str(fault.value) == told

"""Prometheus' files of rule tests to values.

Source: Prometheus docs, configuration/unit_testing_rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tocsin.model import document
from tocsin.model.document import FaultError, Node, Section, parse_yaml
from tocsin.model.duration import MINUTE_MS
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.place import Place
from tocsin.model.rule_group import Pairs
from tocsin.model.series import FloatArray
from tocsin.promql.notation import parse_labels, parse_values
from tocsin.promql.values import BoolArray
from tocsin.rules.load import FILE_CHARS_MAX, NODES_MAX

STEPS_MAX = 100_000
"""Evaluations of one test: ten weeks, once a minute."""


@dataclass(frozen=True, slots=True, eq=False)
class InputSeries:
    """Values float64[n] and whether there is one, bool[n]: one each `interval_ms` of its test, from its start."""

    labels: Labels
    values: FloatArray
    present: BoolArray


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    labels: Labels
    annotations: Pairs


@dataclass(frozen=True, slots=True)
class AlertCase:
    """Firing alerts of this name, `at_ms` after the start."""

    alert: str
    at_ms: int
    expected: tuple[ExpectedAlert, ...]


@dataclass(frozen=True, slots=True)
class ExpectedSample:
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class QueryCase:
    expr: str
    at_ms: int
    expected: tuple[ExpectedSample, ...]


@dataclass(frozen=True, slots=True)
class RuleTest:
    """Its series begin at 1970-01-01."""

    name: str
    interval_ms: int
    series: tuple[InputSeries, ...]
    alerts: tuple[AlertCase, ...]
    queries: tuple[QueryCase, ...]
    external_labels: Mapping[str, str]
    external_url: str

    @property
    def length_ms(self) -> int:
        """How long the rules are evaluated for."""
        return max([0, *(case.at_ms for case in self.alerts), *(case.at_ms for case in self.queries)])


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of tests; `rule_files` are patterns, seen from its folder. `fuzzy` forgives the last bit of a number."""

    rule_files: tuple[str, ...]
    interval_ms: int
    order: tuple[str, ...]
    """Groups that are evaluated after all others, in this order."""
    fuzzy: bool
    tests: tuple[RuleTest, ...]


_SUITE = frozenset({"rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"})
_TEST = frozenset(
    {"name", "interval", "input_series", "alert_rule_test", "promql_expr_test", "external_labels", "external_url"}
)
_SERIES = frozenset({"series", "values"})
_ALERT = frozenset({"eval_time", "alertname", "exp_alerts"})
_EXPECTED_ALERT = frozenset({"exp_labels", "exp_annotations"})
_QUERY = frozenset({"expr", "eval_time", "exp_samples"})
_SAMPLE = frozenset({"labels", "value"})
_HISTOGRAM = {"histogram": "Native histograms are not supported; test the classic series of the histogram instead."}


def parse_suite(text: str) -> Suite:
    """Raises FaultError."""
    if len(text) > FILE_CHARS_MAX:
        raise FaultError(Place(), f"The file is longer than {FILE_CHARS_MAX:,} characters.")
    section = Section(parse_yaml(text, NODES_MAX), _SUITE)
    interval_ms = section.read("evaluation_interval", document.duration_ms, MINUTE_MS) or MINUTE_MS
    return Suite(
        rule_files=section.texts("rule_files"),
        interval_ms=interval_ms,
        order=section.texts("group_eval_order"),
        fuzzy=section.read("fuzzy_compare", document.flag, default=False),
        tests=tuple(_test(node, interval_ms) for node in section.items("tests")),
    )


def _test(node: Node, interval_ms: int) -> RuleTest:
    section = Section(node, _TEST)
    test = RuleTest(
        name=section.text("name"),
        interval_ms=section.read("interval", document.duration_ms, 0) or interval_ms,
        series=tuple(map(_series, section.items("input_series"))),
        alerts=tuple(map(_alert_case, section.items("alert_rule_test"))),
        queries=tuple(map(_query_case, section.items("promql_expr_test"))),
        external_labels=dict(_pairs(section, "external_labels")),
        external_url=section.text("external_url"),
    )
    if test.length_ms > STEPS_MAX * interval_ms:
        raise FaultError(node.place, f"The last eval_time is more than {STEPS_MAX:,} evaluations after the start.")
    return test


def _series(node: Node) -> InputSeries:
    section = Section(node, _SERIES)
    labels = section.read("series", _labels, None)
    if labels is None:
        section.fail("Say which series this is.", "series")
    values, present = section.read("values", _values, None) or section.fail("Give the series values.", "values")
    return InputSeries(labels, values, present)


def _alert_case(node: Node) -> AlertCase:
    section = Section(node, _ALERT)
    alert = section.text("alertname") or section.fail("Say which alert this is about.", "alertname")
    expected = tuple(_expected_alert(each, alert) for each in section.items("exp_alerts"))
    return AlertCase(alert, _after_start(section), expected)


def _expected_alert(node: Node, alert: str) -> ExpectedAlert:
    section = Section(node, _EXPECTED_ALERT)
    labels = Labels.of({"alertname": alert, **dict(_pairs(section, "exp_labels"))})
    return ExpectedAlert(labels, _pairs(section, "exp_annotations"))


def _query_case(node: Node) -> QueryCase:
    section = Section(node, _QUERY)
    expr = section.text("expr") or section.fail("Give the query in `expr`.", "expr")
    return QueryCase(expr, _after_start(section), tuple(map(_sample, section.items("exp_samples"))))


def _sample(node: Node) -> ExpectedSample:
    section = Section(node, _SAMPLE, _HISTOGRAM)
    return ExpectedSample(section.read("labels", _labels, Labels()), section.read("value", _number, 0.0))


def _after_start(section: Section) -> int:
    return section.read("eval_time", document.duration_ms, 0)


def _labels(node: Node) -> Labels:
    try:
        return parse_labels(document.text(node))
    except UserError as error:
        raise _at(node, error) from error


def _values(node: Node) -> tuple[FloatArray, BoolArray]:
    try:
        return parse_values(document.text(node))
    except UserError as error:
        raise _at(node, error) from error


def _at(node: Node, error: UserError) -> FaultError:
    return error if isinstance(error, FaultError) else FaultError(node.place, str(error))


def _pairs(section: Section, key: str) -> Pairs:
    node = section.get(key)
    return () if node is None else tuple((name, document.text(each)) for name, each in document.mapping(node).items())


def _number(node: Node) -> float:
    written = document.text(node)
    try:
        return float(written.replace("_", "").replace(".inf", "inf").replace(".Inf", "inf").replace(".nan", "nan"))
    except ValueError as error:
        raise FaultError(node.place, f"{written!r:.80} is not a number.") from error

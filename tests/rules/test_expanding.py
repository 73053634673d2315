import numpy as np

from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.rule_group import AlertingRule
from tocsin.promql.frame import LabelFrame
from tocsin.promql.values import Scalar, Text, Value, Vector
from tocsin.rules.alerting import FoundAlert
from tocsin.rules.expanding import Site, found_alerts

SITE = Site({"cluster": "c1"}, "http://bell.example")


class Asked:
    def __init__(self) -> None:
        self.queries: list[tuple[str, int]] = []

    async def __call__(self, text: str, at_ms: int) -> Value:
        self.queries.append((text, at_ms))
        if text == "wrong":
            raise UserError("1:1: parse error: wrong")
        if text == "scalar":
            return Scalar(np.array([7.0]))
        if text == "text":
            return Text("hello")
        frame = LabelFrame.of([Labels.metric("up", {"job": each}) for each in "cab"])
        there = np.array([[True], [True], [False]])
        return Vector(frame, np.array([[3.0], [1.0], [2.0]]), there, sorted=text.startswith("sort("))


async def filled(text: str, asked: Asked | None = None) -> str:
    rule = AlertingRule("Down", "up == 0", annotations=(("s", text),))
    (alert,) = await found_alerts(rule, (), [(Labels.metric("up", {"job": "a"}), 0.0)], 5, SITE, asked or Asked())
    return dict(alert.annotations)["s"]


async def test_labels_are_those_of_the_series_with_the_rules_filled_in_over_them() -> None:
    rule = AlertingRule(
        "Down", "up == 0", annotations=(("summary", "{{ $labels.job }} {{ $externalLabels.cluster }}"),)
    )
    labels = (("team", "{{ $labels.job | toUpper }}"), ("host", ""))
    given = [(Labels.metric("up", {"job": "a", "host": "x", "alertname": "other"}), 0.0)]
    assert await found_alerts(rule, labels, given, 5, SITE, Asked()) == [
        FoundAlert(Labels.of({"alertname": "Down", "job": "a", "team": "A"}), 0.0, (("summary", "a c1"),))
    ]


async def test_queries_of_templates_are_asked_at_the_moment_of_the_rule() -> None:
    asked = Asked()
    text = '{{ range query "up" }}{{ .Labels.job }}={{ .Value }} {{ query "scalar" | first | value }}{{ end }}'
    assert await filled(text, asked) == "a=1 7c=3 7"
    assert asked.queries == [("up", 5), ("scalar", 5)]


async def test_a_text_is_asked_for_with_strvalue() -> None:
    assert await filled('{{ query "text" | first | strvalue }}') == "hello"


async def test_a_query_that_fails_is_told_in_the_text() -> None:
    made = await filled('{{ query "wrong" }}')
    assert made.startswith("<error expanding template: ")
    assert made.endswith("error calling query: 1:1: parse error: wrong>")


async def test_a_query_of_many_alerts_is_asked_once() -> None:
    asked = Asked()
    rule = AlertingRule("Down", "up == 0", annotations=(("s", '{{ query "up" | len }}'),))
    given = [(Labels.of({"host": str(number)}), 0.0) for number in range(5)]
    await found_alerts(rule, (), given, 5, SITE, asked)
    assert asked.queries == [("up", 5)]


async def test_series_come_in_the_order_of_their_labels_unless_the_query_sorts_them() -> None:
    assert await filled('{{ range query "up" }}{{ .Labels.job }}{{ end }}') == "ac"
    assert await filled('{{ range query "sort(up)" }}{{ .Labels.job }}{{ end }}') == "ca"

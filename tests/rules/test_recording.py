import pytest

from tocsin.model.labels import Labels
from tocsin.model.rule_group import RecordingRule
from tocsin.rules.alerting import RuleError
from tocsin.rules.recording import recorded

RULE = RecordingRule("job:up:sum", "sum by (job) (up)")
ROWS = [(Labels.of({"__name__": "up", "job": "a", "host": "x"}), 1.0), (Labels.of({"job": "b"}), 2.0)]


def test_series_are_recorded_under_the_rules_name_with_its_labels_over_theirs() -> None:
    assert recorded(RULE, (("team", "db"), ("host", "")), ROWS) == [
        (Labels.of({"__name__": "job:up:sum", "job": "a", "team": "db"}), 1.0),
        (Labels.of({"__name__": "job:up:sum", "job": "b", "team": "db"}), 2.0),
    ]


def test_two_series_that_would_be_one_are_an_error() -> None:
    with pytest.raises(RuleError, match="same labelset after applying rule labels"):
        recorded(RULE, (("job", "c"), ("host", "")), ROWS)


def test_more_series_than_the_limit_are_an_error() -> None:
    assert len(recorded(RULE, (), ROWS, limit=2)) == 2
    with pytest.raises(RuleError, match="exceeded limit of 1 with 2 series"):
        recorded(RULE, (), ROWS, limit=1)

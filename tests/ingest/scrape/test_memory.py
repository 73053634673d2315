from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.naming import Fault
from tocsin.ingest.scrape.job import Limits
from tocsin.ingest.scrape.memory import SPARE, ScrapeMemory, joined
from tocsin.ingest.scrape.relabel import Action, Relabel
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.exposition import Passed
from tocsin.model.labels import Labels

TARGET = Labels.of(job="node", instance="a:1")


def memory(*rules: Relabel, limits: Limits | None = None) -> ScrapeMemory:
    return ScrapeMemory(TARGET, rules, limits or Limits(), IngestSettings(), honor_labels=False)


def test_a_text_is_read_once_and_gives_the_same_labels_again() -> None:
    known = memory()
    first = known.labels(b'x{a="b"}')
    assert first == Labels.metric("x", {"a": "b", "job": "node", "instance": "a:1"})
    assert known.labels(b'x{a="b"}') is first
    assert known.known[b'x{a="b"}'] is first


def test_a_series_that_a_rule_drops_is_passed_over() -> None:
    assert memory(Relabel(Action.DROP, ("__name__",), regex="go_.*")).labels(b"go_x") is Passed.OVER


def test_a_series_whose_name_a_rule_takes_away_is_refused() -> None:
    gone = memory(Relabel(Action.LABELDROP, regex="__name__")).labels(b"x")
    assert isinstance(gone, Fault)
    assert "took the metric's name away" in gone.reason


def test_rules_see_the_labels_of_the_target() -> None:
    rule = Relabel(source_labels=("instance",), regex="(.*):.*", target_label="host")
    assert memory(rule).labels(b"x") == Labels.metric("x", {"job": "node", "instance": "a:1", "host": "a"})


def test_what_is_shown_no_longer_is_forgotten() -> None:
    known = memory()
    for number in range(3 * SPARE):
        known.labels(b"x%d" % number)
    kept = known.labels(b"x7")
    known.begin(10)
    assert known.labels(b"x7") is kept
    assert len(known.known) == 1
    known.begin(10)
    assert known.labels(b"x7") is kept
    assert known.labels(b"x8") is not None


def test_a_target_that_is_as_large_as_expected_keeps_all() -> None:
    known = memory()
    for number in range(3 * SPARE):
        known.labels(b"x%d" % number)
    known.begin(3 * SPARE)
    assert len(known.known) == 3 * SPARE


def test_a_name_behind_exported_that_is_taken_is_moved_further() -> None:
    shown = Labels.metric("x", {"job": "1", "exported_job": "2", "exported_exported_job": "3"})
    labels = joined(shown, TARGET, honor_labels=False)
    assert labels["exported_exported_exported_job"] == "1"
    assert (labels["job"], labels["exported_job"], labels["exported_exported_job"]) == ("node", "2", "3")


NAMES = st.sampled_from(["job", "instance", "exported_job", "exported_instance", "a", "b"])
TAGS = st.dictionaries(NAMES, st.text("xyz", min_size=1, max_size=3))


@given(TAGS, TAGS)
def test_no_value_is_lost_where_labels_meet(shown: dict[str, str], target: dict[str, str]) -> None:
    labels = joined(Labels.of(shown), Labels.of(target), honor_labels=False)
    assert sorted(labels.values()) == sorted([*shown.values(), *target.values()])
    assert {name: labels[name] for name in target} == target


@given(TAGS, TAGS)
def test_an_honored_label_is_never_changed(shown: dict[str, str], target: dict[str, str]) -> None:
    labels = joined(Labels.of(shown), Labels.of(target), honor_labels=True)
    assert labels == {**target, **shown}

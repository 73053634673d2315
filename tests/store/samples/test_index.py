from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.duration import DAY_MS
from tocsin.model.errors import ConflictError, LimitError, MetricLimitError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, matches_all
from tocsin.model.series import IdArray
from tocsin.store.samples.index import FEW, GRACE_MS, PATTERNS_MAX, WASTE_MIN, LabelIndex, Spans

CPU = Labels.metric("cpu", {"host": "a"})


@dataclass(frozen=True, slots=True)
class Colliding(Labels):
    """Labels whose hash is as good as that of a broken die."""

    def series_id(self) -> int:
        return 7


def test_a_label_set_keeps_its_id() -> None:
    index = LabelIndex(10)
    assert index.intern(CPU) == index.intern(Labels.metric("cpu", {"host": "a"})) == CPU.series_id()
    assert len(index) == 1


def test_two_label_sets_with_one_id_are_refused() -> None:
    index = LabelIndex(10)
    index.intern(Colliding((("__name__", "cpu"),)))
    with pytest.raises(ConflictError, match="have the same id 7"):
        index.intern(Colliding((("__name__", "disk"),)))
    assert index.labels(7).name == "cpu"
    assert len(index) == 1
    assert index.values("__name__") == ("cpu",)


def test_there_is_room_for_so_many_series() -> None:
    index = LabelIndex(1)
    index.intern(CPU)
    with pytest.raises(LimitError, match="There are 1 series already"):
        index.intern(Labels.metric("disk"))
    assert index.intern(CPU) == CPU.series_id()


def test_a_series_is_unsaved_until_it_was_kept() -> None:
    index = LabelIndex(10)
    disk = Labels.metric("disk")
    index.load([(disk.series_id(), disk)])
    ids = np.array([index.intern(CPU), index.intern(disk), index.intern(Labels.metric("other"))], np.uint64)
    waiting = index.unsaved(ids[[0, 0, 1]])
    assert waiting == [(CPU.series_id(), '{"__name__":"cpu","host":"a"}')]
    index.saved(waiting)
    assert [text for _, text in index.unsaved(ids)] == ['{"__name__":"other"}']


def test_new_days_of_a_series_are_told_once() -> None:
    index = LabelIndex(10)
    ids = np.array([index.intern(CPU), index.intern(Labels.metric("disk"))], np.uint64)
    news = index.unkept(ids[[0, 0, 0]], np.array([3, 1, 2]) * DAY_MS)
    assert (news.ids.tolist(), news.first.tolist(), news.last.tolist()) == ([ids[0]], [1], [3])
    index.kept(news)
    assert len(index.unkept(ids[:1], np.array([2 * DAY_MS]))) == 0
    later = index.unkept(ids, np.array([4, -1]) * DAY_MS)
    assert sorted(zip(later.first.tolist(), later.last.tolist(), strict=True)) == [(-1, -1), (1, 4)]


def test_loading_twice_adds_nothing() -> None:
    index = LabelIndex(10)
    index.load([(CPU.series_id(), CPU)])
    index.load([(CPU.series_id(), CPU)])
    assert len(index) == 1
    assert index.intern(CPU) == CPU.series_id()


def test_thousands_of_series_are_found_by_their_values() -> None:
    index = LabelIndex(10_000)
    for number in range(2 * FEW):
        index.intern(Labels.metric("m", {"n": str(number), "odd": "yes" if number % 2 else ""}))
    name = Matcher("__name__", MatchOp.EQUAL, "m")
    found = {labels.get("n") for labels in index.series([name, Matcher("n", MatchOp.REGEX, "1[0-9]")])}
    assert found == {str(number) for number in range(10, 20)}
    assert len(index.find([name, Matcher("odd", MatchOp.NOT_EQUAL, "yes")])) == FEW
    assert len(index.find([name, Matcher("odd", MatchOp.EQUAL, "")])) == FEW
    assert len(index.find([name, Matcher("n", MatchOp.NOT_EQUAL, "5")])) == 2 * FEW - 1


def test_a_remembered_pattern_sees_what_came_later() -> None:
    index = LabelIndex(10_000)
    pattern = [Matcher("n", MatchOp.REGEX, "1.*")]
    for number in range(30):
        index.intern(Labels.metric("m", {"n": str(number)}))
        assert len(index.find(pattern)) == sum(str(one).startswith("1") for one in range(number + 1))
    index.intern(Labels.metric("other", {"n": "1"}))
    assert len(index.find(pattern)) == 12


def test_many_patterns_are_not_all_remembered() -> None:
    index = LabelIndex(10)
    index.intern(CPU)
    for number in range(3 * PATTERNS_MAX):
        assert len(index.find([Matcher("host", MatchOp.REGEX, f"a|{number}")])) == 1
    assert len(index._patterns) <= PATTERNS_MAX


def test_a_metric_has_room_for_so_many_series() -> None:
    index = LabelIndex(10, metric_series_max=2)
    for host in "ab":
        index.intern(Labels.metric("cpu", {"host": host}))
    with pytest.raises(MetricLimitError, match="cpu has 2 series already") as told:
        index.intern(Labels.metric("cpu", {"host": "c"}))
    assert "store.metric_series_max" in str(told.value)
    index.intern(Labels.metric("disk"))
    index.forget(ids_of(CPU))
    assert index.intern(Labels.metric("cpu", {"host": "c"}))
    with pytest.raises(MetricLimitError):
        index.intern(CPU)


def ids_of(*series: Labels) -> IdArray:
    return np.array([labels.series_id() for labels in series], np.uint64)


def test_a_forgotten_series_is_found_no_more_and_comes_back_with_its_id() -> None:
    index = LabelIndex(10)
    disk = Labels.metric("disk", {"host": "a"})
    series_id = index.intern(CPU)
    index.intern(disk)
    before = index.generation
    assert index.forget(ids_of(CPU, Labels.metric("never"))).tolist() == [series_id]
    assert index.generation != before
    assert (len(index), index.series(()), index.values("__name__")) == (1, (disk,), ("disk",))
    assert index.forgotten(ids_of(CPU, disk)).tolist() == [series_id]
    assert index.labels(series_id) == CPU
    assert len(index.forget(ids_of(CPU))) == 0
    assert index.intern(CPU) == series_id
    assert set(index.series(())) == {CPU, disk}
    assert index.values("host") == ("a",)


def test_samples_under_way_bring_a_forgotten_series_back() -> None:
    index = LabelIndex(10)
    ids = np.array([index.intern(CPU)], np.uint64)
    index.saved(index.unsaved(ids))
    index.forget(ids)
    assert index.series(()) == ()
    assert [series_id for series_id, _ in index.unsaved(ids)] == [CPU.series_id()]
    assert index.series(()) == (CPU,)


def test_a_forgotten_series_takes_no_room_after_a_while() -> None:
    index = LabelIndex(10_000)
    series = [Labels.metric("m", {"n": str(number)}) for number in range(3 * WASTE_MIN)]
    ids = np.array([index.intern(labels) for labels in series], np.uint64)
    index.forget(ids[: 2 * WASTE_MIN])
    assert index.compact(0) == 0
    back = index.intern(series[0])
    assert index.compact(GRACE_MS - 1) == 0
    assert index.compact(GRACE_MS) == 2 * WASTE_MIN - 1
    with pytest.raises(KeyError):
        index.labels(int(ids[1]))
    assert index.labels(back) == series[0]
    assert index.values("n") == tuple(sorted(labels.get("n") for labels in (series[0], *series[2 * WASTE_MIN :])))
    assert index.intern(series[1]) == ids[1]


def test_spans_are_known_to_the_day_after_loading_and_to_the_millisecond_later() -> None:
    index = LabelIndex(10)
    index.load([(CPU.series_id(), CPU)])
    index.load_spans(Spans(ids_of(CPU, Labels.metric("gone")), np.array([3, 3]), np.array([4, 4])))
    assert index.series((), 5 * DAY_MS, 6 * DAY_MS) == ()
    assert index.series((), 5 * DAY_MS - 1, 6 * DAY_MS) == (CPU,)
    assert index.series((), 0, 3 * DAY_MS - 1) == ()
    index.touch(ids_of(CPU), np.array([6 * DAY_MS + 7]))
    assert index.series((), 6 * DAY_MS + 7, 7 * DAY_MS) == (CPU,)
    assert index.series((), 6 * DAY_MS + 8, 7 * DAY_MS) == ()


def test_the_longest_silent_come_first() -> None:
    index = LabelIndex(10)
    series = [Labels.metric(name) for name in "abc"]
    ids = np.array([index.intern(labels) for labels in series], np.uint64)
    index.touch(ids, np.array([30, 10, 20]))
    assert [index.labels(one).name for one in index.silent(30).tolist()] == ["b", "c"]


def test_a_nearly_full_index_says_how_many_are_too_many() -> None:
    index = LabelIndex(10)
    for number in range(8):
        index.intern(Labels.metric("m", {"n": str(number)}))
    assert index.crowd() == 0
    index.intern(CPU)
    assert index.crowd() == 1


def test_cardinality_names_the_largest_first() -> None:
    index = LabelIndex(10, metric_series_max=5)
    for host in "abc":
        index.intern(Labels.metric("cpu", {"host": host, "job": "node"}))
    index.intern(Labels.metric("disk", {"job": "node"}))
    index.forget(np.array([index.intern(Labels.metric("gone"))], np.uint64))
    told = index.cardinality(2)
    assert told.metrics == (("cpu", 3), ("disk", 1))
    assert told.labels == (("host", 3), ("__name__", 2))
    assert told.pairs == (("job", "node", 4), ("__name__", "cpu", 3))
    assert (told.series, told.series_max, told.metric_series_max, told.label_pairs) == (4, 10, 5, 6)


class EagerIndex(LabelIndex):
    """Lets go of whatever was forgotten, as soon as it may."""

    waste_min = 1
    grace_ms = 0


def mistakes(index: LabelIndex) -> list[Labels]:
    pattern, equal = Matcher("kind", MatchOp.REGEX, "k[123]"), Matcher("kind", MatchOp.EQUAL, "k5")
    index.values("n", [pattern], 0, 5)
    unlike = [labels for labels in index.series([pattern]) if not pattern.matches(labels)]
    for one in index.find([equal]).tolist():
        try:
            labels = index.labels(one)
        except KeyError:  # let go of since: this index gives no grace
            continue
        if labels.series_id() != one or not equal.matches(labels):
            unlike.append(labels)
    return unlike


def test_readers_see_whole_series_while_others_come_and_go() -> None:
    """One thread interns and forgets, one notes times and compacts, two look."""
    index = EagerIndex(100_000)
    series = [Labels.metric("m", {"n": str(number), "kind": f"k{number % 7}"}) for number in range(6_000)]
    ids = ids_of(*series)
    done = threading.Event()
    wrong: list[Labels] = []

    def look() -> None:
        while not done.is_set():
            wrong.extend(mistakes(index))
            index.cardinality(3)

    def note() -> None:
        while not done.is_set():
            known = ids[index._table.ordinals(ids) >= 0]
            index.saved(index.unsaved(known[:50]))
            index.kept(index.unkept(known[:50], np.zeros(len(known[:50]), np.int64)))
            index.touch(known, np.arange(len(known)))
            index.compact(0)

    threads = [threading.Thread(target=work) for work in (look, look, note)]
    for thread in threads:
        thread.start()
    try:
        for at, labels in enumerate(series):
            index.intern(labels)
            if at % 500 == 499:
                index.forget(ids[at - 400 : at - 10])
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    for labels in series:
        index.intern(labels)
    assert len(index) == len(series)
    assert set(index.series(())) == set(series)


VALUES = st.sampled_from(["", "a", "b", "ab", "ü"])
SERIES = st.builds(Labels.metric, st.sampled_from(["m", "n"]), st.fixed_dictionaries({"x": VALUES, "y": VALUES}))
MATCHER = st.one_of(
    st.builds(Matcher, st.sampled_from(["x", "y", "z"]), st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL]), VALUES),
    st.builds(
        Matcher,
        st.sampled_from(["__name__", "x", "y", "z"]),
        st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX]),
        st.sampled_from(["", "a.*", ".+", ".*", "a|b", "m", "ü"]),
    ),
)


@given(st.lists(SERIES, max_size=40), st.lists(MATCHER, max_size=4))
def test_the_index_finds_what_the_matchers_match(series: list[Labels], matchers: list[Matcher]) -> None:
    index = LabelIndex(100)
    for labels in series:
        index.intern(labels)
    ids = index.find(matchers).tolist()
    assert ids == sorted({labels.series_id() for labels in series if matches_all(matchers, labels)})


OPERATION = st.one_of(
    st.tuples(st.just("intern"), SERIES),
    st.tuples(st.just("forget"), SERIES),
    st.tuples(st.just("touch"), st.tuples(SERIES, st.integers(0, 20))),
    st.tuples(st.just("compact"), st.none()),
)


@given(st.lists(OPERATION, max_size=60), st.lists(MATCHER, max_size=3), st.integers(0, 20), st.integers(0, 20))
def test_the_index_agrees_with_a_dictionary(
    operations: list[tuple[str, Any]], matchers: list[Matcher], start: int, end: int
) -> None:
    index = EagerIndex(1_000)
    oracle: dict[Labels, tuple[int, int]] = {}
    for what, given_ in operations:
        if what == "intern":
            index.intern(given_)
            oracle.setdefault(given_, (21, -1))
        elif what == "forget":
            index.forget(ids_of(given_))
            oracle.pop(given_, None)
        elif what == "compact":
            index.compact(0)
        else:
            labels, at = given_
            index.intern(labels)
            index.touch(ids_of(labels), np.array([at]))
            first, last = oracle.get(labels, (21, -1))
            oracle[labels] = (min(first, at), max(last, at))
    fitting = {labels: span for labels, span in oracle.items() if matches_all(matchers, labels)}
    within = {labels for labels, (first, last) in fitting.items() if first <= end and last >= start}
    assert len(index) == len(oracle)
    assert set(index.series(matchers)) == set(fitting)
    assert index.count(matchers) == len(fitting)
    assert set(index.series(matchers, start, end)) == within
    assert index.names(matchers, start, end) == tuple(sorted({name for labels in within for name, _ in labels}))
    for label in ("__name__", "x", "z"):
        assert index.values(label) == tuple(sorted({labels.get(label) for labels in oracle} - {""}))
        assert index.values(label, matchers, start, end) == tuple(sorted({one.get(label) for one in within} - {""}))
    for labels in oracle:
        assert index.labels(labels.series_id()) == labels


@given(st.lists(SERIES, max_size=40, unique=True), st.lists(MATCHER, max_size=3))
def test_a_loaded_index_is_as_one_that_grew(series: list[Labels], matchers: list[Matcher]) -> None:
    grown, loaded = LabelIndex(100), LabelIndex(100)
    for labels in series:
        grown.intern(labels)
    loaded.load((labels.series_id(), labels) for labels in series)
    assert loaded.find(matchers).tolist() == grown.find(matchers).tolist()
    assert loaded.cardinality(9) == grown.cardinality(9)


def test_a_series_that_had_a_sample_since_it_was_found_silent_is_not_forgotten() -> None:
    index = LabelIndex(10)
    ids = np.array([index.intern(Labels.metric(name)) for name in "ab"], np.uint64)
    index.touch(ids, np.array([10, 20]))
    lasts = index.lasts(ids)
    index.touch(ids[1:], np.array([30]))
    assert index.forget(ids, lasts).tolist() == ids[:1].tolist()
    assert [labels.name for labels in index.series(())] == ["b"]


def test_the_version_changes_with_all_that_changes_what_is_found() -> None:
    index = LabelIndex(10)
    seen = [index.version]

    def changed() -> bool:
        seen.append(index.version)
        return seen[-1] != seen[-2]

    ids = np.array([index.intern(CPU)], np.uint64)
    assert changed()
    index.saved(index.unsaved(ids))
    index.touch(ids, np.array([10]))
    assert not changed()
    index.forget(ids)
    assert changed()
    index.unsaved(ids)  # its samples were under way
    assert changed()


def test_a_series_that_was_forgotten_while_its_samples_were_committed_is_alive() -> None:
    index = LabelIndex(10)
    ids = np.array([index.intern(CPU)], np.uint64)
    lasts = index.lasts(ids)
    new = index.unsaved(ids)
    index.forget(ids, lasts)  # between the two steps of a commit, which may take as long as the disk does
    index.saved(new)
    index.touch(ids, np.array([10]))
    assert index.series(()) == (CPU,)
    assert [series_id for series_id, _ in index.unsaved(ids)] == [CPU.series_id()]

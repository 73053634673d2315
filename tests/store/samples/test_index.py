from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import ConflictError, LimitError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, matches_all
from tocsin.store.samples.index import FEW, PATTERNS_MAX, LabelIndex

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


def test_new_series_wait_until_they_are_saved() -> None:
    index = LabelIndex(10)
    index.load([(1, Labels.metric("old"))])
    index.intern(CPU)
    waiting = index.unsaved()
    assert waiting == ((CPU.series_id(), CPU),)
    index.intern(Labels.metric("newer"))
    index.saved(waiting)
    assert [labels.name for _, labels in index.unsaved()] == ["newer"]


def test_loading_twice_adds_nothing() -> None:
    index = LabelIndex(10)
    index.load([(1, CPU)])
    index.load([(1, CPU)])
    assert len(index) == 1
    assert index.intern(CPU) == 1


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

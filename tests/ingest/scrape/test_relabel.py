from __future__ import annotations

from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.scrape.relabel import Action, Relabel, apply
from tocsin.model.errors import UserError

A = {"a": "foo", "b": "bar", "c": "baz"}


def rule(action: str = "replace", sources: str = "", **more: object) -> Relabel:
    return Relabel(Action(action), tuple(sources.split()), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "before", "after"),
    [
        # the default action is to replace, and nothing matches all
        ([rule(sources="a", regex="f(.*)", target_label="d", replacement="ch${1}-ch${1}")], A, {**A, "d": "choo-choo"}),
        ([rule(sources="a b", regex="f(.*);(.*)r", target_label="d", replacement="b${1}${2}")], A, {**A, "d": "booba"}),
        ([rule(sources="a", regex="no", target_label="d", replacement="x")], A, A),
        ([rule(sources="a", regex="o", target_label="d", replacement="x")], A, A),  # anchored at both ends
        ([rule(target_label="d", replacement="fixed")], A, {**A, "d": "fixed"}),
        ([rule(target_label="a", replacement="")], A, {"b": "bar", "c": "baz"}),
        ([rule(sources="a", target_label="d")], A, {**A, "d": "foo"}),
        ([rule(sources="missing", target_label="a")], A, {"b": "bar", "c": "baz"}),
        ([rule(sources="a b", separator="-", target_label="d")], A, {**A, "d": "foo-bar"}),
        ([rule(sources="a", regex="(?P<tail>f)oo", target_label="d", replacement="${tail}!")], A, {**A, "d": "f!"}),
        ([rule(sources="a", regex="(f)(x)?oo", target_label="d", replacement="[$2]")], A, {**A, "d": "[]"}),
        ([rule(sources="a", regex="(f)oo", target_label="d", replacement="$1x")], A, A),  # the group named 1x
        ([rule(sources="a", regex="(f)oo", target_label="d", replacement="$$1")], A, {**A, "d": "$1"}),
        ([rule(sources="a", regex="(f)oo", target_label="d", replacement="$9y|$")], A, {**A, "d": "|$"}),
        ([rule(sources="a", regex="(f)oo", target_label="to_$1", replacement="x")], A, {**A, "to_f": "x"}),
        ([rule(sources="a", regex="(x)?.*", target_label="$1", replacement="x")], A, A),  # no name, no label
        ([rule(sources="a", regex="a.b", target_label="d", replacement="x")], {"a": "a\nb"}, {"a": "a\nb", "d": "x"}),
        # whole series
        ([rule("keep", "a", regex="foo")], A, A),
        ([rule("keep", "a", regex="fo")], A, None),
        ([rule("drop", "a", regex="foo")], A, None),
        ([rule("drop", "a", regex="fo")], A, A),
        ([rule("drop", "a", regex=".*o.*"), rule(sources="a", target_label="d")], A, None),
        ([rule("keepequal", "a", target_label="b")], {"a": "x", "b": "x"}, {"a": "x", "b": "x"}),
        ([rule("keepequal", "a", target_label="b")], A, None),
        ([rule("dropequal", "a", target_label="b")], {"a": "x", "b": "x"}, None),
        ([rule("dropequal", "a", target_label="b")], A, A),
        ([rule("dropequal", "gone", target_label="none")], A, None),  # both are empty
        # values
        ([rule("lowercase", "a", target_label="d")], {"a": "FoO"}, {"a": "FoO", "d": "foo"}),
        ([rule("uppercase", "a", target_label="d")], {"a": "FoO"}, {"a": "FoO", "d": "FOO"}),
        ([rule("hashmod", "c", target_label="d", modulus=1_000)], A, {**A, "d": "976"}),
        ([rule("hashmod", "a", target_label="d", modulus=1_000)], {"a": "foo\nbar"}, {"a": "foo\nbar", "d": "734"}),
        # names
        ([rule("labelmap", regex="(b|c)", replacement="new_$1")], A, {**A, "new_b": "bar", "new_c": "baz"}),
        ([rule("labelmap", regex="meta_(.*)")], {"meta_x": "1", "y": "2"}, {"meta_x": "1", "y": "2", "x": "1"}),
        ([rule("labelmap", regex="meta_(.*)")], {"meta_": "1"}, {"meta_": "1"}),
        ([rule("labeldrop", regex="b|c")], A, {"a": "foo"}),
        ([rule("labelkeep", regex="b|c")], A, {"b": "bar", "c": "baz"}),
        ([rule("labeldrop", regex="")], A, A),
    ],
)
def test_a_rule_does_what_prometheus_rule_does(
    rules: list[Relabel], before: dict[str, str], after: dict[str, str] | None
) -> None:
    assert apply(rules, before) == after


def test_the_shard_of_a_target_is_the_last_half_of_its_md5() -> None:
    text = "10.0.0.1:9100;node"
    number = int(md5(text.encode()).hexdigest()[16:], 16) % 7
    shard = rule("hashmod", "__address__ job", target_label="__tmp_hash", modulus=7)
    assert apply([shard], {"__address__": "10.0.0.1:9100", "job": "node"}) == {
        "__address__": "10.0.0.1:9100",
        "job": "node",
        "__tmp_hash": str(number),
    }


@pytest.mark.parametrize(
    ("action", "parts", "field"),
    [
        ("replace", {}, "target_label"),
        ("lowercase", {}, "target_label"),
        ("keepequal", {}, "target_label"),
        ("hashmod", {"target_label": "a"}, "modulus"),
        ("hashmod", {"target_label": "${1}", "modulus": 2}, "target_label"),
        ("labeldrop", {"target_label": "a"}, "action"),
        ("labelkeep", {"source_labels": ("a",)}, "action"),
        ("dropequal", {"target_label": "a", "regex": "x"}, "regex"),
        ("keep", {"regex": "("}, "regex"),
        ("keep", {"regex": "(?=look)"}, "regex"),
    ],
)
def test_a_rule_whose_parts_do_not_fit_is_refused(action: str, parts: dict[str, object], field: str) -> None:
    with pytest.raises(UserError) as caught:
        Relabel(Action(action), **parts)  # type: ignore[arg-type]
    assert caught.value.field == field


NAMES = st.sampled_from(["a", "b", "c", "meta_a", "meta_b", "__address__"])
LABELS = st.dictionaries(NAMES, st.text(st.characters(codec="utf-8"), max_size=8), max_size=6)
PATTERNS = st.sampled_from([".*", "a|b", "meta_.*", "(.+)", "[^x]*", "__.*", ""])


@given(LABELS, PATTERNS)
def test_dropping_names_and_keeping_names_share_out_the_labels(labels: dict[str, str], regex: str) -> None:
    dropped = apply([rule("labeldrop", regex=regex)], labels) or {}
    kept = apply([rule("labelkeep", regex=regex)], labels) or {}
    assert dropped | kept == {name: value for name, value in labels.items() if value}
    assert not dropped.keys() & kept.keys()


@given(LABELS, PATTERNS, st.lists(NAMES, max_size=3))
def test_keep_and_drop_are_each_others_opposite(labels: dict[str, str], regex: str, sources: list[str]) -> None:
    keep = Relabel(Action.KEEP, tuple(sources), regex=regex)
    drop = Relabel(Action.DROP, tuple(sources), regex=regex)
    assert (apply([keep], labels) is None) != (apply([drop], labels) is None)


@given(LABELS, st.lists(NAMES, max_size=3), st.integers(1, 1_000))
def test_every_target_is_in_exactly_one_shard(labels: dict[str, str], sources: list[str], modulus: int) -> None:
    number = (apply([Relabel(Action.HASHMOD, tuple(sources), modulus=modulus, target_label="n")], labels) or {})["n"]
    assert 0 <= int(number) < modulus


@given(
    LABELS,
    st.lists(
        st.sampled_from(
            [
                rule("labelmap", regex="meta_(.+)"),
                rule(sources="a", target_label="b"),
                rule("labeldrop", regex="c"),
                rule("keep", "a", regex=".*"),
                rule("uppercase", "a", target_label="a"),
            ]
        )
    ),
    st.integers(0, 5),
)
def test_rules_in_a_row_are_rules_one_after_another(labels: dict[str, str], rules: list[Relabel], cut: int) -> None:
    first = apply(rules[:cut], labels)
    assert apply(rules, labels) == (None if first is None else apply(rules[cut:], first))


@given(LABELS, st.lists(st.builds(lambda regex: rule("replace", "a", regex=regex, target_label="b"), PATTERNS)))
def test_no_label_is_ever_empty(labels: dict[str, str], rules: list[Relabel]) -> None:
    assert all((apply(rules, labels) or {"x": "x"}).values())

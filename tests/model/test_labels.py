from __future__ import annotations

import random
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.labels import METRIC_NAME, Labels, label_name, quote, unquote

NAMES = st.text(min_size=1, max_size=20)
VALUES = st.text(max_size=20)
LABELS = st.dictionaries(NAMES, VALUES, max_size=6)


@given(LABELS, st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_matter(tags: dict[str, str], chance: random.Random) -> None:
    shuffled = list(tags.items())
    chance.shuffle(shuffled)
    assert Labels.of(shuffled) == Labels.of(tags)
    assert hash(Labels.of(shuffled)) == hash(Labels.of(tags))
    assert Labels.of(shuffled).series_id() == Labels.of(tags).series_id()


@given(LABELS, LABELS)
def test_labels_are_equal_exactly_when_their_pairs_are(one: dict[str, str], other: dict[str, str]) -> None:
    def filled(tags: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in tags.items() if value}

    assert (Labels.of(one) == Labels.of(other)) == (filled(one) == filled(other))


@given(LABELS, NAMES)
def test_an_empty_value_means_that_the_label_is_absent(tags: dict[str, str], name: str) -> None:
    assert Labels.of({**tags, name: ""}) == Labels.of(tags).without(name)
    assert Labels.of({**tags, name: ""}).get(name) == ""


@given(LABELS)
def test_labels_come_back_as_a_dict_and_as_pairs(tags: dict[str, str]) -> None:
    labels = Labels.of(tags)
    assert Labels.of(labels.as_dict()) == labels
    assert Labels.of(labels.pairs) == labels
    assert list(labels) == sorted(labels.as_dict().items())


def test_the_last_of_two_values_wins() -> None:
    assert Labels.of([("host", "a"), ("host", "b")]) == Labels.of(host="b")
    assert Labels.of({"host": "a"}, host="b") == Labels.of(host="b")


def test_a_metric_is_its_name_and_its_tags() -> None:
    labels = Labels.metric("system.disk.usage", {"mount": "/", "host": "a"})
    assert labels.name == "system.disk.usage"
    assert labels.tags == {"host": "a", "mount": "/"}
    assert labels.get(METRIC_NAME) == "system.disk.usage"


def test_a_tag_cannot_take_the_place_of_the_metrics_name() -> None:
    assert Labels.metric("up", {METRIC_NAME: "down"}).name == "up"


def test_labels_without_a_name_have_an_empty_one() -> None:
    assert Labels.of(host="a").name == ""
    assert Labels().tags == {}


def test_a_missing_label_reads_as_the_default() -> None:
    assert Labels.of(host="a").get("mount") == ""
    assert Labels.of(host="a").get("mount", "none") == "none"


def test_labels_are_added_replaced_and_removed_in_a_copy() -> None:
    labels = Labels.of(host="a", mount="/")
    assert labels.with_(host="b", cpu="0") == Labels.of(host="b", mount="/", cpu="0")
    assert labels.with_(host="") == labels.without("host") == Labels.of(mount="/")
    assert labels.without("host", "mount", "other") == Labels()
    assert labels == Labels.of(host="a", mount="/")


def test_a_label_may_be_called_self() -> None:
    assert Labels().with_(self="x") == Labels.of(self="x")


# Ids are on disk: a change of one of these orphans every stored sample.
@pytest.mark.parametrize(
    ("labels", "series_id"),
    [
        (Labels(), 0xB4B2797457A0A6E4),
        (Labels.metric("up"), 0x04A72B4BCA617862),
        (Labels.metric("system.disk.usage", {"host": "a", "mount": "/"}), 0xDE47C972CB0EFBEF),
        (Labels.metric("température", {"größe": "µ"}), 0x49398A80B5B1F85A),
    ],
)
def test_series_ids_never_change(labels: Labels, series_id: int) -> None:
    assert labels.series_id() == series_id


@given(LABELS)
def test_a_series_id_is_blake2b_over_length_prefixed_pairs(tags: dict[str, str]) -> None:
    hashed = b"".join(
        len(raw).to_bytes(4, "little") + raw
        for pair in sorted((name, value) for name, value in tags.items() if value)
        for raw in (pair[0].encode(), pair[1].encode())
    )
    expected = int.from_bytes(blake2b(hashed, digest_size=8).digest(), "little")
    assert Labels.of(tags).series_id() == expected
    assert 0 <= expected < 2**64


@given(LABELS, LABELS)
def test_different_labels_have_different_ids(one: dict[str, str], other: dict[str, str]) -> None:
    same = Labels.of(one) == Labels.of(other)
    assert (Labels.of(one).series_id() == Labels.of(other).series_id()) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Labels.of(ab="c"), Labels.of(a="bc")),
        (Labels.of(a="b", c="d"), Labels.of(a="bcd")),
        (Labels.of(a="b", c="d"), Labels.of({"abc": "d"})),
        (Labels.of(a="\0b"), Labels.of({"a\0": "b"})),
        (Labels.of(a="1", b="2"), Labels.of(a="2", b="1")),
    ],
)
def test_moving_a_border_between_strings_changes_the_id(one: Labels, other: Labels) -> None:
    assert one.series_id() != other.series_id()


@given(st.text())
def test_what_is_quoted_can_be_unquoted(value: str) -> None:
    quoted = quote(value)
    assert quoted.startswith('"')
    assert quoted.endswith('"')
    assert "\n" not in quoted
    assert unquote(quoted[1:-1]) == value


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("", '""'),
        ("plain", '"plain"'),
        ('say "hi"', r'"say \"hi\""'),
        ("C:\\new", r'"C:\\new"'),
        ("two\nlines", r'"two\nlines"'),
        ("\\n", r'"\\n"'),
        ("ünï", '"ünï"'),
    ],
)
def test_values_are_quoted_as_prometheus_does(value: str, quoted: str) -> None:
    assert quote(value) == quoted


@pytest.mark.parametrize(
    ("text", "value"), [(r"sd\d+", r"sd\d+"), (r"\.", r"\."), ("\\", "\\"), (r"a\\", "a\\"), (r"\\d", r"\d")]
)
def test_a_backslash_that_escapes_nothing_stands_for_itself(text: str, value: str) -> None:
    assert unquote(text) == value


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("host", "host"),
        ("_x9", "_x9"),
        ("service.name", '"service.name"'),
        ("9lives", '"9lives"'),
        ("a:b", '"a:b"'),
        ("größe", '"größe"'),
        ('a"b', r'"a\"b"'),
        ("host\n", r'"host\n"'),
    ],
)
def test_a_label_name_is_quoted_where_promql_needs_it(name: str, written: str) -> None:
    assert label_name(name) == written


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (Labels(), "{}"),
        (Labels.metric("up"), "up"),
        (Labels.of(b="2", a="1"), '{a="1", b="2"}'),
        (Labels.metric("system.disk.usage", {"mount": "/", "host": "a"}), 'system.disk.usage{host="a", mount="/"}'),
        (Labels.metric("up", {"note": 'a "b"\nc\\'}), r'up{note="a \"b\"\nc\\"}'),
    ],
)
def test_labels_read_like_a_series(labels: Labels, text: str) -> None:
    assert str(labels) == text

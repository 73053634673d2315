from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import (
    REGEX_CHARS_MAX,
    Matcher,
    MatchOp,
    alternatives,
    compiled,
    equals,
    matches_all,
    parse_matcher,
)

LABEL = st.text(min_size=1, max_size=20)
PLAIN = st.builds(Matcher, LABEL, st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL]), st.text(max_size=30))
PATTERN = st.sampled_from(["", ".*", ".+", "a|b", "sd[a-z]", r"\d+\.\d+", 'x"y', "a\\\\b", "(?i)ABC", "ä+", "a\nb"])
REGEX = st.builds(Matcher, LABEL, st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX]), PATTERN)


@given(PLAIN | REGEX)
def test_a_matcher_reads_back_as_it_was_written(matcher: Matcher) -> None:
    assert parse_matcher(str(matcher)) == matcher


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ('mount="/"', Matcher("mount", MatchOp.EQUAL, "/")),
        ('mount!="/"', Matcher("mount", MatchOp.NOT_EQUAL, "/")),
        ('device=~"sd.*"', Matcher("device", MatchOp.REGEX, "sd.*")),
        ('device!~"sd.*"', Matcher("device", MatchOp.NOT_REGEX, "sd.*")),
        (r'device=~"sd\d"', Matcher("device", MatchOp.REGEX, r"sd\d")),
        ("mount=/", Matcher("mount", MatchOp.EQUAL, "/")),
        ("mount=", Matcher("mount", MatchOp.EQUAL, "")),
        ('  mount = "/"  ', Matcher("mount", MatchOp.EQUAL, "/")),
        ("service.name=api", Matcher("service.name", MatchOp.EQUAL, "api")),
        ('"service.name"="api"', Matcher("service.name", MatchOp.EQUAL, "api")),
        ('"a b"="c=d,{e}"', Matcher("a b", MatchOp.EQUAL, "c=d,{e}")),
        (r'note="say \"hi\""', Matcher("note", MatchOp.EQUAL, 'say "hi"')),
        ('note="two\nlines"', Matcher("note", MatchOp.EQUAL, "two\nlines")),
    ],
)
def test_matchers_are_read_as_people_type_them(text: str, matcher: Matcher) -> None:
    assert parse_matcher(text) == matcher


@pytest.mark.parametrize(
    "text",
    ["", "mount", "=x", '="x"', '""="x"', 'mount="/', "mount=/ x", 'a="b", c="d"', "{a=b}", 'a=="b"', 'a="b"c', "a<1"],
)
def test_what_is_no_matcher_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match=r"is not a matcher; write it like|has no name"):
        parse_matcher(text)


def test_a_long_run_of_blanks_is_refused_without_backtracking() -> None:
    with pytest.raises(UserError):
        parse_matcher("a=" + " " * 200_000 + "}")


@pytest.mark.parametrize(
    ("op", "value", "matching", "other"),
    [
        (MatchOp.EQUAL, "sda", ["sda"], ["sdb", "", "SDA", "sda1"]),
        (MatchOp.NOT_EQUAL, "sda", ["sdb", "", "SDA", "sda1"], ["sda"]),
        (MatchOp.REGEX, "sd[ab]", ["sda", "sdb"], ["sdc", "", "xsda", "sda1"]),
        (MatchOp.NOT_REGEX, "sd[ab]", ["sdc", "", "xsda", "sda1"], ["sda", "sdb"]),
    ],
)
def test_the_four_operators(op: MatchOp, value: str, matching: list[str], other: list[str]) -> None:
    matcher = Matcher("device", op, value)
    assert [text for text in matching + other if matcher.matches(Labels.of(device=text))] == matching


@given(LABEL, st.text(max_size=30), st.text(max_size=30))
def test_not_equal_is_the_opposite_of_equal(label: str, wanted: str, found: str) -> None:
    labels = Labels.of({label: found})
    equal = Matcher(label, MatchOp.EQUAL, wanted).matches(labels)
    assert equal == (wanted == found)
    assert Matcher(label, MatchOp.NOT_EQUAL, wanted).matches(labels) != equal


@given(PATTERN, st.text(max_size=30))
def test_not_regex_is_the_opposite_of_regex(pattern: str, value: str) -> None:
    matches = Matcher("x", MatchOp.REGEX, pattern).matches_value(value)
    assert Matcher("x", MatchOp.NOT_REGEX, pattern).matches_value(value) != matches


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("b", "abc", False),
        ("a|ab", "ab", True),
        ("a|b", "ab", False),
        ("^ab$", "ab", True),
        ("ab", "ab\n", False),
        ("a.b", "a\nb", True),
        ("a.b", "aäb", True),
        (".*", "", True),
        (".+", "", False),
        ("ab", "AB", False),
        ("(?i)ab", "AB", True),
    ],
)
def test_a_pattern_must_fit_the_whole_value(pattern: str, value: str, matches: bool) -> None:
    assert Matcher("x", MatchOp.REGEX, pattern).matches_value(value) is matches


@pytest.mark.parametrize(
    ("op", "value", "matches"),
    [
        (MatchOp.EQUAL, "", True),
        (MatchOp.EQUAL, "x", False),
        (MatchOp.NOT_EQUAL, "", False),
        (MatchOp.NOT_EQUAL, "x", True),
        (MatchOp.REGEX, ".*", True),
        (MatchOp.REGEX, "x?", True),
        (MatchOp.REGEX, ".+", False),
        (MatchOp.NOT_REGEX, ".+", True),
        (MatchOp.NOT_REGEX, ".*", False),
    ],
)
def test_an_absent_label_counts_as_empty(op: MatchOp, value: str, matches: bool) -> None:
    assert Matcher("mount", op, value).matches(Labels.metric("up")) is matches


@pytest.mark.parametrize("pattern", ["(", "a{1001}", "[z-a]", "*", r"\8", "(?=a)", "(?<!a)b", r"(a)\1"])
def test_what_re2_cannot_match_in_linear_time_is_refused_with_its_reason(pattern: str) -> None:
    with pytest.raises(UserError, match=r"is not a regular expression: .+\."):
        compiled(pattern)
    with pytest.raises(UserError, match="is not a regular expression"):
        parse_matcher(str(Matcher("x", MatchOp.REGEX, pattern)))


def test_a_pattern_has_a_longest_length() -> None:
    compiled("x" * REGEX_CHARS_MAX)
    compiled(".{1000}")
    with pytest.raises(UserError, match="longer than 1000 characters"):
        compiled("x" * (REGEX_CHARS_MAX + 1))


def test_a_pattern_that_would_take_too_much_memory_is_refused() -> None:
    with pytest.raises(UserError, match="too large"):
        compiled(r"(?i)\pL{300}")


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UserError, match="surrogate"):
        compiled("\ud800")


# A backtracking engine would not come back from one of these within a lifetime.
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+", "(a|a)*b", "(.*)*x", "([a-z]+)*=", "(x+x+)+y"])
def test_a_hostile_pattern_comes_back(pattern: str) -> None:
    matcher = Matcher("x", MatchOp.REGEX, pattern)
    assert not matcher.matches_value("a" * 100_000 + "!")


def test_equals_wants_every_tag_and_allows_others() -> None:
    matchers = equals({"mount": "/", "host": "a"})
    assert [str(matcher) for matcher in matchers] == ['host="a"', 'mount="/"']
    assert matches_all(matchers, Labels.metric("system.disk.usage", {"mount": "/", "host": "a", "device": "sda1"}))
    assert not matches_all(matchers, Labels.metric("system.disk.usage", {"mount": "/"}))


def test_an_empty_tag_wants_the_label_to_be_absent() -> None:
    assert matches_all(equals({"mount": ""}), Labels.of(host="a"))
    assert not matches_all(equals({"mount": ""}), Labels.of(mount="/"))


@given(st.dictionaries(LABEL, st.text(max_size=10), max_size=5))
def test_labels_fit_the_matchers_made_of_them(tags: dict[str, str]) -> None:
    assert matches_all(equals(tags), Labels.of(tags))


def test_no_matchers_fit_everything() -> None:
    assert matches_all((), Labels.metric("up"))


def test_a_matcher_without_a_label_is_refused() -> None:
    with pytest.raises(UserError, match="no name"):
        Matcher("", MatchOp.EQUAL, "x").check()


def test_a_plain_matcher_may_hold_what_is_no_pattern() -> None:
    Matcher("x", MatchOp.EQUAL, "(").check()
    assert Matcher("x", MatchOp.EQUAL, "(").matches_value("(")


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("a", ("a",)),
        ("a|b|a", ("a", "b")),
        (r"host\.1|host\-2", ("host.1", "host-2")),
        (r"a\|b", ("a|b",)),
        (r"a\\|b", ("a\\", "b")),
        ("é|ü", ("é", "ü")),
        ("", None),
        ("a|", None),
        ("|a", None),
        ("a.b", None),
        ("(?i)a", None),
        ("[ab]", None),
        ("a+|b", None),
        (r"x\d", None),
        (r"\Qa\E", None),
    ],
)
def test_a_pattern_that_lists_texts_is_known_as_such(pattern: str, texts: tuple[str, ...] | None) -> None:
    assert alternatives(pattern) == texts
    for text in texts or ():
        assert compiled(pattern).fullmatch(text)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.naming import Fault, has_control, series_of, shown
from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.model.labels import Labels

LIMITS = IngestSettings(labels_max=2, name_chars_max=8, value_chars_max=4)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("a", {}),
        ("a" * 8, {"b" * 8: "c" * 4}),
        ("system.cpu", {"empty": ""}),
        ("größe", {"Ärger": "日本語"}),
        ("a b", {"x": "a\n\tb"}),
    ],
)
def test_what_fits_becomes_the_labels_of_the_series(name: str, tags: dict[str, str]) -> None:
    limits = IngestSettings()
    assert series_of(name, tags, limits) == Labels.metric(name, tags)


@pytest.mark.parametrize(
    ("name", "tags", "reason", "kind"),
    [
        ("", {}, "The metric's name is empty.", Refusal.MALFORMED),
        ("a" * 9, {}, "The metric's name `aaaaaaaaa` is longer than 8 characters.", Refusal.TOO_LONG),
        ("a\n", {}, "The metric's name `a\N{REPLACEMENT CHARACTER}` holds a control character.", Refusal.MALFORMED),
        ("a\x85", {}, "The metric's name `a\N{REPLACEMENT CHARACTER}` holds a control character.", Refusal.MALFORMED),
        ("a", {"": "b"}, "The tag's name is empty.", Refusal.MALFORMED),
        ("a", {"b" * 9: ""}, "The tag's name `bbbbbbbbb` is longer than 8 characters.", Refusal.TOO_LONG),
        ("a", {"b\0": ""}, "The tag's name `b\N{REPLACEMENT CHARACTER}` holds a control character.", Refusal.MALFORMED),
        ("a", {"b": "ccccc"}, "The tag `b` is longer than 4 characters.", Refusal.TOO_LONG),
        ("a", {"b": "c\0"}, "The tag `b` holds a NUL character.", Refusal.MALFORMED),
        ("a", {"__name__": "b"}, "`__name__` is the metric's own name, and no tag.", Refusal.MALFORMED),
        ("a", dict.fromkeys("bcd", "e"), "There are more than 2 tags.", Refusal.TOO_MANY_LABELS),
    ],
)
def test_what_does_not_fit_is_told_in_the_senders_words(
    name: str, tags: dict[str, str], reason: str, kind: Refusal
) -> None:
    assert series_of(name, tags, LIMITS, "tag") == Fault(reason, kind)


@given(st.text(max_size=60))
def test_control_characters_are_found_wherever_they_are(text: str) -> None:
    assert has_control(text) == any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)


@given(st.text() | st.binary(max_size=400))
def test_what_is_shown_is_short_and_on_one_line(text: str | bytes) -> None:
    plain = shown(text)
    assert len(plain) <= 43
    assert not has_control(plain)

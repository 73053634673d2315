from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.wire.otlp_deltas import DeltaStreams
from tocsin.runtime.telemetry import Telemetry


def streams(streams_max: int = 100) -> DeltaStreams:
    return DeltaStreams(Telemetry(), streams_max)


def test_deltas_add_up() -> None:
    known = streams()
    assert [known.add("a", at, (delta,), None, at) for at, delta in ((1, 5), (2, 0), (3, 7))] == [(5,), (5,), (12,)]


def test_streams_are_apart() -> None:
    known = streams()
    assert known.add("a", 1, (1,), None, 1) == (1,)
    assert known.add("b", 1, (2,), None, 1) == (2,)


def test_whole_numbers_stay_exact_past_the_floats() -> None:
    known = streams()
    known.add("a", 1, (2**53,), None, 1)
    assert known.add("a", 2, (1,), None, 2) == (2**53 + 1,)


def test_a_request_that_is_sent_again_gets_the_same_totals() -> None:
    known = streams()
    known.add("a", 1, (5,), None, "before")
    first = [known.add("a", at, (1,), None, "first") for at in (2, 3, 4)]
    again = [known.add("a", at, (1,), None, "again") for at in (2, 3, 4)]
    assert first == again == [(6,), (7,), (8,)]
    assert known.add("a", 5, (1,), None, "next") == (9,)


def test_a_delta_that_is_older_is_not_added() -> None:
    known = streams()
    known.add("a", 10, (5,), None, 1)
    assert known.add("a", 9, (5,), None, 2) is None
    assert known.add("a", 11, (1,), None, 3) == (6,)


def test_another_shape_begins_at_nothing() -> None:
    known = streams()
    known.add("a", 1, (5, 5), (1.0,), 1)
    assert known.add("a", 2, (1, 1, 1), (1.0, 2.0), 2) == (1, 1, 1)


def test_the_stream_that_was_silent_for_longest_is_forgotten_and_counted() -> None:
    telemetry = Telemetry()
    known = DeltaStreams(telemetry, 2)
    for at, stream in enumerate("abac"):
        known.add(stream, at, (1,), None, at)
    assert len(known) == 2
    assert known.add("a", 9, (1,), None, 9) == (3,)
    assert telemetry.registry.get_sample_value("tocsin_otlp_delta_streams_forgotten_total") == 1


points = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(-5, 5)), max_size=60)


@given(points)
def test_totals_are_those_of_a_plain_sum(sent: list[tuple[str, int, int]]) -> None:
    known = streams()
    taken: dict[str, dict[int, int]] = {"a": {}, "b": {}}
    for request, (stream, at, delta) in enumerate(sent):
        before = taken[stream]
        if not before or at > max(before):
            before[at] = delta
        expected = (sum(before.values()),) if at == max(before) else None
        assert known.add(stream, at, (delta,), None, request) == expected

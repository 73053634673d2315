from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.rules.deadlines import Deadlines


def test_the_earliest_comes_first() -> None:
    deadlines = Deadlines()
    for key, at_ms in (((1, 1), 30), ((1, 2), 10), ((1, 3), 20)):
        deadlines.arm(key, at_ms)
    assert deadlines.next_ms() == 10
    assert deadlines.due(25, limit=10) == [(1, 2), (1, 3)]
    assert deadlines.due(25, limit=10) == []
    assert deadlines.next_ms() == 30


def test_a_key_keeps_its_earliest_deadline() -> None:
    deadlines = Deadlines()
    for at_ms in (20, 30, 10):
        deadlines.arm((1, 1), at_ms)
    assert deadlines.due(100, limit=10) == [(1, 1)]
    assert deadlines.next_ms() is None


def test_no_more_are_due_than_asked_for() -> None:
    deadlines = Deadlines()
    for number in range(5):
        deadlines.arm((1, number), number)
    assert len(deadlines.due(10, limit=3)) == 3
    assert len(deadlines) == 2


def test_deadlines_that_are_brought_forward_do_not_pile_up() -> None:
    deadlines = Deadlines()
    for at_ms in range(10_000, 0, -1):
        deadlines.arm((1, 1), at_ms)
    assert len(deadlines._heap) < 1_100
    assert deadlines.due(1, limit=10) == [(1, 1)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100))))
def test_each_key_is_due_once_at_its_earliest(armed: list[tuple[int, int]]) -> None:
    deadlines, plain = Deadlines(), dict[tuple[int, int], int]()
    for number, at_ms in armed:
        deadlines.arm((0, number), at_ms)
        plain[0, number] = min(plain.get((0, number), at_ms), at_ms)
    assert deadlines.next_ms() == min(plain.values(), default=None)
    due = deadlines.due(50, limit=100)
    assert sorted(due) == sorted(key for key, at_ms in plain.items() if at_ms <= 50)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.api.paging import page_of
from tocsin.model.errors import UserError
from tocsin.model.page import PageRequest


@given(st.sets(st.integers() | st.nothing() | st.integers(0, 50)), st.integers(1, 7))
def test_pages_together_are_the_list(numbers: set[int], limit: int) -> None:
    items = sorted(number for number in numbers if abs(number) < 2**62)
    seen: list[int] = []
    cursor = None
    while True:
        page = page_of(items, int, PageRequest(limit, cursor))
        seen += page.items
        if page.next is None:
            break
        assert len(page.items) == limit
        cursor = page.next
    assert seen == items


@given(st.sets(st.text(max_size=5)), st.integers(1, 3))
def test_text_pages_as_well(names: set[str], limit: int) -> None:
    items = sorted(names)
    page = page_of(items, str, PageRequest(limit))
    if page.next is not None:
        assert page_of(items, str, PageRequest(100, page.next)).items == tuple(items[limit:])


def test_what_is_added_before_the_cursor_moves_nothing() -> None:
    page = page_of([10, 20, 30], int, PageRequest(2))
    assert page_of([5, 10, 15, 20, 30], int, PageRequest(2, page.next)).items == (30,)


@pytest.mark.parametrize("cursor", ["x", "%%%", "bnVsbA", "é", "InRleHQi", "W10"])
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(UserError, match="cursor"):
        page_of([1, 2, 3], int, PageRequest(2, cursor))

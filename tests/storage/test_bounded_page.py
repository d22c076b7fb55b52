"""Pages that are bounded by the size of their items."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.storage.bounded_page import QUERY_ROWS, read_page


class Item(NamedTuple):
    seq: int
    text: str


class Table:
    """Items with a query; remembers how many rows it has returned at most."""

    def __init__(self, sizes: list[int]) -> None:
        self.items = [Item(n + 1, "x" * size) for n, size in enumerate(sizes)]
        self.most = 0

    def read(self, after: int, limit: int) -> list[Item]:
        found = [item for item in self.items if item.seq > after][:limit]
        self.most = max(self.most, len(found))
        return found


@given(st.lists(st.integers(0, 50), max_size=150), st.integers(1, 60), st.integers(1, 300))
def test_pages_put_together_are_all_items(sizes: list[int], limit: int, max_chars: int) -> None:
    table, found, after, has_more = Table(sizes), list[Item](), 0, True
    while has_more:
        page, has_more = read_page(table.read, after, limit, max_chars, lambda item: len(item.text))
        assert len(page) <= limit
        assert sum(len(item.text) for item in page[:-1]) < max_chars
        assert page or not has_more
        found += page
        after = found[-1].seq if found else 0
    assert found == table.items
    assert table.most <= QUERY_ROWS

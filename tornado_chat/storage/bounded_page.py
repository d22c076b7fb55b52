"""Pages that are bounded by the size of their texts, not only by the number of their items."""

from collections.abc import Callable
from typing import Protocol, TypeVar

QUERY_ROWS = 32  # rows of one query: a row may be as large as a frame


class Sequenced(Protocol):
    @property
    def seq(self) -> int: ...


S = TypeVar("S", bound=Sequenced)


def read_page(
    read: Callable[[int, int], list[S]],
    after: int,
    limit: int,
    max_chars: int,
    size: Callable[[S], int],
) -> tuple[list[S], bool]:
    """Return the items after the ``seq`` ``after``, at least one if there is one, and whether more follow.

    :arg read: a query: returns up to so many items (its second argument) after a ``seq`` (its first).
    :arg limit: the maximum number of items.
    :arg max_chars: the page ends with the item that reaches this size.
    :arg size: returns the size of an item in characters.
    """
    found: list[S] = []
    chars = 0
    while True:
        asked = min(QUERY_ROWS, limit + 1 - len(found))
        rows = read(found[-1].seq if found else after, asked)
        for row in rows:
            if len(found) == limit or chars >= max_chars:
                return found, True
            found.append(row)
            chars += size(row)
        if len(rows) < asked:
            return found, False

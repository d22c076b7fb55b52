"""Pages of lists, and the conditions of the lists that plugins read."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from tornado_chat.core.types import ConversationState, Person

Item_co = TypeVar("Item_co", covariant=True)
Cursor_co = TypeVar("Cursor_co", covariant=True)

MAX_PAGE_ITEMS = 500
"""The largest number of items in a page."""

MAX_PAGE_BYTES = 512 * 1024
"""The size of its texts at which a page ends before its limit: pages are built in memory."""


class ListPage(NamedTuple, Generic[Item_co, Cursor_co]):
    """A page of a list: its ``items``, and ``next``, where the following page begins.

    Pass ``next`` to the same method to read the following page; None: this is the last page. A page may have
    fewer items than its limit, and still have a ``next``.
    """

    items: Sequence[Item_co]
    next: Cursor_co | None


class KnownPerson(NamedTuple):
    """A person of whom the server has data, with the last name under which the person took part.

    ``name`` is None if no name is known.
    """

    person: Person
    name: str | None


class ConversationFilter(msgspec.Struct, frozen=True):
    """The conditions that a listed support conversation fulfils.

    :ivar user: None: any.
    :ivar waiter: the present or last waiter; None: any.
    :ivar states: empty: any.
    :ivar group: None: any.
    """

    user: Person | None = None
    waiter: Person | None = None
    states: tuple[ConversationState, ...] = ()
    group: str | None = None


def require_limit(limit: int) -> None:
    """Check the limit of a page. :raises ValueError: it is out of range."""
    if not 1 <= limit <= MAX_PAGE_ITEMS:
        raise ValueError(f"a page has 1 to {MAX_PAGE_ITEMS} items, not {limit}: read several pages")

"""What the dispatcher keeps books of: conversations that are not over, and waiters; and where it stores them."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from tornado_chat.core.types import Conversation, ConversationState, Person
from tornado_chat.domain.queue import Ticket

RETRY_SECONDS = 5.0  # seconds until a decision that the database did not take is tried again


class ConversationStore(Protocol):
    """Where conversations are stored. A change is told to ``Dispatcher.on_event`` before it is answered.

    Everything fails with ``Unavailable`` while it cannot be done.
    """

    async def unfinished(self) -> list[Conversation]:
        """Everybody who waits or talks, oldest first."""
        ...

    async def change_counts(self) -> Mapping[int, int]:
        """Of everybody who waits or talks: the number, and how often the state or the waiter has changed."""
        ...

    async def find_many(self, ids: Sequence[int]) -> list[Conversation]:
        """Those of ``ids`` that there are."""
        ...

    def assign(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> Awaitable[Conversation]:
        """Give its user to a waiter. :raises Conflict: it is no longer as ``row`` says."""
        ...

    def requeue(self, row: Conversation) -> Awaitable[Conversation]:
        """Its user waits again, at the head of the line. :raises Conflict: as ``assign``."""
        ...

    def end(self, conversation_id: int, gone: Person) -> Awaitable[Conversation]:
        """``gone`` has left for good. Ending it twice changes nothing."""
        ...


class Case:
    """An unfinished conversation, and the processes that hold sockets of its user."""

    __slots__ = ("processes", "row", "told_at", "told_position", "waits_since")

    def __init__(self, row: Conversation, waits_since: float) -> None:
        self.row = row
        self.waits_since = waits_since  # by the loop's clock: since it came, or lost its waiter
        self.processes: set[str] = set()
        self.told_position = 0
        self.told_at = float("-inf")

    @property
    def ticket(self) -> Ticket:
        """Its claim to a waiter: a returned one goes first, then the order of arrival counts."""
        row = self.row
        return Ticket(row.id, row.user, row.created, row.returned, row.claims, row.last_waiter)

    @property
    def waiting(self) -> bool:
        return self.row.state is ConversationState.WAITING


class WaiterState:
    """A waiter, the processes that hold its sockets, and its users. It stays as long as it has either.

    ``claims`` are those of its last token, for the queue policy.
    """

    __slots__ = ("address", "cases", "claims", "name", "person", "processes", "ready", "since", "stance")

    def __init__(self, person: Person, address: str, name: str | None) -> None:
        self.person = person
        self.address = address  # what its users know it by, for as long as it is here
        self.name = name
        self.claims: Mapping[str, Any] = {}
        self.ready = False
        self.processes: set[str] = set()
        self.cases: dict[int, Case] = {}
        self.stance: tuple[bool, bool] | None = None  # ready, connected
        self.since = 0.0  # it has this stance, by the loop's clock

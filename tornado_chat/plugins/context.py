"""What a running server does for plugins, and what a command of theirs gets."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tornado_chat.core.types import Conversation, Identity, Notification, Person, Role, Room, Thread

if TYPE_CHECKING:
    import peewee

    from tornado_chat.storage.writer import Transaction

T = TypeVar("T")


class Context(ABC):
    """A running server, as plugins see it.

    Everything is called on the server's loop. Methods that read raise ``Unavailable`` when the
    database does not answer.
    """

    language: str
    """``zh_CN`` or ``en``, of texts that people see."""

    state_dir: Path
    """Where the server keeps its state; a plugin makes a folder of its own in it."""

    # --- the database ---

    @abstractmethod
    async def read(self, query: "Callable[[peewee.Database], T]") -> T:
        """Run ``query(database)`` on a reader thread. It must not write."""

    @abstractmethod
    def write(self, work: "Callable[[Transaction], T]") -> Awaitable[T]:
        """Run ``work(tx)`` in the next group commit, on the writer thread, in the order of the calls.

        ``tx.database`` is for the queries, ``tx.now`` the time in microseconds. Resolves after the commit
        with what ``work`` returned. If it raises, only its own changes are undone. All writing of the server
        waits meanwhile, so it must not wait for anything but the database. It may be run again, when
        others were in the way: it must change nothing else.
        """

    # --- people and conversations ---

    @abstractmethod
    async def verify(self, token: str | None) -> Identity:
        """Who a token belongs to. :raises Unauthenticated: nobody."""

    @abstractmethod
    async def online(self, person: Person) -> bool:
        """Whether somebody has a socket of any kind open, in any process."""

    @abstractmethod
    async def people(self, role: Role) -> Sequence[Person]:
        """Those of a role who can be notified (who have had a ``/notify`` socket or a notification),
        the ones who are online first."""

    @abstractmethod
    async def room(self, thread: Thread) -> Room | None:
        """A session or a supervision record."""

    @abstractmethod
    async def conversation(self, conversation_id: int) -> Conversation | None:
        """A support conversation."""

    @abstractmethod
    async def supervision(self, session_id: int) -> Sequence[Room]:
        """The supervision records of a session, oldest first; ``helper`` is the supervisor."""

    @abstractmethod
    async def supervise(self, session_id: int, supervisor: Person) -> Room:
        """Give a session one more supervisor, who may then observe it, without notifying anybody.

        A record that the two have already is returned instead.

        :raises NotFound: there is no such session.
        """

    @abstractmethod
    async def notify(
        self, recipient: Person, msg: str, *, type: int = 0, data: Mapping[str, Any] | None = None
    ) -> Notification:
        """Notify somebody; returns after the commit. The types and their data are the seed's.

        With ``"alert": True`` in ``data`` it stays on top of a supervisor's page until it is acknowledged.
        """

    # --- time and tasks ---

    @abstractmethod
    def now(self) -> int:
        """Microseconds since 1970 UTC, as all times in the database."""

    @abstractmethod
    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something in the background until the server stops. What it raises is logged and counted."""


@dataclass(frozen=True)
class CommandContext:
    """What a plugin's command gets as ``ctx.obj``.

    :ivar settings: of the plugin.
    :ivar database: open, with all tables. The server may be using it.
    :ivar language: as ``[server] language``.
    :ivar timezone: as ``[server] timezone``; empty is the machine's.
    """

    settings: Any
    database: "peewee.Database"
    language: str
    timezone: str
    state_dir: Path

"""The interface of a running server for plugins, and the context of a plugin's command."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.types import Conversation, Identity, Notification, Person, Role, Room, Thread

if TYPE_CHECKING:
    import peewee

    from tornado_chat.storage.writer import Transaction

T = TypeVar("T")


class Context(ABC):
    """The interface of a running server for plugins.

    All methods are called on the server's loop. Methods that read raise ``Unavailable`` when the
    database does not answer.
    """

    language: str
    """``zh_CN`` or ``en``, the language of user texts."""

    state_dir: Path
    """The folder of the server's state; a plugin creates a folder of its own in it."""

    # --- the database ---

    @abstractmethod
    async def read(self, query: "Callable[[peewee.Database], T]") -> T:
        """Run ``query(database)`` on a reader thread. It must not write."""

    @abstractmethod
    def write(self, work: "Callable[[Transaction], T]") -> Awaitable[T]:
        """Run ``work(tx)`` in the next group commit, on the writer thread, in the order of the calls.

        ``tx.database`` is for the queries, ``tx.now`` is the time in microseconds. The result of ``work`` is
        available after the commit. If ``work`` raises, only its own changes are rolled back. All other writes
        of the server wait meanwhile, so ``work`` must not wait for anything but the database. It may run
        more than once, so it must change nothing but the database.
        """

    # --- people and conversations ---

    @abstractmethod
    async def verify(self, token: str | None) -> Identity:
        """Return the identity of a token. :raises Unauthenticated: the token is not valid."""

    @abstractmethod
    async def online(self, person: Person) -> bool:
        """Return True if the person has a socket of any kind open, in any process."""

    @abstractmethod
    async def people(self, role: Role) -> Sequence[Person]:
        """Return the people of a role who can be notified, those who are online first.

        A person can be notified who has an account of this server, or has had a ``/notify`` socket or a
        notification. People who have gone are left out, see ``reachable``.
        """

    @abstractmethod
    async def reachable(self, people: Sequence[Person]) -> Sequence[Person]:
        """Return those of ``people`` who have not gone, in the same order.

        A person has gone whose account is disabled or removed, or who is shut out by a revocation of all
        tokens. Of people with accounts elsewhere the server knows nothing else.
        """

    @abstractmethod
    async def room(self, thread: Thread) -> Room | None:
        """Return a session or a supervision record; None if there is none."""

    @abstractmethod
    async def conversation(self, conversation_id: int) -> Conversation | None:
        """Return a support conversation; None if there is none."""

    @abstractmethod
    async def supervision(self, session_id: int) -> Sequence[Room]:
        """Return the supervision records of a session, oldest first; ``helper`` is the supervisor."""

    @abstractmethod
    async def supervise(self, session_id: int, supervisor: Person) -> Room:
        """Add a supervisor to a session, who may then observe it, without a notification.

        If the session has a record with this supervisor already, that one is returned.

        :raises NotFound: there is no such session.
        """

    @abstractmethod
    async def notify(
        self, recipient: Person, msg: str, *, type: int = 0, data: Mapping[str, Any] | None = None
    ) -> Notification:
        """Notify a person; returns after the commit. The types and their data are the seed's.

        With ``"alert": True`` in ``data`` the notification stays on top of a supervisor's page until it is
        acknowledged.
        """

    # --- the plugin's own state ---

    @abstractmethod
    def problem(self, text: str | None) -> None:
        """Report a lasting problem of the plugin; None: it has none any more.

        ``text`` is a sentence for operators that says what to do. The server goes on. The problem is shown as
        ``plugin NAME`` by ``tornado-chat status`` and among the parts of ``/readyz`` that are degraded, is
        logged, and is 1 in the metric ``tornado_chat_plugin_problem``, for which there is an alert. Each
        process has the problems that its own plugins report.
        """

    # --- time and tasks ---

    @abstractmethod
    def now(self) -> int:
        """Return the time in microseconds since 1970 UTC, as all times in the database."""

    @abstractmethod
    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background until the server stops. Its exception is logged and counted."""


@dataclass(frozen=True)
class CommandContext:
    """The context of a plugin's command, which gets it as ``ctx.obj``.

    :ivar settings: the plugin's settings.
    :ivar database: open, with all tables. The server may be using it.
    :ivar language: as ``[server] language``.
    :ivar timezone: as ``[server] timezone``; empty for the machine's.
    :ivar state_dir: the folder of the server's state.
    :ivar operator: the user of the machine who runs the command.
    """

    settings: Any
    database: "peewee.Database"
    language: str
    timezone: str
    state_dir: Path
    operator: str = ""

    def people(self, role: Role) -> Sequence[Person]:
        """Return the people of a role who can be notified, as ``Context.people``, in any order."""
        from tornado_chat.storage import notifications

        return notifications.people(self.database, role, now_microseconds())

"""The interface of a running server for plugins, and the context of a plugin's command."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.deliveries import Delivery, OutboxTimes
from tornado_chat.core.lists import KnownPerson, ListPage
from tornado_chat.core.requests import Request
from tornado_chat.core.types import (
    Conversation,
    ConversationState,
    Identity,
    Message,
    Notification,
    Participant,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.plugins.outbox import Outbox
from tornado_chat.plugins.server_data import DEFAULT_LIMIT, ServerData

if TYPE_CHECKING:
    import peewee

    from tornado_chat.storage.writer import Transaction

T = TypeVar("T")


class Context(ABC):
    """The interface of a running server for plugins.

    All methods are called on the server's loop. Methods that read raise ``Unavailable`` when the
    database does not answer. Lists are read in pages of at most ``MAX_PAGE_ITEMS``, see ``ListPage``.
    """

    language: str
    """``zh_CN`` or ``en``, the language of user texts."""

    state_dir: Path
    """The folder of the server's state; a plugin creates a folder of its own in it."""

    # --- the database ---

    @abstractmethod
    async def read(self, query: "Callable[[peewee.Database], T]") -> T:
        """Run ``query(database)`` on a reader thread, for the plugin's own tables. It must not write.

        For the server's data, ``ServerData(database)`` has the methods of the context, so that one call can
        read several things.
        """

    @abstractmethod
    def write(self, work: "Callable[[Transaction], T]", *, background: bool = False) -> Awaitable[T]:
        """Run ``work(tx)`` in the next group commit, on the writer thread, in the order of the calls.

        ``tx.database`` is for the queries, ``tx.now`` is the time in microseconds. The result of ``work`` is
        available after the commit. If ``work`` raises, only its own changes are rolled back. All other writes
        of the server wait meanwhile, so ``work`` must not wait for anything but the database. It may run
        more than once, so it must change nothing but the database.

        :arg background: let messages and all other writes go first. For work that follows each message, such
            as a record of it: a flood of messages makes such work late, and not the messages of other people.
            Background writes keep their order.
        """

    # --- people and conversations ---

    @abstractmethod
    async def verify(self, token: str | None, request: Request | None = None) -> Identity:
        """Return the identity of a token. :raises Unauthenticated: the token is not valid.

        ``request`` is for plugins that know people by a cookie of the host, see ``authenticate``. A handler
        of ``register_handlers`` has it as ``self.client_request``.
        """

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
    async def known_people(
        self, role: Role, *, after: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[KnownPerson, str]:
        """Return the people of a role of whom the server has data, in the order of their ids.

        They have taken part in a conversation, have an inbox or an account. Erased people are not among them.
        """

    @abstractmethod
    async def room(self, thread: Thread) -> Room | None:
        """Return a session or a supervision record; None if there is none."""

    @abstractmethod
    async def conversation(self, conversation_id: int) -> Conversation | None:
        """Return a support conversation; None if there is none."""

    @abstractmethod
    async def supervision(self, about: Thread | int) -> Sequence[Room]:
        """Return the supervision records of a conversation, oldest first; ``helper`` is the supervisor.

        ``about`` is a session or support conversation; a number is that of a session.
        """

    @abstractmethod
    async def participants(self, thread: Thread) -> Sequence[Participant]:
        """Return the participants of a session, record or support conversation, in the order of joining."""

    @abstractmethod
    async def sessions(
        self,
        *,
        user: Person | None = None,
        consultant: Person | None = None,
        states: Sequence[SessionState] = (),
        name: str | None = None,
        opened_from: int | None = None,
        opened_before: int | None = None,
        after: str | None = None,
        limit: int = DEFAULT_LIMIT,
        reader: Identity | None = None,
    ) -> ListPage[Room, str]:
        """Return the sessions that fulfil all conditions, newest first, as ``GET /api/v1/sessions``.

        ``name`` is a part of the name of a participant, or an id. ``reader`` is the person who gets to see
        the answer: only the sessions are listed that the person may list. None: the plugin itself reads.

        :raises Forbidden: ``reader`` may not list these sessions.
        """

    @abstractmethod
    async def conversations(
        self,
        *,
        user: Person | None = None,
        waiter: Person | None = None,
        states: Sequence[ConversationState] = (),
        after: int | None = None,
        limit: int = DEFAULT_LIMIT,
        reader: Identity | None = None,
    ) -> ListPage[Conversation, int]:
        """Return the support conversations that fulfil all conditions, newest first.

        ``waiter`` is the present waiter, or the last one. ``reader`` is the person who gets to see the
        answer: a user and an agent get their own only. None: the plugin itself reads.

        :raises Forbidden: ``reader`` may not list these conversations.
        """

    @abstractmethod
    async def messages(
        self, thread: Thread, *, after: int = 0, limit: int = DEFAULT_LIMIT, reader: Identity | None = None
    ) -> ListPage[Message, int]:
        """Return the messages of a session, record or conversation after the ``seq`` ``after``, oldest first.

        A page that shows messages to a person passes this person as ``reader``: the rights are those of the
        HTTP API, and the reading is recorded (``transcript_requested``, ``transcript_read``). None: the
        plugin itself reads, which is not recorded.

        :raises Forbidden: ``reader`` may not read the messages.
        :raises NotFound: with ``reader``: there is no such session, record or conversation.
        """

    @abstractmethod
    async def last_messages(
        self, thread: Thread, *, before: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Message, int]:
        """Return the last messages, oldest first, for the plugin itself.

        ``before``: only those before this ``seq``; ``next`` is its value for the page of earlier messages.
        """

    @abstractmethod
    async def notifications(
        self, recipient: Person, *, after: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Notification, int]:
        """Return the notifications of a person, newest first, each with ``read``: the person has read it."""

    @abstractmethod
    async def supervise(self, about: Thread | int, supervisor: Person) -> Room:
        """Add a supervisor to a conversation, who may then observe it, without a notification.

        If there is a record of the conversation with this supervisor already, that one is returned.
        ``about`` is as in ``supervision``.

        :raises NotFound: there is no such conversation.
        :raises Conflict: the conversation has no agent yet.
        """

    @abstractmethod
    async def prioritise(self, conversation_id: int, score: int, reason: str | None = None) -> Conversation:
        """Set the score of an unfinished support conversation: its lane in the queue.

        Users with a higher score come first, see ``QueuePolicy``; 0 is the score of every new conversation.
        A waiting user moves at once; an active conversation keeps the score for the case that it returns to
        the queue.

        :arg score: 0 to 100.
        :arg reason: a sentence for staff, of up to 200 characters, which is stored.
        :raises Malformed: the score or the reason is not valid.
        :raises NotFound: there is no such conversation.
        :raises Conflict: it has ended.
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

    @abstractmethod
    def outbox(
        self,
        name: str,
        send: Callable[[Delivery], Awaitable[None]],
        times: OutboxTimes = OutboxTimes(),
    ) -> Outbox:
        """Return an outbox of the plugin, whose deliveries are attempted from now on. Call it in ``startup``.

        ``send`` makes one attempt: it returns when the receiver has accepted the delivery.
        ``DeliveryError`` and any other exception are failures, after which the attempt is repeated with
        growing delays; ``RetryLater`` also says how long to wait at least, and ``GiveUp`` ends the
        attempts. Several attempts run at the same time: at least one of each target, so that a target that
        does not answer delays no other. New deliveries come before those that are tried again: an order is
        kept only where ``order_key`` says so.

        :arg name: up to 32 characters, unique among the outboxes of the plugin, and always the same.
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

    @property
    def data(self) -> ServerData:
        """The server's stored data, with the methods of ``Context``, without ``await``."""
        return ServerData(self.database)

    def people(self, role: Role) -> Sequence[Person]:
        """Return the people of a role who can be notified, as ``Context.people``, in any order."""
        from tornado_chat.storage import notifications

        return notifications.people(self.database, role, now_microseconds())

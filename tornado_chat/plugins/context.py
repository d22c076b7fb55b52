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
    DEFAULT_GROUP,
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
from tornado_chat.observability.metrics.plugin_metrics import Counter, Gauge
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

    @abstractmethod
    async def mint_token(
        self,
        person: Person,
        expires: float,
        name: str | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a token of a person, as ``tornado-chat token``: for example for a link in a mail.

        It is signed with the server's shared secret, and recorded as the command is: in ``tornado-chat db
        operations`` and in the audit, by ``plugin NAME``. A plugin mints 60 at once, and one a second.

        :arg expires: how long it is valid, in seconds.
        :arg claims: further claims; those of the person, the name and the times cannot be replaced.
        :raises ValueError: the server cannot make tokens (``[auth] algorithms`` has none with a shared
            secret), the id or ``expires`` is wrong, or a plugin that records tokens cannot.
        :raises TooFast: the plugin has minted too many.
        """

    @abstractmethod
    def url_for(self, page: str, **query: object) -> str:
        """Return the address of a page or a path, with ``[web] public_url`` and ``[web] base_path``.

        :arg page: a page of the server, ``room``, ``desk``, ``console``, ``supervise``, ``admin`` or
            ``signin``; or a path that begins with a slash, such as that of the plugin's own route.
        :arg query: the parameters of the query, such as ``sessionId=4``; those that are None are left out.
        :raises ValueError: there is no such page, or the path is none.
        """

    # --- actions in conversations ---

    @abstractmethod
    async def say(self, thread: Thread, text: str, as_: str | None = None) -> int | None:
        """Say something in a session, a record or a support conversation. Returns after the commit.

        With a name ``as_``, a bot of this name says it: a stored message with a ``seq``, which is returned.
        The bot becomes a participant with part ``BOT``, its ``Person`` has the role ``BOT`` and its name as
        id, and frames for clients with the feature ``sender`` have that role; for other clients, the text
        begins with the name. The filters see the message, also those of this plugin, and ``message_posted``
        is called for it: a plugin that answers messages leaves those of the role ``BOT`` out.

        Without a name, it is a system line for those who are in the session or record now. It is not stored.
        Support conversations have none.

        A plugin says at most 20 lines a second, and 1 a second in a conversation (200 and 20 at once).

        :arg as_: up to 32 printable characters.
        :raises NotFound: there is no such conversation.
        :raises Conflict: it has ended; or its user waits for the first agent, when nobody can be told yet.
        :raises Refused: a filter refuses the message.
        :raises Malformed: the text is empty. ``TooBig``: it is longer than ``[limits] frame_bytes``.
        :raises TooFast: the plugin says too much; ``retry_after`` of the error are the seconds to wait.
        """

    @abstractmethod
    async def end(self, thread: Thread, reason: str = "") -> None:
        """End a session, a record or a support conversation at once; one that has ended stays as it is.

        In ``conversation_ended``, ``gone`` is ``Person(Role.BOT, NAME)`` with the plugin's name. ``open_…``
        and ``end`` together may be called once a second, and 60 times at once.

        :arg reason: for the audit, up to 200 characters, without a text of a person.
        :raises NotFound: there is no such conversation.
        :raises TooFast: the plugin ends and opens too many.
        """

    @abstractmethod
    async def open_session(
        self,
        user: Person,
        consultant: Person,
        *,
        user_name: str | None = None,
        consultant_name: str | None = None,
        appointment_id: int | None = None,
        group: str | None = None,
    ) -> Room:
        """Open a session, as ``POST /api/v1/sessions`` of a host. Its consultant is notified.

        :raises NotFound: there is no such group.
        :raises Forbidden: a plugin forbids it to ``Person(Role.SERVICE, NAME)`` with this plugin's name.
        :raises TooFast: the plugin opens and ends too many.
        """

    @abstractmethod
    async def open_conversation(
        self, user: Person, group: str = DEFAULT_GROUP, *, name: str | None = None
    ) -> Conversation:
        """Return the unfinished support conversation of a user; if there is none, a new one in the line.

        So a user has a place before it comes: its client finds the conversation when it connects. A user that
        does not connect within ``[support] rejoin_grace`` loses the place.

        :raises NotFound: there is no such group, or users cannot choose it.
        :raises Forbidden: a plugin does not let the user join the queue.
        :raises TooFast: the plugin opens and ends too many.
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
    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Return a counter that ``/metrics`` shows as ``tornado_chat_plugin_PLUGIN_NAME_total``.

        Call it in ``startup``. Each process counts for itself. A metric has at most 100 combinations of label
        values; what exceeds them is counted together, as ``other``. So a label is for a few values, and not
        for people or conversations. The metric is removed when the plugin stops.

        :arg name: small letters, digits and ``_``; ``labels`` as well, at most 4.
        :raises ValueError: the name or a label cannot be used or is taken, or the plugin has 50 metrics.
        """

    @abstractmethod
    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """Return a gauge that ``/metrics`` shows as ``tornado_chat_plugin_PLUGIN_NAME``; see ``counter``."""

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

    @abstractmethod
    def every(self, seconds: float, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Run ``await work()`` every ``seconds``, on one process of a cluster. Call it in ``startup``.

        The first run begins at the first start, each further one ``seconds`` after the begin of the run
        before, also if the server was restarted or another process takes over. The schedule is kept in the
        database; runs that were missed are not made up for, and two runs never overlap. A run that raises is
        logged and counted as ``task NAME``, and the next one comes in time. A run that the stop or the death
        of its process interrupts is begun again: on another process within 15 s, else after the next start.
        A process that stood still for 12 s or longer has lost its right to run: its run is cancelled. So
        make the changes of a run in one ``write``, or such that they may be made twice.

        :arg seconds: at least 1.
        :arg name: up to 32 characters, unique among the tasks of the plugin, and always the same.
        :raises ValueError: a wrong interval or name, or more than 32 tasks.
        """

    @abstractmethod
    def once(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``await work()`` on one process of a cluster, until it has returned once.

        Call it in ``startup``. Once it has returned, it is never run again under this name, not after a
        restart and not on another process; a new ``name`` runs it again. Until then it runs on one process
        at a time. A run that raises is logged and counted as ``task NAME``, and repeated after a minute. One
        that the stop or the death of its process interrupts is begun again, as of ``every``. So a work that
        returns is done at least once, and one that never returns (a connection to another system) always
        runs on exactly one process.
        """


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

"""The hooks that plugins implement: the reference for the guide in ``docs/plugins.md``.

An implementation is a method of the plugin with the hook's name, marked ``@hookimpl``. It takes
those of the hook's arguments that it needs, by name, and may be ``def`` or ``async def``; exceptions
are documented at the hook. An implementation that may wait has to be ``async def``, otherwise it blocks
the whole server. (A ``def`` implementation of an event runs in the plugin's own thread: it may wait, and
delays only its own plugin.)

The hook's kind (``HOOK_KINDS``) defines how the implementations of several plugins are combined, and how a
call is treated that raises an exception or does not return within its plugin's ``timeout``.
"""

import enum
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from tornado_chat.core.requests import Request
from tornado_chat.core.types import (
    Action,
    Activity,
    AgentState,
    Conversation,
    Draft,
    HostRecord,
    HostSession,
    Identity,
    Message,
    Notification,
    NotificationDraft,
    Person,
    Room,
    Thread,
)

if TYPE_CHECKING:
    import click
    import peewee

    from tornado_chat.domain.queue import QueuePolicy
    from tornado_chat.plugins.context import Context
    from tornado_chat.plugins.data_keeper import Keeper

PROJECT = "tornado_chat"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookKind(enum.Enum):
    """The way in which a hook is called. The value is its description for the manual."""

    LIFECYCLE = "All plugins are called. A plugin that fails at the start stops the start."
    REGISTRATION = (
        "All plugins are called once, before the database is opened; plain `def`. `check-config` calls them, "
        "too. A plugin that fails stops the start."
    )
    DECISION = (
        "The plugins are asked in order, until one returns something other than None. A plugin that fails, "
        "or returns a value of another type, refuses: a request that could not be checked is not allowed."
    )
    CHECK = (
        "All plugins are called in order, before the action, which waits for them. A plugin that raises an "
        "error of the plugin API refuses the action, and so does a plugin that fails."
    )
    CHAIN = (
        "The plugins are called in order, each with the draft that the plugin before it returned. None "
        "leaves the draft as it is; `Refused` ends the chain. A plugin that fails is skipped for this draft, "
        "or refuses it with `on_error = reject`."
    )
    EVENT = (
        "All plugins are called after the event, in order, each from a queue of its own. A call that fails "
        "is skipped. An event is lost if the server crashes before the call."
    )
    STORED_EVENT = (
        "As an event, but read from the database: the hook is called at least once for each, also after a "
        "crash or a suspension, and therefore sometimes twice. A new plugin begins with the events that "
        "are stored after its first start."
    )
    DELIVERY = (
        "As a stored event, but a call that fails is repeated, from an outbox in the database. It does not "
        "suspend the plugin."
    )


class Hooks:
    """All hooks: lifecycle, registration, decisions, checks, chains, events."""

    # --- lifecycle ---

    @hookspec
    def startup(self, context: "Context") -> None:
        """The server starts: the tables exist, connections are not accepted yet.

        ``context`` gives the plugin access to the running server, so keep it. May be async.
        """

    @hookspec
    def reload(self) -> None:
        """The server got SIGHUP: ``self.settings`` are new, and files may have changed.

        If this raises, the old settings stay. May be async. No connection is closed.
        """

    @hookspec
    def shutdown(self) -> None:
        """The server stops: all connections are closed, the database is still open. May be async.

        The background tasks of ``context.spawn`` have been cancelled. Also called if the start fails after
        this plugin's ``startup``, for example because the port is in use; not if ``startup`` itself failed.
        """

    # --- registration ---

    @hookspec
    def register_models(self) -> Sequence[type["peewee.Model"]]:  # type: ignore[empty-body]
        """Return the plugin's tables: Peewee models without a database. Missing tables are created.

        Name the database in each query: ``Table.select().execute(tx.database)``. Begin the
        names of tables with the plugin's name: a table that the server or another plugin has stops the start.
        An existing table is not altered. MySQL and MariaDB need a ``CharField`` with a length for an indexed
        column, and refuse longer values.
        """

    @hookspec
    def register_handlers(self, context: "Context") -> Sequence[tuple[Any, ...]]:  # type: ignore[empty-body]
        """Return Tornado routes: ``(pattern, handler class)`` or ``(pattern, handler class, arguments)``.

        They may be pages, API calls and WebSockets. Begin the patterns with the plugin's name: a route that
        matches a URL of the server, or that an earlier route hides, stops the start. Only keep ``context``
        here; its methods work from ``startup`` on. The handler has to authenticate the caller:
        ``await self.authenticate()`` in a ``PluginHandler``, else ``await context.verify(token)``. A
        ``ChatError`` that it raises becomes the answer, as in the server's API; a WebSocket is closed with
        the code of the error.

        The server limits the requests as those of its API (``[limits]``): their rate, and that of WebSockets
        that are opened, for the person of the header ``Authorization``, else for the client's network; and
        the large answers under way. The handler must not write to a WebSocket whose client does not read.
        """

    @hookspec
    def register_commands(self) -> Sequence["click.Command"]:  # type: ignore[empty-body]
        """Return commands for ``tornado-chat``: Click commands or groups, with the plugin's name or prefix.

        A name that the server or another plugin has stops the start.

        Each gets ``--config`` and ``--set``, and as ``ctx.obj`` a ``CommandContext`` with the plugin's
        settings and the database. The server may be running meanwhile.
        """

    @hookspec
    def register_keeper(self, state_dir: Path) -> "Keeper | None":
        """Return the plugin's data keeper, which exports, erases and removes its data, see ``Keeper``.

        Called in the server, and in commands that run beside the server without ``startup``. ``state_dir``
        is the server's.
        """

    @hookspec
    def register_queue_policy(self) -> "QueuePolicy | None":
        """Return the policy that orders the queue and chooses waiters, see ``QueuePolicy``.

        Of all plugins, one may return a policy. The hook is called again after ``reload``; the queue is then
        sorted again.
        """

    # --- decisions ---

    @hookspec
    def authenticate(self, token: str | None, request: Request | None) -> Identity | None:
        """Return the identity of a token or a request, or None if the plugin does not know it. May be async.

        Called before the token is checked as a JWT. Raise ``Unauthenticated("token_invalid",
        reason=…)`` to refuse the caller. If the hook fails, the connection is refused as unavailable, with
        close code 1013. Nothing is cached: the hook is called for each new socket and each API call.

        Only an implementation that takes ``request`` is called without a token, ``token`` is None then: so a
        person can be signed in by a cookie of the host. The request is that of the API call, or the handshake
        of the socket, also when ``auth`` (support) or ``token`` (a newer one) comes later in a frame. It is
        None for a page of an origin that ``[web] origins`` does not name (``*`` is not enough), as that page
        may not use the person's cookies, and where a plugin verifies a token without a request.

        Numbers ``exp`` and ``iat`` in the identity's claims, in seconds since 1970, have the same effect on
        open sockets as those of a JWT: its sockets are closed after ``exp``, and a revocation spares tokens
        with a later ``iat``. For a socket without a token the hook is called again after ``exp``, with the
        same request: a later ``exp`` keeps the socket open, ``Unauthenticated`` closes it at once. So a short
        ``exp`` lets a sign-out at the host take effect.
        """

    @hookspec
    def authorize(self, identity: Identity, action: Action, thread: Thread | None) -> bool | None:
        """Return whether ``identity`` may do ``action``, or None to leave it to others. May be async.

        False refuses the action regardless of the server's own rules. True allows it where those rules are
        about roles and supervision (``observe``, ``read``, ``list``, ``open``, ``supervise``, ``end``); a
        person who is not a participant of a session cannot enter it as one (``chat``). ``list`` is the list
        of sessions with names and times, without messages; True allows that of all people. ``thread`` is None
        for actions that concern no session: ``notify``, ``list``, ``open``, and ``queue`` and ``serve`` in
        support.
        """

    @hookspec
    def find_session(self, session_id: int) -> HostSession | None:
        """Look up a session that this server does not know in the host's own tables.

        A session that is found is opened here, with this id, as by ``POST /sessions``, but without
        notifications. May be async.
        """

    @hookspec
    def find_record(self, record_id: int) -> HostRecord | None:
        """Look up a supervision record in the same way; its session is looked up too. May be async."""

    # --- checks ---

    @hookspec
    def transcript_requested(self, thread: Thread, identity: Identity, how: str) -> None:
        """A person who may read a transcript is about to get it.

        ``how`` is ``messages`` (a page of it), ``export``, or ``observe``: the messages of a session that an
        observer gets live. They are sent after the hook has returned. May be async.
        """

    # --- chains ---

    @hookspec
    def filter_message(self, draft: Draft) -> Draft | None:
        """Change or refuse a message before it is stored. May be async.

        Return ``draft.replace(text)``, or None to leave the message as it is.
        ``raise Refused(en=…, zh_CN=…)`` tells only the sender. The messages of one sender are filtered in
        order. A ``def`` runs on the event loop: for the messages of one person, all filters together may use
        ``[limits] filter_share`` of its time, and further messages of that person wait.
        """

    @hookspec
    def filter_notification(self, draft: NotificationDraft) -> NotificationDraft | None:
        """Change or refuse a notification. The server's own notifications cannot be refused. May be async."""

    # --- events ---

    @hookspec
    def message_posted(self, message: Message) -> None:
        """A message was stored; the other participants have got it already."""

    @hookspec
    def session_started(self, room: Room) -> None:
        """Both participants of a session or a record are connected for the first time."""

    @hookspec
    def session_ended(self, room: Room) -> None:
        """A session or a record was completed or cancelled."""

    @hookspec
    def participant_joined(self, thread: Thread, identity: Identity) -> None:
        """The person's first socket entered a session or a record. Each process reports its own sockets."""

    @hookspec
    def participant_left(self, thread: Thread, person: Person) -> None:
        """The person's last socket left a session or a record. The person may return.

        Each process reports its own sockets.
        """

    @hookspec
    def transcript_read(self, thread: Thread, identity: Identity, how: str) -> None:
        """A person read a transcript: ``how`` is ``messages`` (a page of it) or ``export``."""

    @hookspec
    def action_taken(self, activity: Activity) -> None:
        """A person did something that no other hook reports; ``activity.action`` is one of these texts.

        ``opened session``, ``asked for supervision``, ``ended`` (a session or record), ``rated``,
        ``accepted consent`` (in a session or conversation),
        ``prioritised`` (a support conversation; the detail is the score),
        ``refused to read`` (a transcript that the person may not read), ``refused to observe``,
        ``refused to enter`` (a session or record of other people), ``signed in``, ``failed to sign in`` (to
        an account; the actor is unknown, and the failures of a quarter of an hour are one action),
        ``revoked``, ``undid revocation`` and ``reloaded`` (the configuration). There may be more in later
        versions.
        """

    @hookspec
    def observer_joined(self, thread: Thread, identity: Identity) -> None:
        """An observer's socket joined a session."""

    @hookspec
    def observer_left(self, thread: Thread, identity: Identity) -> None:
        """An observer's socket left a session."""

    @hookspec
    def conversation_queued(self, conversation: Conversation) -> None:
        """A support user joined the queue, or was put back because the waiter was lost."""

    @hookspec
    def conversation_assigned(self, conversation: Conversation, reason: str) -> None:
        """A waiter was assigned to a support user; ``reason`` is the queue policy's sentence."""

    @hookspec
    def conversation_ended(self, conversation: Conversation, gone: Person) -> None:
        """A support conversation ended because the participant ``gone`` left for good."""

    @hookspec
    def conversation_rated(self, thread: Thread, person: Person, stars: int, feedback: str | None) -> None:
        """A visitor has rated a session or a support conversation with 1 to 5 stars, perhaps again."""

    @hookspec
    def messages_read(self, thread: Thread, person: Person, seq: int) -> None:
        """A participant has read all messages up to ``seq``. Only clients that report it cause this event."""

    @hookspec
    def agent_changed(self, agent: Person, state: AgentState, previous: AgentState) -> None:
        """An agent of support is ready, paused, away or gone.

        An agent has connected if ``previous`` is ``AWAY`` or ``GONE``. Of a cluster, the process that
        coordinates has the event. Another process that takes the coordination over has an event with
        ``previous`` equal to ``state`` for each agent that it finds connected; one that has gone in between
        is missing there.
        """

    @hookspec
    def token_refused(self, code: str, count: int) -> None:
        """Tokens were refused, at sockets and at the HTTP API.

        ``code`` is that of the error, such as ``token_expired``, ``token_invalid`` or ``token_revoked``; the
        person is not known, as the token proves nothing. A call without any token is none. Each process has
        its own events: the first one at once, those of the following second as one event with their
        ``count``.
        """

    @hookspec
    def presence_changed(self, person: Person, online: bool) -> None:
        """A person's first socket of any kind opened, or the last one closed."""

    @hookspec
    def notification_created(self, notification: Notification) -> None:
        """A notification was stored; open sockets of its recipient have got it already."""

    @hookspec
    def deliver_notification(self, notification: Notification, online: bool) -> None:
        """Deliver a notification to its recipient on another channel: a text message, a mail.

        ``online`` is True if the recipient has a ``/notify`` socket open now. Called after
        ``notification_created``. A call that raises or times out is repeated until it returns, also after a
        restart, for a day: after 5 s, with delays that double up to an hour. Raise ``RetryLater`` to say
        how long to wait at least, ``GiveUp`` to end it. New notifications do not wait for repeated ones, so
        the order is lost then; ``notification.read`` and ``is_over`` are those of the call. A delivery to
        several systems, or one that takes longer than ``timeout``, belongs into an outbox of the plugin,
        see ``Context.outbox``.
        """


HOOK_KINDS: Mapping[str, HookKind] = {
    "startup": HookKind.LIFECYCLE,
    "reload": HookKind.LIFECYCLE,
    "shutdown": HookKind.LIFECYCLE,
    "register_models": HookKind.REGISTRATION,
    "register_handlers": HookKind.REGISTRATION,
    "register_commands": HookKind.REGISTRATION,
    "register_keeper": HookKind.REGISTRATION,
    "register_queue_policy": HookKind.REGISTRATION,
    "authenticate": HookKind.DECISION,
    "authorize": HookKind.DECISION,
    "find_session": HookKind.DECISION,
    "find_record": HookKind.DECISION,
    "transcript_requested": HookKind.CHECK,
    "filter_message": HookKind.CHAIN,
    "filter_notification": HookKind.CHAIN,
    "message_posted": HookKind.STORED_EVENT,
    "session_started": HookKind.EVENT,
    "session_ended": HookKind.EVENT,
    "participant_joined": HookKind.EVENT,
    "participant_left": HookKind.EVENT,
    "transcript_read": HookKind.EVENT,
    "action_taken": HookKind.EVENT,
    "observer_joined": HookKind.EVENT,
    "observer_left": HookKind.EVENT,
    "conversation_queued": HookKind.EVENT,
    "conversation_assigned": HookKind.EVENT,
    "conversation_ended": HookKind.EVENT,
    "conversation_rated": HookKind.EVENT,
    "messages_read": HookKind.EVENT,
    "agent_changed": HookKind.EVENT,
    "token_refused": HookKind.EVENT,
    "presence_changed": HookKind.EVENT,
    "notification_created": HookKind.STORED_EVENT,
    "deliver_notification": HookKind.DELIVERY,
}

SENSITIVE_ARGUMENTS = frozenset(
    {"draft", "message", "notification", "token", "request", "room", "conversation", "feedback"}
)
"""Arguments with content that must not be logged."""

HOOKS_WITHOUT_CONTENT = frozenset(
    name
    for name in HOOK_KINDS
    if not SENSITIVE_ARGUMENTS.intersection(inspect.signature(getattr(Hooks, name)).parameters)
)
"""The hooks without such arguments: the text of their exceptions can be logged."""

"""The hooks that plugins implement. ``docs/plugins.md`` shows how; this is the reference.

An implementation is a method of the plugin with the hook's name, marked ``@hookimpl``. It takes
those of the hook's arguments that it needs, by name, and may be ``def`` or ``async def``; exceptions
to this are said at the hook. Whatever may wait for something is ``async def``, or it holds up
everybody. (The ``def`` implementation of an event runs in the plugin's own thread, so that it may
wait, and holds up its own plugin only.)

How the implementations of several plugins are put together, and what happens to one that raises or
does not answer within its plugin's ``timeout``, is the hook's kind, see ``HOOK_KINDS``.
"""

import enum
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from tornado_chat.core.types import (
    Action,
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


class Kind(enum.Enum):
    """How a hook is called. The value is its manual."""

    LIFECYCLE = "All are called. One that fails at the start stops the start."
    REGISTRATION = (
        "All are called, once, before anybody is let in; plain `def`. One that fails stops the start."
    )
    DECISION = (
        "Asked in order, until one answers something other than None. One that fails refuses: "
        "what could not be checked is not allowed."
    )
    CHAIN = (
        "Called in order, each with what the one before it made of the draft. None leaves it as it "
        "is; `Refused` ends it. One that fails is skipped, or with `on_error = reject` refuses."
    )
    EVENT = (
        "All are called, after the fact and in order, from a queue of their own. One that fails is "
        "skipped. Lost if the server crashes before it is called."
    )
    STORED_EVENT = (
        "As an event, but read back from the database: called at least once for each, also after a crash "
        "or a pause, and so perhaps twice. A plugin that is new begins with what comes after."
    )


class Hooks:
    """Every hook, in the order of a server's life."""

    # --- lifecycle ---

    @hookspec
    def startup(self, context: "Context") -> None:
        """The server starts: tables are there, nobody is let in yet.

        ``context`` is what the plugin may ask of the server later, so keep it. May be async.
        """

    @hookspec
    def reload(self) -> None:
        """SIGHUP: ``self.settings`` are new, files may be. If this raises, the old settings stay.

        May be async. Nobody is disconnected.
        """

    @hookspec
    def shutdown(self) -> None:
        """The server stops: everybody is gone, the database is still there. May be async.

        Background tasks of ``context.spawn`` have been cancelled.
        """

    # --- registration ---

    @hookspec
    def register_models(self) -> Sequence[type["peewee.Model"]]:  # type: ignore[empty-body]
        """Tables of the plugin: Peewee models without a database, created where they are missing.

        Queries say on which database they run: ``Table.select().execute(tx.database)``. Begin the
        names of tables with the plugin's. A table that is there is not altered. MySQL and MariaDB
        want a ``CharField`` with a length where there is an index, and refuse what is longer.
        """

    @hookspec
    def register_handlers(self, context: "Context") -> Sequence[tuple[Any, ...]]:  # type: ignore[empty-body]
        """Tornado routes: ``(pattern, handler class)`` or ``(pattern, handler class, arguments)``.

        Pages, API calls and WebSockets alike. The server's own addresses come first. Who is asking
        is for the handler to find out: ``await context.verify(token)``.
        """

    @hookspec
    def register_commands(self) -> Sequence["click.Command"]:  # type: ignore[empty-body]
        """Commands of ``tornado-chat``: Click commands or groups, named as the plugin or after it.

        Each gets ``--config`` and ``--set``, and as ``ctx.obj`` a ``CommandContext`` with the plugin's
        settings and the database. The server may be running meanwhile.
        """

    @hookspec
    def register_keeper(self, state_dir: Path) -> "Keeper | None":
        """What becomes of the plugin's data when people's data are exported, erased or old, see ``Keeper``.

        Called in the server, and in commands that run beside it without ``startup``. ``state_dir`` is the
        server's.
        """

    @hookspec
    def register_queue_policy(self) -> "QueuePolicy | None":
        """Who is next in the waiting line and who serves, see ``QueuePolicy``. The first one counts.

        Asked again after ``reload``; the line is then put in order anew.
        """

    # --- decisions ---

    @hookspec
    def authenticate(self, token: str) -> Identity | None:
        """Who a token belongs to; None if it is not this plugin's to say. May be async.

        Asked before the token is taken for a JWT. Raise ``Unauthenticated("token_invalid",
        reason=…)`` to refuse it. What fails is refused as unavailable, with close code 1013.
        """

    @hookspec
    def authorize(self, identity: Identity, action: Action, thread: Thread | None) -> bool | None:
        """Whether somebody may do something; None if it is not this plugin's to say. May be async.

        False refuses it, whatever the server's own rules say. True allows it where they are
        about roles and supervision (``observe``, ``read``, ``open``, ``supervise``, ``end``); nobody gets
        into a session as a participant (``chat``) who is not one. ``thread`` is None for what
        concerns no session: ``notify``, ``open``, and ``queue`` and ``serve`` in support.
        """

    @hookspec
    def find_session(self, session_id: int) -> HostSession | None:
        """Look up a session that this server has not heard of in the host's own tables.

        What is found is opened here, with this id, as ``POST /sessions`` would, but without
        notifying anybody. May be async.
        """

    @hookspec
    def find_record(self, record_id: int) -> HostRecord | None:
        """The same for a supervision record; its session is looked up too. May be async."""

    # --- chains ---

    @hookspec
    def filter_message(self, draft: Draft) -> Draft | None:
        """Change or refuse what somebody is about to say. May be async.

        Return ``draft.replace(text)``, or None to leave it. ``raise Refused(en=…, zh_CN=…)`` tells
        the sender, and nobody else hears anything. What one sender sends is filtered in order.
        """

    @hookspec
    def filter_notification(self, draft: NotificationDraft) -> NotificationDraft | None:
        """The same for a notification. One that the server makes itself cannot be refused."""

    # --- events ---

    @hookspec
    def message_posted(self, message: Message) -> None:
        """Somebody said something; it is stored, and others see it already."""

    @hookspec
    def session_started(self, room: Room) -> None:
        """Both sides of a session or a record are there for the first time."""

    @hookspec
    def session_ended(self, room: Room) -> None:
        """A session or a record was completed or cancelled."""

    @hookspec
    def participant_joined(self, thread: Thread, identity: Identity) -> None:
        """The first socket of somebody entered a session or a record. Of several processes, each says it of its own."""

    @hookspec
    def participant_left(self, thread: Thread, person: Person) -> None:
        """The last socket of somebody left a session or a record, of each process. They may come back."""

    @hookspec
    def transcript_read(self, thread: Thread, identity: Identity, how: str) -> None:
        """Somebody was given what was said: ``messages`` (a page of it) or ``export``."""

    @hookspec
    def observer_joined(self, thread: Thread, identity: Identity) -> None:
        """Somebody listens in to a session, by one more socket."""

    @hookspec
    def observer_left(self, thread: Thread, identity: Identity) -> None:
        """An observer's socket closed."""

    @hookspec
    def conversation_queued(self, conversation: Conversation) -> None:
        """A support user joined the line, or is back in it because its waiter was lost."""

    @hookspec
    def conversation_assigned(self, conversation: Conversation, reason: str) -> None:
        """A support user got a waiter; ``reason`` is the queue policy's sentence."""

    @hookspec
    def conversation_ended(self, conversation: Conversation, gone: Person) -> None:
        """``gone`` left a support conversation for good."""

    @hookspec
    def presence_changed(self, person: Person, online: bool) -> None:
        """Somebody's first socket of any kind opened, or the last one closed."""

    @hookspec
    def notification_created(self, notification: Notification) -> None:
        """A notification is stored; open sockets of its recipient have got it already."""

    @hookspec
    def deliver_notification(self, notification: Notification, online: bool) -> None:
        """Bring a notification to its recipient by other ways: a text message, a mail.

        ``online`` tells whether the recipient has a ``/notify`` socket open now. Called after
        ``notification_created``. What takes longer than ``timeout`` belongs into an outbox.
        """


HOOK_KINDS: Mapping[str, Kind] = {
    "startup": Kind.LIFECYCLE,
    "reload": Kind.LIFECYCLE,
    "shutdown": Kind.LIFECYCLE,
    "register_models": Kind.REGISTRATION,
    "register_handlers": Kind.REGISTRATION,
    "register_commands": Kind.REGISTRATION,
    "register_keeper": Kind.REGISTRATION,
    "register_queue_policy": Kind.REGISTRATION,
    "authenticate": Kind.DECISION,
    "authorize": Kind.DECISION,
    "find_session": Kind.DECISION,
    "find_record": Kind.DECISION,
    "filter_message": Kind.CHAIN,
    "filter_notification": Kind.CHAIN,
    "message_posted": Kind.STORED_EVENT,
    "session_started": Kind.EVENT,
    "session_ended": Kind.EVENT,
    "participant_joined": Kind.EVENT,
    "participant_left": Kind.EVENT,
    "transcript_read": Kind.EVENT,
    "observer_joined": Kind.EVENT,
    "observer_left": Kind.EVENT,
    "conversation_queued": Kind.EVENT,
    "conversation_assigned": Kind.EVENT,
    "conversation_ended": Kind.EVENT,
    "presence_changed": Kind.EVENT,
    "notification_created": Kind.STORED_EVENT,
    "deliver_notification": Kind.STORED_EVENT,
}

SENSITIVE_ARGUMENTS = frozenset({"draft", "message", "notification", "token", "room", "conversation"})
"""Arguments with something in them that must not get into a log."""

HOOKS_WITHOUT_CONTENT = frozenset(
    name
    for name in HOOK_KINDS
    if not SENSITIVE_ARGUMENTS.intersection(inspect.signature(getattr(Hooks, name)).parameters)
)
"""The hooks that are given none of it: what they raise can be logged with its words."""

"""What plugins do in conversations: speaking, ending and opening, with the checks of a person's actions.

Strategy: a plugin is a part of the server, so its rights are not checked. Everything else is as for a person:
the filters see its messages, the database decides whether a conversation accepts them, and each action is
reported to the audit. Its rate is limited, as a plugin that answers its own messages would fill the database.
"""

import asyncio
import math
import uuid
from collections.abc import Callable

from tornado_chat.cluster.facts import CoordinatorClient, QueuePresence, queue_key
from tornado_chat.core.errors import Conflict, Malformed, NotFound, TooBig, TooFast
from tornado_chat.core.events import Event, SystemNotice
from tornado_chat.core.plain_text import is_person_id, is_well_formed
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Action,
    Activity,
    Conversation,
    ConversationState,
    Identity,
    Kind,
    Part,
    Person,
    Role,
    Room,
    Thread,
)
from tornado_chat.domain.throttle import RateLimit, RateLimiter
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.counselling.sessions_api import Sessions
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.support.group_registry import GroupRegistry
from tornado_chat.services.support.repository import ConversationRepository
from tornado_chat.storage import conversations, participants
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.participants import NewParticipant

MAX_NAME_CHARS = 32
MAX_REASON_CHARS = 200
MAX_KEYS = 10_000

LINES_OF_PLUGIN = RateLimit(rate=20.0, burst=200.0)
"""Lines of one plugin a second, and at once."""

LINES_OF_CONVERSATION = RateLimit(rate=1.0, burst=20.0)
"""Lines of one plugin in one conversation a second, and at once."""

CHANGES_OF_PLUGIN = RateLimit(rate=1.0, burst=60.0)
"""Conversations that one plugin opens or ends a second, and at once."""


class PluginActions:
    """The actions of all plugins of this process.

    :arg publish: publishes events that are not stored.
    """

    def __init__(
        self,
        plugins: PluginManager,
        store: Store,
        filtering: MessageFilter,
        room_lookup: RoomLookup,
        counselling: Counselling,
        sessions: Sessions,
        access_control: AccessControl,
        groups: GroupRegistry,
        coordinator_client: CoordinatorClient,
        publish: Callable[[Event], None],
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], int],
    ) -> None:
        self._plugins = plugins
        self._store = store
        self._filtering = filtering
        self._room_lookup = room_lookup
        self._counselling = counselling
        self._sessions = sessions
        self._access_control = access_control
        self._groups = groups
        self._repository = ConversationRepository(store, groups.early_words)
        self._coordinator_client = coordinator_client
        self._publish = publish
        self._loop = loop
        self._clock = clock
        self._filter_queues: dict[str, FilterQueue] = {}  # by plugin
        self._lines = RateLimiter(LINES_OF_PLUGIN, MAX_KEYS)
        self._lines_by_conversation = RateLimiter(LINES_OF_CONVERSATION, MAX_KEYS)
        self._changes = RateLimiter(CHANGES_OF_PLUGIN, MAX_KEYS)

    # --- speaking ---

    async def say(self, plugin: str, thread: Thread, text: str, bot_name: str) -> int:
        """Store a message of a bot; its commit delivers it. Returns its ``seq``."""
        if len(bot_name) > MAX_NAME_CHARS or not is_person_id(bot_name):
            raise ValueError(
                f"the name of a bot has 1 to {MAX_NAME_CHARS} printable characters: {bot_name!r}"
            )
        self._check_text(text)
        await self._require_open(thread, speaks=True)
        self._spend_line(plugin, thread)
        bot = Identity(Person(Role.BOT, bot_name), bot_name)
        await self._join(plugin, thread, bot.person)
        filter_queue = self._filter_queues.setdefault(plugin, FilterQueue())
        message = AppendRequest(thread, bot.person, text)
        stored = await self._filtering.submit(filter_queue, bot, message, self._loop.time())
        return stored.seq

    async def announce(self, plugin: str, thread: Thread, text: str) -> None:
        """Send a system line to those who are in a session or record now; it is not stored."""
        if thread.kind not in (Kind.SESSION, Kind.RECORD):
            raise ValueError("only sessions and records have system lines")
        self._check_text(text)
        await self._require_open(thread)
        self._spend_line(plugin, thread)
        self._publish(SystemNotice.of_plugin(thread, self._clock(), text))

    async def _join(self, plugin: str, thread: Thread, bot: Person) -> None:
        """Make the bot a participant, before its first message."""
        present = await self._store.look_up(participants.of_thread, thread)
        if any(each.person == bot and each.left is None for each in present):
            return
        newcomer = NewParticipant(bot, Part.BOT, bot.id)
        await self._store.write(lambda tx: participants.join(tx, thread, [newcomer]), thread)
        self._report(plugin, "joined", thread, f"as {bot.key}")

    # --- opening and ending ---

    async def end(self, plugin: str, thread: Thread, reason: str) -> None:
        """End a conversation at once. One that has ended stays as it is."""
        if len(reason) > MAX_REASON_CHARS or not is_well_formed(reason):
            raise ValueError(f"a reason has at most {MAX_REASON_CHARS} characters")
        try:
            await self._require_open(thread)
        except Conflict:
            return
        self._spend(self._changes, plugin)
        if thread.kind is Kind.SUPPORT:
            await self._repository.end(thread.id, Person(Role.BOT, plugin))
        else:
            await self._counselling.end(thread, Person(Role.BOT, plugin))
        self._report(plugin, "ended", thread, reason or None)

    async def open_session(
        self,
        plugin: str,
        user: Person,
        consultant: Person,
        user_name: str | None,
        consultant_name: str | None,
        appointment_id: int | None,
        group: str | None,
    ) -> Room:
        """Open a session as a host does."""
        if user.role is not Role.USER or consultant.role is not Role.CONSULTANT:
            raise ValueError("a session has a user and a consultant")
        self._spend(self._changes, plugin)
        room, _ = await self._sessions.open(
            Identity(Person(Role.SERVICE, plugin)),
            user_id=user.id,
            consultant_id=consultant.id,
            user_name=user_name,
            consultant_name=consultant_name,
            appointment_id=appointment_id,
            actor=_actor(plugin),
            group=group,
        )
        return room

    async def open_conversation(
        self, plugin: str, user: Person, group: str, name: str | None
    ) -> Conversation:
        """Return the user's unfinished conversation; if there is none, give the user a place in the line."""
        if user.role is not Role.USER:
            raise ValueError("a support conversation has a user")
        identity = Identity(user, name)
        await self._access_control.is_allowed_by_plugin(identity, Action.QUEUE)
        self._groups.require_open(identity, group or DEFAULT_GROUP)
        self._spend(self._changes, plugin)
        address = str(uuid.uuid4())
        row = await self._repository.join(user, name, address, {}, group or DEFAULT_GROUP)
        if row.user_uuid == address:
            # The coordinator hears of the conversation, and that its user is away: the grace begins.
            self._coordinator_client.report(QueuePresence(row, self._loop.time()))
            self._coordinator_client.withdraw(queue_key(row.id))
            self._report(plugin, "opened conversation", row.thread, f"{user.key} in {row.group}")
        return row

    # --- inside ---

    async def _require_open(self, thread: Thread, *, speaks: bool = False) -> None:
        """:raises ChatError: there is no such conversation, it has ended, or accepts no messages yet."""
        if thread.kind is Kind.INBOX:
            raise ValueError("an inbox is no conversation; use notify")
        if thread.kind is not Kind.SUPPORT:
            room = await self._room_lookup.get(thread)
            is_open = room.open
        else:
            row = await self._store.look_up(conversations.get, thread.id)
            if row is None:
                raise NotFound("no_such_conversation", id=thread.id)
            is_open = row.open
            if speaks and row.state is ConversationState.WAITING and not row.returned:
                raise Conflict("still_waiting")
        if not is_open:
            raise Conflict("session_finished")

    def _check_text(self, text: str) -> None:
        if not is_well_formed(text):
            raise ValueError("the text has half of a character (a lone surrogate)")
        if not text.strip():
            raise Malformed("empty_message")
        if len(text.encode()) > self._plugins.max_text_bytes:
            raise TooBig("too_big", limit=self._plugins.max_text_bytes)

    def _spend_line(self, plugin: str, thread: Thread) -> None:
        self._spend(self._lines, plugin)
        self._spend(self._lines_by_conversation, (plugin, thread))

    def _spend(self, limiter: RateLimiter, key: object) -> None:
        now = self._loop.time()
        wait = limiter.wait_seconds(key, now)
        if wait:
            raise TooFast("too_fast", retry_after=math.ceil(wait))
        limiter.spend(key, now)

    def _report(self, plugin: str, action: str, thread: Thread, detail: str | None) -> None:
        self._plugins.report_action(Activity(_actor(plugin), action, thread, detail))


def _actor(plugin: str) -> str:
    return f"plugin {plugin}"

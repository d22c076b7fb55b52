"""The users and waiters with connections in this process, and their conversations.

Strategy: a conversation's row says everything, and each change of it makes a new version of the row.
``learn`` compares the version that the connections were told of last with the one it gets, and tells them the
difference; so it does not matter whether a version comes with an event, was read because a client connected,
or because an event was missed. Who waits, for how long and for whom is not decided here: this module reports
who is connected to the coordinator (``cluster/facts.py``), and learns what the coordinator has decided.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.cluster.bus import Bus
from tornado_chat.cluster.facts import (
    CoordinatorClient,
    QueuePresence,
    WaiterPresence,
    queue_key,
    waiter_key,
)
from tornado_chat.core.close_codes import REPLACED
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.events import (
    ConversationAssigned,
    ConversationEnded,
    ConversationRequeued,
    Event,
    QueuePositionChanged,
    WaiterReplaced,
)
from tornado_chat.core.types import Action, Conversation, ConversationState, Person, Role
from tornado_chat.delivery.hub import Hub
from tornado_chat.observability.logs import fields
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.support.connections import SocketNotifier, SupportConnection, UserConversation
from tornado_chat.services.support.repository import ConversationRepository
from tornado_chat.storage import conversations

log = logging.getLogger(__name__)

MAX_SEEN_VERSIONS = 10_000
"""Conversations whose newest version is remembered: many more than change while a row is on its way to us."""


class LocalWaiter:
    """A waiter's connections and its conversations."""

    __slots__ = ("address", "claims", "connections", "name", "person", "ready", "rows")

    def __init__(self, person: Person, address: str) -> None:
        self.person = person
        self.address = address
        self.name: str | None = None
        self.claims: Mapping[str, Any] = {}
        self.ready = False
        self.connections: dict[SupportConnection, None] = {}
        self.rows: dict[int, Conversation] = {}

    @property
    def presence(self) -> WaiterPresence:
        return WaiterPresence(self.person, self.ready, self.name, self.address, self.claims)


class LocalConversations:
    """The support conversations of the connections of this process."""

    def __init__(
        self,
        settings: config.Support,
        store: Store,
        repository: ConversationRepository,
        hub: Hub,
        receipts: ReceiptStore,
        loop: asyncio.AbstractEventLoop,
        bus: Bus,
        access_control: AccessControl,
        coordinator_client: CoordinatorClient,
    ) -> None:
        self._settings = settings
        self._store = store
        self._repository = repository
        self._loop = loop
        self._bus = bus
        self._access_control = access_control
        self._coordinator_client = coordinator_client
        self._notifier = SocketNotifier(hub, receipts, store, self.learn, BackgroundTasks(loop))
        self._user_conversations: dict[Person, UserConversation] = {}
        self._local_waiters: dict[Person, LocalWaiter] = {}
        self._holders: dict[int, LocalWaiter] = {}  # the waiter here that has a conversation
        self._seen: dict[int, int] = {}  # the newest version of the conversations that were learned last
        self._is_stopping = False

    def stop(self) -> None:
        """From now on a connection is closed by the server, and its person does not leave."""
        self._is_stopping = True

    def reconfigure(self, settings: config.Support) -> None:
        """Use other settings from now on."""
        self._settings = settings

    # --- people come and go ---

    async def attach_user(self, connection: SupportConnection, *, resume: bool = False) -> bool:
        """Connect a user with its conversation or its position in the queue, a new one if needed.

        :arg resume: do not begin a new one. False is returned if there is none to come back to.
        :raises Unavailable: the queue could not be joined; nothing was done.
        :raises Forbidden: a plugin does not let the user in.
        """
        await self._access_control.is_allowed_by_plugin(connection.identity, Action.QUEUE)
        person = connection.person
        if resume and person not in self._user_conversations:
            await self._subscribe(connection)
            if await self._store.read(conversations.unfinished_of, person) is None:
                return False
        while True:
            mine = self._user_conversations.get(person)
            if mine is None:
                mine = self._user_conversations[person] = UserConversation()
            async with mine.lock:
                if self._user_conversations.get(person) is not mine:  # it ended while we waited for the lock
                    continue
                if mine.conversation is None:
                    try:
                        mine.conversation = await self._open(connection)
                    except BaseException:
                        del self._user_conversations[person]
                        raise
                mine.connections[connection] = None
                connection.user_conversation = mine
                mine.asking.add(connection)
                # Also when the coordinator knows it: that is how a user asks for its position.
                self._coordinator_client.report(QueuePresence(mine.conversation, self._loop.time()))
                if mine.conversation.state is ConversationState.ACTIVE:
                    self._notifier.show_agent(connection, mine.conversation)
                elif mine.conversation.returned:
                    await self._notifier.follow(connection, mine.conversation)
                break
        if connection.socket_stream.closed:  # while we waited
            self.detach(connection)
        return True

    async def attach_waiter(self, connection: SupportConnection, *, ready: bool) -> None:
        """Connect a waiter with its users, and with new ones if it is ready.

        Either way it is shown the conversations that this connection has not been shown yet.

        :raises Forbidden: a plugin does not let the waiter serve.
        :raises Unavailable: its conversations could not be read.
        """
        await self._access_control.is_allowed_by_plugin(connection.identity, Action.SERVE)
        waiter = self._local_waiters.get(connection.person)
        if waiter is None:
            waiter = self._local_waiters[connection.person] = LocalWaiter(
                connection.person, connection.address
            )
        is_new = connection not in waiter.connections
        waiter.ready = ready
        waiter.claims = connection.identity.claims
        waiter.name = connection.identity.name or waiter.name
        waiter.connections[connection] = None
        if is_new:
            try:
                await self._subscribe(connection)
                for row in await self._store.look_up(conversations.active_of_waiter, connection.person):
                    self.learn(row)
            except ChatError:
                self.detach(connection)
                raise
        for row in waiter.rows.values():
            if row.id not in connection.shown:
                self._notifier.show_user(connection, row)
        if waiter.connections:
            self._coordinator_client.report(waiter.presence)
        if connection.socket_stream.closed:
            self.detach(connection)

    def detach(self, connection: SupportConnection) -> None:
        """The connection is closed. After the last connection of its person the grace begins."""
        if self._is_stopping:
            return
        mine = connection.user_conversation
        if mine is not None and connection in mine.connections:
            del mine.connections[connection]
            mine.asking.discard(connection)
            if not mine.connections and not mine.has_ended:
                self._forget(mine)
                self._coordinator_client.withdraw(queue_key(mine.row.id))
                self._log_away(mine.row, connection)
        waiter = self._local_waiters.get(connection.person)
        if waiter is not None and connection in waiter.connections:
            del waiter.connections[connection]
            if not waiter.connections:
                del self._local_waiters[connection.person]
                self._coordinator_client.withdraw(waiter_key(connection.person))
                for row in waiter.rows.values():
                    self._holders.pop(row.id, None)
                    self._log_away(row, connection)

    def sign_in(self, connection: SupportConnection) -> None:
        """Let a new connection of a waiter replace its others that have, like it, the feature ``kickout``."""
        if connection.person.role is Role.WAITER and "kickout" in connection.features:
            self._bus.publish(WaiterReplaced(connection.person, connection.socket_stream.conn))

    async def end(self, conversation: Conversation, gone: Person) -> None:
        """End a conversation, as ``gone`` leaves it for good. Ending it twice changes nothing."""
        await self._repository.end(conversation.id, gone)

    def conversation_of(self, connection: SupportConnection, address: str | None) -> Conversation:
        """Return the conversation that a request is about.

        :arg address: of a waiter: the user's address; of a user: ignored.
        :raises Conflict: there is none, or it is not the waiter's.
        """
        if connection.person.role is Role.USER:
            if connection.user_conversation is None:
                raise Conflict("not_connected")
            return connection.user_conversation.row
        if not address:
            raise Conflict("to_missing")
        waiter = self._local_waiters.get(connection.person)
        for row in waiter.rows.values() if waiter else ():
            if row.user_uuid == address:
                return row
        raise Conflict("not_your_user", to=address[:64])

    # --- events ---

    events = (
        ConversationAssigned,
        ConversationEnded,
        ConversationRequeued,
        QueuePositionChanged,
        WaiterReplaced,
    )

    def on_event(self, event: Event) -> None:
        """Take in a committed change or a decision, and tell the connections; called for ``events``."""
        if isinstance(event, ConversationAssigned):
            row = event.conversation
            self.learn(row, is_new=event.previous is None and row.last_seq == 0)
        elif isinstance(event, ConversationEnded | ConversationRequeued):
            self.learn(event.conversation)
        elif isinstance(event, QueuePositionChanged):
            self._on_position(event)
        elif isinstance(event, WaiterReplaced):
            self._replace(event)

    def _on_position(self, event: QueuePositionChanged) -> None:
        self.learn(event.conversation)
        mine = self._user_conversations.get(event.conversation.user)
        row = None if mine is None else mine.conversation
        if mine is None or row is None or row.id != event.conversation.id:
            return
        has_moved = mine.position != event.place
        mine.position = event.place
        for connection in mine.connections:
            if has_moved or connection in mine.asking:
                self._notifier.show_position(connection, row, event.place)
        mine.asking.clear()

    def _replace(self, event: WaiterReplaced) -> None:
        waiter = self._local_waiters.get(event.waiter)
        for other in list(waiter.connections) if waiter else ():
            if "kickout" in other.features and other.socket_stream.conn != event.conn:
                other.view.show_replacement()
                other.socket_stream.close(*REPLACED)

    def learn(self, row: Conversation, *, is_new: bool = False) -> None:
        """Tell the connections here what is new in a conversation. An old version of it changes nothing.

        :arg is_new: the version comes from the event of its first assignment, before anything was said.
        """
        seen = self._seen.pop(row.id, 0)
        self._seen[row.id] = max(seen, row.changes)
        if row.changes < seen:  # read before a change that we have learned, and handed to us after it
            return
        if len(self._seen) > MAX_SEEN_VERSIONS:
            del self._seen[next(iter(self._seen))]
        mine = self._user_conversations.get(row.user)
        known = None if mine is None else mine.conversation
        if mine is not None and known is not None and known.id == row.id and row.changes > known.changes:
            self._update_user(mine, row, is_new)
        holder = self._holders.get(row.id)
        if holder is not None and holder.person != row.waiter:
            self._update_waiter(holder, row, is_new)
        waiter = self._local_waiters.get(row.waiter) if row.waiter is not None else None
        if waiter is not None:
            self._update_waiter(waiter, row, is_new)

    async def resync(self) -> None:
        """Read what the bus may not have delivered for the connections here.

        :raises Unavailable: the database is away.
        """
        ids = [mine.row.id for mine in self._user_conversations.values() if mine.conversation is not None]
        ids += [row_id for waiter in self._local_waiters.values() for row_id in waiter.rows]
        async for row in read_in_chunks(self._store, conversations.find_many, ids):
            self.learn(row)
        async for row in read_in_chunks(
            self._store, conversations.active_of_waiters, list(self._local_waiters)
        ):
            self.learn(row)

    # --- inside ---

    def _update_user(self, mine: UserConversation, row: Conversation, is_new: bool) -> None:
        mine.conversation = row
        if row.state is ConversationState.ACTIVE:
            for connection in mine.connections:
                if connection.shown.get(row.id) != row.waiter_uuid:
                    self._notifier.show_agent(connection, row, is_new=is_new)
        elif row.state is ConversationState.WAITING:
            mine.position = 0
            for connection in mine.connections:
                connection.shown.pop(row.id, None)
        else:
            mine.has_ended = True
            self._forget(mine)
            self._coordinator_client.withdraw(queue_key(row.id))
            for connection in mine.connections:
                connection.user_conversation = None
                self._notifier.part(connection, row)

    def _update_waiter(self, waiter: LocalWaiter, row: Conversation, is_new: bool) -> None:
        known = waiter.rows.get(row.id)
        if known is not None and row.changes <= known.changes:
            return
        if row.waiter == waiter.person and row.state is ConversationState.ACTIVE:
            waiter.rows[row.id] = row
            self._holders[row.id] = waiter
            for connection in waiter.connections:
                if row.id not in connection.shown:
                    self._notifier.show_user(connection, row, is_new=is_new)
        elif known is not None:
            del waiter.rows[row.id]
            if self._holders.get(row.id) is waiter:
                del self._holders[row.id]
            for connection in waiter.connections:
                if row.id in connection.shown:
                    self._notifier.part(connection, row)

    async def _open(self, connection: SupportConnection) -> Conversation:
        """Return the user's unfinished conversation, a new one if it has none."""
        identity, claims = connection.identity, {}
        for claim in self._settings.queue_claims:
            if claim in identity.claims:
                claims[claim] = identity.claims[claim]
        await self._subscribe(connection)
        while True:
            # A user that comes back needs no commit, and does not wait for those who do. Lookups are answered
            # in the order in which they were asked, so users that come at the same time keep their order.
            row = await self._repository.find_unfinished(connection.person)
            if row is None:
                row = await self._repository.join(
                    connection.person, identity.name, connection.address, claims
                )
            if row.changes >= self._seen.get(row.id, 0):  # else it has changed since it was read
                return row

    async def _subscribe(self, connection: SupportConnection) -> None:
        """Subscribe to a person's channel; not for a closed connection, which would never unsubscribe."""
        if not connection.socket_stream.closed:
            await self._bus.subscribe(connection.person)

    def _forget(self, mine: UserConversation) -> None:
        if self._user_conversations.get(mine.row.user) is mine:
            del self._user_conversations[mine.row.user]

    def _log_away(self, row: Conversation, connection: SupportConnection) -> None:
        person, grace = connection.person, self._settings.rejoin_grace
        log.info("away", extra=fields(conversation=row.id, role=person.role.value, id=person.id, grace=grace))

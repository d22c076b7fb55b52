"""The floor: users and waiters with sockets in this process, and their conversations.

Strategy: a conversation's row says everything, and every change of it makes a new version of the row.
``learn`` compares the version that the sockets were told of last with the one it gets, and tells them the
difference; so it does not matter whether a version comes with an event, was read because somebody came,
or because an event was missed. Who waits, for how long and for whom is not decided here: the floor tells
the coordinator who is there (``attendance.py``), and learns what it has decided.
"""

import asyncio
import logging

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.cluster.bus import Bus
from tornado_chat.cluster.facts import CoordinatorClient, QueuePresence, queue_key, waiter_key
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
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.messaging.event_log import log_fields
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.support.sockets import (
    LocalWaiter,
    SocketNotifier,
    SupportConnection,
    UserConversation,
)
from tornado_chat.storage import conversations

log = logging.getLogger(__name__)

MAX_SEEN_VERSIONS = 10_000
"""Conversations whose last version is remembered: many more than change while a row is on its way to us."""


class LocalConversations:
    """The support sockets of this process."""

    def __init__(
        self,
        settings: config.Support,
        store: Store,
        hub: Hub,
        receipts: ReceiptStore,
        loop: asyncio.AbstractEventLoop,
        bus: Bus,
        access_control: AccessControl,
        coordinator_client: CoordinatorClient,
    ) -> None:
        self._settings = settings
        self._store = store
        self._loop = loop
        self._bus = bus
        self._access_control = access_control
        self._coordinator_client = coordinator_client
        self._tasks = BackgroundTasks(loop)
        self._notifier = SocketNotifier(hub, receipts, store, self.learn, self._tasks)
        self._user_conversations: dict[Person, UserConversation] = {}
        self._local_waiters: dict[Person, LocalWaiter] = {}
        self._holders: dict[int, LocalWaiter] = {}  # the waiter here who has a conversation
        self._seen: dict[int, int] = {}  # the newest version of the conversations that were heard of last
        self._stopping = False

    def stop(self) -> None:
        """From now on a closing socket is the server's doing, and nobody's departure."""
        self._stopping = True

    def reconfigure(self, settings: config.Support) -> None:
        """Go by other settings from now on."""
        self._settings = settings

    # --- people come and go ---

    async def attach_user(self, connection: SupportConnection, *, resume: bool = False) -> bool:
        """Bring a user's socket to its conversation or its place in the line; a new one if needed.

        :arg resume: not a new one. False is returned if there is none to come back to.
        :raises Unavailable: the line could not be joined; nothing was done.
        :raises Forbidden: a plugin does not let the user in.
        """
        await self._access_control.is_allowed_by_plugin(connection.identity, Action.QUEUE)
        if resume and connection.person not in self._user_conversations:
            await self._subscribe(connection)
            if await self._store.read(conversations.unfinished_of, connection.person) is None:
                return False
        while True:
            talk = self._user_conversations.setdefault(connection.person, UserConversation())
            async with talk.lock:
                if (
                    self._user_conversations.get(connection.person) is not talk
                ):  # it ended while we waited for the lock
                    continue
                if talk.conversation is None:
                    try:
                        await self._open(talk, connection)
                    except BaseException:
                        del self._user_conversations[connection.person]
                        raise
                talk.connections[connection] = None
                connection.talk = talk
                talk.asking.add(connection)
                # Also when it is known: that is how one asks one's place.
                self._coordinator_client.report(QueuePresence(talk.row, self._loop.time()))
                await self._show_talk(talk, connection)
                break
        if connection.socket_stream.closed:  # its socket closed while we waited
            self.detach(connection)
        return True

    async def attach_waiter(self, connection: SupportConnection, *, ready: bool) -> None:
        """Bring a waiter's socket to its users, and more of them if it is ready.

        :raises Forbidden: a plugin does not let the waiter serve.
        :raises Unavailable: its conversations could not be read.
        """
        await self._access_control.is_allowed_by_plugin(connection.identity, Action.SERVE)
        post = self._local_waiters.get(connection.person)
        if post is None:
            post = self._local_waiters[connection.person] = LocalWaiter(
                connection.person, connection.frames.address
            )
        fresh = connection not in post.connections
        post.ready = ready
        post.claims = connection.identity.claims
        post.name = connection.identity.name or post.name
        post.connections[connection] = None
        if fresh:
            try:
                await self._subscribe(connection)
                for row in await self._store.look_up(conversations.active_of_waiter, connection.person):
                    self.learn(row)
            except ChatError:
                self.detach(connection)
                raise
        for row in post.rows.values():
            if row.id not in connection.shown:
                self._notifier.show_user(row, connection)
        if post.connections:
            self._coordinator_client.report(post.fact)
        if connection.socket_stream.closed:
            self.detach(connection)

    def detach(self, connection: SupportConnection) -> None:
        """The seat's socket is closed. That is no departure: the grace begins, if it was the last one."""
        if self._stopping:
            return
        talk = connection.talk
        if talk is not None and connection in talk.connections:
            del talk.connections[connection]
            talk.asking.discard(connection)
            if not talk.connections and not talk.gone:
                self._forget(talk)
                self._coordinator_client.withdraw(queue_key(talk.row.id))
                log.info(
                    "away",
                    extra=log_fields(talk.row.thread, connection.person, grace=self._settings.rejoin_grace),
                )
        post = self._local_waiters.get(connection.person)
        if post is not None and connection in post.connections:
            del post.connections[connection]
            if not post.connections:
                del self._local_waiters[connection.person]
                self._coordinator_client.withdraw(waiter_key(connection.person))
                for row in post.rows.values():
                    self._holders.pop(row.id, None)
                    log.info(
                        "away",
                        extra=log_fields(row.thread, connection.person, grace=self._settings.rejoin_grace),
                    )

    def sign_in(self, connection: SupportConnection) -> None:
        """A new socket of a waiter replaces the others, where both know of that (feature ``kickout``)."""
        if connection.person.role is Role.WAITER and "kickout" in connection.frames.features:
            self._bus.publish(WaiterReplaced(connection.person, connection.socket_stream.conn))

    async def end(self, conversation: Conversation, gone: Person) -> None:
        """``gone`` leaves the conversation for good. One that is over stays so."""
        await self._store.write(lambda tx: conversations.end(tx, conversation.id, gone))

    def conversation_of(self, connection: SupportConnection, address: str | None) -> Conversation:
        """The conversation that a frame is about.

        :arg address: of a waiter: the user's; of a user: whatever it says is ignored.
        :raises Conflict: there is none, or it is not the waiter's.
        """
        if connection.person.role is Role.USER:
            if connection.talk is None:
                raise Conflict("not_connected")
            return connection.talk.row
        if not address:
            raise Conflict("to_missing")
        post = self._local_waiters.get(connection.person)
        for row in post.rows.values() if post else ():
            if row.user_uuid == address:
                return row
        raise Conflict("not_your_user", to=address[:64])

    # --- what the bus tells ---

    events = (
        ConversationAssigned,
        ConversationEnded,
        ConversationRequeued,
        QueuePositionChanged,
        WaiterReplaced,
    )

    def on_event(self, event: Event) -> None:
        """Take in what was committed or decided, and tell the people; called for ``events``."""
        if isinstance(event, WaiterReplaced):
            self._replace(event)
        elif isinstance(event, QueuePositionChanged):
            self._on_position(event)
        elif isinstance(event, ConversationAssigned | ConversationEnded | ConversationRequeued):
            self.learn(event.conversation)

    def _on_position(self, event: QueuePositionChanged) -> None:
        self.learn(event.conversation)
        talk = self._user_conversations.get(event.conversation.user)
        if talk is not None and talk.conversation is not None and talk.row.id == event.conversation.id:
            moved = talk.place != event.place
            talk.place = event.place
            for connection in talk.connections:
                if moved or connection in talk.asking:
                    self._notifier.show_position(talk, connection)
            talk.asking.clear()

    def _replace(self, event: WaiterReplaced) -> None:
        post = self._local_waiters.get(event.waiter)
        for other in list(post.connections) if post else ():
            if "kickout" in other.frames.features and other.socket_stream.conn != event.conn:
                other.socket_stream.send(other.frames.kickout())
                other.socket_stream.close(*REPLACED)

    def learn(self, row: Conversation) -> None:
        """Tell the sockets here what is new in a conversation. An old version of it changes nothing."""
        seen = self._seen.pop(row.id, 0)
        self._seen[row.id] = max(seen, row.changes)
        if row.changes < seen:  # read before, and handed to us after, a change that we have heard of
            return
        if len(self._seen) > MAX_SEEN_VERSIONS:
            del self._seen[next(iter(self._seen))]
        talk = self._user_conversations.get(row.user)
        if (
            talk is not None
            and talk.conversation is not None
            and talk.row.id == row.id
            and row.changes > talk.row.changes
        ):
            self._show_user_side(talk, row)
        holder = self._holders.get(row.id)
        if holder is not None and holder.person != row.waiter:
            self._show_waiter_side(holder, row)
        post = self._local_waiters.get(row.waiter) if row.waiter is not None else None
        if post is not None:
            self._show_waiter_side(post, row)

    async def resync(self) -> None:
        """Events may have been missed: see what the database says of everybody here.

        :raises Unavailable: it says nothing.
        """
        ids = [talk.row.id for talk in self._user_conversations.values() if talk.conversation is not None]
        ids += [row_id for post in self._local_waiters.values() for row_id in post.rows]
        async for row in read_in_chunks(self._store, conversations.find_many, ids):
            self.learn(row)
        async for row in read_in_chunks(
            self._store, conversations.active_of_waiters, list(self._local_waiters)
        ):
            self.learn(row)

    # --- inside ---

    def _show_user_side(self, talk: UserConversation, row: Conversation) -> None:
        talk.conversation = row
        if not row.open:
            talk.gone = True
            self._forget(talk)
            self._coordinator_client.withdraw(queue_key(row.id))
            for connection in talk.connections:
                connection.talk = None
                self._notifier.part(connection, row)
        elif row.state is ConversationState.ACTIVE:
            for connection in talk.connections:
                if connection.shown.get(row.id) != row.waiter_uuid:
                    self._notifier.show_waiter(row, connection)
        else:
            talk.place = 0
            for connection in talk.connections:
                connection.shown.pop(row.id, None)

    def _show_waiter_side(self, post: LocalWaiter, row: Conversation) -> None:
        known = post.rows.get(row.id)
        if known is not None and row.changes <= known.changes:
            return
        if row.waiter == post.person and row.state is ConversationState.ACTIVE:
            post.rows[row.id] = row
            self._holders[row.id] = post
            for connection in post.connections:
                if row.id not in connection.shown:
                    self._notifier.show_user(row, connection)
        elif known is not None:
            del post.rows[row.id]
            if self._holders.get(row.id) is post:
                del self._holders[row.id]
            for connection in post.connections:
                if row.id in connection.shown:
                    self._notifier.part(connection, row)

    async def _open(self, talk: UserConversation, connection: SupportConnection) -> None:
        name, address = connection.identity.name, connection.frames.address
        wanted = self._settings.queue_claims
        claims = {name: value for name, value in connection.identity.claims.items() if name in wanted}
        await self._subscribe(connection)
        row: Conversation | None = None
        while row is None or row.changes < self._seen.get(row.id, 0):  # it has changed since it was read
            # Who comes back needs no writing, and does not wait for those who write. Lookups are answered in
            # the order in which they were asked, so those who come at once keep their order.
            row = await self._store.look_up(
                conversations.unfinished_of, connection.person
            ) or await self._store.write(
                lambda tx: conversations.join(tx, connection.person, name, address, claims)
            )
        talk.conversation = row

    async def _subscribe(self, connection: SupportConnection) -> None:
        """Nobody would tune out for a socket that is gone already."""
        if not connection.socket_stream.closed:
            await self._bus.subscribe(connection.person)

    async def _show_talk(self, talk: UserConversation, connection: SupportConnection) -> None:
        """Tell a user's socket that has just connected where it stands; its place comes from the coordinator."""
        row = talk.row
        if row.state is ConversationState.ACTIVE:
            self._notifier.show_waiter(row, connection)
        elif row.returned:
            await self._notifier.follow(connection, row)

    def _forget(self, talk: UserConversation) -> None:
        if self._user_conversations.get(talk.row.user) is talk:
            del self._user_conversations[talk.row.user]

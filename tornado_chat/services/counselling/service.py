"""Counselling: entering and leaving rooms, talking, listening in, ending.

Strategy: this module knows the sockets of this process, and what their people do. Who of a room is there in
any process, when it starts and how long somebody is awaited is not decided here: the coordinator is told
who is there (``attendance.py``), and ``room_life.py`` decides. The database has the last word on a room's
state: an end is a conditional update, and what people are told of it is published by its commit.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.deferred import Deferred
from tornado_chat.cluster.facts import CoordinatorClient, RoomPresence, RoomPresenceRequest, room_key
from tornado_chat.core.close_codes import ENDED
from tornado_chat.core.errors import ChatError, Conflict, Forbidden, Unavailable
from tornado_chat.core.events import Event as Published
from tornado_chat.core.events import PresenceChanged, ReadAdvanced, RoomEnded, SystemNotice, TypingChanged
from tornado_chat.core.types import (
    Action,
    AppendResult,
    Identity,
    Kind,
    Message,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.domain.room_state import Event, RoomEffect, transition
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.messaging.event_log import log_fields
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store, read_in_chunks, retrieve_exception
from tornado_chat.storage import messages, read_marks, rooms
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

BROADCAST_EVENTS = (SystemNotice, PresenceChanged, TypingChanged, ReadAdvanced)
"""What is shown to everybody who follows a thread, of a conversation of support too."""

CLOSE_CODE_END = 4000
CLOSE_CODE_CANCEL = 4001
RETRY_SECONDS = 5.0  # seconds until an end that the database did not take is tried again


class RoomConnection:
    """One socket's place in a room."""

    __slots__ = ("filter_queue", "identity", "room", "socket_stream")

    def __init__(self, identity: Identity, room: Room, socket_stream: SocketStream) -> None:
        self.identity = identity
        self.room = room
        self.socket_stream = socket_stream
        self.filter_queue = FilterQueue()

    @property
    def thread(self) -> Thread:
        return self.room.thread

    @property
    def person(self) -> Person:
        return self.identity.person


class _LocalRoom:
    """What this process has of a room: who is in it here.

    Within ``lock``, joins and departures happen one after the other.
    """

    __slots__ = ("connections", "lock", "lock_users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.connections: dict[Person, set[RoomConnection]] = {}
        self.lock_users = 0  # those who hold the lock, or want to


class Counselling:
    """The sockets in rooms.

    :arg publish: the bus, for what is told without being stored.
    """

    def __init__(
        self,
        settings: config.Counselling,
        store: Store,
        hub: Hub,
        receipts: ReceiptStore,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Published], None],
        *,
        room_lookup: RoomLookup,
        access_control: AccessControl,
        filtering: MessageFilter,
        plugins: PluginManager,
        coordinator_client: CoordinatorClient,
    ) -> None:
        self._settings = settings
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._loop = loop
        self._publish = publish
        self._room_lookup = room_lookup
        self._access_control = access_control
        self._filtering = filtering
        self._plugins = plugins
        self._coordinator_client = coordinator_client
        self._local_rooms: dict[Thread, _LocalRoom] = {}
        self._tasks = BackgroundTasks(loop)
        self._stopping = False

    # --- life of the service ---

    def reconfigure(self, settings: config.Counselling) -> None:
        """Go by other settings from now on."""
        self._settings = settings

    def stop(self) -> None:
        """From now on a closing socket is the server's doing, and ends nothing."""
        self._stopping = True

    # --- the room ---

    async def enter(self, identity: Identity, thread: Thread, socket_stream: SocketStream) -> RoomConnection:
        """Bring a socket into its room: what it missed first, then the room's life.

        :raises NotFound: there is no such room.
        :raises Forbidden: the person takes no part in it.
        :raises Conflict: it is over (what the person had not received yet was written first).
        """
        await self._access_control.is_allowed_by_plugin(identity, Action.CHAT, thread)
        async with self._locked_room(thread) as local:
            connection = await self._enter(identity, thread, socket_stream)
            connections = local.connections.setdefault(connection.person, set())
            connections.add(connection)
            if len(connections) == 1:
                self._plugins.emit("participant_joined", thread=thread, identity=identity)
                name = identity.name or _display_name(connection.room, connection.person)
                self._coordinator_client.report(RoomPresence(connection.room, connection.person, name))
        if socket_stream.closed:  # the socket closed while we waited, when nobody knew its seat
            self.leave(connection, None)
        return connection

    def send(self, connection: RoomConnection, text: str, client_id: str | None) -> Deferred[AppendResult]:
        """Filter and store a message of ``connection``'s room; its commit shows it to the others.

        :raises Unavailable: the server is overloaded; nothing was taken.
        :raises Refused: a filter does not let it pass. Like the others, this may also come with the result.

        The error is ``Conflict`` if the room has ended.
        """
        message = AppendRequest(connection.thread, connection.person, text, client_id)
        return self._filtering.submit(
            connection.filter_queue, connection.identity, message, connection.socket_stream.last_received_at
        )

    def typing(self, connection: RoomConnection, typing: bool) -> None:
        """Show the others that one is typing, or stopped; never stored."""
        self._publish(TypingChanged(connection.thread, connection.identity.person, typing))

    def mark_read(self, connection: RoomConnection, seq: int) -> None:
        """Remember and show how far one has read. Nobody waits for it; a lost one is said again."""
        done = self._store.write(
            lambda tx: read_marks.set_read_mark(tx, connection.thread, connection.identity.person, seq)
        )
        done.add_done_callback(retrieve_exception)

    async def initial_events(self, connection: RoomConnection) -> list[Published]:
        """What one who has just come should know: who is there, and how far everybody has read."""
        marks = await self._store.look_up(read_marks.read_marks, connection.thread)
        return [*marks, await self.presence(connection.room)]

    def leave(self, connection: RoomConnection, close_code: int | None) -> None:
        """The seat's socket is closed. Codes 4000 (end) and 4001 (no answer in time) mean something."""
        if not self._stopping:
            self._tasks.spawn(self._leave(connection, close_code))

    async def end(self, thread: Thread, by: Person) -> Room:
        """End a room at once, whoever is in it. A finished one stays as it is.

        :arg by: who asked for it, for the log.
        :raises NotFound: there is no such room.
        """
        log.info("ending", extra=log_fields(thread, by, why="asked for by the API"))
        return await self._store.write(lambda tx: rooms.finish(tx, thread, SessionState.COMPLETED))

    # --- listening in ---

    async def observe(
        self, identity: Identity, session_id: int, socket_stream: SocketStream, since: int
    ) -> Room:
        """Let a supervisor or an admin hear a session, live, from where it stopped the last time.

        The participants are not told.

        :arg since: when the socket was opened; the first time, it hears what is said from then on.

        :raises NotFound: there is no such session.
        :raises Forbidden: the person may not listen to it.
        :raises Conflict: it is over.
        """
        thread = Thread(Kind.SESSION, session_id)
        await self._room_lookup.get(thread)
        allowed = await self._access_control.is_allowed_by_plugin(identity, Action.OBSERVE, thread)
        if not allowed and not await self._may_observe(identity, session_id):
            raise Forbidden("not_your_session")
        received = await self._receipts.get(thread, identity.person)
        if received is None:
            received = await self._store.read(messages.last_before, thread, since)
            await self._receipts.begin(thread, identity.person, received)
        resent = await self._hub.follow(socket_stream, thread, received)
        # Asked after following: an end that came in between is either seen here or heard live.
        room = await self._store.look_up(rooms.get, thread)
        if not room.open:
            raise Conflict("session_finished")
        log.info(
            "observing", extra=log_fields(thread, identity.person, conn=socket_stream.conn, resent=resent)
        )
        self._plugins.emit("observer_joined", thread=thread, identity=identity)
        return room

    def stop_observing(self, identity: Identity, session_id: int) -> None:
        """The socket of an observer that had been let in is closed."""
        self._plugins.emit("observer_left", thread=Thread(Kind.SESSION, session_id), identity=identity)

    async def _may_observe(self, identity: Identity, session_id: int) -> bool:
        if identity.person.role is Role.ADMIN:
            return True
        if identity.person.role is not Role.SUPERVISOR:
            return False
        if self._settings.observe == "any":
            return True
        return await self._store.look_up(rooms.is_supervisor_of, session_id, identity.person)

    async def presence(self, room: Room) -> PresenceChanged:
        """Who of the participants of a room is there. Nobody, as long as nobody can be asked."""
        try:
            present_keys = await self._coordinator_client.call(RoomPresenceRequest(room.thread))
        except Unavailable:
            present_keys = []
        return PresenceChanged(
            room.thread, {each.role: each.key in present_keys for each in (room.asker, room.helper)}
        )

    # --- the past ---

    async def history(
        self, connection: RoomConnection, before: int | None, limit: int
    ) -> tuple[list[Message], bool]:
        """A page of what was said before ``before``, oldest first, and whether there is more."""
        found = await self._store.look_up(messages.before, connection.thread, before, limit + 1)
        return found[-limit:], len(found) > limit

    # --- what the bus tells ---

    events = (*BROADCAST_EVENTS, RoomEnded)

    def on_event(self, event: Published) -> None:
        """Pass on what concerns rooms; called for ``events``, after their commit."""
        if isinstance(event, BROADCAST_EVENTS):
            self._hub.deliver_event(event, event.thread)
        elif isinstance(event, RoomEnded):
            self._hub.deliver_event(event, event.thread, upto=event.room.last_seq if event.room else 0)
            # Later in this turn of the loop: acknowledgements of the same batch go out before.
            self._loop.call_soon(self._hub.close_thread, event.thread, *ENDED)

    async def resync(self) -> None:
        """Events may have been missed: see which rooms have ended.

        :raises Unavailable: the database is away.
        """
        threads = [thread for thread in self._hub.threads if thread.kind in (Kind.SESSION, Kind.RECORD)]
        async for room in read_in_chunks(self._store, rooms.find_many, threads):
            if not room.open:
                self.on_event(RoomEnded(room.thread, room.state, room.ended or 0, room))

    # --- inside ---

    @asynccontextmanager
    async def _locked_room(self, thread: Thread) -> AsyncIterator[_LocalRoom]:
        local = self._local_rooms.setdefault(thread, _LocalRoom())
        local.lock_users += 1
        try:
            async with local.lock:
                yield local
        finally:
            local.lock_users -= 1
            if not local.lock_users and not local.connections:
                del self._local_rooms[thread]

    async def _enter(self, identity: Identity, thread: Thread, socket_stream: SocketStream) -> RoomConnection:
        person = identity.person
        # First of all: an end that comes while we read is either seen by that or heard live.
        await self._hub.subscribe_and_prepare(socket_stream, thread)
        try:
            room, missed = await self._room_lookup.get_with_missed(thread, person)
            if person not in (room.asker, room.helper):
                raise Forbidden("not_your_session")
        except ChatError:
            self._hub.unfollow(socket_stream, thread)
            raise
        known = self._receipts.latest(thread, person, missed.receipt)
        resent = await self._hub.follow(socket_stream, thread, known or 0, missed.items)
        if not room.open:
            raise Conflict("session_finished")
        log.info(
            "joined" if known is None else "resumed",
            extra=log_fields(thread, person, conn=socket_stream.conn, resent=resent),
        )
        return RoomConnection(identity, room, socket_stream)

    async def _leave(self, connection: RoomConnection, close_code: int | None) -> None:
        await connection.filter_queue.wait_empty()  # the last words come before the end
        async with self._locked_room(connection.thread) as local:
            connections = local.connections.get(connection.person, set())
            connections.discard(connection)
            if not connections:
                local.connections.pop(connection.person, None)
                self._plugins.emit("participant_left", thread=connection.thread, person=connection.person)
            if close_code == CLOSE_CODE_END:
                await self._end_with_retry(connection, Event.ENDED)
            elif (
                close_code == CLOSE_CODE_CANCEL
                and connection.person == connection.room.asker
                and connection.thread.kind is Kind.SESSION
            ):
                await self._end_with_retry(connection, Event.CANCELLED)
            if not connections:
                self._coordinator_client.withdraw(room_key(connection.thread, connection.person))

    async def _end_with_retry(self, connection: RoomConnection, event: Event) -> None:
        """End the room, if its table says so. What the database does not take is tried again, later."""
        try:
            await self._store.write(lambda tx: _end_room(tx, connection.thread, event))
        except ChatError as error:
            named = connection.thread.named
            log.warning("an end could not be stored, trying again: %s", error, extra=fields(**named))
            self._loop.call_later(RETRY_SECONDS, self._retry_end, connection, event)

    def _retry_end(self, connection: RoomConnection, event: Event) -> None:
        if not self._stopping:
            self._tasks.spawn(self._end_with_retry(connection, event))


def _end_room(tx: Transaction, thread: Thread, event: Event) -> None:
    state, effects = transition(rooms.get(tx.database, thread).state, event, is_other_present=False)
    if RoomEffect.FINISH in effects:
        rooms.finish(tx, thread, state)
        log.info("ending", extra=fields(**thread.named, why=event.value))


def _display_name(room: Room, person: Person) -> str:
    """How the room calls somebody whose token has no name."""
    name = room.asker_name if person == room.asker else room.helper_name
    return name or person.id

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
from tornado_chat.aio.background import Tasks
from tornado_chat.aio.deferred import Pending
from tornado_chat.cluster.facts import Coordination, InRoom, WhoIsThere, room_key
from tornado_chat.core.close_codes import ENDED
from tornado_chat.core.errors import ChatError, Conflict, Forbidden, Unavailable
from tornado_chat.core.events import Event as Published
from tornado_chat.core.events import Notice, Presence, Read, RoomEnded, Typing
from tornado_chat.core.types import (
    Action,
    Identity,
    Kind,
    Message,
    Person,
    Role,
    Room,
    SessionState,
    Stored,
    Thread,
)
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import Outbox
from tornado_chat.domain.room_state import Effect, Event, step
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.manager import Plugins
from tornado_chat.services.auth.access import Gate
from tornado_chat.services.counselling.room_lookup import Rooms
from tornado_chat.services.messaging.event_log import about
from tornado_chat.services.messaging.filtering import Filtering, Lane
from tornado_chat.services.messaging.receipts import ReceiptBook
from tornado_chat.services.messaging.store import Store, forgive, read_in_portions
from tornado_chat.storage import messages, read_marks, rooms
from tornado_chat.storage.messages import Append
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

SHOWN = (Notice, Presence, Typing, Read)
"""What is shown to everybody who follows a thread, of a conversation of support too."""

END = 4000
CANCEL = 4001
RETRY = 5.0  # seconds until an end that the database did not take is tried again


class Seat:
    """One socket's place in a room."""

    __slots__ = ("identity", "lane", "outbox", "room")

    def __init__(self, identity: Identity, room: Room, outbox: Outbox) -> None:
        self.identity = identity
        self.room = room
        self.outbox = outbox
        self.lane = Lane()

    @property
    def thread(self) -> Thread:
        return self.room.thread

    @property
    def person(self) -> Person:
        return self.identity.person


class _Local:
    """What this process has of a room: who is in it here.

    Within ``lock``, joins and departures happen one after the other.
    """

    __slots__ = ("lock", "seats", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.seats: dict[Person, set[Seat]] = {}
        self.users = 0  # those who hold the lock, or want to


class Counselling:
    """The sockets in rooms.

    :arg publish: the bus, for what is told without being stored.
    """

    def __init__(
        self,
        settings: config.Counselling,
        store: Store,
        hub: Hub,
        receipts: ReceiptBook,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Published], None],
        *,
        found: Rooms,
        gate: Gate,
        filtering: Filtering,
        plugins: Plugins,
        coordination: Coordination,
    ) -> None:
        self._settings = settings
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._loop = loop
        self._publish = publish
        self._rooms = found
        self._gate = gate
        self._filtering = filtering
        self._plugins = plugins
        self._coordination = coordination
        self._local: dict[Thread, _Local] = {}
        self._tasks = Tasks(loop)
        self._stopping = False

    # --- life of the service ---

    def reconfigure(self, settings: config.Counselling) -> None:
        """Go by other settings from now on."""
        self._settings = settings

    def stop(self) -> None:
        """From now on a closing socket is the server's doing, and ends nothing."""
        self._stopping = True

    # --- the room ---

    async def enter(self, identity: Identity, thread: Thread, outbox: Outbox) -> Seat:
        """Bring a socket into its room: what it missed first, then the room's life.

        :raises NotFound: there is no such room.
        :raises Forbidden: the person takes no part in it.
        :raises Conflict: it is over (what the person had not received yet was written first).
        """
        await self._gate.allows(identity, Action.CHAT, thread)
        async with self._alone(thread) as local:
            seat = await self._enter(identity, thread, outbox)
            seats = local.seats.setdefault(seat.person, set())
            seats.add(seat)
            if len(seats) == 1:
                self._plugins.emit("participant_joined", thread=thread, identity=identity)
                name = identity.name or _name_of(seat.room, seat.person)
                self._coordination.here(InRoom(seat.room, seat.person, name))
        if outbox.closed:  # the socket closed while we waited, when nobody knew its seat
            self.leave(seat, None)
        return seat

    def say(self, seat: Seat, text: str, client_id: str | None) -> Pending[Stored]:
        """Filter and store a message of ``seat``'s room; its commit shows it to the others.

        :raises Unavailable: the server is overloaded; nothing was taken.
        :raises Refused: a filter does not let it pass. Like the others, this may also come with the result.

        The error is ``Conflict`` if the room has ended.
        """
        message = Append(seat.thread, seat.person, text, client_id)
        return self._filtering.submit(seat.lane, seat.identity, message, seat.outbox.heard_at)

    def typing(self, seat: Seat, typing: bool) -> None:
        """Show the others that one is typing, or stopped; never stored."""
        self._publish(Typing(seat.thread, seat.identity.person, typing))

    def read(self, seat: Seat, seq: int) -> None:
        """Remember and show how far one has read. Nobody waits for it; a lost one is said again."""
        done = self._store.write(lambda tx: read_marks.mark(tx, seat.thread, seat.identity.person, seq))
        done.add_done_callback(forgive)

    async def status(self, seat: Seat) -> list[Published]:
        """What one who has just come should know: who is there, and how far everybody has read."""
        marks = await self._store.look_up(read_marks.marks, seat.thread)
        return [*marks, await self.presence(seat.room)]

    def leave(self, seat: Seat, close_code: int | None) -> None:
        """The seat's socket is closed. Codes 4000 (end) and 4001 (no answer in time) mean something."""
        if not self._stopping:
            self._tasks.spawn(self._leave(seat, close_code))

    async def end(self, thread: Thread, by: Person) -> Room:
        """End a room at once, whoever is in it. A finished one stays as it is.

        :arg by: who asked for it, for the log.
        :raises NotFound: there is no such room.
        """
        log.info("ending", extra=about(thread, by, why="asked for by the API"))
        return await self._store.write(lambda tx: rooms.finish(tx, thread, SessionState.COMPLETED))

    # --- listening in ---

    async def observe(self, identity: Identity, session_id: int, outbox: Outbox, since: int) -> Room:
        """Let a supervisor or an admin hear a session, live, from where it stopped the last time.

        The participants are not told.

        :arg since: when the socket was opened; the first time, it hears what is said from then on.

        :raises NotFound: there is no such session.
        :raises Forbidden: the person may not listen to it.
        :raises Conflict: it is over.
        """
        thread = Thread(Kind.SESSION, session_id)
        await self._rooms.get(thread)
        allowed = await self._gate.allows(identity, Action.OBSERVE, thread)
        if not allowed and not await self._may_observe(identity, session_id):
            raise Forbidden("not_your_session")
        heard = await self._receipts.get(thread, identity.person)
        if heard is None:
            heard = await self._store.read(messages.last_before, thread, since)
            await self._receipts.begin(thread, identity.person, heard)
        resent = await self._hub.follow(outbox, thread, heard)
        # Asked after following: an end that came in between is either seen here or heard live.
        room = await self._store.look_up(rooms.get, thread)
        if not room.open:
            raise Conflict("session_finished")
        log.info("observing", extra=about(thread, identity.person, conn=outbox.conn, resent=resent))
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
        return await self._store.look_up(rooms.supervises, session_id, identity.person)

    async def presence(self, room: Room) -> Presence:
        """Who of the participants of a room is there. Nobody, as long as nobody can be asked."""
        try:
            there = await self._coordination.ask(WhoIsThere(room.thread))
        except Unavailable:
            there = []
        return Presence(room.thread, {each.role: each.key in there for each in (room.asker, room.helper)})

    # --- the past ---

    async def history(self, seat: Seat, before: int | None, limit: int) -> tuple[list[Message], bool]:
        """A page of what was said before ``before``, oldest first, and whether there is more."""
        found = await self._store.look_up(messages.before, seat.thread, before, limit + 1)
        return found[-limit:], len(found) > limit

    # --- what the bus tells ---

    events = (*SHOWN, RoomEnded)

    def on_event(self, event: Published) -> None:
        """Pass on what concerns rooms; called for ``events``, after their commit."""
        if isinstance(event, SHOWN):
            self._hub.tell(event, event.thread)
        elif isinstance(event, RoomEnded):
            self._hub.tell(event, event.thread, upto=event.room.last_seq if event.room else 0)
            # Later in this turn of the loop: acknowledgements of the same batch go out before.
            self._loop.call_soon(self._hub.close_thread, event.thread, *ENDED)

    async def look_again(self) -> None:
        """Events may have been missed: see which rooms have ended.

        :raises Unavailable: the database is away.
        """
        threads = [thread for thread in self._hub.threads if thread.kind in (Kind.SESSION, Kind.RECORD)]
        async for room in read_in_portions(self._store, rooms.several, threads):
            if not room.open:
                self.on_event(RoomEnded(room.thread, room.state, room.ended or 0, room))

    # --- inside ---

    @asynccontextmanager
    async def _alone(self, thread: Thread) -> AsyncIterator[_Local]:
        local = self._local.setdefault(thread, _Local())
        local.users += 1
        try:
            async with local.lock:
                yield local
        finally:
            local.users -= 1
            if not local.users and not local.seats:
                del self._local[thread]

    async def _enter(self, identity: Identity, thread: Thread, outbox: Outbox) -> Seat:
        person = identity.person
        # First of all: an end that comes while we read is either seen by that or heard live.
        await self._hub.listen(outbox, thread)
        try:
            room, missed = await self._rooms.arrive(thread, person)
            if person not in (room.asker, room.helper):
                raise Forbidden("not_your_session")
        except ChatError:
            self._hub.unfollow(outbox, thread)
            raise
        known = self._receipts.latest(thread, person, missed.receipt)
        resent = await self._hub.follow(outbox, thread, known or 0, missed.items)
        if not room.open:
            raise Conflict("session_finished")
        log.info(
            "joined" if known is None else "resumed",
            extra=about(thread, person, conn=outbox.conn, resent=resent),
        )
        return Seat(identity, room, outbox)

    async def _leave(self, seat: Seat, close_code: int | None) -> None:
        await seat.lane.empty()  # the last words come before the end
        async with self._alone(seat.thread) as local:
            seats = local.seats.get(seat.person, set())
            seats.discard(seat)
            if not seats:
                local.seats.pop(seat.person, None)
                self._plugins.emit("participant_left", thread=seat.thread, person=seat.person)
            if close_code == END:
                await self._insist(seat, Event.ENDED)
            elif close_code == CANCEL and seat.person == seat.room.asker and seat.thread.kind is Kind.SESSION:
                await self._insist(seat, Event.CANCELLED)
            if not seats:
                self._coordination.gone(room_key(seat.thread, seat.person))

    async def _insist(self, seat: Seat, event: Event) -> None:
        """End the room, if its table says so. What the database does not take is tried again, later."""
        try:
            await self._store.write(lambda tx: _end(tx, seat.thread, event))
        except ChatError as error:
            named = seat.thread.named
            log.warning("an end could not be stored, trying again: %s", error, extra=fields(**named))
            self._loop.call_later(RETRY, self._insist_again, seat, event)

    def _insist_again(self, seat: Seat, event: Event) -> None:
        if not self._stopping:
            self._tasks.spawn(self._insist(seat, event))


def _end(tx: Transaction, thread: Thread, event: Event) -> None:
    state, effects = step(rooms.get(tx.database, thread).state, event, other_present=False)
    if Effect.FINISH in effects:
        rooms.finish(tx, thread, state)
        log.info("ending", extra=fields(**thread.named, why=event.value))


def _name_of(room: Room, person: Person) -> str:
    """How the room calls somebody whose token has no name."""
    name = room.asker_name if person == room.asker else room.helper_name
    return name or person.id

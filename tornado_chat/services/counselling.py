"""Counselling: entering and leaving rooms, talking, listening in, ending.

Strategy: ``domain/sessions.py`` decides, this module does. Per room that somebody is in (or that
waits for somebody) there is one ``_Live`` with a lock, so that joins and departures of one room
happen one after the other. The database has the last word on a room's state: a start or an end
is a conditional update, and what people are told of it is published by its commit.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tornado_chat import config
from tornado_chat.closing import ENDED
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.outbox import Outbox
from tornado_chat.domain.sessions import Effect, Event, Side, step
from tornado_chat.errors import ChatError, Conflict, Forbidden
from tornado_chat.events import Event as Published
from tornado_chat.events import Notice, Presence, Read, RoomEnded, Typing
from tornado_chat.logs import fields
from tornado_chat.plugins.calling import Plugins
from tornado_chat.services.filtering import Filtering, Lane
from tornado_chat.services.gate import Gate
from tornado_chat.services.receipts import ReceiptBook
from tornado_chat.services.rooms import Rooms
from tornado_chat.services.store import Store, forgive
from tornado_chat.storage import messages, reading, rooms
from tornado_chat.storage.messages import Append
from tornado_chat.types import (
    Action,
    Draft,
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

log = logging.getLogger(__name__)

SHOWN = (Notice, Presence, Typing, Read)
"""What is shown to everybody who follows a thread, of a conversation of support too."""

END = 4000
CANCEL = 4001
RETRY = 5.0  # seconds until an end that the database did not take is tried again


class _Live:
    """A room that somebody is in, or whose grace is running."""

    __slots__ = ("graces", "lock", "room", "sockets")

    def __init__(self) -> None:
        self.room: Room | None = None
        self.lock = asyncio.Lock()
        self.sockets: dict[Side, set[Outbox]] = {Side.ASKER: set(), Side.HELPER: set()}
        self.graces: dict[Side, asyncio.TimerHandle] = {}

    def present(self, side: Side) -> bool:
        return bool(self.sockets[side])

    @property
    def idle(self) -> bool:
        return not self.graces and not any(self.sockets.values()) and not self.lock.locked()

    def stop_grace(self, side: Side) -> None:
        timer = self.graces.pop(side, None)
        if timer is not None:
            timer.cancel()


class Seat:
    """One socket's place in a room."""

    __slots__ = ("identity", "lane", "outbox", "side", "thread")

    def __init__(self, identity: Identity, thread: Thread, side: Side, outbox: Outbox) -> None:
        self.identity = identity
        self.thread = thread
        self.side = side
        self.outbox = outbox
        self.lane = Lane()


class Counselling:
    """The rooms of this process.

    :arg publish: the bus, for what is told without being stored.
    :arg clock: microseconds since 1970, for the times in frames only.
    """

    def __init__(
        self,
        settings: config.Counselling,
        store: Store,
        hub: Hub,
        receipts: ReceiptBook,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Published], None],
        clock: Callable[[], int],
        *,
        found: Rooms,
        gate: Gate,
        filtering: Filtering,
        plugins: Plugins,
    ) -> None:
        self._settings = settings
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._loop = loop
        self._publish = publish
        self._clock = clock
        self._rooms = found
        self._gate = gate
        self._filtering = filtering
        self._plugins = plugins
        self._live: dict[Thread, _Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    # --- life of the service ---

    def reconfigure(self, settings: config.Counselling) -> None:
        """Go by other settings from now on; a grace that is running keeps its time."""
        self._settings = settings

    async def recover(self) -> None:
        """After a start: everybody in an active room has the full grace to come back."""
        for room in await self._store.read(rooms.active):
            live = self._live.setdefault(room.thread, _Live())
            live.room = room
            for side in Side:
                self._start_grace(live, side)

    def stop(self) -> None:
        """From now on a closing socket is the server's doing, and ends nothing."""
        self._stopping = True
        for live in self._live.values():
            for side in Side:
                live.stop_grace(side)

    # --- the room ---

    async def enter(self, identity: Identity, thread: Thread, outbox: Outbox) -> Seat:
        """Bring a socket into its room: what it missed first, then the room's life.

        :raises NotFound: there is no such room.
        :raises Forbidden: the person takes no part in it.
        :raises Conflict: it is over (what the person had not received yet was written first).
        """
        await self._gate.allows(identity, Action.CHAT, thread)
        live = self._live.setdefault(thread, _Live())
        try:
            async with live.lock:
                room, known, missed = await self._arrive(live, thread, outbox)
                side = _side_of(room, identity.person)
                received = known or 0
                if not room.open:
                    await self._hub.follow(outbox, thread, received, missed)
                    raise Conflict("session_finished")
                live.room = room
                first = not live.present(side)
                live.sockets[side].add(outbox)
                seat = Seat(identity, thread, side, outbox)
                try:
                    resent = await self._hub.follow(outbox, thread, received, missed)
                    if first:
                        name = identity.name or _name_of(room, side)
                        await self._apply(live, Event.ENTERED, side, name)
                except ChatError:
                    live.sockets[side].discard(outbox)
                    raise
                _log(
                    "joined" if known is None else "resumed",
                    thread,
                    identity.person,
                    conn=outbox.conn,
                    resent=resent,
                )
                if first:
                    self._plugins.emit("participant_joined", thread=thread, identity=identity)
                    self._tell_presence(live)
        finally:
            self._forget_if_idle(thread, live)
        if outbox.closed:  # the socket closed while we waited, when nobody knew its seat
            self.leave(seat, None)
        return seat

    def say(self, seat: Seat, text: str, client_id: str | None) -> asyncio.Future[Stored]:
        """Filter and store a message of ``seat``'s room; its commit shows it to the others.

        :raises Unavailable: the server is overloaded; nothing was taken.
        :raises Refused: a filter does not let it pass. Like the others, this may also come by the future.

        The future fails with ``Conflict`` if the room has ended.
        """

        received = seat.outbox.heard_at

        def store(draft: Draft) -> asyncio.Future[Stored]:
            return self._store.append(
                Append(seat.thread, seat.identity.person, draft.text, client_id), received
            )

        return self._filtering.submit(seat.lane, Draft(seat.thread, seat.identity, text), store)

    def typing(self, seat: Seat, typing: bool) -> None:
        """Show the others that one is typing, or stopped; never stored."""
        self._publish(Typing(seat.thread, seat.identity.person, typing))

    def read(self, seat: Seat, seq: int) -> None:
        """Remember and show how far one has read. Nobody waits for it; a lost one is said again."""
        done = self._store.write(lambda tx: reading.mark(tx, seat.thread, seat.identity.person, seq))
        done.add_done_callback(forgive)

    async def status(self, seat: Seat) -> list[Published]:
        """What one who has just come should know: who is there, and how far everybody has read."""
        marks = await self._store.look_up(reading.marks, seat.thread)
        live = self._live.get(seat.thread)
        presence = self._presence(live) if live else None
        return [*marks, *([presence] if presence else [])]

    def leave(self, seat: Seat, close_code: int | None) -> None:
        """The seat's socket is closed. Codes 4000 (end) and 4001 (no answer in time) mean something."""
        if not self._stopping:
            self._spawn(self._leave(seat, close_code))

    async def end(self, thread: Thread, by: Person) -> Room:
        """End a room at once, whoever is in it. A finished one stays as it is.

        :arg by: who asked for it, for the log.
        :raises NotFound: there is no such room.
        """
        _log("ending", thread, by, why="asked for by the API")
        return await self._store.write(lambda tx: rooms.finish(tx, thread, SessionState.COMPLETED))

    # --- listening in ---

    async def observe(self, identity: Identity, session_id: int, outbox: Outbox, since: int) -> None:
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
            self._receipts.note(thread, identity.person, heard)
        resent = await self._hub.follow(outbox, thread, heard)
        # Asked after following: an end that came in between is either seen here or heard live.
        if not (await self._store.look_up(rooms.get, thread)).open:
            raise Conflict("session_finished")
        _log("observing", thread, identity.person, conn=outbox.conn, resent=resent)
        self._plugins.emit("observer_joined", thread=thread, identity=identity)

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

    def presence(self, thread: Thread) -> Presence:
        """Who of the participants of a session is there."""
        live = self._live.get(thread)
        nobody = Presence(thread, {Role.USER: False, Role.CONSULTANT: False})
        return (self._presence(live) if live else None) or nobody

    # --- the past ---

    async def history(self, seat: Seat, before: int | None, limit: int) -> tuple[list[Message], bool]:
        """A page of what was said before ``before``, oldest first, and whether there is more."""
        found = await self._store.look_up(messages.before, seat.thread, before, limit + 1)
        return found[-limit:], len(found) > limit

    def live(self) -> Iterator[tuple[Room, Mapping[Person, bool]]]:
        """The unfinished rooms that somebody is in or is awaited in, and who of the two is there."""
        for live in self._live.values():
            room = live.room
            if room is not None and room.open:
                yield room, {room.asker: live.present(Side.ASKER), room.helper: live.present(Side.HELPER)}

    # --- what the bus tells ---

    events = (*SHOWN, RoomEnded)

    def on_event(self, event: Published) -> None:
        """Pass on what concerns rooms; called for ``events``, after their commit."""
        if isinstance(event, SHOWN):
            self._hub.tell(event, event.thread)
        elif isinstance(event, RoomEnded):
            self._hub.tell(event, event.thread)
            # Later in this turn of the loop: acknowledgements of the same batch go out before.
            self._loop.call_soon(self._hub.close_thread, event.thread, *ENDED)
            live = self._live.get(event.thread)
            room = event.room or (live.room if live else None)
            if live is not None and room is not None:
                live.room = msgspec.structs.replace(room, state=event.state, ended=event.time)
                for side in Side:
                    live.stop_grace(side)
                self._forget_if_idle(event.thread, live)

    # --- inside ---

    async def _arrive(
        self, live: _Live, thread: Thread, outbox: Outbox
    ) -> tuple[Room, int | None, Sequence[Message]]:
        """The room, the receipt of the outbox's person, and the first of what follows it."""
        # First of all: an end that comes while we read is either seen by that or heard live.
        self._hub.expect(outbox, thread)
        try:
            room, missed = await self._rooms.arrive(thread, outbox.person)
            _side_of(room, outbox.person)
        except ChatError:
            self._hub.unfollow(outbox, thread)
            raise
        if live.room is not None and not live.room.open:  # heard
            room = live.room
        return room, self._receipts.latest(thread, outbox.person, missed.receipt), missed.items

    async def _leave(self, seat: Seat, close_code: int | None) -> None:
        await seat.lane.empty()  # the last words come before the end
        live = self._live.get(seat.thread)
        if live is None:
            return
        async with live.lock:
            live.sockets[seat.side].discard(seat.outbox)
            if not live.present(seat.side):
                person = seat.identity.person
                self._plugins.emit("participant_left", thread=seat.thread, person=person)
                self._tell_presence(live)
            if close_code == END:
                await self._insist(live, Event.ENDED, seat.side)
            elif close_code == CANCEL and seat.side is Side.ASKER and seat.thread.kind is Kind.SESSION:
                await self._insist(live, Event.CANCELLED, seat.side)
            if not live.present(seat.side):
                await self._apply(live, Event.LEFT, seat.side)
        self._forget_if_idle(seat.thread, live)

    async def _apply(self, live: _Live, event: Event, side: Side, name: str = "") -> None:
        """Do what the table says. The caller holds the room's lock."""
        room = live.room
        if room is None:
            return
        state, effects = step(room.state, event, live.present(side.other))
        for effect in effects:
            if effect is Effect.ANNOUNCE:
                role = (room.asker if side is Side.ASKER else room.helper).role
                self._publish(Notice(room.thread, f"joined_{role.value}", self._clock(), name))
            elif effect is Effect.STOP_GRACE:
                live.stop_grace(side)
            elif effect is Effect.START_GRACE:
                self._start_grace(live, side)
                person = room.asker if side is Side.ASKER else room.helper
                _log("away", room.thread, person, grace=self._settings.rejoin_grace)
            elif effect is Effect.START:
                live.room = await self._store.write(lambda tx: rooms.start(tx, room.thread))
            elif effect is Effect.FINISH:
                log.info("ending", extra=fields(**room.thread.named, why=event.value))
                live.room = await self._store.write(lambda tx: rooms.finish(tx, room.thread, state))

    def _tell_presence(self, live: _Live) -> None:
        presence = self._presence(live)
        if presence is not None:
            self._publish(presence)

    def _presence(self, live: _Live) -> Presence | None:
        room = live.room
        if room is None:
            return None
        people = {Side.ASKER: room.asker, Side.HELPER: room.helper}
        present = {person.role: live.present(side) for side, person in people.items()}
        return Presence(room.thread, present)

    async def _insist(self, live: _Live, event: Event, side: Side) -> None:
        """As ``_apply``, for what must happen: tried again until the database takes it."""
        try:
            await self._apply(live, event, side)
        except ChatError as error:
            named = live.room.thread.named if live.room else {}
            log.warning("an end could not be stored, trying again: %s", error, extra=fields(**named))
            self._later(RETRY, live, event, side)

    def _start_grace(self, live: _Live, side: Side) -> None:
        if not self._stopping:
            live.stop_grace(side)
            self._later(self._settings.rejoin_grace, live, Event.GRACE_OVER, side)

    def _later(self, delay: float, live: _Live, event: Event, side: Side) -> None:
        live.graces[side] = self._loop.call_later(delay, self._spawn_due, live, event, side)

    def _spawn_due(self, live: _Live, event: Event, side: Side) -> None:
        self._spawn(self._due(live, event, side))

    async def _due(self, live: _Live, event: Event, side: Side) -> None:
        async with live.lock:
            live.stop_grace(side)
            if event is not Event.GRACE_OVER or not live.present(side):
                await self._insist(live, event, side)
        if live.room is not None:
            self._forget_if_idle(live.room.thread, live)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget_if_idle(self, thread: Thread, live: _Live) -> None:
        if live.idle and self._live.get(thread) is live:
            del self._live[thread]


def _log(event: str, thread: Thread, person: Person, **more: Any) -> None:
    log.info(event, extra=fields(**thread.named, role=person.role.value, id=person.id, **more))


def _side_of(room: Room, person: Person) -> Side:
    if person == room.asker:
        return Side.ASKER
    if person == room.helper:
        return Side.HELPER
    raise Forbidden("not_your_session")


def _name_of(room: Room, side: Side) -> str:
    """How the room calls a side whose token has no name."""
    person, name = (room.asker, room.asker_name) if side is Side.ASKER else (room.helper, room.helper_name)
    return name or person.id

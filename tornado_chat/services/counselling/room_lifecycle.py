"""The life cycle of rooms: presence of the participants, start, grace timers, end.

Strategy: ``domain/room_state.py`` decides, and this module carries out the effects, for all processes and on
the loop of the coordinator only. The database has the last word on a room's state: a start or an end is a
conditional update, and its commit publishes the events for the participants.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.cluster.facts import RoomPresence, WaitRequest, room_key
from tornado_chat.core.errors import ChatError, Conflict, Unavailable
from tornado_chat.core.events import AgentReplaced, PresenceChanged, RoomEnded, SystemNotice
from tornado_chat.core.events import Event as Published
from tornado_chat.core.types import EndReason, Person, Room, SessionState, Thread
from tornado_chat.domain.room_state import Event, RoomEffect, Side, end_reason, transition
from tornado_chat.observability.logs import fields
from tornado_chat.services.counselling.live_room import MICROSECONDS, Absence, LiveRoom
from tornado_chat.services.leadership.grace_timers import GraceTimers
from tornado_chat.services.leadership.recent_keys import RecentKeys
from tornado_chat.services.leadership.retries import retry_seconds
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.messaging.event_log import log_fields
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.storage import rooms
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # seconds until a failed write is tried again
MAX_ENDED_ROOMS = 10_000
"""Ended rooms that are remembered: many more than can end while a presence report or a query is under way."""
CHUNK_ROOMS = 200  # rooms whose presence is published before the loop may run other tasks


class _End(NamedTuple):
    """The decision to end a room.

    :ivar expected: the state of the room for which it was decided.
    :ivar state: the state after the end.
    """

    event: Event
    expected: SessionState
    state: SessionState
    reason: EndReason


class RoomLifecycle:
    """The coordinator's rooms: those with a participant who is present, or has a grace timer.

    :arg publish: publishes events that are not stored.
    :arg clock: microseconds since 1970, for times that are shown or stored.
    :arg is_certain: returns True if the knowledge of other processes is up to date; until then no grace timer
        ends.
    :arg holds_lease: returns True while this process alone may decide, by its own monotonic clock. It is also
        called on the writer's thread.
    :arg settle_seconds: seconds from ``begin`` in which processes report their participants. Then the
        presence is published for all rooms, as the coordinator before may not have published its last
        changes.
    """

    def __init__(
        self,
        settings: config.Counselling,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Published], None],
        clock: Callable[[], int],
        is_certain: Callable[[], Awaitable[bool]],
        holds_lease: Callable[[], bool] = lambda: True,
        settle_seconds: float = 0.0,
    ) -> None:
        self._settings = settings
        self._store = store
        self._loop = loop
        self._publish = publish
        self._clock = clock
        self._holds_lease = holds_lease
        self._grace_timers: GraceTimers[tuple[LiveRoom, Side]] = GraceTimers(
            loop, is_certain, self._is_away, self._on_grace_expired
        )
        self._term: Term[RoomEnded | AgentReplaced] = Term(loop, settle_seconds, self.republish)
        self._live_rooms: dict[Thread, LiveRoom] = {}
        self._ended = RecentKeys[Thread](MAX_ENDED_ROOMS)
        self._sides_by_key: dict[str, tuple[Thread, Side]] = {}
        self._tasks = BackgroundTasks(loop)

    # --- the term ---

    async def begin(self) -> None:
        """Start to coordinate: all participants of awaited rooms get the full grace to return."""
        self.end()
        with self._term.starting() as buffered:
            awaited = await self._store.read(rooms.awaited_rooms)
        for room in awaited:
            self._add_awaited_room(room)
        for event in buffered:
            self.on_event(event)

    def end(self) -> None:
        """Stop to coordinate: forget all rooms, and end none."""
        self._term.end()
        self._grace_timers.stop_all()
        self._live_rooms = {}
        self._ended.clear()
        self._sides_by_key = {}

    async def resync(self) -> None:
        """Read the rooms' states from the database, as events may have been missed.

        :raises Unavailable: the database is away.
        """
        term = self._term.number
        async for room in read_in_chunks(self._store, rooms.find_many, list(self._live_rooms)):
            self._apply_version(room)
        awaited = await self._store.read(rooms.awaited_rooms)
        if self._term.number != term or not self._term.is_running:
            return  # the next term has read, or reads, all awaited rooms
        for room in awaited:
            if room.thread not in self._live_rooms and room.thread not in self._ended:
                self._add_awaited_room(room)

    def republish(self) -> None:
        """Publish the presence of all rooms."""
        self._tasks.spawn(self._publish_all_presences())

    def reconfigure(self, settings: config.Counselling) -> None:
        """Use other settings from now on; running grace timers keep their time."""
        self._settings = settings

    # --- presence ---

    def on_report(self, process: str, fact: RoomPresence, *, already_known: bool = False) -> None:
        """A process has sockets of a participant.

        :arg already_known: the other participant knows of the arrival already.
        """
        live = self._live_rooms.get(fact.room.thread)
        if live is None:
            if not fact.room.open or fact.room.thread in self._ended:
                return
            live = self._live_rooms[fact.room.thread] = LiveRoom(fact.room)
        elif not self._apply_version(fact.room):
            return
        if fact.person not in (live.room.asker, live.room.helper):  # a former agent, whose socket is closed
            self._forget_if_idle(live)
            return
        side = Side.ASKER if fact.person == live.room.asker else Side.HELPER
        first = not live.is_present(side)
        live.processes[side].add(process)
        self._sides_by_key[fact.key] = (fact.room.thread, side)
        if first:
            self._note_arrival(live, side)
            self._apply(live, Event.ENTERED, side, fact.name, quiet=already_known or fact.is_announced)
            if not self._term.is_settling:
                self._publish_presence(live)

    def on_withdraw(self, process: str, key: str, *, has_left: bool = False) -> None:
        """A process has no sockets of a participant any more; ``has_left``: see ``CoordinatorClient``."""
        thread, side = self._sides_by_key.get(key, (None, None))
        live = self._live_rooms.get(thread) if thread is not None else None
        if live is None or side is None or process not in live.processes[side]:
            return
        live.processes[side].discard(process)
        if not live.is_present(side):
            del self._sides_by_key[key]
            is_ready = live.room.state is SessionState.READY
            gave_up = is_ready and side is Side.ASKER and live.is_session
            self._apply(live, Event.GAVE_UP if gave_up else Event.LEFT, side, has_left=has_left)
            self._publish_presence(live)
            self._forget_if_idle(live)

    def wait_longer(self, request: WaitRequest) -> None:
        """Extend the grace of the absent participant, and publish and store until when it runs.

        :raises Conflict: no absent participant is awaited, or the wait is as long as it may be.
        """
        live = self._live_rooms.get(request.thread)
        if live is None:
            raise Conflict("not_awaited")
        side = Side.ASKER if request.by == live.room.helper else Side.HELPER
        if side not in live.absences or (live, side) not in self._grace_timers:
            raise Conflict("not_awaited")
        now, longest = self._loop.time(), self._settings.longest_grace
        absence = live.absences[side].extended(request.seconds, longest, now, self._clock())
        live.absences[side] = absence
        self._grace_timers.start((live, side), absence.until - now)
        seconds = round(absence.until - absence.since, 1)
        log.info("waits longer", extra=log_fields(request.thread, request.by, grace=seconds))
        self._publish_presence(live)
        self._spawn_write("a longer wait", request.thread, rooms.extend_wait, absence.shown_until)

    # --- queries ---

    def presence(self, thread: Thread) -> PresenceChanged | None:
        """Return the presence of the participants of a room; None: none is present, or awaited."""
        live = self._live_rooms.get(thread)
        return None if live is None else live.presence(self._settings, self._clock())

    def present_people(self, thread: Thread) -> list[Person]:
        """Return the present participants of a room."""
        live = self._live_rooms.get(thread)
        return [live.person(side) for side in Side if live.is_present(side)] if live else []

    def live(self) -> Iterator[tuple[Room, Mapping[Person, bool]]]:
        """Yield each live room with the presence of its two participants."""
        for live in self._live_rooms.values():
            yield live.room, {live.person(side): live.is_present(side) for side in Side}

    # --- events of all processes ---

    events = (RoomEnded, AgentReplaced)

    def on_event(self, event: Published) -> None:
        """Take over the end or the next agent of a room; called for the types in ``events``."""
        if isinstance(event, AgentReplaced):
            if self._term.is_running:
                self._apply_version(event.room)
            else:
                self._term.buffer(event)
            return
        if not isinstance(event, RoomEnded):
            return
        if self._term.is_running:
            live = self._live_rooms.get(event.thread)
            self._ended.add(event.thread)
            if live is not None:
                self._apply_version(msgspec.structs.replace(live.room, state=event.state, ended=event.time))
        else:
            self._term.buffer(event)

    def _apply_version(self, room: Room) -> bool:
        """Take over a version of a room. Returns False if the room has ended."""
        live = self._live_rooms.get(room.thread)
        if not room.open:
            self._ended.add(room.thread)
        if live is None:
            return room.open
        if not room.open:
            del self._live_rooms[room.thread]
            for side in Side:
                self._grace_timers.stop((live, side))
                self._sides_by_key.pop(room_key(room.thread, live.person(side)), None)
            return False
        if room.agent_changes > live.room.agent_changes:
            self._apply_agent(live, room)
        if room.state is SessionState.ACTIVE and live.room.state is SessionState.READY:
            agent = live.room if live.room.agent_changes > room.agent_changes else room
            live.room = msgspec.structs.replace(
                room,
                helper=agent.helper,
                helper_name=agent.helper_name,
                agent_changes=agent.agent_changes,
            )
            for side in Side:
                if not live.is_present(side):  # the participant left while the start was being stored
                    self._start_grace(live, side, has_left=live.has_left(side))
            if not self._term.is_settling:
                self._publish_presence(live)  # it is known now how long the room waits
        return True

    def _apply_agent(self, live: LiveRoom, room: Room) -> None:
        """Take over the next agent of a session: the former one is not awaited any more, the next one is."""
        self._sides_by_key.pop(room_key(room.thread, live.room.helper), None)
        self._grace_timers.stop((live, Side.HELPER))
        live.absences.pop(Side.HELPER, None)
        live.processes[Side.HELPER].clear()
        live.room = msgspec.structs.replace(
            live.room, helper=room.helper, helper_name=room.helper_name, agent_changes=room.agent_changes
        )
        if live.room.state is SessionState.ACTIVE:
            self._start_grace(live, Side.HELPER)
        if not self._term.is_settling:
            self._publish_presence(live)

    # --- inside ---

    def _add_awaited_room(self, room: Room) -> None:
        """Add an awaited room that was not known here, and start the grace timers of its participants.

        A wait that a participant has extended is not shortened.
        """
        live = self._live_rooms[room.thread] = LiveRoom(room)
        extended = 0.0
        if room.awaited_until is not None:  # by a clock that may have been set back
            remaining = (room.awaited_until - self._clock()) / MICROSECONDS
            extended = min(remaining, self._settings.longest_grace)
        for side in Side if room.state is SessionState.ACTIVE else (Side.ASKER,):
            self._start_grace(live, side, at_least=extended)

    def _note_arrival(self, live: LiveRoom, side: Side) -> None:
        """Store that the visitor has come, so that a restarted server knows for whom it waits."""
        is_ready = live.room.state is SessionState.READY
        if is_ready and side is Side.ASKER and live.is_session and live.room.arrived is None:
            self._spawn_write("an arrival", live.room.thread, rooms.note_arrival)

    async def _publish_all_presences(self) -> None:
        for count, live in enumerate(list(self._live_rooms.values())):
            if self._live_rooms.get(live.room.thread) is live and any(map(live.is_present, Side)):
                self._publish_presence(live)
            if count % CHUNK_ROOMS == CHUNK_ROOMS - 1:
                await asyncio.sleep(0)

    def _apply(
        self,
        live: LiveRoom,
        event: Event,
        side: Side,
        name: str = "",
        *,
        quiet: bool = False,
        has_left: bool = False,
    ) -> None:
        """Carry out the effects of an event, as the state table defines them.

        :arg has_left: True if the client of the side has left; its grace is short then.
        """
        state, effects = transition(live.room.state, event, live.is_present(side.other))
        for effect in effects:
            if effect is RoomEffect.ANNOUNCE:
                if not quiet:
                    code = f"joined_{live.person(side).role.value}"
                    self._publish(SystemNotice(live.room.thread, code, self._clock(), name))
            elif effect is RoomEffect.STOP_GRACE:
                self._grace_timers.stop((live, side))
                live.absences.pop(side, None)
            elif effect is RoomEffect.START_GRACE:
                self._start_grace(live, side, has_left=has_left)
                grace = live.grace_seconds(self._settings, has_left=has_left)
                log.info("away", extra=log_fields(live.room.thread, live.person(side), grace=grace))
            elif effect is RoomEffect.START:
                if not live.is_starting:
                    live.is_starting = True
                    self._tasks.spawn(self._start(live))
            elif effect is RoomEffect.FINISH:
                before = live.room.state
                end = _End(event, before, state, end_reason(before, event, has_left=has_left))
                self._tasks.spawn(self._finish(live, side, end))

    async def _start(self, live: LiveRoom) -> None:
        thread = live.room.thread
        while self._live_rooms.get(thread) is live and live.room.state is SessionState.READY:
            try:
                self._apply_version(await self._store.write(lambda tx: rooms.start(tx, thread), thread))
            except Exception as error:
                _log_failure("a start", thread, error)
                await asyncio.sleep(retry_seconds(error, RETRY_SECONDS))
        live.is_starting = False
        self._forget_if_idle(live)

    async def _finish(self, live: LiveRoom, side: Side, end: _End) -> None:
        thread = live.room.thread
        log.info("ending", extra=fields(**thread.named, why=end.event.value))
        term, number, holds_lease = self._term, self._term.number, self._holds_lease

        def finish(tx: Transaction) -> Room:
            if term.number != number or not holds_lease():  # this process was suspended since the decision
                raise Unavailable("no_coordinator")
            return rooms.finish(tx, thread, end.state, expected=end.expected, reason=end.reason)

        pause = RETRY_SECONDS
        try:
            self._apply_version(await self._store.write(finish, thread))
        except Exception as error:
            _log_failure("an end", thread, error)
            pause = retry_seconds(error, RETRY_SECONDS)
        is_running = self._term.is_running and (live, side) not in self._grace_timers
        if is_running and self._live_rooms.get(thread) is live and not live.is_present(side):
            self._grace_timers.start((live, side), pause)

    def _publish_presence(self, live: LiveRoom) -> None:
        self._publish(live.presence(self._settings, self._clock()))

    def _start_grace(
        self, live: LiveRoom, side: Side, *, has_left: bool = False, at_least: float = 0.0
    ) -> None:
        """Start the grace of an absent participant.

        :arg at_least: seconds that it lasts at least.
        """
        if not self._term.is_running:
            return
        seconds = max(live.grace_seconds(self._settings, has_left=has_left), at_least)
        now, shown_until = self._loop.time(), self._clock() + round(seconds * MICROSECONDS)
        live.absences[side] = Absence(now, now + seconds, shown_until, has_left)
        self._grace_timers.start((live, side), seconds)

    def _spawn_write(self, what: str, thread: Thread, work: Callable[..., None], *values: object) -> None:
        """Store what only a restarted server needs; the caller does not wait for it.

        It is submitted at once, so a message that the participant sends next is not stored without it.
        """
        try:
            written = self._store.write(lambda tx: work(tx, thread, *values), thread)
        except ChatError as error:
            _log_failure(what, thread, error, is_repeated=False)
            return

        async def wait() -> None:
            try:
                await written
            except Exception as error:
                _log_failure(what, thread, error, is_repeated=False)

        self._tasks.spawn(wait())

    def _is_away(self, key: tuple[LiveRoom, Side]) -> bool:
        live, side = key
        return not live.is_present(side) and self._live_rooms.get(live.room.thread) is live

    async def _on_grace_expired(self, key: tuple[LiveRoom, Side]) -> None:
        live, side = key
        self._apply(live, Event.GRACE_OVER, side, has_left=live.has_left(side))

    def _forget_if_idle(self, live: LiveRoom) -> None:
        if live.is_starting or any(
            live.is_present(side) or (live, side) in self._grace_timers for side in Side
        ):
            return
        if self._live_rooms.get(live.room.thread) is live:
            del self._live_rooms[live.room.thread]


def _log_failure(what: str, thread: Thread, error: Exception, *, is_repeated: bool = True) -> None:
    """Log that a change was not stored, with a traceback if the error is one of the program."""
    log.warning(
        "%s could not be stored%s: %s",
        what,
        ", trying again" if is_repeated else "",
        error,
        exc_info=None if isinstance(error, ChatError) else error,
        extra=fields(**thread.named),
    )

"""The life of rooms: who is there, when they start, who has been away for too long.

Strategy: ``domain/sessions.py`` decides, this module does, for all processes; it is only touched on the
loop of the coordinator. The database has the last word on a room's state: a start or an end is a
conditional update, and what people are told of it is published by its commit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping

import msgspec

from tornado_chat import config
from tornado_chat.aio.background import Tasks
from tornado_chat.cluster.facts import InRoom, room_key
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import Event as Published
from tornado_chat.core.events import Notice, Presence, RoomEnded
from tornado_chat.core.types import Person, Room, SessionState, Thread
from tornado_chat.domain.room_state import Effect, Event, Side, step
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.grace_timers import Graces
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.messaging.event_log import about
from tornado_chat.services.messaging.store import Store, read_in_portions
from tornado_chat.storage import rooms

log = logging.getLogger(__name__)

RETRY = 5.0  # seconds until something that the database did not take is tried again
PORTION = 200  # rooms whose people are told who is there, before the loop gets a turn


class _Live:
    """A room that somebody is in, or is awaited in."""

    __slots__ = ("room", "starting", "there")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.there: dict[Side, set[str]] = {Side.ASKER: set(), Side.HELPER: set()}  # the processes
        self.starting = False

    def present(self, side: Side) -> bool:
        return bool(self.there[side])

    def person(self, side: Side) -> Person:
        return self.room.asker if side is Side.ASKER else self.room.helper


class RoomLife:
    """The rooms in which somebody is, or is awaited, as their coordinator has them.

    :arg publish: the bus, for what is told without being stored.
    :arg clock: microseconds since 1970, for the times in frames only.
    :arg sure: whether what is known of other processes is up to date. Nobody's grace ends while it is not.
    :arg settling: seconds from ``begin`` in which processes tell who is there. Then everybody is told, as nobody
        knows what the coordinator before had not told any more.
    """

    def __init__(
        self,
        settings: config.Counselling,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Published], None],
        clock: Callable[[], int],
        sure: Callable[[], Awaitable[bool]],
        settling: float = 0.0,
    ) -> None:
        self._settings = settings
        self._store = store
        self._publish = publish
        self._clock = clock
        self._graces: Graces[tuple[_Live, Side]] = Graces(loop, sure, self._away, self._grace_over)
        self._term: Term[RoomEnded] = Term(loop, settling, self.tell_again)
        self._live: dict[Thread, _Live] = {}
        self._by_key: dict[str, tuple[Thread, Side]] = {}
        self._tasks = Tasks(loop)

    # --- life ---

    async def begin(self) -> None:
        """Go on with what is unfinished: everybody in an active room has the full grace to come back."""
        self.end()
        with self._term.beginning() as overheard:
            active = await self._store.read(rooms.active)
        for room in active:
            self._adopt(room)
        for event in overheard:
            self.on_event(event)

    def end(self) -> None:
        """From now on nothing is decided here, and a closing socket ends nothing."""
        self._term.end()
        self._graces.stop_all()
        self._live = {}
        self._by_key = {}

    async def look_again(self) -> None:
        """Events may have been missed: see what the database says.

        :raises Unavailable: it says nothing.
        """
        async for room in read_in_portions(self._store, rooms.several, list(self._live)):
            self._learn(room)
        known = set(self._live)
        for room in await self._store.read(rooms.active):
            if self._term.running and room.thread not in known and room.thread not in self._live:
                self._adopt(room)

    def tell_again(self) -> None:
        """Say of every room who is there."""
        self._tasks.spawn(self._tell_all_presences())

    def reconfigure(self, settings: config.Counselling) -> None:
        """Go by other settings from now on; a grace that is running keeps its time."""
        self._settings = settings

    # --- people come and go ---

    def here(self, process: str, fact: InRoom, *, old: bool = False) -> None:
        """A process holds sockets of a participant.

        :arg old: that somebody has come, the others know already.
        """
        live = self._live.get(fact.room.thread)
        if live is None:
            if not fact.room.open:
                return
            live = self._live[fact.room.thread] = _Live(fact.room)
        elif not self._learn(fact.room):
            return
        side = Side.ASKER if fact.person == live.room.asker else Side.HELPER
        first = not live.present(side)
        live.there[side].add(process)
        self._by_key[fact.key] = (fact.room.thread, side)
        if first:
            self._apply(live, Event.ENTERED, side, fact.name, quiet=old)
            if not self._term.settling:
                self._tell_presence(live)

    def gone(self, process: str, key: str) -> None:
        """A process holds none any more."""
        thread, side = self._by_key.get(key, (None, None))
        live = self._live.get(thread) if thread is not None else None
        if live is None or side is None or process not in live.there[side]:
            return
        live.there[side].discard(process)
        if not live.present(side):
            del self._by_key[key]
            self._tell_presence(live)
            self._apply(live, Event.LEFT, side)
            self._forget_if_idle(live)

    # --- looking ---

    def who(self, thread: Thread) -> list[Person]:
        """Who of a room's participants is there."""
        live = self._live.get(thread)
        return [live.person(side) for side in Side if live.present(side)] if live else []

    def live(self) -> Iterator[tuple[Room, Mapping[Person, bool]]]:
        """The unfinished rooms that somebody is in or is awaited in, and who of the two is there."""
        for live in self._live.values():
            yield live.room, {live.person(side): live.present(side) for side in Side}

    # --- what was committed, here or elsewhere ---

    events = (RoomEnded,)

    def on_event(self, event: Published) -> None:
        """Called for ``events``."""
        if not isinstance(event, RoomEnded):
            return
        if self._term.running:
            live = self._live.get(event.thread)
            if live is not None:
                self._learn(msgspec.structs.replace(live.room, state=event.state, ended=event.time))
        else:
            self._term.overhear(event)

    def _learn(self, room: Room) -> bool:
        """A version of a room. False if it is over."""
        live = self._live.get(room.thread)
        if live is None:
            return room.open
        if not room.open:
            del self._live[room.thread]
            for side in Side:
                self._graces.stop((live, side))
                self._by_key.pop(room_key(room.thread, live.person(side)), None)
            return False
        if room.state is SessionState.ACTIVE and live.room.state is SessionState.READY:
            live.room = room
            for side in Side:
                if not live.present(side):  # gone while the start was on its way
                    self._await(live, side, self._settings.rejoin_grace)
        return True

    # --- inside ---

    def _adopt(self, room: Room) -> None:
        """An active room that was not known here. Both are awaited."""
        live = self._live[room.thread] = _Live(room)
        for side in Side:
            self._await(live, side, self._settings.rejoin_grace)

    async def _tell_all_presences(self) -> None:
        for count, live in enumerate(list(self._live.values())):
            if self._live.get(live.room.thread) is live and any(map(live.present, Side)):
                self._tell_presence(live)
            if count % PORTION == PORTION - 1:
                await asyncio.sleep(0)

    def _apply(self, live: _Live, event: Event, side: Side, name: str = "", *, quiet: bool = False) -> None:
        """Do what the table says."""
        state, effects = step(live.room.state, event, live.present(side.other))
        for effect in effects:
            if effect is Effect.ANNOUNCE:
                if not quiet:
                    code = f"joined_{live.person(side).role.value}"
                    self._publish(Notice(live.room.thread, code, self._clock(), name))
            elif effect is Effect.STOP_GRACE:
                self._graces.stop((live, side))
            elif effect is Effect.START_GRACE:
                self._await(live, side, self._settings.rejoin_grace)
                person, grace = live.person(side), self._settings.rejoin_grace
                log.info(
                    "away",
                    extra=about(live.room.thread, person, grace=grace),
                )
            elif effect is Effect.START:
                if not live.starting:
                    live.starting = True
                    self._tasks.spawn(self._start(live))
            elif effect is Effect.FINISH:
                self._tasks.spawn(self._finish(live, side, event, state))

    async def _start(self, live: _Live) -> None:
        thread = live.room.thread
        while self._live.get(thread) is live and live.room.state is SessionState.READY:
            try:
                self._learn(await self._store.write(lambda tx: rooms.start(tx, thread)))
            except ChatError as error:
                log.warning(
                    "a start could not be stored, trying again: %s", error, extra=fields(**thread.named)
                )
                await asyncio.sleep(RETRY)
        live.starting = False
        self._forget_if_idle(live)

    async def _finish(self, live: _Live, side: Side, event: Event, state: SessionState) -> None:
        thread = live.room.thread
        log.info("ending", extra=fields(**thread.named, why=event.value))
        try:
            self._learn(await self._store.write(lambda tx: rooms.finish(tx, thread, state)))
        except ChatError as error:
            log.warning("an end could not be stored, trying again: %s", error, extra=fields(**thread.named))
            if self._live.get(thread) is live and not live.present(side):
                self._await(live, side, RETRY)

    def _tell_presence(self, live: _Live) -> None:
        present = {live.person(side).role: live.present(side) for side in Side}
        self._publish(Presence(live.room.thread, present))

    def _await(self, live: _Live, side: Side, delay: float) -> None:
        if self._term.running:
            self._graces.start((live, side), delay)

    def _away(self, who: tuple[_Live, Side]) -> bool:
        live, side = who
        return not live.present(side) and self._live.get(live.room.thread) is live

    async def _grace_over(self, who: tuple[_Live, Side]) -> None:
        live, side = who
        self._apply(live, Event.GRACE_OVER, side)

    def _forget_if_idle(self, live: _Live) -> None:
        if live.starting or any(live.present(side) or (live, side) in self._graces for side in Side):
            return
        if self._live.get(live.room.thread) is live:
            del self._live[live.room.thread]

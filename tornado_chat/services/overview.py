"""The server at one moment: what ``/metrics`` and ``GET /api/v1/status`` show of it.

Strategy: nobody reports here. Who has a state anyway is asked for it when somebody looks, so that what is
shown is true and costs nothing while nobody looks.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from itertools import islice
from platform import python_version

import msgspec

from tornado_chat import status as shown
from tornado_chat.delivery.hub import Hub
from tornado_chat.metrics import Gauges, Metrics
from tornado_chat.metrics.history import STEP
from tornado_chat.metrics.history import History as Recorded
from tornado_chat.plugins.calling import Plugins
from tornado_chat.services.counselling import Counselling
from tornado_chat.services.dispatch import Dispatcher
from tornado_chat.services.readiness import Readiness
from tornado_chat.services.seats import Talk, WaiterDesk
from tornado_chat.services.store import Store
from tornado_chat.types import Conversation, ConversationState, Kind, Person, Room, SessionState
from tornado_chat.wire.times import LocalTimes

PATIENCE = 1.0  # seconds that the database gets to answer before it counts as a problem
WAITER_STATES = ("ready", "busy", "paused", "away")
ROOM_STATES = (SessionState.READY.value, SessionState.ACTIVE.value)
CONVERSATION_STATES = (ConversationState.WAITING.value, ConversationState.ACTIVE.value)
ROOM_KINDS = {Kind.SESSION: "session", Kind.RECORD: "record"}
STATM = "/proc/self/statm"


class Overview:
    """Looks at everything, changes nothing.

    :arg database: its kind, ``sqlite`` or ``mysql``.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        dispatcher: Dispatcher,
        counselling: Counselling,
        store: Store,
        readiness: Readiness,
        plugins: Plugins,
        metrics: Metrics,
        recorded: Recorded,
        times: LocalTimes,
        loop: asyncio.AbstractEventLoop,
        database: str,
    ) -> None:
        self._hub = hub
        self._dispatcher = dispatcher
        self._counselling = counselling
        self._store = store
        self._readiness = readiness
        self._plugins = plugins
        self._metrics = metrics
        self._recorded = recorded
        self._times = times
        self._loop = loop
        self._kind = database
        self._started = time.time()

    # --- for the metrics ---

    def gauges(self) -> Gauges:
        """How things are now, in numbers."""
        for each in self._plugins.loaded:
            self._plugins.suspended_for(each.name)  # a suspension that is over ends by this
        return Gauges(
            line=len(self._dispatcher.desk),
            longest_wait=self._longest_wait(),
            waiters=self._waiter_states(),
            conversations=self._conversation_states(),
            rooms=self._room_states(),
            receipts=sum(outbox.unproven for outbox in self._hub),
            backlog=self._store.backlog,
            database_bytes=self._store.size(),
            ready=self._readiness.ready,
        )

    async def refresh(self) -> None:
        """Ask whether the database takes writes, for ``gauges`` to know."""
        await self._readiness.problems(PATIENCE)

    # --- for people ---

    async def status(self) -> shown.Status:
        """How things are now, in detail."""
        problems = await self._readiness.problems(PATIENCE)
        tallies = self._metrics.tallies
        return shown.Status(
            time=self._text(time.time()),
            problems=problems,
            sockets={endpoint: tally.open for endpoint, tally in tallies.items()},
            line=self._line(),
            waiters=shown.Waiters(
                self._waiter_states(),
                [self._waiter(each) for each in islice(self._dispatcher.waiters.values(), shown.MOST)],
            ),
            conversations=shown.Talks(
                self._conversation_states(),
                [self._conversation(talk) for talk in islice(self._talks(), shown.MOST)],
            ),
            rooms=shown.Talks(
                {
                    state: sum(n for (_, each), n in self._room_states().items() if each == state)
                    for state in ROOM_STATES
                },
                [self._room(room, there) for room, there in islice(self._counselling.live(), shown.MOST)],
            ),
            messages=shown.Messages(*self._recorded.last_minute()),
            history=self._history(),
            plugins=[self._plugin(each.name, each.version) for each in self._plugins.loaded],
            database=self._database(),
            process=self._process(),
        )

    # --- support ---

    def _talks(self) -> Iterable[Talk]:
        """The conversations; not one whose row is still on its way to the database."""
        return (talk for talk in self._dispatcher.talks() if talk.conversation is not None)

    def _longest_wait(self) -> float:
        talk = self._dispatcher.talk
        since = min(
            (talk(each.number).waits_since for each in self._dispatcher.desk.in_order()), default=None
        )
        return 0.0 if since is None else self._loop.time() - since

    def _line(self) -> shown.Line:
        desk = self._dispatcher.desk
        first = [
            self._waiting(self._dispatcher.talk(each.number)) for each in islice(desk.in_order(), shown.MOST)
        ]
        return shown.Line(len(desk), round(self._longest_wait(), 1), first)

    def _waiting(self, talk: Talk) -> shown.Waiting:
        since, seconds = self._since(talk.waits_since)
        return shown.Waiting(talk.row.id, talk.row.user.host_id, since, seconds)

    def _state(self, waiter: WaiterDesk) -> str:
        if not waiter.seats:
            return "away"
        if not waiter.ready:
            return "paused"
        pooled = self._dispatcher.desk.pool.get(waiter.person)
        return "ready" if pooled is not None and pooled.free else "busy"

    def _waiter_states(self) -> dict[str, int]:
        found = Counter(self._state(waiter) for waiter in self._dispatcher.waiters.values())
        return {state: found[state] for state in WAITER_STATES}

    def _waiter(self, waiter: WaiterDesk) -> shown.Waiter:
        return shown.Waiter(
            waiter.person.host_id,
            waiter.name,
            self._state(waiter),
            len(waiter.talks),
            self._dispatcher.capacity,
            *self._since(waiter.since),
        )

    def _conversation_states(self) -> dict[str, int]:
        found = Counter(talk.row.state.value for talk in self._talks())
        return {state: found[state] for state in CONVERSATION_STATES}

    def _conversation(self, talk: Talk) -> shown.Talk:
        row: Conversation = talk.row
        people = [_participant(row.user, bool(talk.seats))]
        if row.waiter is not None:
            waiter = self._dispatcher.waiters.get(row.waiter)
            people.append(_participant(row.waiter, waiter is not None and bool(waiter.seats)))
        if row.state is ConversationState.WAITING:
            since = self._since(talk.waits_since)
        else:
            since = self._since_wall(row.assigned or row.created)
        return shown.Talk("conversation", row.id, row.state.value, *since, people)

    # --- counselling ---

    def _room_states(self) -> dict[tuple[str, str], int]:
        found = Counter((room.thread.kind, room.state.value) for room, _ in self._counselling.live())
        return {
            (name, state): found[kind, state] for kind, name in ROOM_KINDS.items() for state in ROOM_STATES
        }

    def _room(self, room: Room, there: Mapping[Person, bool]) -> shown.Talk:
        since = self._since_wall(room.started or room.created)
        people = [_participant(person, present) for person, present in there.items()]
        return shown.Talk(ROOM_KINDS[room.thread.kind], room.thread.id, room.state.value, *since, people)

    # --- the server itself ---

    def _history(self) -> shown.History:
        points = self._recorded.points
        columns = {
            name: [getattr(point, name) for point in points]
            for name in shown.History.__struct_fields__
            if name != "step"
        }
        return msgspec.convert({"step": STEP, **columns}, shown.History)

    def _plugin(self, name: str, version: str) -> shown.Plugin:
        meter, suspended_for = self._metrics.plugin(name), self._plugins.suspended_for(name)
        return shown.Plugin(
            name,
            version,
            "suspended" if suspended_for else "running",
            meter.calls,
            meter.failures,
            round(meter.seconds, 3),
            round(suspended_for, 1),
        )

    def _database(self) -> shown.Database:
        storage = self._metrics.storage
        last = self._text(storage.last_commit) if storage.last_commit else None
        errors = storage.refused + self._metrics.read_errors
        return shown.Database(self._kind, self._store.size(), last, self._store.backlog, errors)

    def _process(self) -> shown.Process:
        return shown.Process(
            os.getpid(),
            version("tornado_chat"),
            python_version(),
            self._text(self._started),
            round(time.time() - self._started, 1),
            _memory(),
            round(self._recorded.lag, 4),
        )

    # --- times ---

    def _text(self, seconds: float) -> str:
        return self._times.text(int(seconds * 1e6))

    def _since(self, loop_time: float) -> tuple[str, float]:
        age = self._loop.time() - loop_time
        return self._text(time.time() - age), round(age, 1)

    def _since_wall(self, microseconds: int) -> tuple[str, float]:
        return self._times.text(microseconds), round(max(0.0, time.time() - microseconds / 1e6), 1)


def _participant(person: Person, present: bool) -> shown.Participant:
    return shown.Participant(person.role.value, person.host_id, present)


def _memory() -> int | None:
    """Resident bytes, proc(5)."""
    try:
        with open(STATM) as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None

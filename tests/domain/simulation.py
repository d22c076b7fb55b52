"""Three small worlds on the real rules, with a fault possible at every step, each day decided by one number.

``python -m tests.domain.simulation WORLD SEED`` lives one day again and tells every step of it.

- *delivery*: one thread, several readers with several sockets, a network that may lose the rest of what is
  under way at any moment, a server that may crash and then knows of receipts only what was stored.
- *room*: two people who come, go, end and give up, with graces that run out and restarts in between.
- *line*: users and waiters, matches whose commit may fail, and restarts that build the line anew.
"""

import random
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.frames import payload_of
from tornado_chat.core.events import Event as Published
from tornado_chat.core.types import Kind, Message, Person, Role, SessionState, Thread
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.domain.queue import FifoLeastLoaded, MatchingQueue, Ticket
from tornado_chat.domain.room_state import Event, RoomEffect, Side, transition

STEPS = 120

Say = Callable[[str], None]


class World:
    """One day. ``steps`` are methods that do one thing, or nothing if it is not possible now."""

    steps: dict[str, int]
    """Method name and weight."""

    def __init__(self, seed: int, say: Say) -> None:
        self.random = random.Random(seed)
        self.say = say

    def live(self) -> None:
        for _ in range(STEPS):
            name = self.random.choices(list(self.steps), list(self.steps.values()))[0]
            self.say(name)
            getattr(self, name)()
            self.check()
        self.say("evening")
        self.evening()

    def check(self) -> None:
        """What holds at any time."""

    def evening(self) -> None:
        """No more faults: what must have come about in the end."""


# Delivery

THREAD = Thread(Kind.SESSION, 1)
SENDER = Person(Role.USER, "0")


class Frames:
    """The encoder: a frame is its number."""

    def encode(self, event: Published, own: bool) -> bytes | None:
        assert isinstance(event, Message)
        return b"%d" % event.seq


class Wire:
    """A socket's network: frames and pings on their way there, pongs on their way back."""

    def __init__(self) -> None:
        self.there: deque[tuple[str, bytes]] = deque()
        self.back: deque[bytes] = deque()
        self.closed = False
        self.unsent = 0

    def send_frame(self, frame: bytes) -> int:
        self.there.append(("frame", payload_of(frame)))
        return 0

    def ping(self, payload: bytes) -> None:
        self.there.append(("ping", payload))

    def close(self, code: int, reason: str) -> None:
        self.closed = True


class Socket:
    def __init__(self, world: "Delivery", reader: "Reader") -> None:
        self.wire = Wire()
        self.owing = False
        self.socket_stream = SocketStream(
            reader.person,
            self.wire,
            Frames(),
            on_receipt=lambda thread, person, seq: world.note(reader, seq),
            on_ping_due=lambda socket_stream: setattr(self, "owing", True),
            limit_bytes=10**9,
            now=0.0,
        )


class Reader:
    """A person with sockets, and everything that ever reached one of them."""

    def __init__(self, number: int) -> None:
        self.person = Person(Role.CONSULTANT, str(number))
        self.sockets: list[Socket] = []
        self.heard: list[int] = []
        self.proven = 0
        self.stored = 0


class Delivery(World):
    steps = {
        "post": 30,
        "carry": 60,
        "answer": 40,
        "ping": 30,
        "read_back": 25,
        "connect": 10,
        "cut": 8,
        "flush": 6,
        "lose_a_hint": 4,
        "stray_pong": 4,
        "crash": 2,
    }

    def __init__(self, seed: int, say: Say) -> None:
        super().__init__(seed, say)
        self.log: list[Message] = []
        self.readers = [Reader(n) for n in range(1, 4)]

    def note(self, reader: Reader, seq: int) -> None:
        reader.proven = max(reader.proven, seq)

    def _socket(self) -> tuple[Reader, Socket] | None:
        pairs = [(reader, socket) for reader in self.readers for socket in reader.sockets]
        return self.random.choice(pairs) if pairs else None

    def post(self, heard_of: bool = True) -> None:
        message = Message(THREAD, len(self.log) + 1, SENDER, "", 0)
        self.log.append(message)
        for reader in self.readers:
            for socket in reader.sockets:
                if heard_of:
                    socket.socket_stream.deliver(message, {})

    def lose_a_hint(self) -> None:
        """Another process stored it, and the bus lost the word of it."""
        self.post(heard_of=False)

    def connect(self) -> None:
        self._attach(self.random.choice(self.readers))

    def _attach(self, reader: Reader) -> None:
        socket = Socket(self, reader)
        socket.socket_stream.follow(THREAD, max(reader.stored, reader.proven))
        reader.sockets.append(socket)

    def read_back(self) -> None:
        """A page of what is missing, perhaps not all of it yet."""
        if found := self._socket():
            socket_stream = found[1].socket_stream
            position = socket_stream.position(THREAD)
            assert position is not None
            page = self.log[position : position + self.random.randint(1, 5)]
            for message in page:
                socket_stream.replay(message)
            if position + len(page) == len(self.log):
                socket_stream.finish_catch_up(THREAD)

    def ping(self) -> None:
        if (found := self._socket()) and found[1].owing:
            found[1].owing = False
            found[1].socket_stream.ping(0.0)

    def carry(self) -> None:
        """The next thing on a wire arrives."""
        if (found := self._socket()) and found[1].wire.there:
            reader, socket = found
            what, data = socket.wire.there.popleft()
            if what == "frame":
                reader.heard.append(int(data))
            else:
                socket.wire.back.append(data)

    def answer(self) -> None:
        if (found := self._socket()) and found[1].wire.back:
            found[1].socket_stream.pong(found[1].wire.back.popleft(), 0.0)

    def stray_pong(self) -> None:
        """A client may pong without having been pinged (RFC 6455, section 5.5.3): that proves nothing."""
        if found := self._socket():
            found[1].socket_stream.pong(self.random.choice((b"", b"x", b"-1")), 0.0)

    def cut(self) -> None:
        """The socket is gone, with all that was on its way."""
        if found := self._socket():
            found[0].sockets.remove(found[1])
            found[1].socket_stream.closed = True

    def flush(self) -> None:
        """Receipts are stored now and then."""
        for reader in self.readers:
            reader.stored = reader.proven

    def crash(self) -> None:
        for reader in self.readers:
            reader.sockets.clear()
            reader.proven = reader.stored

    def check(self) -> None:
        for reader in self.readers:
            assert set(range(1, reader.proven + 1)) <= set(reader.heard), "a receipt for what never arrived"

    def evening(self) -> None:
        for reader in self.readers:
            reader.sockets.clear()
            socket = Socket(self, reader)
            socket.socket_stream.follow(THREAD, reader.proven)
            for message in self.log[reader.proven :]:
                socket.socket_stream.replay(message)
            assert socket.socket_stream.finish_catch_up(THREAD)
            reader.heard += [int(data) for what, data in socket.wire.there if what == "frame"]
            first = list(dict.fromkeys(reader.heard))
            # Several sockets of one person are not in step, but each begins where something is proven.
            assert sorted(first) == [message.seq for message in self.log], "something is lost"


class OneSocket(Delivery):
    """As most people: one socket at a time. Then what is new comes in order, too."""

    def connect(self) -> None:
        reader = self.random.choice(self.readers)
        if not reader.sockets:
            self._attach(reader)

    def evening(self) -> None:
        super().evening()
        for reader in self.readers:
            first = list(dict.fromkeys(reader.heard))
            assert first == sorted(first), "out of order"


# Rooms


class RoomDay(World):
    steps = {"enter": 30, "leave": 25, "time_passes": 12, "end": 2, "cancel": 2, "restart": 4}

    def __init__(self, seed: int, say: Say) -> None:
        super().__init__(seed, say)
        self.state = SessionState.READY
        self.sockets = dict.fromkeys(Side, 0)
        self.graces: set[Side] = set()
        self.both_met = False
        self.starts = self.finishes = 0
        self.asked_to_end = False

    def _apply(self, event: Event, side: Side) -> None:
        was = self.state
        self.state, effects = transition(self.state, event, self.sockets[side.other] > 0)
        for effect in effects:
            if effect is RoomEffect.START:
                self.starts += 1
            elif effect is RoomEffect.FINISH:
                self.finishes += 1
                self.graces.clear()
            elif effect is RoomEffect.START_GRACE:
                self.graces.add(side)
            elif effect is RoomEffect.STOP_GRACE:
                self.graces.discard(side)
        if was is not self.state:
            self.say(f"  {was} -> {self.state}")

    def enter(self) -> None:
        side = self.random.choice(list(Side))
        if self.state in (SessionState.COMPLETED, SessionState.CANCELLED):
            return
        self.sockets[side] += 1
        self.both_met |= all(self.sockets.values())
        if self.sockets[side] == 1:
            self._apply(Event.ENTERED, side)

    def leave(self) -> None:
        side = self.random.choice(list(Side))
        if self.sockets[side]:
            self.sockets[side] -= 1
            if not self.sockets[side]:
                self._apply(Event.LEFT, side)

    def time_passes(self) -> None:
        """Longer than the grace, for one side at least."""
        if self.graces:
            side = self.random.choice(sorted(self.graces))
            self.graces.discard(side)
            assert not self.sockets[side], "a grace runs although its side is there"
            self._apply(Event.GRACE_OVER, side)

    def end(self) -> None:
        self.asked_to_end = True
        self._apply(Event.ENDED, self.random.choice(list(Side)))

    def cancel(self) -> None:
        if self.state is SessionState.READY:
            self.asked_to_end = True
        self._apply(Event.CANCELLED, Side.ASKER)

    def restart(self) -> None:
        """All sockets are gone; who was in an active room has the full grace."""
        self.sockets = dict.fromkeys(Side, 0)
        self.graces = set(Side) if self.state is SessionState.ACTIVE else set()

    def check(self) -> None:
        active, over = self.state is SessionState.ACTIVE, self.state is SessionState.COMPLETED
        assert self.starts <= 1, "started twice"
        assert self.finishes <= 1, "ended twice"
        assert not active or self.both_met, "active, but the two never met"
        assert not self.starts or self.both_met
        if active:
            away = {side for side in Side if not self.sockets[side]}
            assert self.graces == away, "who is away has a grace, and nobody else"
        if over or self.state is SessionState.CANCELLED:
            assert self.finishes == 1
            assert self.asked_to_end or self.starts, "a room that never started ended by itself"

    def evening(self) -> None:
        """Everybody leaves: an active room ends."""
        for side in Side:
            while self.sockets[side]:
                self.sockets[side] -= 1
                if not self.sockets[side]:
                    self._apply(Event.LEFT, side)
        for side in sorted(self.graces):
            if side in self.graces:
                self.graces.discard(side)
                self._apply(Event.GRACE_OVER, side)
        assert self.state is not SessionState.ACTIVE, "a room that nobody returns to goes on"


# The waiting line


class Line(World):
    steps = {
        "arrive": 30,
        "away": 8,
        "back": 10,
        "give_up": 4,
        "commit": 40,
        "refuse_commit": 5,
        "part": 15,
        "waiter_comes": 8,
        "waiter_drops": 5,
        "waiter_lost": 4,
        "restart": 2,
    }
    capacity = 2

    def __init__(self, seed: int, say: Say) -> None:
        super().__init__(seed, say)
        self.waiters = [Person(Role.WAITER, name) for name in "abc"]
        # What the database has: waiting (with its fate) or the waiter, by conversation.
        self.waiting: dict[int, bool] = {}
        self.served: dict[int, Person] = {}
        self.gone: set[int] = set()
        self.count = 0
        self._forget()

    def _forget(self) -> None:
        """What is only in memory."""
        self.desk = MatchingQueue(FifoLeastLoaded())
        self.here: set[int] = set()  # users with a socket
        self.working: set[Person] = set()
        self.matched: dict[int, Person] = {}  # on its way to the database

    def _ticket(self, number: int) -> Ticket:
        return Ticket(number, Person(Role.USER, str(number)), number, self.waiting[number])

    def _match(self) -> None:
        line = list(self.desk.in_order())
        for made in self.desk.match():
            first = next(ticket for ticket in line if ticket.number not in self.matched)
            assert made.ticket == first, "somebody was passed over"
            assert made.waiter in self.working, "a waiter who is not there"
            self.matched[made.ticket.number] = made.waiter

    def _join(self, number: int) -> None:
        if number not in self.desk and number not in self.matched:
            self.desk.join(self._ticket(number))
            self._match()

    def _some(self, of: Any) -> Any:
        return self.random.choice(sorted(of)) if of else None

    def arrive(self) -> None:
        self.count += 1
        self.waiting[self.count] = False
        self.here.add(self.count)
        self._join(self.count)

    def away(self) -> None:
        number = self._some(self.here)
        if number is not None:
            self.here.discard(number)
            self.desk.leave(number)

    def back(self) -> None:
        number = self._some({*self.waiting, *self.served} - self.here)
        if number is not None:
            self.here.add(number)
            if number in self.waiting:
                self._join(number)

    def give_up(self) -> None:
        number = self._some(set(self.waiting) - set(self.matched))
        if number is not None:
            del self.waiting[number]
            self.gone.add(number)
            self.here.discard(number)
            self.desk.leave(number)

    def commit(self) -> None:
        number = self._some(self.matched)
        if number is not None:
            self.served[number] = self.matched.pop(number)
            del self.waiting[number]

    def refuse_commit(self) -> None:
        """The database did not take the match: it is as if it had never been."""
        number = self._some(self.matched)
        if number is not None:
            self.desk.pool.release(self.matched.pop(number), number)
            if number in self.here:
                self._join(number)
            self._match()

    def part(self) -> None:
        number = self._some(self.served)
        if number is not None:
            self.desk.pool.release(self.served.pop(number), number)
            self.gone.add(number)
            self.here.discard(number)
            self._match()

    def waiter_comes(self) -> None:
        person = self.random.choice(self.waiters)
        self.working.add(person)
        self.desk.pool.set(person, available=True, capacity=self.capacity)
        self._match()

    def waiter_drops(self) -> None:
        person = self._some(self.working)
        if person is not None:
            self.working.discard(person)
            self.desk.pool.set(person, available=False, capacity=self.capacity)

    def waiter_lost(self) -> None:
        """One that dropped does not come back: its users wait again, before all others."""
        person = self._some({waiter for waiter in self.served.values() if waiter not in self.working})
        if person is None or person in self.matched.values():
            return
        lost = [number for number, waiter in self.served.items() if waiter == person]
        for number in lost:
            del self.served[number]
            self.waiting[number] = True
            self.desk.pool.release(person, number)
            if number in self.here:
                self._join(number)

    def restart(self) -> None:
        """Everything from the database; nobody is connected."""
        self._forget()
        for number, person in sorted(self.served.items()):
            if self.desk.pool.get(person) is None:
                self.desk.pool.set(person, available=False, capacity=self.capacity)
            self.desk.pool.hold(person, number)

    def check(self) -> None:
        everybody = [*self.waiting, *self.served, *self.gone]
        assert sorted(everybody) == list(range(1, self.count + 1)), "somebody is lost, or twice there"
        line = [ticket.number for ticket in self.desk.in_order()]
        assert set(line) == (set(self.waiting) & self.here) - set(self.matched), "the line is not who waits"
        assert line == sorted(line, key=lambda number: (not self.waiting[number], number)), "out of order"
        load: dict[Person, int] = dict.fromkeys(self.waiters, 0)
        for person in (*self.served.values(), *self.matched.values()):
            load[person] += 1
        for person, users in load.items():
            pooled = self.desk.pool.get(person)
            assert (pooled.load if pooled else 0) == users, "a waiter's load is wrong"
            assert users <= self.capacity, "a waiter has too many"
        free = [person for person in self.working if load[person] < self.capacity]
        assert not (line and free), "somebody waits although a waiter is free"

    def evening(self) -> None:
        """All come back and are served, one after the other."""
        for person in self.waiters:
            self.working.add(person)
            self.desk.pool.set(person, available=True, capacity=self.capacity)
        for number in list(self.waiting):
            if number not in self.here:
                self.here.add(number)
                self._join(number)
        self._match()
        while self.waiting:
            assert self.matched or self.served, "nobody gets on"
            while self.matched:
                self.commit()
            self.part()
            self.check()


WORLDS: dict[str, type[World]] = {
    "delivery": Delivery,
    "one_socket": OneSocket,
    "room": RoomDay,
    "line": Line,
}


def live(world: str, seed: int, say: Say = lambda text: None) -> None:
    """One day. An ``AssertionError`` says what went wrong."""
    WORLDS[world](seed, say).live()


if __name__ == "__main__":
    live(sys.argv[1], int(sys.argv[2]), print)

"""Simulations of the real rules with random steps and faults; each run is determined by a seed.

``python -m tests.domain.simulation WORLD SEED`` repeats a run and prints its steps.

- *delivery*: a thread, several readers with several sockets, a network that may lose all data in transit at
  any moment, and a server that may crash and then knows only the receipts that were stored.
- *one_socket*: the same with at most one socket per reader.
- *room*: two participants that enter, leave, end and cancel, with grace periods that end and with restarts.
- *line*: users and waiters, assignments whose commit may fail, and restarts that build the queue anew.
"""

import random
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.helpers.frames import payload_of
from tornado_chat.core.events import Event as Published
from tornado_chat.core.types import Kind, Message, Person, Role, SessionState, Thread
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.domain.queue import FifoLeastLoaded, MatchingQueue, Ticket
from tornado_chat.domain.room_state import Event, RoomEffect, Side, transition

STEPS = 120

Report = Callable[[str], None]
"""Prints or ignores a line about a step."""


class World:
    """A simulation. ``steps`` names its methods; a step that is not possible at the moment does nothing."""

    steps: dict[str, int]
    """The weight of each step, by the name of its method."""

    def __init__(self, seed: int, report: Report) -> None:
        self.random = random.Random(seed)
        self.report = report

    def run(self) -> None:
        for _ in range(STEPS):
            name = self.random.choices(list(self.steps), list(self.steps.values()))[0]
            self.report(name)
            getattr(self, name)()
            self.check()
        self.report("finish")
        self.finish()

    def check(self) -> None:
        """Assert what holds after every step."""

    def finish(self) -> None:
        """End the run without further faults, and assert what must hold then."""


# Delivery

THREAD = Thread(Kind.SESSION, 1)
SENDER = Person(Role.USER, "0")


class Frames:
    """An encoder whose frames are the sequence numbers."""

    def encode(self, event: Published, own: bool) -> bytes | None:
        assert isinstance(event, Message)
        return b"%d" % event.seq


class Wire:
    """The network of a socket: frames and pings to the client, pongs to the server, in transit."""

    def __init__(self) -> None:
        self.to_client: deque[tuple[str, bytes]] = deque()
        self.to_server: deque[bytes] = deque()
        self.closed = False

    def send_frame(self, frame: bytes) -> None:
        self.to_client.append(("frame", payload_of(frame)))

    def limit_unsent(self, max_bytes: int) -> None:
        raise NotImplementedError

    is_clogged = False

    def has_read(self) -> bool:
        return False

    def ping(self, payload: bytes) -> None:
        self.to_client.append(("ping", payload))

    def close(self, code: int, reason: str) -> None:
        self.closed = True


class Socket:
    """A socket of a reader: its stream and its network."""

    def __init__(self, world: "Delivery", reader: "Reader") -> None:
        self.wire = Wire()
        self.is_ping_due = False
        self.socket_stream = SocketStream(
            reader.person,
            self.wire,
            Frames(),
            on_receipt=lambda thread, person, seq: world.on_receipt(reader, seq),
            on_ping_due=lambda socket_stream: setattr(self, "is_ping_due", True),
            now=0.0,
        )


class Reader:
    """A person with sockets, and the numbers of all messages that reached one of them.

    ``acknowledged`` is the receipt that the server knows, ``stored`` the receipt in the database.
    """

    def __init__(self, number: int) -> None:
        self.person = Person(Role.CONSULTANT, str(number))
        self.sockets: list[Socket] = []
        self.received: list[int] = []
        self.acknowledged = 0
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
        "lose_an_event": 4,
        "stray_pong": 4,
        "crash": 2,
    }

    def __init__(self, seed: int, report: Report) -> None:
        super().__init__(seed, report)
        self.log: list[Message] = []
        self.readers = [Reader(n) for n in range(1, 4)]

    def on_receipt(self, reader: Reader, seq: int) -> None:
        reader.acknowledged = max(reader.acknowledged, seq)

    def _socket(self) -> tuple[Reader, Socket] | None:
        pairs = [(reader, socket) for reader in self.readers for socket in reader.sockets]
        return self.random.choice(pairs) if pairs else None

    def post(self, is_published: bool = True) -> None:
        message = Message(THREAD, len(self.log) + 1, SENDER, "", 0)
        self.log.append(message)
        for reader in self.readers:
            for socket in reader.sockets:
                if is_published:
                    socket.socket_stream.deliver(message, {})

    def lose_an_event(self) -> None:
        """Store a message of another process whose event is lost on the bus."""
        self.post(is_published=False)

    def connect(self) -> None:
        self._attach(self.random.choice(self.readers))

    def _attach(self, reader: Reader) -> None:
        socket = Socket(self, reader)
        socket.socket_stream.follow(THREAD, max(reader.stored, reader.acknowledged))
        reader.sockets.append(socket)

    def read_back(self) -> None:
        """Read a page of the missing messages, which may not be all of them."""
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
        if (found := self._socket()) and found[1].is_ping_due:
            found[1].is_ping_due = False
            found[1].socket_stream.ping(0.0)

    def carry(self) -> None:
        """Let the next frame or ping of a socket arrive."""
        if (found := self._socket()) and found[1].wire.to_client:
            reader, socket = found
            kind, data = socket.wire.to_client.popleft()
            if kind == "frame":
                reader.received.append(int(data))
            else:
                socket.wire.to_server.append(data)

    def answer(self) -> None:
        if (found := self._socket()) and found[1].wire.to_server:
            found[1].socket_stream.pong(found[1].wire.to_server.popleft(), 0.0)

    def stray_pong(self) -> None:
        """Send a pong without a ping, which a client may do (RFC 6455, section 5.5.3); it proves nothing."""
        if found := self._socket():
            found[1].socket_stream.pong(self.random.choice((b"", b"x", b"-1")), 0.0)

    def cut(self) -> None:
        """Close a socket, with the loss of all data in transit."""
        if found := self._socket():
            found[0].sockets.remove(found[1])
            found[1].socket_stream.closed = True

    def flush(self) -> None:
        """Store the receipts."""
        for reader in self.readers:
            reader.stored = reader.acknowledged

    def crash(self) -> None:
        for reader in self.readers:
            reader.sockets.clear()
            reader.acknowledged = reader.stored

    def check(self) -> None:
        for reader in self.readers:
            arrived = set(reader.received)
            assert set(range(1, reader.acknowledged + 1)) <= arrived, "a receipt without an arrival"

    def finish(self) -> None:
        for reader in self.readers:
            reader.sockets.clear()
            socket = Socket(self, reader)
            socket.socket_stream.follow(THREAD, reader.acknowledged)
            for message in self.log[reader.acknowledged :]:
                socket.socket_stream.replay(message)
            assert socket.socket_stream.finish_catch_up(THREAD)
            reader.received += [int(data) for kind, data in socket.wire.to_client if kind == "frame"]
            first = list(dict.fromkeys(reader.received))
            # Several sockets of one person differ in progress, but each starts after an acknowledged message.
            assert sorted(first) == [message.seq for message in self.log], "a message is lost"


class OneSocket(Delivery):
    """Readers with one socket at a time, as most people have; their messages also arrive in order."""

    def connect(self) -> None:
        reader = self.random.choice(self.readers)
        if not reader.sockets:
            self._attach(reader)

    def finish(self) -> None:
        super().finish()
        for reader in self.readers:
            first = list(dict.fromkeys(reader.received))
            assert first == sorted(first), "out of order"


# Rooms


class RoomDay(World):
    steps = {"enter": 30, "leave": 25, "time_passes": 12, "end": 2, "cancel": 2, "restart": 4}

    def __init__(self, seed: int, report: Report) -> None:
        super().__init__(seed, report)
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
            self.report(f"  {was} -> {self.state}")

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
        """Let the grace period of one side end."""
        if self.graces:
            side = self.random.choice(sorted(self.graces))
            self.graces.discard(side)
            assert not self.sockets[side], "a grace timer runs although its side is present"
            self._apply(Event.GRACE_OVER, side)

    def end(self) -> None:
        self.asked_to_end = True
        self._apply(Event.ENDED, self.random.choice(list(Side)))

    def cancel(self) -> None:
        if self.state is SessionState.READY:
            self.asked_to_end = True
        self._apply(Event.CANCELLED, Side.ASKER)

    def restart(self) -> None:
        """Restart the server: all sockets are closed, and each side of an active room has the full grace."""
        self.sockets = dict.fromkeys(Side, 0)
        self.graces = set(Side) if self.state is SessionState.ACTIVE else set()

    def check(self) -> None:
        active, over = self.state is SessionState.ACTIVE, self.state is SessionState.COMPLETED
        assert self.starts <= 1, "started twice"
        assert self.finishes <= 1, "ended twice"
        assert not active or self.both_met, "active, but the sides were never present together"
        assert not self.starts or self.both_met
        if active:
            away = {side for side in Side if not self.sockets[side]}
            assert self.graces == away, "not exactly the absent sides have a grace timer"
        if over or self.state is SessionState.CANCELLED:
            assert self.finishes == 1
            assert self.asked_to_end or self.starts, "a room that never started ended by itself"

    def finish(self) -> None:
        """Let both sides leave: an active room ends."""
        for side in Side:
            while self.sockets[side]:
                self.sockets[side] -= 1
                if not self.sockets[side]:
                    self._apply(Event.LEFT, side)
        for side in sorted(self.graces):
            if side in self.graces:
                self.graces.discard(side)
                self._apply(Event.GRACE_OVER, side)
        assert self.state is not SessionState.ACTIVE, "a room without participants does not end"


# The queue


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

    def __init__(self, seed: int, report: Report) -> None:
        super().__init__(seed, report)
        self.waiters = [Person(Role.WAITER, name) for name in "abc"]
        # The database: conversations that wait (True if returned), and those with a waiter.
        self.waiting: dict[int, bool] = {}
        self.served: dict[int, Person] = {}
        self.gone: set[int] = set()
        self.count = 0
        self._forget()

    def _forget(self) -> None:
        """Reset the state that is only in memory."""
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
            assert made.ticket == first, "a ticket was passed over"
            assert made.waiter in self.working, "the waiter is not connected"
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
        """Let the commit of an assignment fail; the assignment is undone."""
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
        """Remove a waiter that has disconnected: its users wait again, before all others."""
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
        """Restart the server: the state is read from the database, and all sockets are closed."""
        self._forget()
        for number, person in sorted(self.served.items()):
            if self.desk.pool.get(person) is None:
                self.desk.pool.set(person, available=False, capacity=self.capacity)
            self.desk.pool.hold(person, number)

    def check(self) -> None:
        numbers = [*self.waiting, *self.served, *self.gone]
        assert sorted(numbers) == list(range(1, self.count + 1)), "a conversation is lost or duplicated"
        line = [ticket.number for ticket in self.desk.in_order()]
        assert set(line) == (set(self.waiting) & self.here) - set(self.matched), "wrong tickets in the queue"
        assert line == sorted(line, key=lambda number: (not self.waiting[number], number)), "out of order"
        load: dict[Person, int] = dict.fromkeys(self.waiters, 0)
        for person in (*self.served.values(), *self.matched.values()):
            load[person] += 1
        for person, users in load.items():
            pooled = self.desk.pool.get(person)
            assert (pooled.load if pooled else 0) == users, "a waiter's load is wrong"
            assert users <= self.capacity, "a waiter has too many"
        free = [person for person in self.working if load[person] < self.capacity]
        assert not (line and free), "a user waits although a waiter is free"

    def finish(self) -> None:
        """Let all users return and be served, one after the other."""
        for person in self.waiters:
            self.working.add(person)
            self.desk.pool.set(person, available=True, capacity=self.capacity)
        for number in list(self.waiting):
            if number not in self.here:
                self.here.add(number)
                self._join(number)
        self._match()
        while self.waiting:
            assert self.matched or self.served, "no user is served"
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


def run(world: str, seed: int, report: Report = lambda text: None) -> None:
    """Run a simulation.

    :raises AssertionError: a rule is violated; the text names it.
    """
    WORLDS[world](seed, report).run()


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), print)

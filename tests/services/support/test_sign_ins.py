"""Sign-ins of one waiter at several processes: one connection remains, in every order of the events."""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tornado_chat.core.close_codes import REPLACED
from tornado_chat.core.events import Event, WaiterReplaced
from tornado_chat.core.types import Person, Role
from tornado_chat.services.support.sign_ins import WaiterSignIns

WU = Person(Role.WAITER, "7")


class Connection:
    """A connection that only records how it is closed."""

    def __init__(
        self, conn: str, person: Person = WU, features: frozenset[str] = frozenset({"kickout"})
    ) -> None:
        self.person = person
        self.features = features
        self.closed: tuple[int, str] | None = None
        self.notices = 0
        self.socket_stream = SimpleNamespace(conn=conn, close=self._close)
        self.view = SimpleNamespace(show_replacement=self._notice)

    def _close(self, *reason: Any) -> None:
        assert self.closed is None
        self.closed = reason

    def _notice(self) -> None:
        self.notices += 1


class Cluster:
    """Processes whose events to each other arrive when the test wants.

    :ivar links: the events under way, by sending and receiving process.
    :ivar time: of the clocks; far from 0, before which no process signs in.
    """

    def __init__(self, offsets: list[int]) -> None:
        self.time = 1000
        self.subscribed: set[int] = set()
        self.links: dict[tuple[int, int], deque[Event]] = {}
        self.sign_ins = [WaiterSignIns(self._bus(n), self._clock(offset)) for n, offset in enumerate(offsets)]

    def _clock(self, offset: int) -> Any:
        return lambda: self.time + offset

    def _bus(self, process: int) -> Any:
        async def subscribe(channel: Person) -> None:
            self.subscribed.add(process)

        def publish(event: Event) -> None:
            self.sign_ins[process].on_event(event)
            for other in self.subscribed - {process}:
                self.links.setdefault((process, other), deque()).append(event)

        return SimpleNamespace(subscribe=subscribe, publish=publish)

    def add(self, process: int, connection: Connection) -> None:
        self.time += 1
        asyncio.run(self.sign_ins[process].add(connection))  # type: ignore[arg-type]

    def deliver(self, choice: int) -> bool:
        """Deliver the next event of one link. Returns False if none is under way."""
        links = [link for link, events in sorted(self.links.items()) if events]
        if not links:
            return False
        link = links[choice % len(links)]
        self.sign_ins[link[1]].on_event(self.links[link].popleft())
        return True


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 5)), min_size=2, max_size=20),
    offsets=st.lists(st.integers(-3, 3), min_size=3, max_size=3),
)
@example([(True, 1, 0), (True, 1, 0), (True, 0, 0)], [-2, -2, -2])
def test_exactly_the_newest_connection_remains(
    steps: list[tuple[bool, int, int]], offsets: list[int]
) -> None:
    cluster = Cluster(offsets)
    connections: list[tuple[int, Connection]] = []
    for signs_in, process, choice in steps:
        if signs_in:
            connections.append((process, Connection(f"{len(connections):02}")))
            cluster.add(*connections[-1])
        else:
            cluster.deliver(choice)
    for _ in range(10_000):
        if not cluster.deliver(0):
            break
    else:
        raise AssertionError("the processes publish for ever")
    remaining = [connection for _, connection in connections if connection.closed is None]
    assert len(remaining) == min(1, len(connections))
    assert all(each.closed == REPLACED and each.notices == 1 for _, each in connections if each.closed)
    if len(set(offsets)) == 1 and connections:
        assert remaining == [connections[-1][1]]


def test_connections_without_the_feature_and_of_other_waiters_stay() -> None:
    cluster = Cluster([0])
    plain, other = Connection("a", features=frozenset()), Connection("b", Person(Role.WAITER, "8"))
    for each in (plain, other, Connection("c")):
        cluster.add(0, each)
    assert plain.closed is None
    assert other.closed is None


def test_a_process_of_an_earlier_version_replaces_each_connection() -> None:
    cluster = Cluster([0])
    connection = Connection("a")
    cluster.add(0, connection)
    cluster.sign_ins[0].on_event(WaiterReplaced(WU, "b"))
    assert connection.closed == REPLACED


def test_a_lost_event_is_made_up_for_when_the_sign_ins_are_published_again() -> None:
    cluster = Cluster([0, 0])
    old, new = Connection("a"), Connection("b")
    cluster.add(0, old)
    cluster.add(1, new)
    cluster.links.clear()
    for sign_ins in cluster.sign_ins:
        sign_ins.republish()
    while cluster.deliver(0):
        pass
    assert old.closed == REPLACED
    assert new.closed is None

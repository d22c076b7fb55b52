"""Publishes the changed positions of waiting users, at a limited rate.

Strategy: when the first user leaves the queue, all positions change. Publishing all of them each second would
cost more than all conversations, and for users at the back a small delay does not matter. So the queue is
divided into bands that double in length, and a band is published in chunks: the first ``HEAD_LENGTH`` users
in every round, the next ``HEAD_LENGTH`` in two rounds, the next ``2 * HEAD_LENGTH`` in four. A round costs
O(log n), not O(n).
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from tornado_chat.aio.periodic import FailureLog
from tornado_chat.core.types import ExpectedWait
from tornado_chat.domain.expected_wait import Pace, is_noticeable

HEAD_LENGTH = 100  # users at the head of the queue, whose positions are published in every round
CHUNK_LENGTH = HEAD_LENGTH // 2  # users of each later band whose positions are published in a round


class QueuedUser(Protocol):
    """A user in the queue, with what was published last and the time of its publication."""

    published_position: int
    published_serving: int
    published_wait: ExpectedWait | None
    published_at: float


U = TypeVar("U", bound=QueuedUser)


class QueuePositions(Generic[U]):
    """Publishes changed positions in rounds that are ``interval`` seconds apart.

    A position is published with the number of waiters that serve and the expected wait, and again if that
    number has changed, or the expected wait has changed noticeably.

    :arg users: iterates over the positions and users between two indices, in order; index 0 is position 1. It
        leaves out users whose positions are not to be published.
    :arg length: returns the length of the queue.
    :arg serving: returns the number of waiters that serve the queue.
    :arg publish: publishes the position of a user, the number of serving waiters and the expected wait; 1 is
        the first position.
    :arg pace: returns the pace of the queue; None: there is no estimate.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval: float,
        users: Callable[[int, int], Iterator[tuple[int, U]]],
        length: Callable[[], int],
        serving: Callable[[], int],
        publish: Callable[[U, int, int, ExpectedWait | None], None],
        pace: Callable[[], Pace | None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._users = users
        self._length = length
        self._serving = serving
        self._publish = publish
        self._pace = pace
        self._task: asyncio.Task[None] | None = None
        self._is_dirty = False
        self._is_stopped = False
        self._round = 0
        self._failures = FailureLog("the publication of queue positions")

    def changed(self) -> None:
        """Start the rounds: a user joined or left the queue or was matched, so other positions may differ.

        Also called after a change of the number of serving waiters.
        """
        self._is_dirty = True
        if not self._is_stopped and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._run())

    def publish(self, user: U, position: int) -> None:
        """Publish the position of a user immediately."""
        self._publish_to(user, position, self._serving(), self._pace())

    def stop(self) -> None:
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        quiet_rounds = 0  # since the last change
        while self._is_dirty or quiet_rounds < 2 ** len(self._bands()):
            quiet_rounds = 0 if self._is_dirty else quiet_rounds
            self._is_dirty = False
            # The pause comes first, so that several matches at once lead to one new position for each user.
            await asyncio.sleep(self._interval)
            self._round += 1
            quiet_rounds += 1
            try:
                self._publish_changes(0, HEAD_LENGTH)
                for start, chunks in self._bands():
                    at = start + self._round % chunks * CHUNK_LENGTH
                    self._publish_changes(at, at + CHUNK_LENGTH)
            except Exception:
                self._failures.on_failure()
            else:
                self._failures.on_success()

    def _bands(self) -> list[tuple[int, int]]:
        """Return the start index and the number of chunks of each band after the head."""
        bands, start, chunks = [], HEAD_LENGTH, 2
        while start < self._length():
            bands.append((start, chunks))
            start, chunks = start * 2, chunks * 2
        return bands

    def _publish_changes(self, start: int, stop: int) -> None:
        now, serving, pace = self._loop.time(), self._serving(), self._pace()
        for position, user in tuple(self._users(start, stop)):
            if (
                user.published_position != position
                or user.published_serving != serving
                or is_noticeable(user.published_wait, _wait_at(pace, position))
            ):
                if now - user.published_at < self._interval:
                    self._is_dirty = True  # published less than an interval ago: left to a later round
                else:
                    self._publish_to(user, position, serving, pace)

    def _publish_to(self, user: U, position: int, serving: int, pace: Pace | None) -> None:
        user.published_position = position
        user.published_serving = serving
        user.published_wait = _wait_at(pace, position)
        user.published_at = self._loop.time()
        self._publish(user, position, serving, user.published_wait)


def _wait_at(pace: Pace | None, position: int) -> ExpectedWait | None:
    return None if pace is None else pace.expected_wait(position)


class GroupPositions(Generic[U]):
    """The publication of the positions in the queues of all groups.

    :arg groups: by the name of the group.
    """

    def __init__(self, groups: Mapping[str, QueuePositions[U]]) -> None:
        self._groups = groups

    def changed(self) -> None:
        """Start the rounds of all groups, as ``QueuePositions.changed``: a user may be in several queues."""
        for positions in self._groups.values():
            positions.changed()

    def publish(self, group: str, user: U, position: int) -> None:
        """Publish the position of a user of a group immediately."""
        self._groups[group].publish(user, position)

    def stop(self) -> None:
        for positions in self._groups.values():
            positions.stop()

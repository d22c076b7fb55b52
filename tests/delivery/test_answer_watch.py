"""Noticing that a socket does not answer its pings."""

import pytest

from tests.delivery.conftest import HubFixture, Socket
from tornado_chat.delivery.answer_watch import UNANSWERED_SECONDS, AnswerWatch
from tornado_chat.delivery.socket_stream import SocketStream


class WatchFixture:
    """A watched socket, and the changes that the watch has reported."""

    def __init__(self) -> None:
        self.hub = HubFixture()
        self.clock = self.hub.clock
        self.socket: Socket
        self.stream: SocketStream
        self.socket, self.stream = self.hub.open()
        self.changes: list[bool] = []
        self.watch = AnswerWatch(
            self.stream,
            self.clock,  # type: ignore[arg-type]
            lambda: self.changes.append(self.watch.is_answering),
        )
        self.stream.ping_watch = self.watch

    def ping(self) -> None:
        self.stream.ping(self.clock.time())

    def pong(self) -> bool:
        return self.stream.pong(self.socket.pings[-1], self.clock.time())


@pytest.mark.gen_test
async def test_a_ping_without_an_answer_is_reported_and_the_answer_too() -> None:
    fixture = WatchFixture()
    fixture.ping()
    fixture.clock.advance(UNANSWERED_SECONDS - 0.1)
    assert fixture.changes == []
    fixture.clock.advance(0.2)
    assert fixture.changes == [False]
    fixture.clock.advance(10 * UNANSWERED_SECONDS)
    assert fixture.changes == [False]
    assert fixture.pong()
    assert fixture.changes == [False, True]
    fixture.clock.advance(10 * UNANSWERED_SECONDS)
    assert fixture.changes == [False, True]
    assert not [timer for timer in fixture.clock.timers if not timer.cancelled]


@pytest.mark.gen_test
async def test_pings_that_are_answered_in_time_are_no_change_and_share_a_timer() -> None:
    fixture = WatchFixture()
    for _ in range(50):
        fixture.ping()
        fixture.clock.advance(0.4)
        assert len(fixture.clock.timers) <= 1
        fixture.pong()
    assert fixture.changes == []
    fixture.ping()
    fixture.clock.advance(UNANSWERED_SECONDS)
    assert fixture.changes == [False]


@pytest.mark.gen_test
async def test_another_frame_than_the_pong_is_a_sign_of_life() -> None:
    fixture = WatchFixture()
    fixture.ping()
    fixture.clock.advance(UNANSWERED_SECONDS)
    fixture.stream.last_received_at = fixture.clock.time() + 0.5 * UNANSWERED_SECONDS
    fixture.clock.advance(UNANSWERED_SECONDS)
    assert fixture.changes == [False, True]
    fixture.clock.advance(UNANSWERED_SECONDS)
    assert fixture.changes == [False, True, False]


@pytest.mark.gen_test
async def test_a_closed_socket_is_not_watched_any_more() -> None:
    fixture = WatchFixture()
    fixture.ping()
    fixture.stream.close(1000, "over")
    fixture.clock.advance(10 * UNANSWERED_SECONDS)
    assert fixture.changes == []
    assert fixture.clock.timers == []


@pytest.mark.gen_test
async def test_only_the_pong_of_the_outstanding_ping_is_an_answer() -> None:
    fixture = WatchFixture()
    assert not fixture.stream.pong(b"0", fixture.clock.time())
    fixture.ping()
    assert not fixture.stream.pong(b"other", fixture.clock.time())
    assert fixture.pong()
    assert not fixture.pong()

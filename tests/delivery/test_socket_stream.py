"""Tests of the outgoing side of a socket: behind, catching up, live; receipts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.conftest import OTHER, READER, THREAD, WRITER, Dialect, Socket, message, notice
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery import socket_stream
from tornado_chat.delivery.socket_stream import FrameCache, SocketStream


class StreamFixture:
    """A stream with its fakes, and its receipts and due pings."""

    def __init__(self, echo: bool = False) -> None:
        self.socket = Socket()
        self.dialect = Dialect(echo)
        self.receipts: list[tuple[Thread, Person, int]] = []
        self.due_ping_count = 0
        self.socket_stream = SocketStream(
            READER,
            self.socket,
            self.dialect,
            on_receipt=lambda *receipt: self.receipts.append(receipt),
            on_ping_due=self._on_ping_due,
            now=10.0,
        )

    def _on_ping_due(self, socket_stream: SocketStream) -> None:
        assert socket_stream is self.socket_stream
        self.due_ping_count += 1

    def live(self, after: int = 0, thread: Thread = THREAD) -> "StreamFixture":
        self.socket_stream.follow(thread, after)
        assert self.socket_stream.finish_catch_up(thread)
        return self

    def deliver(self, *seqs: int, sender: Person = WRITER) -> list[bool]:
        return [self.socket_stream.deliver(message(seq, sender), {}) for seq in seqs]


@pytest.fixture
def fixture() -> StreamFixture:
    return StreamFixture()


def test_a_live_thread_is_written_at_once(fixture: StreamFixture) -> None:
    fixture.live()
    assert fixture.deliver(1, 2, 3) == [True, True, True]
    assert fixture.socket.frames == ["m1", "m2", "m3"]
    assert fixture.socket_stream.position(THREAD) == 3


def test_new_items_are_held_back_while_the_thread_is_behind(fixture: StreamFixture) -> None:
    fixture.socket_stream.follow(THREAD, 0)
    assert fixture.deliver(2) == [True]
    fixture.socket_stream.replay(message(1))
    assert not fixture.socket_stream.finish_catch_up(THREAD)
    fixture.socket_stream.replay(message(2))
    assert fixture.socket_stream.finish_catch_up(THREAD)
    assert fixture.deliver(3) == [True]
    assert fixture.socket.frames == ["m1", "m2", "m3"]


def test_a_gap_is_reported_once_and_missing_items_are_written_first(fixture: StreamFixture) -> None:
    fixture.live()
    assert fixture.deliver(1, 3, 4) == [True, False, True]
    assert fixture.socket.frames == ["m1"]
    for seq in (2, 3):
        fixture.socket_stream.replay(message(seq))
    assert not fixture.socket_stream.finish_catch_up(THREAD)
    fixture.socket_stream.replay(message(4))
    assert fixture.socket_stream.finish_catch_up(THREAD)
    assert fixture.socket.frames == ["m1", "m2", "m3", "m4"]


def test_repeated_items_are_ignored_live_and_in_replay(fixture: StreamFixture) -> None:
    fixture.live(after=2)
    assert fixture.deliver(1, 2, 3, 3, 2) == [True] * 5
    fixture.socket_stream.replay(message(3))
    assert fixture.socket.frames == ["m3"]


def test_own_messages_are_counted_and_not_written_without_an_echo(fixture: StreamFixture) -> None:
    fixture.live()
    assert fixture.deliver(1, sender=READER) == [True]
    assert fixture.deliver(2) == [True]
    fixture.socket_stream.follow(OTHER, 0)
    fixture.socket_stream.replay(message(1, READER, OTHER))
    assert fixture.socket.frames == ["m2"]
    assert fixture.socket_stream.position(THREAD) == 2
    assert fixture.socket_stream.position(OTHER) == 1
    echoing = StreamFixture(echo=True).live()
    echoing.deliver(1, sender=READER)
    assert echoing.socket.frames == ["m1"]


def test_threads_do_not_wait_for_each_other(fixture: StreamFixture) -> None:
    fixture.live()
    fixture.socket_stream.follow(OTHER, 0)
    fixture.deliver(1)
    fixture.socket_stream.send_event(notice("here"), THREAD, {})
    fixture.socket_stream.send_event(notice("there", OTHER), OTHER, {})
    assert fixture.socket.frames == ["m1", "here"]
    assert fixture.socket_stream.finish_catch_up(OTHER)
    assert fixture.socket.frames == ["m1", "here", "there"]


def test_frames_without_a_number_are_deferred_in_order_until_the_thread_has_caught_up(
    fixture: StreamFixture,
) -> None:
    fixture.socket_stream.follow(THREAD, 0)
    fixture.socket_stream.send_event(notice("joined"), THREAD, {})
    fixture.socket_stream.send_event(notice("started"), THREAD, {})
    fixture.socket_stream.run_in_order(THREAD, lambda: fixture.socket_stream.close(1000, "over"))
    assert fixture.socket.frames == []
    fixture.socket_stream.replay(message(1))
    assert fixture.socket_stream.finish_catch_up(THREAD)
    assert fixture.socket.frames == ["m1", "joined", "started"]
    assert fixture.socket.closed == (1000, "over")


def test_a_peer_that_catches_up_too_slowly_for_the_events_of_its_thread_is_dropped(
    fixture: StreamFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_stream, "MAX_DEFERRED_ACTIONS", 3)
    fixture.socket_stream.follow(THREAD, 0)
    for _ in range(3):
        fixture.socket_stream.send_event(notice("typing"), THREAD, {})
    assert fixture.socket.closed is None
    fixture.socket_stream.send_event(notice("typing"), THREAD, {})
    assert fixture.socket.code == 4408


def test_a_thread_that_falls_behind_again_keeps_its_deferred_frames(fixture: StreamFixture) -> None:
    fixture.socket_stream.follow(THREAD, 0)
    fixture.socket_stream.run_in_order(
        THREAD, lambda: fixture.deliver(2) and None
    )  # a gap opens in the middle
    fixture.socket_stream.send_event(notice("later"), THREAD, {})
    assert fixture.socket_stream.finish_catch_up(THREAD)
    assert fixture.socket.frames == []
    for seq in (1, 2):
        fixture.socket_stream.replay(message(seq))
    assert fixture.socket_stream.finish_catch_up(THREAD)
    assert fixture.socket.frames == ["m1", "m2", "later"]


def test_items_of_a_thread_that_is_not_followed_are_not_written(fixture: StreamFixture) -> None:
    assert fixture.deliver(1) == [True]
    fixture.live()
    fixture.deliver(1)
    fixture.socket_stream.unfollow(THREAD)
    fixture.socket_stream.unfollow(THREAD)
    fixture.deliver(2)
    fixture.socket_stream.replay(message(2))
    assert fixture.socket_stream.finish_catch_up(THREAD)
    assert fixture.socket.frames == ["m1"]
    assert fixture.socket_stream.position(THREAD) is None
    assert fixture.socket_stream.threads == ()


def test_an_event_is_encoded_once_for_all_sockets_of_a_dialect() -> None:
    shared, other = Dialect(), Dialect()
    frame_cache: FrameCache = {}
    item = message(1)
    for person, dialect in ((READER, shared), (READER, shared), (READER, other), (WRITER, shared)):
        socket_stream = SocketStream(
            person,
            Socket(),
            dialect,
            on_receipt=lambda *_: None,
            on_ping_due=lambda _: None,
            now=0,
        )
        socket_stream.follow(THREAD, 0)
        socket_stream.finish_catch_up(THREAD)
        socket_stream.deliver(item, frame_cache)
    assert shared.encoded == [(item, False), (item, True)]
    assert other.encoded == [(item, False)]


def test_a_closed_stream_is_not_clogged_and_has_no_position() -> None:
    fixture = StreamFixture().live()
    fixture.socket.stuck, fixture.socket.clogged_bytes = True, 3
    fixture.deliver(1)
    assert not fixture.socket_stream.is_clogged
    fixture.deliver(2)
    assert fixture.socket_stream.is_clogged
    fixture.socket_stream.close(4408, "as the transport does beyond the limit")
    assert not fixture.socket_stream.is_clogged
    assert fixture.socket_stream.position(THREAD) is None


def test_a_last_ping_precedes_the_close_of_a_socket_with_unacknowledged_items(fixture: StreamFixture) -> None:
    fixture.socket_stream.follow(THREAD, 0)
    fixture.socket_stream.replay(message(1))
    fixture.socket_stream.ping(0.0)
    fixture.socket_stream.replay(message(2))
    fixture.socket_stream.close(1000, "over")
    assert fixture.socket.pings == [b"1", b"2"]
    fixture.socket_stream.pong(b"2", 1.0)
    assert fixture.receipts == [(THREAD, READER, 2)]


def test_a_clogged_socket_is_closed_without_a_ping(fixture: StreamFixture) -> None:
    fixture.socket_stream.follow(THREAD, 0)
    fixture.socket_stream.replay(message(1))
    fixture.socket.unsent = 1_000_000
    fixture.socket_stream.close(4408, "slow")
    assert fixture.socket.pings == []


def test_nothing_is_written_pinged_or_closed_after_the_close(fixture: StreamFixture) -> None:
    fixture.live()
    fixture.socket_stream.close(4409, "replaced")
    fixture.socket_stream.close(1000, "again")
    fixture.deliver(1, 5)
    fixture.socket_stream.send(b"x")
    fixture.socket_stream.send_event(notice("late"), THREAD, {})
    fixture.socket_stream.ping(11.0)
    assert fixture.socket.closed == (4409, "replaced")
    assert (fixture.socket.frames, fixture.socket.pings) == ([], [])


# --- receipts ---


def test_the_pong_is_the_receipt_for_what_was_written_before_the_ping(fixture: StreamFixture) -> None:
    fixture.live().live(thread=OTHER)
    fixture.deliver(1, 2)
    fixture.socket_stream.deliver(message(1, thread=OTHER), {})
    assert fixture.due_ping_count > 0
    fixture.socket_stream.ping(11.0)
    assert fixture.socket.pings == [b"1"]
    fixture.socket_stream.pong(b"1", 12.0)
    assert fixture.receipts == [(THREAD, READER, 2), (OTHER, READER, 1)]


def test_stale_and_unsolicited_pongs_prove_nothing(fixture: StreamFixture) -> None:
    fixture.live()
    fixture.deliver(1)
    fixture.socket_stream.pong(b"1", 11.0)
    fixture.socket_stream.ping(11.0)
    fixture.socket_stream.pong(b"7", 12.0)
    assert fixture.receipts == []
    fixture.socket_stream.pong(b"1", 12.0)
    fixture.deliver(2)
    fixture.socket_stream.ping(13.0)
    fixture.socket_stream.pong(b"1", 14.0)
    assert fixture.receipts == [(THREAD, READER, 1)]


def test_one_ping_is_outstanding_at_a_time_and_the_pong_asks_for_the_next(fixture: StreamFixture) -> None:
    fixture.live()
    fixture.deliver(1)
    fixture.socket_stream.ping(11.0)
    asked = fixture.due_ping_count
    fixture.deliver(2, 3)
    fixture.socket_stream.ping(12.0)
    assert fixture.socket.pings == [b"1"]
    assert fixture.due_ping_count == asked
    fixture.socket_stream.pong(b"1", 13.0)
    assert fixture.due_ping_count == asked + 1
    fixture.socket_stream.ping(13.0)
    fixture.socket_stream.pong(b"3", 14.0)
    assert fixture.due_ping_count == asked + 1
    assert [seq for _, _, seq in fixture.receipts] == [1, 3]


def test_items_that_were_not_written_get_no_receipt(fixture: StreamFixture) -> None:
    fixture.live()
    fixture.deliver(1, sender=READER)
    fixture.socket_stream.send_event(notice("joined"), THREAD, {})
    assert fixture.due_ping_count == 0
    fixture.socket_stream.ping(11.0)
    fixture.socket_stream.pong(fixture.socket.pings[0], 12.0)
    assert fixture.receipts == []


def test_silence_counts_from_the_ping_or_from_a_later_frame(fixture: StreamFixture) -> None:
    assert fixture.socket_stream.silent_since() is None
    fixture.socket_stream.ping(20.0)
    assert fixture.socket_stream.silent_since() == 20.0
    fixture.socket_stream.last_received_at = 21.0  # a frame that crossed the ping; the pong is still owed
    assert fixture.socket_stream.silent_since() == 21.0
    fixture.socket_stream.pong(b"0", 22.0)
    assert fixture.socket_stream.silent_since() is None
    assert fixture.socket_stream.last_received_at == 22.0


@given(after=st.integers(0, 5), hints=st.lists(st.integers(1, 12)))
def test_a_socket_gets_items_without_gaps_whatever_is_delivered(after: int, hints: list[int]) -> None:
    fixture = StreamFixture().live(after)
    for seq in hints:
        if not fixture.deliver(seq)[0]:
            while not fixture.socket_stream.finish_catch_up(THREAD):
                fixture.socket_stream.replay(message((fixture.socket_stream.position(THREAD) or 0) + 1))
    last = max([after, *hints])
    assert fixture.socket.frames == [f"m{seq}" for seq in range(after + 1, last + 1)]


def test_items_since_prepare_follow_are_written_even_if_another_socket_has_acknowledged_them(
    fixture: StreamFixture,
) -> None:
    fixture.socket_stream.prepare_follow(THREAD)
    assert fixture.deliver(4) == [True]
    fixture.socket_stream.follow(THREAD, 5)  # another socket of the same person has receipted 4 and 5
    for seq in (4, 5):
        fixture.socket_stream.replay(message(seq))
    assert fixture.socket_stream.finish_catch_up(THREAD)
    assert fixture.socket.frames == ["m4", "m5"]

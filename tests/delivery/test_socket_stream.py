"""One socket's outgoing side: behind, catching up, live; receipts; the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.conftest import OTHER, READER, THREAD, WRITER, Dialect, Socket, notice, said
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery.socket_stream import FrameCache, SocketStream


class Desk:
    """An outbox, and what it reports."""

    def __init__(self, echo: bool = False, limit_bytes: int = 1000) -> None:
        self.socket = Socket()
        self.dialect = Dialect(echo)
        self.receipts: list[tuple[Thread, Person, int]] = []
        self.owing = 0
        self.socket_stream = SocketStream(
            READER,
            self.socket,
            self.dialect,
            on_receipt=lambda *receipt: self.receipts.append(receipt),
            on_ping_due=self._owe,
            limit_bytes=limit_bytes,
            now=10.0,
        )

    def _owe(self, socket_stream: SocketStream) -> None:
        assert socket_stream is self.socket_stream
        self.owing += 1

    def live(self, after: int = 0, thread: Thread = THREAD) -> "Desk":
        self.socket_stream.follow(thread, after)
        assert self.socket_stream.finish_catch_up(thread)
        return self

    def deliver(self, *seqs: int, sender: Person = WRITER) -> list[bool]:
        return [self.socket_stream.deliver(said(seq, sender), {}) for seq in seqs]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_live_thread_is_written_at_once(desk: Desk) -> None:
    desk.live()
    assert desk.deliver(1, 2, 3) == [True, True, True]
    assert desk.socket.frames == ["m1", "m2", "m3"]
    assert desk.socket_stream.position(THREAD) == 3


def test_while_a_thread_is_behind_new_items_wait_for_the_rows(desk: Desk) -> None:
    desk.socket_stream.follow(THREAD, 0)
    assert desk.deliver(2) == [True]
    desk.socket_stream.replay(said(1))
    assert not desk.socket_stream.finish_catch_up(THREAD)
    desk.socket_stream.replay(said(2))
    assert desk.socket_stream.finish_catch_up(THREAD)
    assert desk.deliver(3) == [True]
    assert desk.socket.frames == ["m1", "m2", "m3"]


def test_a_gap_is_reported_once_and_nothing_is_written_before_what_is_missing(desk: Desk) -> None:
    desk.live()
    assert desk.deliver(1, 3, 4) == [True, False, True]
    assert desk.socket.frames == ["m1"]
    for seq in (2, 3):
        desk.socket_stream.replay(said(seq))
    assert not desk.socket_stream.finish_catch_up(THREAD)
    desk.socket_stream.replay(said(4))
    assert desk.socket_stream.finish_catch_up(THREAD)
    assert desk.socket.frames == ["m1", "m2", "m3", "m4"]


def test_repeats_are_passed_over_live_and_in_replay(desk: Desk) -> None:
    desk.live(after=2)
    assert desk.deliver(1, 2, 3, 3, 2) == [True] * 5
    desk.socket_stream.replay(said(3))
    assert desk.socket.frames == ["m3"]


def test_own_messages_are_counted_and_not_written_without_an_echo(desk: Desk) -> None:
    desk.live()
    assert desk.deliver(1, sender=READER) == [True]
    assert desk.deliver(2) == [True]
    desk.socket_stream.follow(OTHER, 0)
    desk.socket_stream.replay(said(1, READER, OTHER))
    assert desk.socket.frames == ["m2"]
    assert desk.socket_stream.position(THREAD) == 2
    assert desk.socket_stream.position(OTHER) == 1
    echoing = Desk(echo=True).live()
    echoing.deliver(1, sender=READER)
    assert echoing.socket.frames == ["m1"]


def test_threads_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.live()
    desk.socket_stream.follow(OTHER, 0)
    desk.deliver(1)
    desk.socket_stream.send_event(notice("here"), THREAD, {})
    desk.socket_stream.send_event(notice("there", OTHER), OTHER, {})
    assert desk.socket.frames == ["m1", "here"]
    assert desk.socket_stream.finish_catch_up(OTHER)
    assert desk.socket.frames == ["m1", "here", "there"]


def test_frames_without_number_wait_behind_the_catching_up_in_their_order(desk: Desk) -> None:
    desk.socket_stream.follow(THREAD, 0)
    desk.socket_stream.send_event(notice("joined"), THREAD, {})
    desk.socket_stream.send_event(notice("started"), THREAD, {})
    desk.socket_stream.run_in_order(THREAD, lambda: desk.socket_stream.close(1000, "over"))
    assert desk.socket.frames == []
    desk.socket_stream.replay(said(1))
    assert desk.socket_stream.finish_catch_up(THREAD)
    assert desk.socket.frames == ["m1", "joined", "started"]
    assert desk.socket.closed == (1000, "over")


def test_a_thread_that_falls_behind_again_keeps_what_still_waits(desk: Desk) -> None:
    desk.socket_stream.follow(THREAD, 0)
    desk.socket_stream.run_in_order(THREAD, lambda: desk.deliver(2) and None)  # a gap opens in the middle
    desk.socket_stream.send_event(notice("later"), THREAD, {})
    assert desk.socket_stream.finish_catch_up(THREAD)
    assert desk.socket.frames == []
    for seq in (1, 2):
        desk.socket_stream.replay(said(seq))
    assert desk.socket_stream.finish_catch_up(THREAD)
    assert desk.socket.frames == ["m1", "m2", "later"]


def test_what_is_not_followed_is_not_written(desk: Desk) -> None:
    assert desk.deliver(1) == [True]
    desk.live()
    desk.deliver(1)
    desk.socket_stream.unfollow(THREAD)
    desk.socket_stream.unfollow(THREAD)
    desk.deliver(2)
    desk.socket_stream.replay(said(2))
    assert desk.socket_stream.finish_catch_up(THREAD)
    assert desk.socket.frames == ["m1"]
    assert desk.socket_stream.position(THREAD) is None
    assert desk.socket_stream.threads == ()


def test_an_event_is_encoded_once_for_all_sockets_of_a_dialect() -> None:
    shared, other = Dialect(), Dialect()
    frame_cache: FrameCache = {}
    item = said(1)
    for person, dialect in ((READER, shared), (READER, shared), (READER, other), (WRITER, shared)):
        socket_stream = SocketStream(
            person,
            Socket(),
            dialect,
            on_receipt=lambda *_: None,
            on_ping_due=lambda _: None,
            limit_bytes=100,
            now=0,
        )
        socket_stream.follow(THREAD, 0)
        socket_stream.finish_catch_up(THREAD)
        socket_stream.deliver(item, frame_cache)
    assert shared.encoded == [(item, False), (item, True)]
    assert other.encoded == [(item, False)]


def test_a_peer_that_takes_nothing_is_dropped_above_the_limit_and_gets_nothing_more() -> None:
    desk = Desk(limit_bytes=6).live()
    desk.socket.stuck = True
    desk.deliver(1, 2, 3)
    assert desk.socket.closed is None
    desk.deliver(4, 5)
    assert desk.socket.code == 4408
    assert desk.socket.frames == ["m1", "m2", "m3", "m4"]
    assert desk.socket_stream.closed
    assert desk.socket_stream.position(THREAD) is None


def test_a_peer_is_clogged_long_before_it_is_dropped() -> None:
    desk = Desk(limit_bytes=6).live()
    desk.socket.stuck = True
    desk.deliver(1)
    assert not desk.socket_stream.is_clogged
    desk.deliver(2)
    assert desk.socket_stream.is_clogged
    desk.socket_stream.close(1000, "")
    assert not desk.socket_stream.is_clogged


def test_nothing_is_written_pinged_or_closed_after_the_close(desk: Desk) -> None:
    desk.live()
    desk.socket_stream.close(4409, "replaced")
    desk.socket_stream.close(1000, "again")
    desk.deliver(1, 5)
    desk.socket_stream.send(b"x")
    desk.socket_stream.send_event(notice("late"), THREAD, {})
    desk.socket_stream.ping(11.0)
    assert desk.socket.closed == (4409, "replaced")
    assert (desk.socket.frames, desk.socket.pings) == ([], [])


# --- receipts ---


def test_the_pong_is_the_receipt_for_what_was_written_before_the_ping(desk: Desk) -> None:
    desk.live().live(thread=OTHER)
    desk.deliver(1, 2)
    desk.socket_stream.deliver(said(1, thread=OTHER), {})
    assert desk.owing > 0
    desk.socket_stream.ping(11.0)
    assert desk.socket.pings == [b"1"]
    desk.socket_stream.pong(b"1", 12.0)
    assert desk.receipts == [(THREAD, READER, 2), (OTHER, READER, 1)]


def test_stale_and_unsolicited_pongs_prove_nothing(desk: Desk) -> None:
    desk.live()
    desk.deliver(1)
    desk.socket_stream.pong(b"1", 11.0)
    desk.socket_stream.ping(11.0)
    desk.socket_stream.pong(b"7", 12.0)
    assert desk.receipts == []
    desk.socket_stream.pong(b"1", 12.0)
    desk.deliver(2)
    desk.socket_stream.ping(13.0)
    desk.socket_stream.pong(b"1", 14.0)
    assert desk.receipts == [(THREAD, READER, 1)]


def test_one_ping_is_outstanding_at_a_time_and_the_pong_asks_for_the_next(desk: Desk) -> None:
    desk.live()
    desk.deliver(1)
    desk.socket_stream.ping(11.0)
    asked = desk.owing
    desk.deliver(2, 3)
    desk.socket_stream.ping(12.0)
    assert desk.socket.pings == [b"1"]
    assert desk.owing == asked
    desk.socket_stream.pong(b"1", 13.0)
    assert desk.owing == asked + 1
    desk.socket_stream.ping(13.0)
    desk.socket_stream.pong(b"3", 14.0)
    assert desk.owing == asked + 1
    assert [seq for _, _, seq in desk.receipts] == [1, 3]


def test_what_was_not_written_is_not_receipted(desk: Desk) -> None:
    desk.live()
    desk.deliver(1, sender=READER)
    desk.socket_stream.send_event(notice("joined"), THREAD, {})
    assert desk.owing == 0
    desk.socket_stream.ping(11.0)
    desk.socket_stream.pong(desk.socket.pings[0], 12.0)
    assert desk.receipts == []


def test_silence_counts_from_the_ping_or_from_what_was_heard_after_it(desk: Desk) -> None:
    assert desk.socket_stream.silent_since() is None
    desk.socket_stream.ping(20.0)
    assert desk.socket_stream.silent_since() == 20.0
    desk.socket_stream.last_received_at = 21.0  # a frame that crossed the ping; the pong is still owed
    assert desk.socket_stream.silent_since() == 21.0
    desk.socket_stream.pong(b"0", 22.0)
    assert desk.socket_stream.silent_since() is None
    assert desk.socket_stream.last_received_at == 22.0


@given(after=st.integers(0, 5), hints=st.lists(st.integers(1, 12)))
def test_whatever_is_offered_live_the_socket_sees_an_unbroken_run(after: int, hints: list[int]) -> None:
    desk = Desk().live(after)
    for seq in hints:
        if not desk.deliver(seq)[0]:
            while not desk.socket_stream.finish_catch_up(THREAD):
                desk.socket_stream.replay(said((desk.socket_stream.position(THREAD) or 0) + 1))
    last = max([after, *hints])
    assert desk.socket.frames == [f"m{seq}" for seq in range(after + 1, last + 1)]


def test_what_came_since_it_was_expected_is_written_though_another_socket_has_it(desk: Desk) -> None:
    desk.socket_stream.prepare_follow(THREAD)
    assert desk.deliver(4) == [True]
    desk.socket_stream.follow(THREAD, 5)  # another socket of the same person has receipted 4 and 5
    for seq in (4, 5):
        desk.socket_stream.replay(said(seq))
    assert desk.socket_stream.finish_catch_up(THREAD)
    assert desk.socket.frames == ["m4", "m5"]

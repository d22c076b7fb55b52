"""One socket's outgoing side: behind, catching up, live; receipts; the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.conftest import OTHER, READER, THREAD, WRITER, Dialect, Socket, notice, said
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery.socket_stream import Memo, Outbox


class Desk:
    """An outbox, and what it reports."""

    def __init__(self, echo: bool = False, limit: int = 1000) -> None:
        self.socket = Socket()
        self.dialect = Dialect(echo)
        self.receipts: list[tuple[Thread, Person, int]] = []
        self.owing = 0
        self.outbox = Outbox(
            READER,
            self.socket,
            self.dialect,
            on_receipt=lambda *receipt: self.receipts.append(receipt),
            on_owing=self._owe,
            limit=limit,
            now=10.0,
        )

    def _owe(self, outbox: Outbox) -> None:
        assert outbox is self.outbox
        self.owing += 1

    def live(self, after: int = 0, thread: Thread = THREAD) -> "Desk":
        self.outbox.follow(thread, after)
        assert self.outbox.caught_up(thread)
        return self

    def offer(self, *seqs: int, sender: Person = WRITER) -> list[bool]:
        return [self.outbox.offer(said(seq, sender), {}) for seq in seqs]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_live_thread_is_written_at_once(desk: Desk) -> None:
    desk.live()
    assert desk.offer(1, 2, 3) == [True, True, True]
    assert desk.socket.frames == ["m1", "m2", "m3"]
    assert desk.outbox.position(THREAD) == 3


def test_while_a_thread_is_behind_new_items_wait_for_the_rows(desk: Desk) -> None:
    desk.outbox.follow(THREAD, 0)
    assert desk.offer(2) == [True]
    desk.outbox.replay(said(1))
    assert not desk.outbox.caught_up(THREAD)
    desk.outbox.replay(said(2))
    assert desk.outbox.caught_up(THREAD)
    assert desk.offer(3) == [True]
    assert desk.socket.frames == ["m1", "m2", "m3"]


def test_a_gap_is_reported_once_and_nothing_is_written_before_what_is_missing(desk: Desk) -> None:
    desk.live()
    assert desk.offer(1, 3, 4) == [True, False, True]
    assert desk.socket.frames == ["m1"]
    for seq in (2, 3):
        desk.outbox.replay(said(seq))
    assert not desk.outbox.caught_up(THREAD)
    desk.outbox.replay(said(4))
    assert desk.outbox.caught_up(THREAD)
    assert desk.socket.frames == ["m1", "m2", "m3", "m4"]


def test_repeats_are_passed_over_live_and_in_replay(desk: Desk) -> None:
    desk.live(after=2)
    assert desk.offer(1, 2, 3, 3, 2) == [True] * 5
    desk.outbox.replay(said(3))
    assert desk.socket.frames == ["m3"]


def test_own_messages_are_counted_and_not_written_without_an_echo(desk: Desk) -> None:
    desk.live()
    assert desk.offer(1, sender=READER) == [True]
    assert desk.offer(2) == [True]
    desk.outbox.follow(OTHER, 0)
    desk.outbox.replay(said(1, READER, OTHER))
    assert desk.socket.frames == ["m2"]
    assert desk.outbox.position(THREAD) == 2
    assert desk.outbox.position(OTHER) == 1
    echoing = Desk(echo=True).live()
    echoing.offer(1, sender=READER)
    assert echoing.socket.frames == ["m1"]


def test_threads_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.live()
    desk.outbox.follow(OTHER, 0)
    desk.offer(1)
    desk.outbox.tell(notice("here"), THREAD, {})
    desk.outbox.tell(notice("there", OTHER), OTHER, {})
    assert desk.socket.frames == ["m1", "here"]
    assert desk.outbox.caught_up(OTHER)
    assert desk.socket.frames == ["m1", "here", "there"]


def test_frames_without_number_wait_behind_the_catching_up_in_their_order(desk: Desk) -> None:
    desk.outbox.follow(THREAD, 0)
    desk.outbox.tell(notice("joined"), THREAD, {})
    desk.outbox.tell(notice("started"), THREAD, {})
    desk.outbox.in_order(THREAD, lambda: desk.outbox.close(1000, "over"))
    assert desk.socket.frames == []
    desk.outbox.replay(said(1))
    assert desk.outbox.caught_up(THREAD)
    assert desk.socket.frames == ["m1", "joined", "started"]
    assert desk.socket.closed == (1000, "over")


def test_a_thread_that_falls_behind_again_keeps_what_still_waits(desk: Desk) -> None:
    desk.outbox.follow(THREAD, 0)
    desk.outbox.in_order(THREAD, lambda: desk.offer(2) and None)  # a gap opens in the middle
    desk.outbox.tell(notice("later"), THREAD, {})
    assert desk.outbox.caught_up(THREAD)
    assert desk.socket.frames == []
    for seq in (1, 2):
        desk.outbox.replay(said(seq))
    assert desk.outbox.caught_up(THREAD)
    assert desk.socket.frames == ["m1", "m2", "later"]


def test_what_is_not_followed_is_not_written(desk: Desk) -> None:
    assert desk.offer(1) == [True]
    desk.live()
    desk.offer(1)
    desk.outbox.unfollow(THREAD)
    desk.outbox.unfollow(THREAD)
    desk.offer(2)
    desk.outbox.replay(said(2))
    assert desk.outbox.caught_up(THREAD)
    assert desk.socket.frames == ["m1"]
    assert desk.outbox.position(THREAD) is None
    assert desk.outbox.threads == ()


def test_an_event_is_encoded_once_for_all_sockets_of_a_dialect() -> None:
    shared, other = Dialect(), Dialect()
    memo: Memo = {}
    item = said(1)
    for person, dialect in ((READER, shared), (READER, shared), (READER, other), (WRITER, shared)):
        outbox = Outbox(
            person,
            Socket(),
            dialect,
            on_receipt=lambda *_: None,
            on_owing=lambda _: None,
            limit=100,
            now=0,
        )
        outbox.follow(THREAD, 0)
        outbox.caught_up(THREAD)
        outbox.offer(item, memo)
    assert shared.encoded == [(item, False), (item, True)]
    assert other.encoded == [(item, False)]


def test_a_peer_that_takes_nothing_is_dropped_above_the_limit_and_gets_nothing_more() -> None:
    desk = Desk(limit=6).live()
    desk.socket.stuck = True
    desk.offer(1, 2, 3)
    assert desk.socket.closed is None
    desk.offer(4, 5)
    assert desk.socket.code == 4408
    assert desk.socket.frames == ["m1", "m2", "m3", "m4"]
    assert desk.outbox.closed
    assert desk.outbox.position(THREAD) is None


def test_a_peer_is_clogged_long_before_it_is_dropped() -> None:
    desk = Desk(limit=6).live()
    desk.socket.stuck = True
    desk.offer(1)
    assert not desk.outbox.clogged
    desk.offer(2)
    assert desk.outbox.clogged
    desk.outbox.close(1000, "")
    assert not desk.outbox.clogged


def test_nothing_is_written_pinged_or_closed_after_the_close(desk: Desk) -> None:
    desk.live()
    desk.outbox.close(4409, "replaced")
    desk.outbox.close(1000, "again")
    desk.offer(1, 5)
    desk.outbox.send(b"x")
    desk.outbox.tell(notice("late"), THREAD, {})
    desk.outbox.ping(11.0)
    assert desk.socket.closed == (4409, "replaced")
    assert (desk.socket.frames, desk.socket.pings) == ([], [])


# --- receipts ---


def test_the_pong_is_the_receipt_for_what_was_written_before_the_ping(desk: Desk) -> None:
    desk.live().live(thread=OTHER)
    desk.offer(1, 2)
    desk.outbox.offer(said(1, thread=OTHER), {})
    assert desk.owing > 0
    desk.outbox.ping(11.0)
    assert desk.socket.pings == [b"1"]
    desk.outbox.pong(b"1", 12.0)
    assert desk.receipts == [(THREAD, READER, 2), (OTHER, READER, 1)]


def test_stale_and_unsolicited_pongs_prove_nothing(desk: Desk) -> None:
    desk.live()
    desk.offer(1)
    desk.outbox.pong(b"1", 11.0)
    desk.outbox.ping(11.0)
    desk.outbox.pong(b"7", 12.0)
    assert desk.receipts == []
    desk.outbox.pong(b"1", 12.0)
    desk.offer(2)
    desk.outbox.ping(13.0)
    desk.outbox.pong(b"1", 14.0)
    assert desk.receipts == [(THREAD, READER, 1)]


def test_one_ping_is_outstanding_at_a_time_and_the_pong_asks_for_the_next(desk: Desk) -> None:
    desk.live()
    desk.offer(1)
    desk.outbox.ping(11.0)
    asked = desk.owing
    desk.offer(2, 3)
    desk.outbox.ping(12.0)
    assert desk.socket.pings == [b"1"]
    assert desk.owing == asked
    desk.outbox.pong(b"1", 13.0)
    assert desk.owing == asked + 1
    desk.outbox.ping(13.0)
    desk.outbox.pong(b"3", 14.0)
    assert desk.owing == asked + 1
    assert [seq for _, _, seq in desk.receipts] == [1, 3]


def test_what_was_not_written_is_not_receipted(desk: Desk) -> None:
    desk.live()
    desk.offer(1, sender=READER)
    desk.outbox.tell(notice("joined"), THREAD, {})
    assert desk.owing == 0
    desk.outbox.ping(11.0)
    desk.outbox.pong(desk.socket.pings[0], 12.0)
    assert desk.receipts == []


def test_silence_counts_from_the_ping_or_from_what_was_heard_after_it(desk: Desk) -> None:
    assert desk.outbox.silent_since() is None
    desk.outbox.ping(20.0)
    assert desk.outbox.silent_since() == 20.0
    desk.outbox.heard_at = 21.0  # a frame that crossed the ping; the pong is still owed
    assert desk.outbox.silent_since() == 21.0
    desk.outbox.pong(b"0", 22.0)
    assert desk.outbox.silent_since() is None
    assert desk.outbox.heard_at == 22.0


@given(after=st.integers(0, 5), hints=st.lists(st.integers(1, 12)))
def test_whatever_is_offered_live_the_socket_sees_an_unbroken_run(after: int, hints: list[int]) -> None:
    desk = Desk().live(after)
    for seq in hints:
        if not desk.offer(seq)[0]:
            while not desk.outbox.caught_up(THREAD):
                desk.outbox.replay(said((desk.outbox.position(THREAD) or 0) + 1))
    last = max([after, *hints])
    assert desk.socket.frames == [f"m{seq}" for seq in range(after + 1, last + 1)]


def test_what_came_since_it_was_expected_is_written_though_another_socket_has_it(desk: Desk) -> None:
    desk.outbox.expect(THREAD)
    assert desk.offer(4) == [True]
    desk.outbox.follow(THREAD, 5)  # another socket of the same person has receipted 4 and 5
    for seq in (4, 5):
        desk.outbox.replay(said(seq))
    assert desk.outbox.caught_up(THREAD)
    assert desk.socket.frames == ["m4", "m5"]

"""Tests of the hub: fan-out, catching up, pings and the sweep."""

import asyncio
from typing import Any

import pytest

from tests.delivery.conftest import (
    OTHER,
    READER,
    THREAD,
    WRITER,
    HubFixture,
    message,
    notice,
    turns,
)
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.types import Page, Thread
from tornado_chat.delivery import hub as hub_module


@pytest.mark.gen_test
async def test_a_follower_gets_the_stored_messages_and_then_the_new_ones() -> None:
    fixture = HubFixture()
    fixture.table.store(3)
    socket, _ = await fixture.following(after=1)
    assert socket.frames == ["m2", "m3"]
    fixture.hub.deliver(fixture.table.store())
    assert socket.frames == ["m2", "m3", "m4"]


@pytest.mark.gen_test
async def test_following_twice_has_no_effect() -> None:
    fixture = HubFixture()
    fixture.table.store(2)
    socket, socket_stream = await fixture.following()
    await fixture.hub.follow(socket_stream, THREAD, 0)
    assert socket.frames == ["m1", "m2"]
    assert len(fixture.table.reads) == 1


@pytest.mark.gen_test
async def test_messages_sent_while_a_socket_catches_up_arrive_once_and_in_order() -> None:
    fixture = HubFixture()
    fixture.table.store(2)
    fixture.table.hold_reads()
    socket, socket_stream = fixture.open()
    joining = asyncio.ensure_future(fixture.hub.follow(socket_stream, THREAD, 0))
    await turns()
    fixture.hub.deliver(fixture.table.store())
    fixture.hub.deliver_event(notice("joined"), THREAD)
    assert socket.frames == []
    fixture.table.release_read()
    await turns()
    assert not joining.done()  # the rows that were read do not contain the new message yet
    fixture.table.release_read()
    await joining
    assert socket.frames == ["m1", "m2", "m3", "joined"]


@pytest.mark.gen_test
async def test_rows_that_the_caller_has_read_are_not_read_again() -> None:
    fixture = HubFixture()
    fixture.table.store(3)
    socket, socket_stream = fixture.open()
    assert await fixture.hub.follow(socket_stream, THREAD, 1, Page([message(2), message(3)], False)) == 2
    fixture.hub.deliver(fixture.table.store())
    assert socket.frames == ["m2", "m3", "m4"]
    assert fixture.table.reads == []


@pytest.mark.gen_test
async def test_messages_sent_since_the_caller_has_read_are_read_too() -> None:
    fixture = HubFixture()
    fixture.table.store(2)
    socket, socket_stream = fixture.open()
    fixture.hub.prepare_follow(socket_stream, THREAD)
    fixture.hub.deliver(fixture.table.store())
    fixture.hub.deliver_event(notice("ended"), THREAD)
    assert await fixture.hub.follow(socket_stream, THREAD, 1, Page([message(2)], False)) == 2
    assert socket.frames == ["m2", "m3", "ended"]


@pytest.mark.gen_test
async def test_lost_messages_are_read_when_the_next_message_arrives() -> None:
    fixture = HubFixture()
    socket, _ = await fixture.following()
    fixture.table.store(4)
    fixture.hub.deliver(fixture.table.store())
    await turns()
    assert socket.frames == ["m1", "m2", "m3", "m4", "m5"]
    assert fixture.table.reads[1:] == [(THREAD, 0)]


@pytest.mark.gen_test
async def test_rows_that_were_removed_hold_up_no_later_ones() -> None:
    fixture = HubFixture()
    fixture.table.store(6)
    fixture.table.remove(2, 3, 5)
    socket, socket_stream = fixture.open()
    first = Page([row for row in fixture.table.rows[THREAD] if row.seq > 1], False)
    await fixture.hub.follow(socket_stream, THREAD, 1, first)
    assert socket.frames == ["m4", "m6"]
    last = fixture.table.store(2)
    fixture.table.remove(7)
    fixture.hub.deliver(last)
    fixture.hub.deliver_event(notice("ended"), THREAD)
    await turns()
    assert socket.frames == ["m4", "m6", "m8", "ended"]


@pytest.mark.gen_test
async def test_a_long_backlog_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PAGE_ITEMS", 3)
    fixture = HubFixture()
    fixture.table.store(7)
    socket, _ = await fixture.following()
    assert socket.frames == [f"m{n}" for n in range(1, 8)]
    assert [after for _, after in fixture.table.reads] == [0, 3, 6]


@pytest.mark.gen_test
async def test_a_long_backlog_is_written_as_fast_as_the_peer_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "CLOGGED_PAUSE_SECONDS", 0)
    fixture = HubFixture()
    fixture.table.store(30)
    socket, socket_stream = fixture.open()
    socket.stuck = True
    socket.clogged_bytes = 5
    joining = asyncio.ensure_future(fixture.hub.follow(socket_stream, THREAD, 0))
    while not joining.done():
        await turns(3)
        assert socket.unsent <= 10
        socket.unsent = 0
    assert socket.frames == [f"m{n}" for n in range(1, 31)]
    assert socket.closed is None


@pytest.mark.gen_test
async def test_an_event_is_encoded_once_for_all_and_reaches_only_its_thread() -> None:
    fixture = HubFixture()
    sockets = [(await fixture.following())[0] for _ in range(5)]
    elsewhere, socket_stream = fixture.open()
    await fixture.hub.follow(socket_stream, OTHER, 0)
    fixture.hub.deliver(fixture.table.store())
    fixture.hub.deliver_event(notice("joined"), THREAD)
    assert all(socket.frames == ["m1", "joined"] for socket in sockets)
    assert elsewhere.frames == []
    assert len(fixture.dialect.encoded) == 2


@pytest.mark.gen_test
async def test_a_slow_peer_delays_no_other_peer() -> None:
    fixture = HubFixture()
    slow, socket_stream = await fixture.following()
    slow.clogged_bytes = -1
    fast, _ = await fixture.following()
    fixture.hub.deliver(fixture.table.store())
    socket_stream.close(4408, "as the transport does beyond the limit")
    fixture.hub.deliver(fixture.table.store())
    assert slow.frames == ["m1"]
    assert fast.frames == ["m1", "m2"]
    assert fast.closed is None


@pytest.mark.gen_test
async def test_the_sender_gets_no_frame_of_its_own_message() -> None:
    fixture = HubFixture()
    writer, _ = await fixture.following(WRITER)
    reader, _ = await fixture.following(READER)
    fixture.hub.deliver(fixture.table.store(sender=WRITER))
    fixture.hub.deliver(fixture.table.store(sender=READER))
    assert (writer.frames, reader.frames) == (["m2"], ["m1"])


@pytest.mark.gen_test
async def test_closing_a_thread_closes_each_socket_after_it_has_caught_up() -> None:
    fixture = HubFixture()
    quick, _ = await fixture.following()
    fixture.table.store(2)
    fixture.table.hold_reads()
    late, socket_stream = fixture.open()
    joining = asyncio.ensure_future(fixture.hub.follow(socket_stream, THREAD, 0))
    await turns()
    fixture.hub.deliver_event(notice("ended"), THREAD)
    fixture.hub.close_thread(THREAD, 1000, "over")
    assert quick.frames == ["ended"]
    assert quick.closed == (1000, "over")
    assert late.closed is None
    fixture.table.release_read()
    await joining
    assert late.frames == ["m1", "m2", "ended"]
    assert late.closed == (1000, "over")


@pytest.mark.gen_test
async def test_a_failed_read_raises_when_joining_and_closes_a_socket_that_has_joined(
    expected_logs: list[str],
) -> None:
    expected_logs.append("could not read back missed messages: database_away")
    fixture = HubFixture()
    socket, _ = await fixture.following()
    fixture.table.fault = Unavailable("database_away")
    _, joining = fixture.open()
    with pytest.raises(Unavailable):
        await fixture.hub.follow(joining, THREAD, 0)
    fixture.table.store(2)
    fixture.hub.deliver(fixture.table.store())
    await turns()
    assert socket.code == 1013
    assert socket.frames == []


@pytest.mark.gen_test
async def test_a_discarded_socket_is_removed_from_all_indexes() -> None:
    fixture = HubFixture()
    socket, socket_stream = await fixture.following()
    await fixture.hub.follow(socket_stream, OTHER, 0)
    assert fixture.hub.of_person(READER) == (socket_stream,)
    fixture.hub.deliver(fixture.table.store())  # a ping becomes due
    fixture.hub.discard(socket_stream)
    fixture.hub.discard(socket_stream)
    await turns()
    assert (len(fixture.hub), list(fixture.hub), fixture.hub.of_person(READER)) == (0, [], ())
    assert socket_stream.threads == ()
    left: dict[str, Any] = vars(fixture.hub)
    assert not any(left[index] for index in ("_by_thread", "_by_person", "_ping_due", "_streams"))
    fixture.hub.deliver(fixture.table.store())
    assert socket.frames == ["m1"]
    assert (socket.pings, socket.closed) == ([], None)


@pytest.mark.gen_test
async def test_a_socket_that_is_discarded_while_it_catches_up_gets_no_more_frames() -> None:
    fixture = HubFixture()
    fixture.table.store(2)
    fixture.table.hold_reads()
    socket, socket_stream = fixture.open()
    joining = asyncio.ensure_future(fixture.hub.follow(socket_stream, THREAD, 0))
    await turns()
    fixture.hub.discard(socket_stream)
    fixture.table.release_read()
    await joining
    assert socket.frames == []
    await fixture.hub.follow(socket_stream, OTHER, 0)
    assert socket_stream.threads == ()


@pytest.mark.gen_test
async def test_the_second_socket_of_a_person_stays_when_the_first_is_discarded() -> None:
    fixture = HubFixture()
    _, first = await fixture.following()
    second, socket_stream = await fixture.following()
    fixture.hub.discard(first)
    fixture.hub.deliver(fixture.table.store())
    assert fixture.hub.of_person(READER) == (socket_stream,)
    assert second.frames == ["m1"]


# --- pings and the sweep ---


@pytest.mark.gen_test
async def test_one_ping_covers_all_messages_of_one_turn() -> None:
    fixture = HubFixture()
    socket, socket_stream = await fixture.following()
    for _ in range(5):
        fixture.hub.deliver(fixture.table.store())
    assert socket.pings == []
    await turns()
    assert socket.pings == [b"5"]
    socket_stream.pong(b"5", fixture.clock.time())
    assert fixture.receipts == [(THREAD, READER, 5)]
    await turns()
    assert socket.pings == [b"5"]


@pytest.mark.gen_test
async def test_messages_written_while_a_ping_is_outstanding_are_pinged_after_its_pong() -> None:
    fixture = HubFixture()
    socket, socket_stream = await fixture.following()
    fixture.hub.deliver(fixture.table.store())
    await turns()
    fixture.hub.deliver(fixture.table.store())
    await turns()
    assert socket.pings == [b"1"]
    socket_stream.pong(b"1", fixture.clock.time())
    await turns()
    assert socket.pings == [b"1", b"2"]


@pytest.mark.gen_test
async def test_a_busy_server_sends_fewer_pings_but_gets_receipts_for_all_messages() -> None:
    fixture = HubFixture()
    socket, socket_stream = await fixture.following()
    for _ in range(200):  # a millisecond apart, and each ping is answered at once
        fixture.hub.deliver(fixture.table.store())
        await turns()
        if socket_stream.silent_since() is not None:
            socket_stream.pong(socket.pings[-1], fixture.clock.time())
        fixture.clock.advance(0.001)
    fixture.clock.advance(0.05)
    socket_stream.pong(socket.pings[-1], fixture.clock.time())
    assert len(socket.frames) == 200
    assert len(socket.pings) < 100
    assert fixture.receipts[-1] == (THREAD, READER, 200)
    assert not socket_stream.has_unacknowledged


@pytest.mark.gen_test
async def test_the_sweep_pings_silent_sockets_and_closes_those_without_a_pong() -> None:
    fixture = HubFixture()
    answering, socket_stream = await fixture.following()
    dead, _ = await fixture.following()
    fixture.hub.start_sweeping()
    fixture.clock.advance(19.0)
    assert (answering.pings, dead.pings) == ([], [])
    fixture.clock.advance(4.0)
    assert (len(answering.pings), len(dead.pings)) == (1, 1)
    socket_stream.pong(answering.pings[0], fixture.clock.time())
    fixture.clock.advance(12.0)
    assert dead.code == 4408
    assert answering.closed is None
    fixture.hub.stop_sweeping()
    pings = len(answering.pings)
    fixture.clock.advance(100.0)
    assert len(answering.pings) == pings


@pytest.mark.gen_test
async def test_a_server_whose_loop_was_blocked_reads_the_pongs_before_it_closes_sockets() -> None:
    fixture = HubFixture()
    answering, socket_stream = await fixture.following()
    dead, _ = await fixture.following()
    fixture.hub.start_sweeping()
    fixture.clock.advance(23.0)
    assert (len(answering.pings), len(dead.pings)) == (1, 1)
    fixture.clock.block(30.0)
    assert (answering.closed, dead.closed) == (None, None)
    socket_stream.pong(answering.pings[0], fixture.clock.time())
    fixture.clock.advance(3.0)
    assert (answering.closed, dead.code) == (None, 4408)


@pytest.mark.gen_test
async def test_a_peer_that_reads_a_long_backlog_is_not_silent() -> None:
    fixture = HubFixture()
    socket, _ = await fixture.following()
    socket.reading = True
    fixture.hub.start_sweeping()
    fixture.clock.advance(200.0)
    assert (len(socket.pings), socket.closed) == (1, None)
    socket.reading = False
    fixture.clock.advance(12.0)
    assert socket.code == 4408


@pytest.mark.gen_test
async def test_a_socket_that_sends_frames_is_not_pinged() -> None:
    fixture = HubFixture()
    socket, socket_stream = await fixture.following()
    fixture.hub.start_sweeping()
    for _ in range(10):
        fixture.clock.advance(15.0)
        socket_stream.last_received_at = fixture.clock.time()
    assert (socket.pings, socket.closed) == ([], None)


@pytest.mark.gen_test
async def test_a_peer_that_dies_right_after_a_frame_that_crossed_a_ping_is_detected() -> None:
    fixture = HubFixture()
    socket, socket_stream = await fixture.following()
    fixture.hub.start_sweeping()
    fixture.hub.deliver(fixture.table.store())
    await turns()
    fixture.clock.advance(0.1)
    socket_stream.last_received_at = fixture.clock.time()
    fixture.clock.advance(15.0)
    assert socket.code == 4408


@pytest.mark.gen_test
async def test_a_discarded_socket_causes_no_subscription(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixture = HubFixture()
    subscribed: list[Thread] = []

    async def subscribe(thread: Thread) -> None:
        subscribed.append(thread)

    monkeypatch.setattr(fixture.hub, "_subscribe", subscribe)
    _, socket_stream = fixture.open()
    fixture.hub.discard(socket_stream)
    await fixture.hub.subscribe_and_prepare(socket_stream, THREAD)
    assert not subscribed

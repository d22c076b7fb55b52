"""All sockets of a process: fan-out, catching up, pings, the sweep."""

import asyncio
from typing import Any

import pytest

from tests.delivery.conftest import (
    OTHER,
    READER,
    THREAD,
    WRITER,
    Office,
    notice,
    said,
    turns,
)
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.types import Thread
from tornado_chat.delivery import hub as hub_module


@pytest.mark.gen_test
async def test_who_follows_gets_what_was_stored_and_then_all_that_is_new() -> None:
    office = Office()
    office.table.store(3)
    socket, _ = await office.following(after=1)
    assert socket.frames == ["m2", "m3"]
    office.hub.deliver(office.table.store())
    assert socket.frames == ["m2", "m3", "m4"]


@pytest.mark.gen_test
async def test_following_twice_changes_nothing() -> None:
    office = Office()
    office.table.store(2)
    socket, socket_stream = await office.following()
    await office.hub.follow(socket_stream, THREAD, 0)
    assert socket.frames == ["m1", "m2"]
    assert len(office.table.reads) == 1


@pytest.mark.gen_test
async def test_what_is_said_while_a_socket_catches_up_comes_once_and_in_its_place() -> None:
    office = Office()
    office.table.store(2)
    office.table.hold()
    socket, socket_stream = office.open()
    joining = asyncio.ensure_future(office.hub.follow(socket_stream, THREAD, 0))
    await turns()
    office.hub.deliver(office.table.store())
    office.hub.deliver_event(notice("joined"), THREAD)
    assert socket.frames == []
    office.table.let_through()
    await turns()
    assert not joining.done()  # the rows that it got do not have the new one yet
    office.table.let_through()
    await joining
    assert socket.frames == ["m1", "m2", "m3", "joined"]


@pytest.mark.gen_test
async def test_what_was_read_before_is_not_read_again() -> None:
    office = Office()
    office.table.store(3)
    socket, socket_stream = office.open()
    assert await office.hub.follow(socket_stream, THREAD, 1, [said(2), said(3)]) == 2
    office.hub.deliver(office.table.store())
    assert socket.frames == ["m2", "m3", "m4"]
    assert office.table.reads == []


@pytest.mark.gen_test
async def test_what_was_said_since_it_was_read_is_read_too() -> None:
    office = Office()
    office.table.store(2)
    socket, socket_stream = office.open()
    office.hub.prepare_follow(socket_stream, THREAD)
    office.hub.deliver(office.table.store())
    office.hub.deliver_event(notice("ended"), THREAD)
    assert await office.hub.follow(socket_stream, THREAD, 1, [said(2)]) == 2
    assert socket.frames == ["m2", "m3", "ended"]


@pytest.mark.gen_test
async def test_a_lost_hint_is_read_back_when_the_next_one_comes() -> None:
    office = Office()
    socket, _ = await office.following()
    office.table.store(4)
    office.hub.deliver(office.table.store())
    await turns()
    assert socket.frames == ["m1", "m2", "m3", "m4", "m5"]
    assert office.table.reads[1:] == [(THREAD, 0, hub_module.PAGE_ITEMS)]


@pytest.mark.gen_test
async def test_a_long_backlog_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PAGE_ITEMS", 3)
    office = Office()
    office.table.store(6)
    socket, _ = await office.following()
    assert socket.frames == [f"m{n}" for n in range(1, 7)]
    assert [after for _, after, _ in office.table.reads] == [0, 3, 6]


@pytest.mark.gen_test
async def test_a_long_backlog_goes_at_the_pace_of_its_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "CLOGGED_PAUSE_SECONDS", 0)
    office = Office(limit=10)
    office.table.store(30)
    socket, socket_stream = office.open()
    socket.stuck = True
    joining = asyncio.ensure_future(office.hub.follow(socket_stream, THREAD, 0))
    while not joining.done():
        await turns(3)
        assert socket.unsent <= 10
        socket.unsent = 0
    assert socket.frames == [f"m{n}" for n in range(1, 31)]
    assert socket.closed is None


@pytest.mark.gen_test
async def test_an_event_is_encoded_once_for_all_and_reaches_only_its_thread() -> None:
    office = Office()
    sockets = [(await office.following())[0] for _ in range(5)]
    elsewhere, socket_stream = office.open()
    await office.hub.follow(socket_stream, OTHER, 0)
    office.hub.deliver(office.table.store())
    office.hub.deliver_event(notice("joined"), THREAD)
    assert all(socket.frames == ["m1", "joined"] for socket in sockets)
    assert elsewhere.frames == []
    assert len(office.dialect.encoded) == 2


@pytest.mark.gen_test
async def test_one_slow_peer_is_dropped_and_keeps_nobody_waiting() -> None:
    office = Office(limit=5)
    slow, _ = await office.following()
    slow.stuck = True
    fast, _ = await office.following()
    for _ in range(4):
        office.hub.deliver(office.table.store())
    assert slow.code == 4408
    assert fast.frames == ["m1", "m2", "m3", "m4"]
    assert fast.closed is None


@pytest.mark.gen_test
async def test_who_sends_and_who_reads_see_their_own_side() -> None:
    office = Office()
    writer, _ = await office.following(WRITER)
    reader, _ = await office.following(READER)
    office.hub.deliver(office.table.store(sender=WRITER))
    office.hub.deliver(office.table.store(sender=READER))
    assert (writer.frames, reader.frames) == (["m2"], ["m1"])


@pytest.mark.gen_test
async def test_a_thread_is_closed_for_each_socket_when_it_has_got_everything() -> None:
    office = Office()
    quick, _ = await office.following()
    office.table.store(2)
    office.table.hold()
    late, socket_stream = office.open()
    joining = asyncio.ensure_future(office.hub.follow(socket_stream, THREAD, 0))
    await turns()
    office.hub.deliver_event(notice("ended"), THREAD)
    office.hub.close_thread(THREAD, 1000, "over")
    assert quick.frames == ["ended"]
    assert quick.closed == (1000, "over")
    assert late.closed is None
    office.table.let_through()
    await joining
    assert late.frames == ["m1", "m2", "ended"]
    assert late.closed == (1000, "over")


@pytest.mark.gen_test
async def test_who_cannot_be_served_when_it_joins_is_told_and_who_misses_something_is_sent_away(
    expected_logs: list[str],
) -> None:
    expected_logs.append("could not read back missed messages: database_away")
    office = Office()
    socket, _ = await office.following()
    office.table.fault = Unavailable("database_away")
    _, joining = office.open()
    with pytest.raises(Unavailable):
        await office.hub.follow(joining, THREAD, 0)
    office.table.store(2)
    office.hub.deliver(office.table.store())
    await turns()
    assert socket.code == 1013
    assert socket.frames == []


@pytest.mark.gen_test
async def test_a_socket_that_goes_leaves_nothing_behind() -> None:
    office = Office()
    socket, socket_stream = await office.following()
    await office.hub.follow(socket_stream, OTHER, 0)
    assert office.hub.of_person(READER) == (socket_stream,)
    office.hub.deliver(office.table.store())  # and owes a ping
    office.hub.discard(socket_stream)
    office.hub.discard(socket_stream)
    await turns()
    assert (len(office.hub), list(office.hub), office.hub.of_person(READER)) == (0, [], ())
    assert socket_stream.threads == ()
    left: dict[str, Any] = vars(office.hub)
    assert not any(left[index] for index in ("_by_thread", "_by_person", "_ping_due", "_streams"))
    office.hub.deliver(office.table.store())
    assert socket.frames == ["m1"]
    assert (socket.pings, socket.closed) == ([], None)


@pytest.mark.gen_test
async def test_a_socket_that_goes_while_it_catches_up_gets_nothing_more() -> None:
    office = Office()
    office.table.store(2)
    office.table.hold()
    socket, socket_stream = office.open()
    joining = asyncio.ensure_future(office.hub.follow(socket_stream, THREAD, 0))
    await turns()
    office.hub.discard(socket_stream)
    office.table.let_through()
    await joining
    assert socket.frames == []
    await office.hub.follow(socket_stream, OTHER, 0)
    assert socket_stream.threads == ()


@pytest.mark.gen_test
async def test_one_of_two_sockets_of_a_person_may_go() -> None:
    office = Office()
    _, first = await office.following()
    second, socket_stream = await office.following()
    office.hub.discard(first)
    office.hub.deliver(office.table.store())
    assert office.hub.of_person(READER) == (socket_stream,)
    assert second.frames == ["m1"]


# --- pings and the sweep ---


@pytest.mark.gen_test
async def test_what_is_written_in_one_turn_is_receipted_by_one_ping() -> None:
    office = Office()
    socket, socket_stream = await office.following()
    for _ in range(5):
        office.hub.deliver(office.table.store())
    assert socket.pings == []
    await turns()
    assert socket.pings == [b"5"]
    socket_stream.pong(b"5", office.clock.time())
    assert office.receipts == [(THREAD, READER, 5)]
    await turns()
    assert socket.pings == [b"5"]


@pytest.mark.gen_test
async def test_what_is_written_while_a_ping_is_outstanding_is_pinged_after_its_pong() -> None:
    office = Office()
    socket, socket_stream = await office.following()
    office.hub.deliver(office.table.store())
    await turns()
    office.hub.deliver(office.table.store())
    await turns()
    assert socket.pings == [b"1"]
    socket_stream.pong(b"1", office.clock.time())
    await turns()
    assert socket.pings == [b"1", b"2"]


@pytest.mark.gen_test
async def test_a_busy_server_asks_for_receipts_now_and_then_and_for_all_that_was_written() -> None:
    office = Office()
    socket, socket_stream = await office.following()
    for _ in range(200):  # a millisecond apart, and each ping is answered at once
        office.hub.deliver(office.table.store())
        await turns()
        if socket_stream.silent_since() is not None:
            socket_stream.pong(socket.pings[-1], office.clock.time())
        office.clock.advance(0.001)
    office.clock.advance(0.05)
    socket_stream.pong(socket.pings[-1], office.clock.time())
    assert len(socket.frames) == 200
    assert len(socket.pings) < 100
    assert office.receipts[-1] == (THREAD, READER, 200)
    assert not socket_stream.has_unacknowledged


@pytest.mark.gen_test
async def test_the_sweep_pings_who_is_silent_and_closes_who_does_not_answer() -> None:
    office = Office()
    answering, socket_stream = await office.following()
    dead, _ = await office.following()
    office.hub.start_sweeping()
    office.clock.advance(19.0)
    assert (answering.pings, dead.pings) == ([], [])
    office.clock.advance(4.0)
    assert (len(answering.pings), len(dead.pings)) == (1, 1)
    socket_stream.pong(answering.pings[0], office.clock.time())
    office.clock.advance(12.0)
    assert dead.code == 4408
    assert answering.closed is None
    office.hub.stop_sweeping()
    pings = len(answering.pings)
    office.clock.advance(100.0)
    assert len(answering.pings) == pings


@pytest.mark.gen_test
async def test_a_server_that_was_held_up_reads_first_what_it_was_answered() -> None:
    office = Office()
    answering, socket_stream = await office.following()
    dead, _ = await office.following()
    office.hub.start_sweeping()
    office.clock.advance(23.0)
    assert (len(answering.pings), len(dead.pings)) == (1, 1)
    office.clock.hold_up(30.0)
    assert (answering.closed, dead.closed) == (None, None)
    socket_stream.pong(answering.pings[0], office.clock.time())
    office.clock.advance(3.0)
    assert (answering.closed, dead.code) == (None, 4408)


@pytest.mark.gen_test
async def test_who_talks_is_not_pinged() -> None:
    office = Office()
    socket, socket_stream = await office.following()
    office.hub.start_sweeping()
    for _ in range(10):
        office.clock.advance(15.0)
        socket_stream.last_received_at = office.clock.time()
    assert (socket.pings, socket.closed) == ([], None)


@pytest.mark.gen_test
async def test_who_dies_right_after_a_frame_that_crossed_a_ping_is_found_too() -> None:
    office = Office()
    socket, socket_stream = await office.following()
    office.hub.start_sweeping()
    office.hub.deliver(office.table.store())
    await turns()
    office.clock.advance(0.1)
    socket_stream.last_received_at = office.clock.time()
    office.clock.advance(15.0)
    assert socket.code == 4408


@pytest.mark.gen_test
async def test_for_a_socket_that_is_gone_other_processes_are_not_listened_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office()
    tuned_in: list[Thread] = []

    async def subscribe(thread: Thread) -> None:
        tuned_in.append(thread)

    monkeypatch.setattr(office.hub, "_subscribe", subscribe)
    _, socket_stream = office.open()
    office.hub.discard(socket_stream)
    await office.hub.subscribe_and_prepare(socket_stream, THREAD)
    assert not tuned_in

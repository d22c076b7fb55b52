"""Property test of the hub: any order of stored, lost, repeated and late events."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.conftest import READER, THREAD, WRITER, HubFixture, Socket, Table, notice, turns
from tornado_chat.delivery import hub as hub_module

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.booleans()),
        st.tuples(st.just("deliver"), st.integers(0, 30)),
        st.tuples(st.just("notice"), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=60,
)


async def run_steps(steps: list[tuple[str, int]], before: int, after: int) -> None:
    fixture = HubFixture()
    table = fixture.table
    table.store(before)
    table.hold_reads()
    socket, socket_stream = fixture.open()
    joining = asyncio.ensure_future(fixture.hub.follow(socket_stream, THREAD, min(after, before)))
    heard: list[tuple[str, int]] = []  # each notice, and the highest delivered seq before it
    highest = 0
    await turns(2)
    for action, value in steps:
        rows = table.rows[THREAD]
        if action == "store":
            table.store(sender=READER if value else WRITER)
        elif action == "deliver":  # any stored item, new, old or repeated; the other items are lost
            item = rows[-1 - value % len(rows)]
            highest = max(highest, item.seq)
            fixture.hub.deliver(item)
        elif action == "notice":
            heard.append((f"n{len(heard)}", highest))
            fixture.hub.deliver_event(notice(heard[-1][0]), THREAD)
        elif action == "read" and table.held_reads:
            table.release_read(value % len(table.held_reads))
            await turns(4)
        else:
            await turns(1)
        check(socket, table, after=min(after, before), heard=heard)
    fixture.hub.deliver(table.store())
    await turns(4)
    while table.held_reads:
        table.release_read()
        await turns(4)
    await joining
    check(socket, table, after=min(after, before), heard=heard)
    assert socket_stream.position(THREAD) == len(table.rows[THREAD])
    assert [f for f in socket.frames if f.startswith("n")] == [name for name, _ in heard]


def check(socket: Socket, table: Table, after: int, heard: list[tuple[str, int]]) -> None:
    """Check that each item was written once and in order, and each notice after the items before it."""
    expected = [item for item in table.rows[THREAD][after:] if item.sender != READER]
    written = [frame for frame in socket.frames if frame.startswith("m")]
    assert written == [item.text for item in expected][: len(written)]
    for name, highest in heard:
        if name in socket.frames:
            earlier = socket.frames[: socket.frames.index(name)]
            assert {item.text for item in expected if item.seq <= highest} <= set(earlier)
    assert socket.closed is None


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, before=st.integers(1, 9), after=st.integers(0, 9))
def test_a_socket_gets_each_item_once_and_in_order_in_spite_of_lost_repeated_and_late_events(
    steps: list[tuple[str, int]], before: int, after: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "PAGE_ITEMS", 3)
        asyncio.run(run_steps(steps, before, after))

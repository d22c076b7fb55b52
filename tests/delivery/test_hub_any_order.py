"""Anything that can happen between the database, the bus and a socket."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.conftest import READER, THREAD, WRITER, Office, Socket, Table, notice, turns
from tornado_chat.delivery import hub as hub_module

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.booleans()),
        st.tuples(st.just("hint"), st.integers(0, 30)),
        st.tuples(st.just("tell"), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=60,
)


async def live_through(steps: list[tuple[str, int]], before: int, after: int) -> None:
    office = Office()
    table = office.table
    table.store(before)
    table.hold()
    socket, socket_stream = office.open()
    joining = asyncio.ensure_future(office.hub.follow(socket_stream, THREAD, min(after, before)))
    heard: list[tuple[str, int]] = []  # each notice, and the highest hint before it
    highest = 0
    await turns(2)
    for action, value in steps:
        rows = table.rows[THREAD]
        if action == "store":
            table.store(sender=READER if value else WRITER)
        elif action == "hint":  # any stored item, new, old or again; the others' hints are lost
            item = rows[-1 - value % len(rows)]
            highest = max(highest, item.seq)
            office.hub.deliver(item)
        elif action == "tell":
            heard.append((f"n{len(heard)}", highest))
            office.hub.deliver_event(notice(heard[-1][0]), THREAD)
        elif action == "read" and table.gates:
            table.let_through(value % len(table.gates))
            await turns(4)
        else:
            await turns(1)
        check(socket, table, after=min(after, before), heard=heard)
    office.hub.deliver(table.store())
    await turns(4)
    while table.gates:
        table.let_through()
        await turns(4)
    await joining
    check(socket, table, after=min(after, before), heard=heard)
    assert socket_stream.position(THREAD) == len(table.rows[THREAD])
    assert [f for f in socket.frames if f.startswith("n")] == [name for name, _ in heard]


def check(socket: Socket, table: Table, after: int, heard: list[tuple[str, int]]) -> None:
    """Each item once and in order, and no notice before what was heard of before it."""
    meant = [item for item in table.rows[THREAD][after:] if item.sender != READER]
    got = [frame for frame in socket.frames if frame.startswith("m")]
    assert got == [item.text for item in meant][: len(got)]
    for name, highest in heard:
        if name in socket.frames:
            earlier = socket.frames[: socket.frames.index(name)]
            assert {item.text for item in meant if item.seq <= highest} <= set(earlier)
    assert socket.closed is None


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, before=st.integers(1, 9), after=st.integers(0, 9))
def test_whatever_is_lost_repeated_or_late_the_socket_sees_each_item_once_and_in_order(
    steps: list[tuple[str, int]], before: int, after: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "PAGE_ITEMS", 3)
        asyncio.run(live_through(steps, before, after))

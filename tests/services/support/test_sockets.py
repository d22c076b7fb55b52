"""What a waiter's socket hears of its users, in which order, however long the database takes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.delivery.conftest import Dialect, Office, said, turns
from tornado_chat.aio.background import Tasks
from tornado_chat.core.types import Conversation, ConversationState, Identity, Person, Role, Thread
from tornado_chat.services.support.sockets import Seat, Usher

WAITER = Person(Role.WAITER, "7")


class Frames(Dialect):
    features: frozenset[str] = frozenset()

    def introduce(self, thread: Thread, peer: str) -> None:
        """Nobody is named here."""

    def new_connection(self, conversation: Conversation) -> bytes:
        return b"new %d" % conversation.id

    def disconnected(self, thread: Thread) -> bytes:
        return b"bye %d" % thread.id


class Desk:
    """A waiter's seat, and an usher, whose database answers when it is let through."""

    def __init__(self) -> None:
        self.office = Office()
        nothing: Any = SimpleNamespace(look_up=self._nothing, get=self._nothing)
        tasks = Tasks(asyncio.get_running_loop())
        self.usher = Usher(self.office.hub, nothing, nothing, lambda row: None, tasks)
        self.socket, outbox = self.office.open(WAITER)
        self.seat = Seat(Identity(WAITER), outbox, Frames())  # type: ignore[arg-type]

    async def _nothing(self, *asked: object) -> list[Any] | None:
        return None if isinstance(asked[0], Thread) else []

    def user(self, id: int) -> Conversation:
        """Somebody who has said one line."""
        user = Person(Role.USER, f"{id}")
        row = Conversation(id, user, None, f"address {id}", ConversationState.ACTIVE, 1, 0)
        self.office.table.rows[row.thread] = [
            msgspec.structs.replace(said(1, user, row.thread), text=f"of {id}")
        ]
        return row

    @property
    def heard(self) -> list[str]:
        return self.socket.frames


@pytest.mark.gen_test
async def test_who_comes_waits_for_the_goodbyes_that_wait() -> None:
    desk = Desk()
    table = desk.office.table
    table.hold()
    one, two, three = (desk.user(id) for id in (1, 2, 3))
    desk.usher.show_user(one, desk.seat)
    desk.usher.show_user(two, desk.seat)
    await turns()
    desk.usher.part(desk.seat, one)
    desk.usher.part(desk.seat, two)
    desk.usher.show_user(three, desk.seat)
    assert desk.heard == ["new 1", "new 2"]
    table.let_through(1)
    await turns()
    assert desk.heard == ["new 1", "new 2", "of 2", "bye 2"]
    table.gates, held = None, table.gates
    held[0].set_result(None)
    await turns()
    assert desk.heard[4:] == ["of 1", "bye 1", "new 3", "of 3"]


@pytest.mark.gen_test
async def test_who_came_back_before_the_goodbye_was_said_is_parted_from_in_its_turn() -> None:
    desk = Desk()
    table = desk.office.table
    table.hold()
    row = desk.user(1)
    desk.usher.show_user(row, desk.seat)
    await turns()
    desk.usher.part(desk.seat, row)
    desk.usher.show_user(row, desk.seat)
    desk.usher.part(desk.seat, row)
    desk.usher.show_user(desk.user(2), desk.seat)
    table.gates, held = None, table.gates
    held[0].set_result(None)
    await turns()
    # Nobody has received anything, so the line is told again.
    assert desk.heard == ["new 1", "of 1", "bye 1", "new 1", "of 1", "bye 1", "new 2", "of 2"]
    assert desk.seat.outbox.threads == (desk.user(2).thread,)


@pytest.mark.gen_test
async def test_who_came_back_is_heard_again() -> None:
    desk = Desk()
    desk.office.table.hold()
    row = desk.user(1)
    desk.usher.show_user(row, desk.seat)
    await turns()
    desk.usher.part(desk.seat, row)
    desk.usher.show_user(row, desk.seat)
    gates, desk.office.table.gates = desk.office.table.gates, None
    assert gates is not None
    gates[0].set_result(None)
    await turns()
    later = msgspec.structs.replace(said(2, row.user, row.thread), text="later")
    desk.office.hub.offer(later)
    assert desk.heard == ["new 1", "of 1", "bye 1", "new 1", "of 1", "later"]

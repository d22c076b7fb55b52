"""What a waiter's connection is told of its users, in which order, however long the database takes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.delivery.conftest import HubFixture, message, turns
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.types import Conversation, ConversationState, Identity, Person, Role, Thread
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.services.support.connections import SocketNotifier, SupportConnection

WAITER = Person(Role.WAITER, "7")


class View:
    """A ``SupportView`` of the few things that happen here."""

    def __init__(self, socket_stream: SocketStream) -> None:
        self._socket_stream = socket_stream

    def show_user(self, conversation: Conversation) -> None:
        self._socket_stream.send(b"new %d" % conversation.id)

    def show_departure(self, thread: Thread, reason: str | None = None) -> None:
        self._socket_stream.send(b"bye %d" % thread.id)


class Desk:
    """A waiter's connection and its notifier, whose database answers when it is let through."""

    def __init__(self) -> None:
        self.fixture = HubFixture()
        nothing: Any = SimpleNamespace(look_up=self._nothing, get=self._nothing, has=lambda thread: True)
        tasks = BackgroundTasks(asyncio.get_running_loop())
        self.notifier = SocketNotifier(
            self.fixture.hub, nothing, nothing, lambda row: None, tasks, nothing, nothing, nothing
        )
        self.socket, socket_stream = self.fixture.open(WAITER)
        view: Any = View(socket_stream)
        self.connection = SupportConnection(Identity(WAITER), socket_stream, view, "address")

    async def _nothing(self, *asked: object) -> list[Any] | None:
        return None if isinstance(asked[0], Thread) else []

    def user(self, id: int) -> Conversation:
        """Somebody who has said one line."""
        user = Person(Role.USER, f"{id}")
        row = Conversation(id, user, None, f"address {id}", ConversationState.ACTIVE, 1, 0)
        self.fixture.table.rows[row.thread] = [
            msgspec.structs.replace(message(1, user, row.thread), text=f"of {id}")
        ]
        return row

    @property
    def heard(self) -> list[str]:
        return self.socket.frames


@pytest.mark.gen_test
async def test_who_comes_waits_for_the_goodbyes_that_wait() -> None:
    desk = Desk()
    table = desk.fixture.table
    table.hold_reads()
    one, two, three = (desk.user(id) for id in (1, 2, 3))
    desk.notifier.show_user(desk.connection, one)
    desk.notifier.show_user(desk.connection, two)
    await turns()
    desk.notifier.notify_departure(desk.connection, one)
    desk.notifier.notify_departure(desk.connection, two)
    desk.notifier.show_user(desk.connection, three)
    assert desk.heard == ["new 1", "new 2"]
    table.release_read(1)
    await turns()
    assert desk.heard == ["new 1", "new 2", "of 2", "bye 2"]
    table.held_reads, held = None, table.held_reads
    held[0].set_result(None)
    await turns()
    assert desk.heard[4:] == ["of 1", "bye 1", "new 3", "of 3"]


@pytest.mark.gen_test
async def test_who_came_back_before_the_goodbye_was_said_is_parted_from_in_its_turn() -> None:
    desk = Desk()
    table = desk.fixture.table
    table.hold_reads()
    row = desk.user(1)
    desk.notifier.show_user(desk.connection, row)
    await turns()
    desk.notifier.notify_departure(desk.connection, row)
    desk.notifier.show_user(desk.connection, row)
    desk.notifier.notify_departure(desk.connection, row)
    desk.notifier.show_user(desk.connection, desk.user(2))
    table.held_reads, held = None, table.held_reads
    held[0].set_result(None)
    await turns()
    # Nobody has received anything, so the line is told again.
    assert desk.heard == ["new 1", "of 1", "bye 1", "new 1", "of 1", "bye 1", "new 2", "of 2"]
    assert desk.connection.socket_stream.threads == (desk.user(2).thread,)


@pytest.mark.gen_test
async def test_a_new_conversation_is_followed_without_a_read() -> None:
    desk = Desk()
    row = desk.user(1)
    desk.fixture.table.rows[row.thread] = []
    desk.notifier.show_user(desk.connection, row, is_new=True)
    await turns()
    desk.fixture.hub.deliver(message(1, row.user, row.thread))
    assert desk.heard == ["new 1", "m1"]
    assert not desk.fixture.table.reads


@pytest.mark.gen_test
async def test_a_new_conversation_waits_for_the_goodbyes_that_wait() -> None:
    desk = Desk()
    table = desk.fixture.table
    table.hold_reads()
    one, two = desk.user(1), desk.user(2)
    desk.notifier.show_user(desk.connection, one)
    await turns()
    desk.notifier.notify_departure(desk.connection, one)
    desk.notifier.show_user(desk.connection, two, is_new=True)
    assert desk.heard == ["new 1"]
    table.held_reads, held = None, table.held_reads
    assert held is not None
    held[0].set_result(None)
    await turns()
    assert desk.heard == ["new 1", "of 1", "bye 1", "new 2", "of 2"]


@pytest.mark.gen_test
async def test_who_came_back_is_heard_again() -> None:
    desk = Desk()
    desk.fixture.table.hold_reads()
    row = desk.user(1)
    desk.notifier.show_user(desk.connection, row)
    await turns()
    desk.notifier.notify_departure(desk.connection, row)
    desk.notifier.show_user(desk.connection, row)
    held_reads, desk.fixture.table.held_reads = desk.fixture.table.held_reads, None
    assert held_reads is not None
    held_reads[0].set_result(None)
    await turns()
    later = msgspec.structs.replace(message(2, row.user, row.thread), text="later")
    desk.fixture.hub.deliver(later)
    assert desk.heard == ["new 1", "of 1", "bye 1", "new 1", "of 1", "later"]

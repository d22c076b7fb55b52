"""The context that plugins use."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.conftest import turns
from tests.services.plugins import StubPlugin, manage
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.lists import KnownPerson, ListPage
from tornado_chat.core.types import Kind, Person, Role, Thread
from tornado_chat.observability.metrics import Metrics
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host.context import ContextServices, PluginContext
from tornado_chat.services.support.priorities import Priorities
from tornado_chat.storage import notifications, rooms

WU, LI = Person(Role.SUPERVISOR, "3"), Person(Role.SUPERVISOR, "4")


class Caller(StubPlugin):
    """The plugin that the context belongs to."""


class Presence:
    def __init__(self, *people: Person) -> None:
        self.people = people

    async def online(self, person: Person) -> bool:
        return person in self.people


def make_context(store: Store, presence: Any = None) -> PluginContext:
    plugins = manage(Caller())
    services: Any = ContextServices(
        store,
        None,  # type: ignore[arg-type]
        RoomLookup(store, plugins),
        None,  # type: ignore[arg-type]
        presence or Presence(),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Priorities(store, plugins.report_action),
        None,  # type: ignore[arg-type]
        Metrics(),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )
    return PluginContext("caller", plugins, services, asyncio.get_running_loop(), "en", Path("state"))


@pytest.mark.gen_test
async def test_a_room_that_does_not_exist_is_none(store: Store) -> None:
    context = make_context(store)
    room = await store.write(new_session)
    assert await context.room(room.thread) == room
    assert await context.room(Thread(Kind.SESSION, 99)) is None
    assert await context.conversation(99) is None


@pytest.mark.gen_test
async def test_people_who_are_online_come_first(store: Store) -> None:
    for person in (WU, LI, VISITOR):
        await store.write(lambda tx, person=person: notifications.open_inbox(tx, person))
    assert list(await make_context(store, Presence(LI)).people(Role.SUPERVISOR)) == [LI, WU]
    assert list(await make_context(store, Presence(WU)).people(Role.SUPERVISOR)) == [WU, LI]


@pytest.mark.gen_test
async def test_supervision_by_the_same_supervisor_is_opened_once(store: Store) -> None:
    context = make_context(store)
    session = await store.write(new_session)
    record = await context.supervise(session.thread.id, WU)
    assert (record.asker, record.helper) == (COUNSELLOR, WU)
    assert await context.supervise(session.thread.id, WU) == record
    other = await context.supervise(session.thread.id, LI)
    assert list(await context.supervision(session.thread.id)) == [record, other]


@pytest.mark.gen_test
async def test_reads_and_writes_use_the_servers_database(store: Store) -> None:
    context = make_context(store)
    room = await context.write(new_session)
    await context.write(lambda tx: rooms.start(tx, room.thread))
    assert [each.thread for each in await context.read(rooms.active_rooms)] == [room.thread]


@pytest.mark.gen_test
async def test_lists_are_read_in_pages(store: Store) -> None:
    context = make_context(store)
    one = await store.write(new_session)
    two = await store.write(new_session)
    first = await context.sessions(limit=1)
    assert (first.items, (await context.sessions(after=first.next)).items) == ([two], [one])
    assert await context.sessions(name="小林", limit=2) == ListPage([two, one], None)
    assert await context.conversations() == ListPage([], None)
    assert await context.messages(one.thread) == await context.last_messages(one.thread) == ListPage([], None)
    assert await context.notifications(COUNSELLOR) == ListPage([], None)
    people = await context.known_people(Role.USER)
    assert people == ListPage([KnownPerson(VISITOR, "小林")], None)
    assert [each.person for each in await context.participants(one.thread)] == [VISITOR, COUNSELLOR]
    with pytest.raises(ValueError, match="1 to 500"):
        await context.sessions(limit=501)


@pytest.mark.gen_test
async def test_stopping_cancels_spawned_tasks(store: Store) -> None:
    context, cancelled = make_context(store), []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    context.spawn(wait())
    await turns()
    await context.stop()
    assert cancelled == [True]


@pytest.mark.gen_test
async def test_a_spawned_task_that_fails_is_a_failure_of_the_plugin(
    store: Store, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("caller")
    context = make_context(store)

    async def fail() -> None:
        raise ValueError("a bug in the plugin")

    context.spawn(fail())
    await turns()
    assert "a bug in the plugin" in caplog.text

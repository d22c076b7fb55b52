"""The implementation of the plugin context; ``plugins/context.py`` documents its methods."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import (
    Activity,
    Conversation,
    Identity,
    Kind,
    Notification,
    Person,
    Role,
    Room,
    Thread,
)
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations, notifications, rooms, staff
from tornado_chat.storage.writer import Transaction

T = TypeVar("T")

CANCEL_TIMEOUT_SECONDS = 2.0  # seconds that cancelled tasks get to end


class ContextServices(NamedTuple):
    """The services that the contexts use."""

    store: Store
    access_control: AccessControl
    room_lookup: RoomLookup
    notifications: Notifications
    presence: PresenceLookup


class PluginContext(Context):
    """The context of one plugin."""

    def __init__(
        self,
        plugin: str,
        plugins: PluginManager,
        services: ContextServices,
        loop: asyncio.AbstractEventLoop,
        language: str,
        state_dir: Path,
    ) -> None:
        self.language = language
        self.state_dir = state_dir
        self._plugin = plugin
        self._plugins = plugins
        self._services = services
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, query: Callable[[pw.Database], T]) -> T:
        return await self._services.store.read(query)

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        return self._services.store.write(work)

    async def verify(self, token: str | None) -> Identity:
        return await self._services.access_control.verify(token)

    async def online(self, person: Person) -> bool:
        return await self._services.presence.online(person)

    async def people(self, role: Role) -> Sequence[Person]:
        found = await self._services.store.read(notifications.people, role, self.now())
        is_online = {person: await self.online(person) for person in found}
        return sorted(found, key=lambda person: not is_online[person])

    async def reachable(self, people: Sequence[Person]) -> Sequence[Person]:
        gone = await self._services.store.read(staff.gone_people, self.now())
        return [person for person in people if person not in gone]

    async def room(self, thread: Thread) -> Room | None:
        try:
            return await self._services.room_lookup.get(thread)
        except NotFound:
            return None

    async def conversation(self, conversation_id: int) -> Conversation | None:
        return await self._services.store.read(conversations.get, conversation_id)

    async def supervision(self, session_id: int) -> Sequence[Room]:
        return await self._services.store.read(rooms.supervision_records, session_id)

    async def supervise(self, session_id: int, supervisor: Person) -> Room:
        for record in await self.supervision(session_id):
            if record.helper == supervisor:
                return record
        session = await self._services.room_lookup.get(Thread(Kind.SESSION, session_id))
        room, created = await self._services.store.write(
            lambda tx: rooms.create_record(tx, session, supervisor_id=supervisor.id, supervisor_name=None)
        )
        if created:
            detail = f"record {room.thread.id} with {supervisor.key}"
            activity = Activity(f"plugin {self._plugin}", "asked for supervision", session.thread, detail)
            self._plugins.report_action(activity)
        return room

    async def notify(
        self, recipient: Person, msg: str, *, type: int = 0, data: Mapping[str, Any] | None = None
    ) -> Notification:
        return await self._services.notifications.notify(recipient, type, msg, data)

    def problem(self, text: str | None) -> None:
        self._plugins.report_problem(self._plugin, text)

    def now(self) -> int:
        return now_microseconds()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    async def stop(self) -> None:
        """Cancel the tasks that the plugin has spawned."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCEL_TIMEOUT_SECONDS)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._plugins.record_failure(self._plugin, "a background task", error)

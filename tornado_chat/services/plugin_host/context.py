"""The implementation of the plugin context; ``plugins/context.py`` documents its methods."""

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import peewee as pw

from tornado_chat import config
from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.deliveries import MAX_OUTBOX_NAME_CHARS, Delivery, OutboxTimes
from tornado_chat.core.errors import NotFound
from tornado_chat.core.lists import ConversationFilter, KnownPerson, ListPage, require_limit
from tornado_chat.core.requests import Request
from tornado_chat.core.session_lists import SessionFilter
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Activity,
    Conversation,
    ConversationState,
    Identity,
    Kind,
    Message,
    Notification,
    Participant,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.plugin_metrics import Counter, Gauge, PluginMetric, full_name
from tornado_chat.plugins.containment import UncaughtExit
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.faults import BACKGROUND_TASK
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.plugins.outbox import Outbox
from tornado_chat.plugins.server_data import DEFAULT_LIMIT, ServerData, session_position, thread_of
from tornado_chat.plugins.unconnected_context import NOT_CONNECTED
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.auth.plugin_tokens import PluginTokens
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.counselling.sessions_api import Sessions
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host.actions import PluginActions
from tornado_chat.services.plugin_host.outbox import OutboxWorker
from tornado_chat.services.plugin_host.page_urls import page_url
from tornado_chat.services.plugin_host.scheduled_task import ScheduledTask
from tornado_chat.services.support.history import SupportHistory
from tornado_chat.services.support.priorities import Priorities
from tornado_chat.storage import conversations, notifications, rooms, staff
from tornado_chat.storage.deliveries import Box
from tornado_chat.storage.writer import Transaction

T = TypeVar("T")
M = TypeVar("M", bound=PluginMetric)

CANCEL_TIMEOUT_SECONDS = 2.0  # seconds that cancelled tasks get to end
MAX_TASKS = 32  # scheduled tasks of one plugin
MAX_TASK_NAME_CHARS = 32
MIN_INTERVAL_SECONDS = 1.0


class ContextServices(NamedTuple):
    """The services that the contexts use.

    :ivar make_lease: returns the lease of the work with a name.
    """

    store: Store
    access_control: AccessControl
    room_lookup: RoomLookup
    notifications: Notifications
    presence: PresenceLookup
    sessions: Sessions
    support_history: SupportHistory
    priorities: Priorities
    make_lease: Callable[[str], DatabaseLease]
    metrics: Metrics
    tokens: PluginTokens
    web: config.Web
    actions: PluginActions


class PluginContext(Context):
    """The context of one plugin.

    :arg services: None for a context that exists before the services, see ``connect``.
    """

    def __init__(
        self,
        plugin: str,
        plugins: PluginManager,
        services: ContextServices | None,
        loop: asyncio.AbstractEventLoop,
        language: str,
        state_dir: Path,
    ) -> None:
        self.language = language
        self.state_dir = state_dir
        self._plugin = plugin
        self._plugins = plugins
        self._connected_services = services
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled: set[str] = set()
        self._is_stopping = False

    def connect(self, services: ContextServices) -> None:
        """Connect the context with the services, which are built after the plugins are registered."""
        self._connected_services = services

    @property
    def _services(self) -> ContextServices:
        if self._connected_services is None:
            raise RuntimeError(NOT_CONNECTED)
        return self._connected_services

    async def read(self, query: Callable[[pw.Database], T]) -> T:
        return await self._services.store.read(query)

    def write(self, work: Callable[[Transaction], T], *, background: bool = False) -> Awaitable[T]:
        return self._services.store.write(work, background=background, apart=True)

    async def verify(self, token: str | None, request: Request | None = None) -> Identity:
        return await self._services.access_control.verify(token, request)

    async def online(self, person: Person) -> bool:
        return await self._services.presence.online(person)

    async def people(self, role: Role) -> Sequence[Person]:
        found = await self._services.store.read(notifications.people, role, self.now())
        is_online = {person: await self.online(person) for person in found}
        return sorted(found, key=lambda person: not is_online[person])

    async def reachable(self, people: Sequence[Person]) -> Sequence[Person]:
        gone = await self._services.store.read(staff.gone_people, self.now())
        return [person for person in people if person not in gone]

    async def known_people(
        self, role: Role, *, after: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[KnownPerson, str]:
        return await self.read(
            lambda database: ServerData(database).known_people(role, after=after, limit=limit)
        )

    async def room(self, thread: Thread) -> Room | None:
        try:
            return await self._services.room_lookup.get(thread)
        except NotFound:
            return None

    async def conversation(self, conversation_id: int) -> Conversation | None:
        return await self._services.store.read(conversations.get, conversation_id)

    async def supervision(self, about: Thread | int) -> Sequence[Room]:
        return await self._services.store.read(rooms.supervision_records, thread_of(about))

    async def participants(self, thread: Thread) -> Sequence[Participant]:
        return await self.read(lambda database: ServerData(database).participants(thread))

    async def sessions(
        self,
        *,
        user: Person | None = None,
        consultant: Person | None = None,
        states: Sequence[SessionState] = (),
        name: str | None = None,
        opened_from: int | None = None,
        opened_before: int | None = None,
        after: str | None = None,
        limit: int = DEFAULT_LIMIT,
        reader: Identity | None = None,
    ) -> ListPage[Room, str]:
        if reader is None:
            return await self.read(
                lambda database: ServerData(database).sessions(
                    user=user,
                    consultant=consultant,
                    states=states,
                    name=name,
                    opened_from=opened_from,
                    opened_before=opened_before,
                    after=after,
                    limit=limit,
                )
            )
        require_limit(limit)
        wanted = SessionFilter(user, consultant, tuple(states), name or "", opened_from, opened_before)
        found, following = await self._services.sessions.find_page(
            reader, wanted, session_position(after), limit
        )
        return ListPage(found, None if following is None else str(following))

    async def conversations(
        self,
        *,
        user: Person | None = None,
        waiter: Person | None = None,
        states: Sequence[ConversationState] = (),
        after: int | None = None,
        limit: int = DEFAULT_LIMIT,
        reader: Identity | None = None,
    ) -> ListPage[Conversation, int]:
        if reader is None:
            return await self.read(
                lambda database: ServerData(database).conversations(
                    user=user, waiter=waiter, states=states, after=after, limit=limit
                )
            )
        require_limit(limit)
        wanted = ConversationFilter(user, waiter, tuple(states))
        return await self._services.support_history.list_page(reader, wanted, after, limit)

    async def messages(
        self, thread: Thread, *, after: int = 0, limit: int = DEFAULT_LIMIT, reader: Identity | None = None
    ) -> ListPage[Message, int]:
        if reader is None:
            return await self.read(
                lambda database: ServerData(database).messages(thread, after=after, limit=limit)
            )
        require_limit(limit)
        if thread.kind is Kind.INBOX:
            raise ValueError("an inbox has notifications, and no messages")
        if thread.kind is Kind.SUPPORT:
            found, has_more = await self._services.support_history.page(reader, thread.id, after, limit)
        else:
            found, has_more = await self._services.sessions.page(reader, thread, after, limit)
        return ListPage(found, found[-1].seq if has_more else None)

    async def last_messages(
        self, thread: Thread, *, before: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Message, int]:
        return await self.read(
            lambda database: ServerData(database).last_messages(thread, before=before, limit=limit)
        )

    async def notifications(
        self, recipient: Person, *, after: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Notification, int]:
        return await self.read(
            lambda database: ServerData(database).notifications(recipient, after=after, limit=limit)
        )

    async def supervise(self, about: Thread | int, supervisor: Person) -> Room:
        for record in await self.supervision(about):
            if record.helper == supervisor:
                return record
        view = await self._services.room_lookup.view(thread_of(about))
        room, created = await self._services.store.write(
            lambda tx: rooms.create_record(tx, view, supervisor_id=supervisor.id, supervisor_name=None)
        )
        if created:
            detail = f"record {room.thread.id} with {supervisor.key}"
            activity = Activity(f"plugin {self._plugin}", "asked for supervision", view.thread, detail)
            self._plugins.report_action(activity)
        return room

    async def prioritise(self, conversation_id: int, score: int, reason: str | None = None) -> Conversation:
        actor = f"plugin {self._plugin}"
        return await self._services.priorities.set(conversation_id, score, reason, actor)

    async def notify(
        self, recipient: Person, msg: str, *, type: int = 0, data: Mapping[str, Any] | None = None
    ) -> Notification:
        return await self._services.notifications.notify(recipient, type, msg, data)

    async def mint_token(
        self,
        person: Person,
        expires: float,
        name: str | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        return await self._services.tokens.mint(self._plugin, person, expires, name, claims or {})

    def url_for(self, page: str, **query: object) -> str:
        return page_url(self._services.web, page, query)

    async def say(self, thread: Thread, text: str, as_: str | None = None) -> int | None:
        if as_ is None:
            await self._services.actions.announce(self._plugin, thread, text)
            return None
        return await self._services.actions.say(self._plugin, thread, text, as_)

    async def end(self, thread: Thread, reason: str = "") -> None:
        await self._services.actions.end(self._plugin, thread, reason)

    async def open_session(
        self,
        user: Person,
        consultant: Person,
        *,
        user_name: str | None = None,
        consultant_name: str | None = None,
        appointment_id: int | None = None,
        group: str | None = None,
    ) -> Room:
        return await self._services.actions.open_session(
            self._plugin, user, consultant, user_name, consultant_name, appointment_id, group
        )

    async def open_conversation(
        self, user: Person, group: str = DEFAULT_GROUP, *, name: str | None = None
    ) -> Conversation:
        return await self._services.actions.open_conversation(self._plugin, user, group, name)

    def problem(self, text: str | None) -> None:
        self._plugins.report_problem(self._plugin, text)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        return self._metric(Counter(full_name(self._plugin, name), help, labels))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        return self._metric(Gauge(full_name(self._plugin, name), help, labels))

    def _metric(self, metric: M) -> M:
        self._services.metrics.add_plugin_metric(self._plugin, metric)
        return metric

    def outbox(
        self,
        name: str,
        send: Callable[[Delivery], Awaitable[None]],
        times: OutboxTimes = OutboxTimes(),
    ) -> Outbox:
        if not 0 < len(name) <= MAX_OUTBOX_NAME_CHARS:
            raise ValueError(
                f"the name of an outbox must have 1 to {MAX_OUTBOX_NAME_CHARS} characters: {name}"
            )
        title = f"outbox {name}"
        worker = OutboxWorker(
            Box(self._plugin, name),
            send,
            times,
            self._services.store,
            self._services.make_lease(f"plugin {self._plugin} {title}"),
            on_failure=lambda error: self._plugins.record_failure(self._plugin, title, error),
        )
        self.spawn(worker.run())
        return worker

    def now(self) -> int:
        return now_microseconds()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(_contained(coroutine))
        self._tasks.add(task)
        task.add_done_callback(partial(self._on_task_done, coroutine))

    def every(self, seconds: float, work: Callable[[], Awaitable[None]], name: str) -> None:
        if not MIN_INTERVAL_SECONDS <= seconds < math.inf:
            raise ValueError(f"the interval of task {name} must be at least 1 second: {seconds}")
        self._schedule(name, work, seconds)

    def once(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._schedule(name, work, None)

    def _schedule(self, name: str, work: Callable[[], Awaitable[None]], interval: float | None) -> None:
        if not 0 < len(name) <= MAX_TASK_NAME_CHARS:
            raise ValueError(f"the name of a task must have 1 to {MAX_TASK_NAME_CHARS} characters: {name}")
        if name in self._scheduled:
            raise ValueError(f"there is a task {name} already")
        if len(self._scheduled) >= MAX_TASKS:
            raise ValueError(f"a plugin has at most {MAX_TASKS} tasks")
        title = f"task {name}"
        lease_name = f"plugin {self._plugin} {title}"
        task = ScheduledTask(
            lease_name,
            work,
            interval,
            self._services.store,
            self._services.make_lease(lease_name),
            on_failure=lambda error: self._plugins.record_failure(self._plugin, title, error),
            clock=self.now,
        )
        self._scheduled.add(name)
        self.spawn(task.run())

    async def stop(self) -> None:
        """Cancel the tasks that the plugin has spawned, and remove its metrics."""
        self._is_stopping = True
        if self._connected_services is not None:
            self._connected_services.metrics.plugin_metrics.remove(self._plugin)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCEL_TIMEOUT_SECONDS)

    def _on_task_done(self, coroutine: Coroutine[Any, Any, None], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if inspect.iscoroutine(coroutine):
            coroutine.close()  # if the task was cancelled before its first step
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not (task.cancelled() and self._is_stopping):
            self._plugins.record_failure(self._plugin, BACKGROUND_TASK, error)


async def _contained(coroutine: Coroutine[Any, Any, None]) -> None:
    """Await ``coroutine``. :raises UncaughtExit: it raised an error that would end the server."""
    try:
        await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise UncaughtExit from error

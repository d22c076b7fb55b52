"""Alerts: telling people that a word was said, one after the other until somebody has looked.

Strategy: the database has everything. An alert is a row that says what comes next and when it is due;
one task sleeps until the next is due, does that step and writes down what comes after. So a restart
goes on where it was, and whoever raises an alert only adds a row and wakes the task. A step is
written down after its notifications: a crash in between notifies twice rather than not at all.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from tornado_chat.plugin_api import (
    ChatError,
    Context,
    Kind,
    Message,
    Person,
    Role,
    Thread,
    Unavailable,
    described,
)

from . import stored
from .stored import Alert, Stage

log = logging.getLogger(__name__)

PLAIN_TYPE = 0
CONVERSATION_TYPE = 2  # the types of notifications

MICROSECONDS_PER_SECOND = 1_000_000
RETRY_SECONDS = 5.0  # after which something that failed is tried again

TEXTS = {
    # what: (zh_CN, en)
    Kind.SESSION: (
        "会话 {id} 触发了关键词提醒, 请尽快查看",
        "Keyword alert in session {id}: please look at it soon",
    ),
    Kind.SUPPORT: (
        "客服对话 {id} 触发了关键词提醒, 请尽快查看",
        "Keyword alert in support conversation {id}: please look at it soon",
    ),
}


class AlertSettings(Protocol):
    """The plugin's settings, as far as alerts go by them."""

    @property
    def alert_role(self) -> str: ...

    @property
    def escalate_after(self) -> float: ...


class AlertContext(NamedTuple):
    """What an alert is about.

    :ivar session_id: None in support, which has no supervisors.
    :ivar excluded: who is not to be notified: whoever was already, and who said it.
    :ivar notified: whether anybody was notified yet.
    """

    alert: Alert
    session_id: int | None
    excluded: set[Person]
    notified: bool


class AlertService:
    """The alerts of one server.

    :arg settings: gives the settings of the moment.
    """

    def __init__(self, context: Context, settings: Callable[[], AlertSettings]) -> None:
        self._context = context
        self._settings = settings
        self._wakeup = asyncio.Event()

    async def add(self, message: Message, list_name: str) -> None:
        """Raise an alert, unless one of this conversation is on its way.

        Who is called once need not be called for each word. An alert is on its way until somebody
        has read of it, or everybody was notified. A message that had one gets no second.
        """
        stage = self._first_stage(message.thread)

        if await self._context.write(lambda tx: stored.add(tx, message, list_name, stage)):
            log.info("keyword alert: %s, message %d, list %s", _name(message.thread), message.seq, list_name)
            self._wakeup.set()

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            try:
                self._wakeup.clear()
                wait = await self._process_due()
            except Exception as error:  # whatever it was, the alerts that are there must not be forgotten
                log.warning("keyword alerts have to wait for %g s: %s", RETRY_SECONDS, described(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(wait):
                    await self._wakeup.wait()
            except TimeoutError:
                pass

    async def _process_due(self) -> float | None:
        """Do what is due now. Returns the seconds until the next is, None if there is nothing more."""
        if read := await self._context.read(stored.read):
            await self._context.write(lambda tx: stored.acknowledge(tx, read))
        now = self._context.now()
        for alert in await self._context.read(lambda database: stored.due(database, now)):
            try:
                await self._escalate(await self._load_context(alert))
            except Unavailable:
                raise
            except Exception:  # the others must not wait for one that cannot be dealt with
                log.warning("keyword alert %d has to wait for %g s", alert.id, RETRY_SECONDS, exc_info=True)
                await self._set_stage(alert, alert.stage, RETRY_SECONDS)
        due = await self._context.read(stored.next_due)
        return None if due is None else max(0.0, (due - self._context.now()) / MICROSECONDS_PER_SECOND)

    # --- one alert ---

    async def _escalate(self, case: AlertContext) -> None:
        """Notify the next people there are, and write down who comes after them."""
        alert = case.alert
        stage = self._first_stage(alert.thread) if alert.stage is Stage.NO_RECIPIENT else alert.stage
        notified_count = False
        while not notified_count and stage is not Stage.EXHAUSTED:
            if stage is Stage.ASSIGNED:
                notified_count = await self._notify_people(case, await self._assigned_supervisors(case))
                stage = Stage.SUPERVISOR
            elif stage is Stage.SUPERVISOR:
                notified_count = await self._notify_people(
                    case, await self._people_with_role(case, Role.SUPERVISOR), limit=1
                )
                stage = Stage.SUPERVISOR if notified_count else Stage.ADMIN
            else:
                notified_count = await self._notify_people(
                    case, await self._people_with_role(case, Role.ADMIN)
                )
                stage = Stage.EXHAUSTED
        after = self._settings().escalate_after
        if notified_count:
            await self._set_stage(alert, stage, after)
        elif case.notified:
            await self._set_stage(alert, Stage.EXHAUSTED, None)
            log.warning(
                "keyword alert %d (%s) is still unread, and everybody was notified",
                alert.id,
                _name(alert.thread),
            )
        else:
            await self._set_stage(alert, Stage.NO_RECIPIENT, after)
            if alert.stage is not Stage.NO_RECIPIENT:
                log.error(
                    "keyword alert %d (%s): there is no supervisor or administrator who could be notified",
                    alert.id,
                    _name(alert.thread),
                )

    async def _notify_people(
        self, case: AlertContext, people: Iterable[Person], limit: int | None = None
    ) -> bool:
        """Notify those of ``people`` who were not yet. Returns whether there were any."""
        notified_count = 0
        for person in people:
            if notified_count == limit:
                break
            if person in case.excluded:
                continue
            case.excluded.add(person)
            try:
                notification = await self._notify(case, person)
            except Unavailable:
                raise
            except ChatError as error:  # another plugin's filter refused it: the next one, then
                log.warning(
                    "keyword alert %d: %s cannot be notified: %s", case.alert.id, person.key, error.code
                )
                continue
            await self._context.write(
                partial(stored.record_notified, alert=case.alert, notification=notification, person=person)
            )
            notified_count += 1
        return notified_count > 0

    async def _notify(self, case: AlertContext, person: Person) -> int:
        context = self._context
        if case.session_id is None:
            text = _text(context.language, Kind.SUPPORT, case.alert.thread.id)
            return (await context.notify(person, text, type=PLAIN_TYPE, data={"alert": True})).id
        opens = case.session_id
        if person.role is Role.SUPERVISOR:
            # Whoever has a record may observe the session.
            opens = (await context.supervise(case.session_id, person)).thread.id
        notification = await context.notify(
            person,
            _text(context.language, Kind.SESSION, case.session_id),
            type=CONVERSATION_TYPE,
            data={"sessionId": opens, "observeSessionId": case.session_id, "alert": True},
        )
        return notification.id

    def _first_stage(self, thread: Thread) -> Stage:
        return Stage.ADMIN if thread.kind is Kind.SUPPORT else Stage(self._settings().alert_role)

    async def _load_context(self, alert: Alert) -> AlertContext:
        session_id = None
        if alert.thread.kind is not Kind.SUPPORT:
            room = await self._context.room(alert.thread)
            if room is None:
                raise LookupError(f"{_name(alert.thread)} is gone")
            session_id = room.session_id
        notified = await self._context.read(lambda database: stored.notified(database, alert))
        sender = await self._context.read(lambda database: stored.sender(database, alert))
        return AlertContext(alert, session_id, {*notified, *sender}, bool(notified))

    async def _assigned_supervisors(self, case: AlertContext) -> Sequence[Person]:
        if case.session_id is None:
            return ()
        return [record.helper for record in await self._context.supervision(case.session_id)]

    async def _people_with_role(self, case: AlertContext, role: Role) -> Sequence[Person]:
        if case.session_id is None and role is Role.SUPERVISOR:
            return ()
        return await self._context.people(role)

    async def _set_stage(self, alert: Alert, stage: Stage, after: float | None) -> None:
        pause = None if after is None else round(after * MICROSECONDS_PER_SECOND)
        await self._context.write(lambda tx: stored.set_stage(tx, alert, stage, pause))


def _text(language: str, kind: Kind, id: int) -> str:
    return TEXTS[kind][0 if language == "zh_CN" else 1].format(id=id)


def _name(thread: Thread) -> str:
    return f"{thread.kind.name.lower()} {thread.id}"

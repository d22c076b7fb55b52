"""The alert service: it notifies people of an alert in stages until a notification is read.

Strategy: all state is in the database. An alert is a row with its next stage and the time at which that stage
is due; one task sleeps until the next alert is due, notifies the people of the stage and stores the next
stage. So a restarted server continues, and raising an alert only adds a row and wakes the task. The next
stage is stored after the notifications: a crash in between leads to a second notification, not to a lost one.
Of several processes that find an alert due, one claims the step by postponing it for ``CLAIM_SECONDS``.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from tornado_chat.plugin_api import (
    ChatError,
    Conflict,
    Context,
    Kind,
    Person,
    Role,
    Thread,
    Transaction,
    Unavailable,
    WriteBehind,
    described,
)

from . import alert_queries
from .alert_queries import Alert, Finding, Stage

log = logging.getLogger(__name__)

PLAIN_TYPE, CONVERSATION_TYPE = 0, 2  # types of notifications, as in the seed
PRIORITY_REASON = "keyword alert"

MICROSECONDS_PER_SECOND = 1_000_000
RETRY_SECONDS = 5.0  # pause before a failed step is tried again
CLAIM_SECONDS = 30.0  # for one step; then another process takes it

TEXTS = {
    # kind: (zh_CN, en)
    Kind.SESSION: (
        "会话 {id} 触发了关键词提醒, 请尽快查看",
        "Keyword alert in session {id}: please look at it soon",
    ),
    Kind.SUPPORT: (
        "客服对话 {id} 触发了关键词提醒, 请尽快查看",
        "Keyword alert in support conversation {id}: please look at it soon",
    ),
}


OBSERVE_KEYS = {Kind.SESSION: "observeSessionId", Kind.SUPPORT: "observeConversationId"}
"""The key in ``data`` of a notification of the conversation that a supervisor may observe."""

URGENT = ("紧急: ", "Urgent: ")
"""The beginning of the text of an alert of a severe list."""


class AlertSettings(Protocol):
    """The settings of the plugin that concern alerts."""

    @property
    def alert_role(self) -> str: ...

    @property
    def escalate_after(self) -> float: ...

    @property
    def severe_lists(self) -> Collection[str]: ...

    @property
    def alert_score(self) -> int: ...


class _Addition:
    """The change that stores one finding. ``work`` may run more than once."""

    def __init__(self, service: "AlertService", found: Finding) -> None:
        self._service = service
        self._found = found
        self._raised = False

    def work(self, tx: Transaction) -> None:
        self._raised = self._service.store(tx, self._found)

    def done(self) -> None:
        if self._raised:
            self._service.on_raised(self._found)


def _log_not_stored(error: Exception) -> None:
    log.warning("a keyword alert is not stored yet: %s", described(error))


class AlertContext(NamedTuple):
    """An alert with the data that its next stage needs.

    :ivar about: the session or support conversation; of an alert in a record, the one that it is about.
    :ivar excluded: people who are not to be notified: the message's sender, and people notified already.
    :ivar notified: True if at least one person was notified.
    """

    alert: Alert
    about: Thread
    excluded: set[Person]
    notified: bool


class AlertService:
    """Raises and escalates the alerts of one server.

    :arg settings: returns the present settings.
    """

    def __init__(self, context: Context, settings: Callable[[], AlertSettings]) -> None:
        self._context = context
        self._settings = settings
        self._wakeup = asyncio.Event()
        self._write_behind = WriteBehind(context)

    async def add(self, found: Finding) -> None:
        """Record the words of a stored message, and raise an alert, see ``alert_queries.add``.

        The caller does not wait for the commit, so that a flood of such messages shares a few commits.
        """
        change = _Addition(self, found)
        await self._write_behind.add(change.work, done=change.done, failed=_log_not_stored)

    def add_refused(self, found: Finding) -> None:
        """Record the words of a message that is refused, in the next commit, and raise an alert."""
        change = _Addition(self, found)
        self._write_behind.add_nowait(change.work, done=change.done, failed=_log_not_stored)

    async def finish(self) -> None:
        """Wait until the records are stored."""
        await self._write_behind.finish()

    def store(self, tx: Transaction, found: Finding) -> bool:
        """Store a finding. Return True if an alert was raised."""
        return alert_queries.add(tx, found, self._settings().severe_lists, self._first_stage)

    def on_raised(self, found: Finding) -> None:
        """An alert was raised and committed."""
        number = "refused message" if found.seq is None else f"message {found.seq}"
        log.info("keyword alert: %s, %s, lists %s", _name(found.thread), number, ", ".join(found.lists))
        self._wakeup.set()
        if found.thread.kind is Kind.SUPPORT and self._settings().alert_score:
            self._context.spawn(self._prioritise(found.thread.id))

    async def _prioritise(self, conversation_id: int) -> None:
        """Move the user of a support conversation forward in the line, also if it returns to it later."""
        score = self._settings().alert_score
        conversation = await self._context.conversation(conversation_id)
        if conversation is None or not conversation.open or conversation.score >= score:
            return
        try:
            await self._context.prioritise(conversation_id, score, PRIORITY_REASON)
        except ChatError as error:
            log.warning("support conversation %d keeps its place in the line: %s", conversation_id, error)

    async def run(self) -> None:
        """Escalate due alerts until the task is cancelled."""
        while True:
            try:
                self._wakeup.clear()
                wait_seconds = await self._process_due()
            except Exception as error:  # the task has to continue, otherwise stored alerts would be forgotten
                log.warning(
                    "keyword alerts failed, trying again in %g s: %s", RETRY_SECONDS, described(error)
                )
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._wakeup.wait()
            except TimeoutError:
                pass

    async def _process_due(self) -> float | None:
        """Escalate the alerts that are due.

        Returns the seconds until the next alert is due; None if no alert has a next stage.
        """
        if read := await self._context.read(alert_queries.find_read):
            await self._context.write(lambda tx: alert_queries.acknowledge(tx, read))
        now = self._context.now()
        for alert in await self._context.read(lambda database: alert_queries.find_due(database, now)):
            try:
                if await self._claim(alert):
                    await self._escalate(await self._load_context(alert))
            except Unavailable:
                raise
            except Exception:  # a failure of this alert must not delay the others
                log.warning(
                    "keyword alert %d failed, trying again in %g s", alert.id, RETRY_SECONDS, exc_info=True
                )
                await self._set_stage(alert, alert.stage, RETRY_SECONDS)
        due = await self._context.read(alert_queries.next_due)
        return None if due is None else max(0.0, (due - self._context.now()) / MICROSECONDS_PER_SECOND)

    # --- one alert ---

    async def _escalate(self, alert_context: AlertContext) -> None:
        """Notify the people of the next stage that has recipients, and store the stage after it."""
        alert = alert_context.alert
        stage = self._first_stage if alert.stage is Stage.NO_RECIPIENT else alert.stage
        has_notified = False
        has_heard = False  # a person who is online was notified, or all administrators
        while not has_heard and stage is not Stage.EXHAUSTED:
            people, limit = await self._recipients(alert_context, stage)
            notified = await self._notify_people(alert_context, people, limit)
            has_notified = has_notified or bool(notified)
            match stage:
                case Stage.ASSIGNED:
                    has_heard = await self._is_any_online(notified)
                    stage = Stage.SUPERVISOR
                case Stage.SUPERVISOR:
                    has_heard = bool(notified)
                    stage = Stage.SUPERVISOR if notified else Stage.ADMIN
                case Stage.ADMIN:
                    has_heard = bool(notified)
                    is_last = self._settings().alert_role == "admin"
                    stage = Stage.EXHAUSTED if is_last else Stage.OFFLINE
                case _:
                    has_heard = bool(notified)
                    stage = Stage.OFFLINE if notified else Stage.EXHAUSTED
        delay_seconds = self._settings().escalate_after
        if has_notified:
            await self._set_stage(alert, stage, delay_seconds)
        elif alert_context.notified:
            await self._set_stage(alert, Stage.EXHAUSTED, None)
            log.warning(
                "keyword alert %d (%s) is still unread, and all recipients were notified",
                alert.id,
                _name(alert.thread),
            )
        else:
            await self._set_stage(alert, Stage.NO_RECIPIENT, delay_seconds)
            if alert.stage is not Stage.NO_RECIPIENT:
                log.error(
                    "keyword alert %d (%s): there is no supervisor or administrator who could be notified",
                    alert.id,
                    _name(alert.thread),
                )

    async def _notify_people(
        self, alert_context: AlertContext, people: Iterable[Person], limit: int | None
    ) -> Sequence[Person]:
        """Notify at most ``limit`` of ``people``, except those excluded. Return the notified people."""
        notified: list[Person] = []
        for person in people:
            if len(notified) == limit:
                break
            if person in alert_context.excluded:
                continue
            alert_context.excluded.add(person)
            try:
                notification = await self._notify(alert_context, person)
            except Unavailable:
                raise
            except ChatError as error:  # another plugin's filter refused it: continue with the next person
                log.warning(
                    "keyword alert %d: %s cannot be notified: %s",
                    alert_context.alert.id,
                    person.key,
                    error.code,
                )
                continue
            await self._context.write(
                partial(
                    alert_queries.record_notified,
                    alert=alert_context.alert,
                    notification=notification,
                    person=person,
                )
            )
            notified.append(person)
        return notified

    async def _notify(self, alert_context: AlertContext, person: Person) -> int:
        context, about = self._context, alert_context.about
        is_urgent = alert_context.alert.list in self._settings().severe_lists
        text = _text(context.language, about, is_urgent)
        opened_id: int | None = about.id if about.kind is Kind.SESSION else None
        if person.role is Role.SUPERVISOR:
            opened_id = await self._open_record(about, person)
        if opened_id is None:
            return (await context.notify(person, text, type=PLAIN_TYPE, data={"alert": True})).id
        data = {"sessionId": opened_id, OBSERVE_KEYS[about.kind]: about.id, "alert": True}
        return (await context.notify(person, text, type=CONVERSATION_TYPE, data=data)).id

    async def _open_record(self, about: Thread, supervisor: Person) -> int | None:
        """Return the supervisor's record, by which it may observe the conversation.

        None: the user of a support conversation still waits, so there is no agent to talk to.
        """
        try:
            return (await self._context.supervise(about, supervisor)).thread.id
        except Conflict:
            return None

    @property
    def _first_stage(self) -> Stage:
        return Stage(self._settings().alert_role)

    async def _load_context(self, alert: Alert) -> AlertContext:
        about = alert.thread
        if about.kind is Kind.RECORD:
            room = await self._context.room(alert.thread)
            if room is None:
                raise LookupError(f"{_name(alert.thread)} does not exist")
            about = room.about
        notified = await self._context.read(lambda database: alert_queries.find_notified(database, alert))
        sender = await self._context.read(lambda database: alert_queries.find_sender(database, alert))
        return AlertContext(alert, about, {*notified, *sender}, bool(notified))

    async def _recipients(
        self, alert_context: AlertContext, stage: Stage
    ) -> tuple[Sequence[Person], int | None]:
        """Return the people of a stage, and how many of them are notified at once (None: all)."""
        if stage is Stage.ADMIN:
            return await self._context.people(Role.ADMIN), None
        if stage is Stage.ASSIGNED:
            records = await self._context.supervision(alert_context.about)
            return await self._context.reachable([record.helper for record in records]), None
        supervisors = await self._context.supervisors(alert_context.about)
        if stage is Stage.SUPERVISOR:
            return [each for each in supervisors if await self._context.online(each)], 1
        return supervisors, 1

    async def _is_any_online(self, people: Iterable[Person]) -> bool:
        for person in people:
            if await self._context.online(person):
                return True
        return False

    async def _claim(self, alert: Alert) -> bool:
        delay = round(CLAIM_SECONDS * MICROSECONDS_PER_SECOND)
        return await self._context.write(lambda tx: alert_queries.claim(tx, alert, delay))

    async def _set_stage(self, alert: Alert, stage: Stage, delay_seconds: float | None) -> None:
        """Store the next stage of an alert, due after ``delay_seconds``; None: there is no further stage."""
        delay = None if delay_seconds is None else round(delay_seconds * MICROSECONDS_PER_SECOND)
        await self._context.write(lambda tx: alert_queries.set_stage(tx, alert, stage, delay))


def _text(language: str, about: Thread, is_urgent: bool) -> str:
    index = 0 if language == "zh_CN" else 1
    return (URGENT[index] if is_urgent else "") + TEXTS[about.kind][index].format(id=about.id)


def _name(thread: Thread) -> str:
    return f"{thread.kind.name.lower()} {thread.id}"

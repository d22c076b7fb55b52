"""Alerts: telling people that a word was said, one after the other until somebody has looked.

Strategy: the database has everything. An alert is a row that says what comes next and when it is due;
one task sleeps until the next is due, does that step and writes down what comes after. So a restart
goes on where it was, and whoever raises an alert only adds a row and wakes the task. A step is
written down after its notifications: a crash in between notifies twice rather than not at all.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import peewee as pw

from tornado_chat import (
    ChatError,
    Context,
    Kind,
    Message,
    Person,
    Role,
    Thread,
    Transaction,
    Unavailable,
    described,
    models,
)

log = logging.getLogger(__name__)

PLAIN = 0
CONVERSATION = 2  # the types of notifications

SECOND = 1_000_000
RETRY = 5.0  # seconds after which something that failed is tried again

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


class Stage(StrEnum):
    """Who is to be notified next. The values are stored."""

    ASSIGNED = "assigned"  # all supervisors of the session
    SUPERVISOR = "supervisor"  # the next supervisor, one at a time
    ADMIN = "admin"  # all administrators
    EXHAUSTED = "exhausted"  # nobody is left
    UNHEARD = "unheard"  # there was nobody at all: from the beginning


class KeywordFilterAlert(pw.Model):
    """A message in which a word of an alert list was found; never the word, nor the message's text.

    ``due`` is when ``stage`` comes; null after the last one. ``acknowledged`` is when somebody read a
    notification of it.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    seq = pw.BigIntegerField()
    list = pw.CharField(255)
    created = pw.BigIntegerField()
    stage = pw.CharField(12)
    due = pw.BigIntegerField(null=True, index=True)
    acknowledged = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "keyword_filter_alert"
        indexes = ((("kind", "thread_id", "seq"), True),)


class KeywordFilterNotified(pw.Model):
    """Who was notified of an alert, and the notification's id."""

    id = pw.BigAutoField()
    alert = pw.BigIntegerField(index=True)
    notification = pw.BigIntegerField()
    person = pw.CharField(80)

    class Meta:
        table_name = "keyword_filter_notified"


class Rules(Protocol):
    """The plugin's settings, as far as alerts go by them."""

    @property
    def alert_role(self) -> str: ...

    @property
    def escalate_after(self) -> float: ...


class Alert(NamedTuple):
    """An open alert."""

    id: int
    thread: Thread
    seq: int
    list: str
    stage: Stage


class Case(NamedTuple):
    """What an alert is about.

    :ivar session_id: None in support, which has no supervisors.
    :ivar passed_over: who is not to be notified: whoever was already, and who said it.
    :ivar notified: whether anybody was notified yet.
    """

    alert: Alert
    session_id: int | None
    passed_over: set[Person]
    notified: bool


class Alerts:
    """The alerts of one server.

    :arg rules: gives the settings of the moment.
    """

    def __init__(self, context: Context, rules: Callable[[], Rules]) -> None:
        self._context = context
        self._rules = rules
        self._more = asyncio.Event()

    async def add(self, message: Message, list_name: str) -> None:
        """Raise an alert, unless one of this conversation is on its way.

        Who is called once need not be called for each word. An alert is on its way until somebody
        has read of it, or everybody was notified. A message that had one gets no second.
        """
        stage = self._first_stage(message.thread)

        def insert(tx: Transaction) -> bool:
            table = KeywordFilterAlert
            place = {"kind": message.thread.kind, "thread_id": message.thread.id, "seq": message.seq}
            if table.select().filter(**place).exists(tx.database):
                return False
            if _on_its_way(tx, message.thread):
                return False
            table.insert(
                **place, list=list_name[:255], created=tx.now, stage=stage.value, due=tx.now
            ).execute(tx.database)
            return True

        if await self._context.write(insert):
            log.info("keyword alert: %s, message %d, list %s", _name(message.thread), message.seq, list_name)
            self._more.set()

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            try:
                self._more.clear()
                wait = await self._work()
            except Exception as error:  # whatever it was, the alerts that are there must not be forgotten
                log.warning("keyword alerts have to wait for %g s: %s", RETRY, described(error))
                await asyncio.sleep(RETRY)
                continue
            try:
                async with asyncio.timeout(wait):
                    await self._more.wait()
            except TimeoutError:
                pass

    async def _work(self) -> float | None:
        """Do what is due now. Returns the seconds until the next is, None if there is nothing more."""
        if read := await self._context.read(_read):
            await self._context.write(lambda tx: _acknowledge(tx, read))
        now = self._context.now()
        for alert in await self._context.read(lambda database: _due(database, now)):
            try:
                await self._escalate(await self._case(alert))
            except Unavailable:
                raise
            except Exception:  # the others must not wait for one that cannot be dealt with
                log.warning("keyword alert %d has to wait for %g s", alert.id, RETRY, exc_info=True)
                await self._save(alert, alert.stage, RETRY)
        due = await self._context.read(_next_due)
        return None if due is None else max(0.0, (due - self._context.now()) / SECOND)

    # --- one alert ---

    async def _escalate(self, case: Case) -> None:
        """Notify the next people there are, and write down who comes after them."""
        alert = case.alert
        stage = self._first_stage(alert.thread) if alert.stage is Stage.UNHEARD else alert.stage
        told = False
        while not told and stage is not Stage.EXHAUSTED:
            if stage is Stage.ASSIGNED:
                told = await self._tell(case, await self._assigned(case))
                stage = Stage.SUPERVISOR
            elif stage is Stage.SUPERVISOR:
                told = await self._tell(case, await self._people(case, Role.SUPERVISOR), limit=1)
                stage = Stage.SUPERVISOR if told else Stage.ADMIN
            else:
                told = await self._tell(case, await self._people(case, Role.ADMIN))
                stage = Stage.EXHAUSTED
        after = self._rules().escalate_after
        if told:
            await self._save(alert, stage, after)
        elif case.notified:
            await self._save(alert, Stage.EXHAUSTED, None)
            log.warning(
                "keyword alert %d (%s) is still unread, and everybody was notified",
                alert.id,
                _name(alert.thread),
            )
        else:
            await self._save(alert, Stage.UNHEARD, after)
            if alert.stage is not Stage.UNHEARD:
                log.error(
                    "keyword alert %d (%s): there is no supervisor or administrator who could be notified",
                    alert.id,
                    _name(alert.thread),
                )

    async def _tell(self, case: Case, people: Iterable[Person], limit: int | None = None) -> bool:
        """Notify those of ``people`` who were not yet. Returns whether there were any."""
        told = 0
        for person in people:
            if told == limit:
                break
            if person in case.passed_over:
                continue
            case.passed_over.add(person)
            try:
                notification = await self._notify(case, person)
            except Unavailable:
                raise
            except ChatError as error:  # another plugin's filter refused it: the next one, then
                log.warning(
                    "keyword alert %d: %s cannot be notified: %s", case.alert.id, person.key, error.code
                )
                continue
            await self._context.write(_note(case.alert.id, notification, person))
            told += 1
        return told > 0

    async def _notify(self, case: Case, person: Person) -> int:
        context = self._context
        if case.session_id is None:
            text = _text(context.language, Kind.SUPPORT, case.alert.thread.id)
            return (await context.notify(person, text, type=PLAIN, data={"alert": True})).id
        opens = case.session_id
        if person.role is Role.SUPERVISOR:
            # Whoever has a record may observe the session.
            opens = (await context.supervise(case.session_id, person)).thread.id
        notification = await context.notify(
            person,
            _text(context.language, Kind.SESSION, case.session_id),
            type=CONVERSATION,
            data={"sessionId": opens, "observeSessionId": case.session_id, "alert": True},
        )
        return notification.id

    def _first_stage(self, thread: Thread) -> Stage:
        return Stage.ADMIN if thread.kind is Kind.SUPPORT else Stage(self._rules().alert_role)

    async def _case(self, alert: Alert) -> Case:
        session_id = None
        if alert.thread.kind is not Kind.SUPPORT:
            room = await self._context.room(alert.thread)
            if room is None:
                raise LookupError(f"{_name(alert.thread)} is gone")
            session_id = room.session_id
        notified = await self._context.read(lambda database: _notified(database, alert))
        sender = await self._context.read(lambda database: _sender(database, alert))
        return Case(alert, session_id, {*notified, *sender}, bool(notified))

    async def _assigned(self, case: Case) -> Sequence[Person]:
        if case.session_id is None:
            return ()
        return [record.helper for record in await self._context.supervision(case.session_id)]

    async def _people(self, case: Case, role: Role) -> Sequence[Person]:
        if case.session_id is None and role is Role.SUPERVISOR:
            return ()
        return await self._context.people(role)

    async def _save(self, alert: Alert, stage: Stage, after: float | None) -> None:
        def update(tx: Transaction) -> None:
            due = None if after is None else tx.now + round(after * SECOND)
            table = KeywordFilterAlert
            table.update(stage=stage.value, due=due).where(table.id == alert.id).execute(tx.database)

        await self._context.write(update)


def _text(language: str, kind: Kind, id: int) -> str:
    return TEXTS[kind][0 if language == "zh_CN" else 1].format(id=id)


def _name(thread: Thread) -> str:
    return f"{thread.kind.name.lower()} {thread.id}"


# The database


def _due(database: pw.Database, now: int) -> list[Alert]:
    table = KeywordFilterAlert
    query = (
        table.select(table.id, table.kind, table.thread_id, table.seq, table.list, table.stage)
        .where(table.acknowledged.is_null() & (table.due <= now))
        .order_by(table.due, table.id)
        .tuples()
    )
    return [
        Alert(id, Thread(Kind(kind), thread_id), seq, list_name, Stage(stage))
        for id, kind, thread_id, seq, list_name, stage in query.execute(database)
    ]


def _next_due(database: pw.Database) -> int | None:
    table = KeywordFilterAlert
    due: int | None = table.select(pw.fn.MIN(table.due)).where(table.acknowledged.is_null()).scalar(database)
    return due


def _read(database: pw.Database) -> list[tuple[int, int]]:
    """Open alerts of which a notification was read, and when."""
    table, notified, notification = KeywordFilterAlert, KeywordFilterNotified, models.Notification
    query = (
        table.select(table.id, pw.fn.MIN(notification.read))
        .join(notified, on=(notified.alert == table.id))
        .join(notification, on=(notification.id == notified.notification))
        .where(table.acknowledged.is_null() & notification.read.is_null(False))
        .group_by(table.id)
        .tuples()
    )
    return list(query.execute(database))


def _on_its_way(tx: Transaction, thread: Thread) -> bool:
    """Whether an alert of this conversation goes from one person to the next, and nobody has read of it."""
    table, notified, notification = KeywordFilterAlert, KeywordFilterNotified, models.Notification
    read = (
        notified.select(notified.alert)
        .join(notification, on=(notification.id == notified.notification))
        .where(notification.read.is_null(False))
    )
    return bool(
        table.select(table.id)
        .where(
            (table.kind == thread.kind)
            & (table.thread_id == thread.id)
            & table.due.is_null(False)
            & table.id.not_in(read)
        )
        .exists(tx.database)
    )


def _acknowledge(tx: Transaction, alerts: Sequence[tuple[int, int]]) -> None:
    table = KeywordFilterAlert
    for id, when in alerts:
        table.update(acknowledged=when, due=None).where(table.id == id).execute(tx.database)


def _note(alert: int, notification: int, person: Person) -> Callable[[Transaction], None]:
    def insert(tx: Transaction) -> None:
        KeywordFilterNotified.insert(alert=alert, notification=notification, person=person.key).execute(
            tx.database
        )

    return insert


def _notified(database: pw.Database, alert: Alert) -> list[Person]:
    table = KeywordFilterNotified
    query = table.select(table.person).where(table.alert == alert.id).tuples()
    return [Person.from_key(person) for (person,) in query.execute(database)]


def _sender(database: pw.Database, alert: Alert) -> list[Person]:
    """Who said it. A supervisor's own word in a record is for others to look at."""
    table = models.Message
    query = table.select(table.sender).where(
        (table.kind == alert.thread.kind) & (table.thread_id == alert.thread.id) & (table.seq == alert.seq)
    )
    return [Person.from_key(sender) for (sender,) in query.tuples().execute(database)]

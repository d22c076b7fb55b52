"""People who talk through whatever happens to the servers, and the count of what became of their words.

Each conversation has a sender of numbered messages and a listener. Most senders give ids (``…ack``), and say
again what was not acknowledged; some know only the seed, and so do half of the listeners. All connect again, by
way of one address.

What must hold in the end, per conversation: everything acknowledged is stored, once, in the order in which it
was sent; a listener with numbers got exactly that; the seed's listener got it in the same order, nothing missing,
some of it perhaps more than once. What a sender of the seed said may be lost with its connection; what is
stored of it is in order, there once, and heard.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import House, token
from tornado_chat import config
from tornado_chat.client import (
    ChatClient,
    ConnectionClosed,
    ObserveClient,
    Options,
    RawClient,
    UserClient,
    WaiterClient,
)
from tornado_chat.core.types import ConversationState, Kind, SessionState
from tornado_chat.storage import models
from tornado_chat.storage.database import open_database

WORK = Options(
    initial_delay_seconds=0.02, max_delay_seconds=0.5, ping_interval_seconds=2.0, timeout_seconds=5.0
)
PATIENCE = 60.0  # seconds until everything must have arrived after the last fault
MOST_UNHEARD = 500  # messages that a speaker is ahead of its listener


@dataclass(frozen=True)
class Manner:
    """How they talk.

    :ivar burst: messages of one sender that are under way at once.
    :ivar pause: seconds between two bursts, on the average.
    :ivar capacity: users of one waiter.
    :ivar seed_senders: of so many conversations one has a sender that knows only the seed; 0: none.
    :ivar observed: of so many sessions one is listened to by a supervisor; 0: none.
    """

    burst: int = 8
    pause: float = 0.01
    capacity: int = 5
    seed_senders: int = 0
    observed: int = 0


@dataclass
class Talk:
    """One conversation: what was sent, acknowledged, and heard by whom.

    :ivar seed_listener: who listens may hear something again.
    :ivar seed_sender: what was sent may be lost.
    :ivar observed: what a supervisor heard, if one listens.
    """

    name: str
    sent: int = 0
    acknowledged: set[int] = field(default_factory=set)
    heard: list[int] = field(default_factory=list)
    seed_listener: bool = False
    seed_sender: bool = False
    observed: list[int] | None = None
    observing: asyncio.Event = field(default_factory=asyncio.Event)
    address: str | None = None

    def text(self, number: int) -> str:
        return f"{self.name}/{number}"

    def number(self, text: str) -> int:
        name, _, number = text.partition("/")
        assert name == self.name, f"{self.name} heard {text!r}, which is another's"
        return int(number)

    def hear(self, text: str) -> None:
        self.heard.append(self.number(text))

    @property
    def first_heard(self) -> list[int]:
        """What was heard, without what came again."""
        return list(dict.fromkeys(self.heard))

    @property
    def all_heard(self) -> bool:
        """Whether nothing is under way any more."""
        if self.observed is not None and (not self.observed or self.observed[-1] != self.sent):
            return False
        answered = self.seed_sender or len(self.acknowledged) == self.sent
        return answered and bool(self.heard) and self.heard[-1] == self.sent


@dataclass
class Count:
    """The figures of a run, and what is wrong."""

    sent: int = 0
    acknowledged: int = 0
    stored: int = 0
    received: int = 0
    again: int = 0
    kills: int = 0
    stops: int = 0
    cuts: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.stored} messages, {self.kills} kills, {self.stops} restarts, {self.cuts} cuts, "
            f"{self.lost} lost"
        )


class Crowd:
    """``async with`` it while there are servers; then ``talk_until``, and ``compare`` when all is over.

    :arg url: where everybody connects to, again and again.
    :arg random: of the pace.
    """

    def __init__(self, url: str, random: random.Random, manner: Manner) -> None:
        self._url = url
        self._random = random
        self._manner = manner
        self._over = asyncio.Event()
        self._by_name: dict[str, Talk] = {}
        self._speaking: list[Coroutine[Any, Any, None]] = []
        self._waiting: list[Coroutine[Any, Any, None]] = []

    @property
    def talks(self) -> list[Talk]:
        return [*self._by_name.values()]

    @property
    def acknowledged(self) -> int:
        return sum(len(talk.acknowledged) for talk in self.talks)

    async def gather(self, house: House, sessions: int, users: int) -> None:
        """Prepare ``sessions`` counselling sessions and ``users`` users of support, with their waiters."""
        manner = self._manner
        for n in range(sessions):
            session = await house.session(user=1000 + n, consultant=2000 + n)
            talk = self._talk(f"s{session}", n)
            talk.seed_listener = n % 2 == 1
            if manner.observed and n % manner.observed == 0:
                await house.record(session, supervisor=5000 + n)
                talk.observed = []
                self._speaking.append(self._observe(token("supervisor", 5000 + n), session, talk))
            visitor = ChatClient(
                self._url, token("user", 1000 + n), session, features=self._features(talk), options=WORK
            )
            self._speaking.append(self._speak(visitor, talk))
            listen = self._listen_as_the_seed if talk.seed_listener else self._listen
            self._speaking.append(listen(token("consultant", 2000 + n), session, talk))
        for n in range(users):
            talk = self._talk(f"u{3000 + n}", n)
            talk.seed_listener = talk.seed_sender
            self._speaking.append(self._ask(3000 + n, talk))
        self._waiting = [self._wait_on(4000 + n) for n in range(-(-users // manner.capacity))]

    def _talk(self, name: str, n: int) -> Talk:
        every = self._manner.seed_senders
        talk = self._by_name[name] = Talk(name, seed_sender=bool(every) and n % every == every - 1)
        return talk

    def _features(self, talk: Talk) -> tuple[str, ...]:
        return () if talk.seed_sender else ("ack", "seq")

    async def talk_during(self, hurting: Awaitable[None]) -> None:
        """Everybody talks until ``hurting`` is over, and then until everything is heard."""
        tasks = [asyncio.create_task(each) for each in self._speaking]
        waiters = [asyncio.create_task(each) for each in self._waiting]
        hurt = asyncio.ensure_future(self._until_over(hurting))
        talking = asyncio.gather(hurt, *tasks)
        try:
            # Waiters work until the others have done; one that ends before has failed.
            done, _ = await asyncio.wait([talking, *waiters], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (hurt, *tasks, *waiters):
                task.cancel()
            await asyncio.gather(hurt, *tasks, *waiters, return_exceptions=True)

    async def _until_over(self, hurting: Awaitable[None]) -> None:
        await hurting
        self._over.set()

    async def goes_on(self, patience: float = PATIENCE) -> float:
        """Seconds until in each conversation something has been heard that was said after this call."""
        started = time.monotonic()
        marks = {talk.name: talk.sent for talk in self.talks}
        left = self.talks
        while left := [talk for talk in left if not talk.heard or talk.heard[-1] <= marks[talk.name]]:
            if time.monotonic() > started + patience:
                names = ", ".join(f"{talk.name} ({talk.sent} sent)" for talk in left[:5])
                raise AssertionError(f"{len(left)} conversations do not go on: {names}")
            await asyncio.sleep(0.05)
        return time.monotonic() - started

    # --- those who talk ---

    async def _speak(self, client: ChatClient, talk: Talk) -> None:
        if talk.observed is not None:  # what was said before its supervisor came is not heard
            await talk.observing.wait()
        async with client:
            await self._send(client, talk)
            await self._until_heard(talk)

    async def _send(self, client: ChatClient | UserClient, talk: Talk) -> None:
        """Numbered messages, several under way at once, until the time is over; all get their answer."""
        under_way: set[asyncio.Task[None]] = set()

        async def one(number: int) -> None:
            if talk.seed_sender:
                await client.send(talk.text(number))
            else:
                await client.send(talk.text(number), id=talk.text(number))
                talk.acknowledged.add(number)

        while not self._over.is_set():
            while len(under_way) < self._manner.burst and talk.sent - len(talk.heard) < MOST_UNHEARD:
                talk.sent += 1
                under_way.add(asyncio.create_task(one(talk.sent)))
            if under_way:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            await asyncio.sleep(self._random.random() * 2 * self._manner.pause)
        await asyncio.gather(*under_way)
        while talk.seed_sender and not talk.all_heard:  # the last one may have been lost
            talk.sent += 1
            await one(talk.sent)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    await self._until_heard(talk)

    async def _listen(self, who: str, session: int, talk: Talk) -> None:
        async with ChatClient(self._url, who, session, options=WORK) as client:
            while not self._is_over(talk):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if not frame.system:
                        talk.hear(frame.msg)

    async def _listen_as_the_seed(self, who: str, session: int, talk: Talk) -> None:
        """A front end that knows nothing but how to connect again."""
        while not self._is_over(talk):
            with contextlib.suppress(ConnectionClosed, TimeoutError, OSError):
                client = await RawClient.connect(f"{self._url}/chat?token={who}&sessionId={session}&type=0")
                try:
                    while not self._is_over(talk):
                        with contextlib.suppress(TimeoutError):
                            frame = await client.recv_json(0.5)
                            if not frame["isSystem"]:
                                talk.hear(frame["msg"])
                finally:
                    closing = asyncio.ensure_future(client.close())
                    await asyncio.wait({closing}, timeout=6)
            await asyncio.sleep(0.05)  # a page waits too

    async def _observe(self, who: str, session: int, talk: Talk) -> None:
        assert talk.observed is not None
        async with ObserveClient(self._url, who, session, options=WORK) as client:
            talk.observing.set()
            while not self._is_over(talk):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if frame.sender_type is not None:
                        talk.observed.append(talk.number(frame.msg))

    async def _ask(self, id: int, talk: Talk) -> None:
        async with UserClient(self._url, token("user", id), self._features(talk), options=WORK) as client:
            await client.expect("connect_success", PATIENCE)
            sending = asyncio.create_task(self._send(client, talk))
            while not (sending.done() and self._is_over(talk)):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if frame.type == "message_text":
                        talk.hear(frame.message.removeprefix("re "))
                    assert frame.type != "disconnected", f"{talk.name} was sent away"
            sending.result()

    async def _wait_on(self, id: int) -> None:
        """Answers every message: what a user said comes back to that user."""
        async with WaiterClient(self._url, token("waiter", id), options=WORK) as client:
            while True:
                frame = await client.receive(None)
                if frame.type != "message_text":
                    continue
                assert frame.sender is not None
                talk = self._by_name[frame.message.partition("/")[0]]
                assert talk.address in (None, frame.sender), f"{talk.name} speaks from two addresses"
                talk.address = frame.sender
                # By id, so that an answer that is given again after a cut is one answer.
                await client.send(frame.sender, f"re {frame.message}", id=f"re {frame.message}")

    def _is_over(self, talk: Talk) -> bool:
        return self._over.is_set() and talk.all_heard

    async def _until_heard(self, talk: Talk) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self._is_over(talk):  # noqa: ASYNC110 - the listener is a client of its own
                await asyncio.sleep(0.05)

    # --- the count ---

    def compare(self, count: Count, storage_url: str) -> None:
        """What was sent, what is stored, what was heard: add it to ``count``."""
        stored, wrong = _stored(storage_url)
        count.wrong += wrong
        for talk in self.talks:
            name, mine = talk.name, stored.get(talk.name, [])
            expected = sorted(set(mine)) if talk.seed_sender else list(range(1, talk.sent + 1))
            count.sent += len(expected)
            count.acknowledged += len(talk.acknowledged)
            count.stored += len(mine)
            count.received += len(talk.first_heard)
            count.again += len(talk.heard) - len(talk.first_heard)
            count.lost += len(talk.acknowledged - set(mine)) + len(set(expected) - set(talk.heard))
            if mine != expected:
                count.wrong.append(f"{name}: stored {_difference(expected, mine)}")
            if talk.first_heard != expected:
                count.wrong.append(f"{name}: heard {_difference(expected, talk.first_heard)}")
            if talk.observed not in (None, expected):
                count.wrong.append(f"{name}: overheard {_difference(expected, talk.observed or [])}")
            if not talk.seed_listener and talk.heard != expected:
                count.wrong.append(f"{name}: heard something twice")


def _stored(storage_url: str) -> tuple[dict[str, list[int]], list[str]]:
    """The numbers of each conversation's messages (not the answers), in the stored order; and what is wrong
    with the conversations themselves."""
    found: dict[str, list[int]] = {}
    wrong = []
    database = open_database(config.Storage(url=storage_url))
    m, s, c = models.Message, models.ConsultationSession, models.SupportConversation
    query = m.select(m.kind, m.thread_id, m.text, m.sender).order_by(m.kind, m.thread_id, m.seq)
    people: dict[tuple[int, int], set[str]] = {}
    for kind, thread, text, sender in query.tuples().execute(database):
        people.setdefault((kind, thread), set()).add(sender)
        if sender.startswith("user:"):
            name, _, number = text.partition("/")
            found.setdefault(name, []).append(int(number))
    for id, state, asker, helper in s.select(s.id, s.state, s.asker, s.helper).tuples().execute(database):
        if state != SessionState.ACTIVE.value:
            wrong.append(f"session {id} is {state}")
        if strangers := people.get((Kind.SESSION.value, id), set()) - {asker, helper}:
            wrong.append(f"session {id} has {strangers}")
    users = []
    rows = c.select(c.id, c.state, c.user, c.waiter, c.changes).order_by(c.id).tuples().execute(database)
    for id, state, user, waiter, changes in rows:
        users.append(user)
        if state != ConversationState.ACTIVE.value or changes != 1:
            wrong.append(f"conversation {id} of {user} is {state}, after {changes} changes")
        if strangers := people.get((Kind.SUPPORT.value, id), set()) - {user, waiter}:
            wrong.append(f"conversation {id} has {strangers}")
    wrong += [f"{user} has {users.count(user)} conversations" for user in set(users) if users.count(user) > 1]
    database.close()
    return found, wrong


def _difference(expected: list[int], found: list[int]) -> str:
    missing, place = sorted(set(expected) - set(found)), 0
    for place, (one, other) in enumerate(zip(expected, found, strict=False)):  # noqa: B007
        if one != other:
            break
    return f"{len(found)} of {len(expected)}, missing {missing[:5]}, differing from place {place}"

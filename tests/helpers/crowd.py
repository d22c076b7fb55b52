"""Clients that send messages while the servers fail, and a check of the stored and the received ones.

Each conversation has a sender of numbered messages and a listener. Most senders use message ids (the feature
``ack``) and send unacknowledged messages again; some use only the seed's protocol, and so do half of the
listeners. All clients reconnect, to one address.

At the end, in each conversation: every acknowledged message is stored once, in the order of sending; a
listener with sequence numbers received exactly these; a listener with the seed's protocol received them in
the same order, without a gap, possibly some more than once. A message of a sender with the seed's protocol
may be lost with its connection; those that are stored are in order, stored once, and received.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Harness, token
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

CLIENT_OPTIONS = Options(
    initial_delay_seconds=0.02, max_delay_seconds=0.5, ping_interval_seconds=2.0, timeout_seconds=5.0
)
SETTLE_TIMEOUT_SECONDS = 60.0  # from the last fault until every message must have arrived
MAX_UNRECEIVED_MESSAGES = 500  # that a sender is ahead of its listener


@dataclass(frozen=True)
class LoadProfile:
    """The load that the clients make.

    :ivar burst: messages of one sender that are under way at once.
    :ivar pause: seconds between two bursts, on average.
    :ivar capacity: users of one waiter.
    :ivar seed_senders: each n-th conversation has a sender that uses only the seed's protocol; 0: none.
    :ivar observed: each n-th session is observed by a supervisor; 0: none.
    """

    burst: int = 8
    pause: float = 0.01
    capacity: int = 5
    seed_senders: int = 0
    observed: int = 0


@dataclass
class NumberedConversation:
    """One conversation, with the numbers of the messages that were sent, acknowledged and received.

    :ivar sent: the number of the last message that was sent.
    :ivar seed_listener: the listener may receive a message more than once.
    :ivar seed_sender: messages may be lost.
    :ivar observed: the messages that the observing supervisor received; None if there is no observer.
    """

    name: str
    sent: int = 0
    acknowledged: set[int] = field(default_factory=set)
    received: list[int] = field(default_factory=list)
    seed_listener: bool = False
    seed_sender: bool = False
    observed: list[int] | None = None
    observer_connected: asyncio.Event = field(default_factory=asyncio.Event)
    address: str | None = None

    def text(self, number: int) -> str:
        return f"{self.name}/{number}"

    def number(self, text: str) -> int:
        name, _, number = text.partition("/")
        assert name == self.name, f"{self.name} received {text!r} of another conversation"
        return int(number)

    def receive(self, text: str) -> None:
        self.received.append(self.number(text))

    @property
    def received_once(self) -> list[int]:
        """The received messages without repetitions."""
        return list(dict.fromkeys(self.received))

    @property
    def is_all_received(self) -> bool:
        """Return True if no message is under way any more."""
        if self.observed is not None and (not self.observed or self.observed[-1] != self.sent):
            return False
        answered = self.seed_sender or len(self.acknowledged) == self.sent
        return answered and bool(self.received) and self.received[-1] == self.sent


@dataclass
class RunTotals:
    """The totals of a run.

    :ivar again: messages that were received more than once.
    :ivar lost: acknowledged messages that were not stored, and stored messages that were not received.
    :ivar wrong: a sentence for each violation.
    """

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
    """All clients of a run: ``gather``, then ``send_during``, then ``compare`` when the servers have stopped.

    :arg url: the address to which all clients connect and reconnect.
    :arg random: the source of the pauses between messages.
    """

    def __init__(self, url: str, random: random.Random, profile: LoadProfile) -> None:
        self._url = url
        self._random = random
        self._profile = profile
        self._over = asyncio.Event()
        self._by_name: dict[str, NumberedConversation] = {}
        self._clients: list[Coroutine[Any, Any, None]] = []
        self._waiters: list[Coroutine[Any, Any, None]] = []

    @property
    def conversations(self) -> list[NumberedConversation]:
        return [*self._by_name.values()]

    @property
    def acknowledged(self) -> int:
        return sum(len(conversation.acknowledged) for conversation in self.conversations)

    async def gather(self, harness: Harness, sessions: int, users: int) -> None:
        """Prepare ``sessions`` counselling sessions and ``users`` users of support, with their waiters."""
        profile = self._profile
        for n in range(sessions):
            session = await harness.session(user=1000 + n, consultant=2000 + n)
            conversation = self._add_conversation(f"s{session}", n)
            conversation.seed_listener = n % 2 == 1
            if profile.observed and n % profile.observed == 0:
                await harness.record(session, supervisor=5000 + n)
                conversation.observed = []
                self._clients.append(self._run_observer(token("supervisor", 5000 + n), session, conversation))
            visitor = ChatClient(
                self._url,
                token("user", 1000 + n),
                session,
                features=self._features(conversation),
                options=CLIENT_OPTIONS,
            )
            self._clients.append(self._run_visitor(visitor, conversation))
            listen = self._run_seed_listener if conversation.seed_listener else self._run_listener
            self._clients.append(listen(token("consultant", 2000 + n), session, conversation))
        for n in range(users):
            conversation = self._add_conversation(f"u{3000 + n}", n)
            conversation.seed_listener = conversation.seed_sender
            self._clients.append(self._run_user(3000 + n, conversation))
        self._waiters = [self._run_waiter(4000 + n) for n in range(-(-users // profile.capacity))]

    def _add_conversation(self, name: str, n: int) -> NumberedConversation:
        every = self._profile.seed_senders
        conversation = self._by_name[name] = NumberedConversation(
            name, seed_sender=bool(every) and n % every == every - 1
        )
        return conversation

    def _features(self, conversation: NumberedConversation) -> tuple[str, ...]:
        return () if conversation.seed_sender else ("ack", "seq")

    async def send_during(self, faults: Awaitable[None]) -> None:
        """Send messages until ``faults`` has ended, then wait until all messages are received."""
        tasks = [asyncio.create_task(each) for each in self._clients]
        waiters = [asyncio.create_task(each) for each in self._waiters]
        running_faults = asyncio.ensure_future(self._run_faults(faults))
        sending = asyncio.gather(running_faults, *tasks)
        try:
            # Waiters answer until the other clients have ended; a waiter that ends earlier has failed.
            done, _ = await asyncio.wait([sending, *waiters], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (running_faults, *tasks, *waiters):
                task.cancel()
            await asyncio.gather(running_faults, *tasks, *waiters, return_exceptions=True)

    async def _run_faults(self, faults: Awaitable[None]) -> None:
        await faults
        self._over.set()

    async def wait_for_progress(self, timeout_seconds: float = SETTLE_TIMEOUT_SECONDS) -> float:
        """Wait until each conversation has received a message sent after this call; return the seconds."""
        started = time.monotonic()
        marks = {conversation.name: conversation.sent for conversation in self.conversations}
        left = self.conversations
        while left := [
            conversation
            for conversation in left
            if not conversation.received or conversation.received[-1] <= marks[conversation.name]
        ]:
            if time.monotonic() > started + timeout_seconds:
                names = ", ".join(
                    f"{conversation.name} ({conversation.sent} sent)" for conversation in left[:5]
                )
                raise AssertionError(f"{len(left)} conversations do not go on: {names}")
            await asyncio.sleep(0.05)
        return time.monotonic() - started

    # --- clients ---

    async def _run_visitor(self, client: ChatClient, conversation: NumberedConversation) -> None:
        if conversation.observed is not None:  # the observer receives no message from before it connected
            await conversation.observer_connected.wait()
        async with client:
            await self._send(client, conversation)
            await self._wait_until_received(conversation)

    async def _send(self, client: ChatClient | UserClient, conversation: NumberedConversation) -> None:
        """Send numbered messages, several under way at once, until the run is over and all are answered."""
        under_way: set[asyncio.Task[None]] = set()

        async def send_number(number: int) -> None:
            if conversation.seed_sender:
                await client.send(conversation.text(number))
            else:
                await client.send(conversation.text(number), id=conversation.text(number))
                conversation.acknowledged.add(number)

        while not self._over.is_set():
            while (
                len(under_way) < self._profile.burst
                and conversation.sent - len(conversation.received) < MAX_UNRECEIVED_MESSAGES
            ):
                conversation.sent += 1
                under_way.add(asyncio.create_task(send_number(conversation.sent)))
            if under_way:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            await asyncio.sleep(self._random.random() * 2 * self._profile.pause)
        await asyncio.gather(*under_way)
        while (
            conversation.seed_sender and not conversation.is_all_received
        ):  # the last one may have been lost
            conversation.sent += 1
            await send_number(conversation.sent)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    await self._wait_until_received(conversation)

    async def _run_listener(self, jwt: str, session: int, conversation: NumberedConversation) -> None:
        async with ChatClient(self._url, jwt, session, options=CLIENT_OPTIONS) as client:
            while not self._is_over(conversation):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if not frame.system:
                        conversation.receive(frame.msg)

    async def _run_seed_listener(self, jwt: str, session: int, conversation: NumberedConversation) -> None:
        """Listen like a front end of the seed that can only reconnect."""
        while not self._is_over(conversation):
            with contextlib.suppress(ConnectionClosed, TimeoutError, OSError):
                client = await RawClient.connect(f"{self._url}/chat?token={jwt}&sessionId={session}&type=0")
                try:
                    while not self._is_over(conversation):
                        with contextlib.suppress(TimeoutError):
                            frame = await client.recv_json(0.5)
                            if not frame["isSystem"]:
                                conversation.receive(frame["msg"])
                finally:
                    closing = asyncio.ensure_future(client.close())
                    await asyncio.wait({closing}, timeout=6)
            await asyncio.sleep(0.05)  # a page pauses before it reconnects

    async def _run_observer(self, jwt: str, session: int, conversation: NumberedConversation) -> None:
        assert conversation.observed is not None
        async with ObserveClient(self._url, jwt, session, options=CLIENT_OPTIONS) as client:
            conversation.observer_connected.set()
            while not self._is_over(conversation):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if frame.sender_type is not None:
                        conversation.observed.append(conversation.number(frame.msg))

    async def _run_user(self, id: int, conversation: NumberedConversation) -> None:
        async with UserClient(
            self._url, token("user", id), self._features(conversation), options=CLIENT_OPTIONS
        ) as client:
            await client.expect("connect_success", SETTLE_TIMEOUT_SECONDS)
            sending = asyncio.create_task(self._send(client, conversation))
            while not (sending.done() and self._is_over(conversation)):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if frame.type == "message_text":
                        conversation.receive(frame.message.removeprefix("re "))
                    assert frame.type != "disconnected", f"{conversation.name} was disconnected"
            sending.result()

    async def _run_waiter(self, id: int) -> None:
        """Answer every message with its own text."""
        async with WaiterClient(self._url, token("waiter", id), options=CLIENT_OPTIONS) as client:
            while True:
                frame = await client.receive(None)
                if frame.type != "message_text":
                    continue
                assert frame.sender is not None
                conversation = self._by_name[frame.message.partition("/")[0]]
                assert conversation.address in (None, frame.sender), f"{conversation.name} has two addresses"
                conversation.address = frame.sender
                # With an id, so that an answer that is sent again after a cut is stored once.
                await client.send(frame.sender, f"re {frame.message}", id=f"re {frame.message}")

    def _is_over(self, conversation: NumberedConversation) -> bool:
        return self._over.is_set() and conversation.is_all_received

    async def _wait_until_received(self, conversation: NumberedConversation) -> None:
        async with asyncio.timeout(SETTLE_TIMEOUT_SECONDS):
            while not self._is_over(conversation):  # noqa: ASYNC110 - the listener is a client of its own
                await asyncio.sleep(0.05)

    # --- comparison ---

    def compare(self, totals: RunTotals, storage_url: str) -> None:
        """Compare the sent, stored and received messages, and add the result to ``totals``."""
        stored, wrong = _read_stored(storage_url)
        totals.wrong += wrong
        for conversation in self.conversations:
            name, stored_numbers = conversation.name, stored.get(conversation.name, [])
            expected = (
                sorted(set(stored_numbers))
                if conversation.seed_sender
                else list(range(1, conversation.sent + 1))
            )
            totals.sent += len(expected)
            totals.acknowledged += len(conversation.acknowledged)
            totals.stored += len(stored_numbers)
            totals.received += len(conversation.received_once)
            totals.again += len(conversation.received) - len(conversation.received_once)
            totals.lost += len(conversation.acknowledged - set(stored_numbers)) + len(
                set(expected) - set(conversation.received)
            )
            if stored_numbers != expected:
                totals.wrong.append(f"{name}: stored {_difference(expected, stored_numbers)}")
            if conversation.received_once != expected:
                totals.wrong.append(f"{name}: received {_difference(expected, conversation.received_once)}")
            if conversation.observed not in (None, expected):
                totals.wrong.append(f"{name}: observed {_difference(expected, conversation.observed or [])}")
            if not conversation.seed_listener and conversation.received != expected:
                totals.wrong.append(f"{name}: received a message twice")


def _read_stored(storage_url: str) -> tuple[dict[str, list[int]], list[str]]:
    """Read the database after the run.

    Returns the numbers of each conversation's messages without the answers, in the stored order, and a
    sentence for each violation in the conversations themselves.
    """
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
    missing, index = sorted(set(expected) - set(found)), 0
    for index, (wanted, number) in enumerate(zip(expected, found, strict=False)):  # noqa: B007
        if wanted != number:
            break
    return f"{len(found)} of {len(expected)}, missing {missing[:5]}, different from index {index} on"

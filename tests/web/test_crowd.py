"""A hundred users and twenty waiters at once, which connect, drop, reconnect and leave."""

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest

from tests.conftest import Harness, Peer, changed, on_both
from tornado_chat import config
from tornado_chat.client import ConnectionClosed

pytestmark = on_both

USERS = 100
WAITERS = 20
CAPACITY = 5


class Crowd:
    """The clients of a test, and their records for the checks at the end."""

    def __init__(self, harness: Harness, seed: int) -> None:
        self.harness = harness
        self.random = random.Random(seed)
        self.answers: dict[int, list[str]] = defaultdict(list)
        self.load: dict[int, set[str]] = defaultdict(set)
        self.highest = 0
        self.enough = asyncio.Event()

    async def user(self, id: int) -> None:
        """Wait for a waiter, send a message, get an answer, leave. Some drop once or twice before."""
        for _ in range(self.random.randrange(3)):
            peer = await self.harness.user(id)
            await self._wait(peer)
            await peer.close(1001)
        peer = await self.harness.user(id)
        await self._wait(peer, to_the_end=True)
        await peer.send_frame("message_text", {"message": f"I am {id}"})
        answer = await peer.until("message_text")
        self.answers[id].append(answer["payload"]["message"])
        await peer.send_frame("disconnect")
        await peer.until("disconnected")
        await peer.close()

    async def _wait(self, peer: Peer, *, to_the_end: bool = False) -> None:
        """Wait for a waiter; a user that is going to drop may do so in the queue."""
        while True:
            frame = await peer.client.recv_json()
            if frame["type"] == "connect_success" or not to_the_end:
                return

    async def waiter(self, id: int) -> None:
        """Answer all messages, until no user is left. The connection drops at random."""
        while not self.enough.is_set():
            peer = await self.harness.waiter(id)
            await self._work(peer, id, patience=self.random.randrange(20, 60))
            await peer.close(1001)

    async def _work(self, peer: Peer, id: int, patience: int) -> None:
        while patience and not self.enough.is_set():
            try:
                frame: dict[str, Any] = await peer.client.recv_json(0.2)
            except TimeoutError:
                continue
            except ConnectionClosed:
                return
            patience -= 1
            if frame["type"] == "new_connection":
                self.load[id].add(frame["payload"]["uuid"])
                self.highest = max(self.highest, len(self.load[id]))
            elif frame["type"] == "disconnected":
                self.load[id].discard(frame["from"])
            elif frame["type"] == "message_text":
                assert frame["from"] in self.load[id]
                name = frame["payload"]["message"].removeprefix("I am ")
                await peer.send_frame("message_text", {"message": f"hello {name}"}, to=frame["from"])


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(settings, "support", capacity=CAPACITY, rejoin_grace=10.0)


@pytest.mark.gen_test
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_user_is_served_once_by_its_waiter(harness: Harness, seed: int) -> None:
    crowd = Crowd(harness, seed)
    waiters = [asyncio.create_task(crowd.waiter(1000 + n)) for n in range(WAITERS)]
    arrivals = []
    for id in range(1, USERS + 1):
        arrivals.append(asyncio.create_task(crowd.user(id)))
        if crowd.random.random() < 0.3:
            await asyncio.sleep(0)
    await asyncio.gather(*arrivals)
    crowd.enough.set()
    await asyncio.gather(*waiters)
    # At least once: an answer may come twice to a waiter's user whose waiter dropped in between.
    assert {id: set(texts) for id, texts in crowd.answers.items()} == {
        id: {f"hello {id}"} for id in range(1, USERS + 1)
    }
    assert crowd.highest <= CAPACITY


@pytest.mark.gen_test
async def test_first_come_first_served(harness: Harness) -> None:
    line = [await harness.user(id) for id in range(1, USERS + 1)]
    for place, peer in enumerate(line, 1):
        assert (await peer.get("connect_queue"))["payload"] == {"location": place}
    waiters = [await harness.waiter(1000 + n) for n in range(WAITERS)]
    served = []
    for waiter in waiters:
        served.append([(await waiter.get("new_connection"))["payload"]["uuid"] for _ in range(CAPACITY)])
    # The first waiter got the first five of the queue, and so on: all users, in order.
    assert [uuid for five in served for uuid in five] == [peer.uuid for peer in line]

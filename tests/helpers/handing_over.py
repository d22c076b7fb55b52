"""Many hand-overs of one conversation, while its connections are cut; who got which message is checked.

Each agent serves once, so all that it may ever get are the messages up to the one at which it was replaced.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Harness, token
from tornado_chat.client.raw import RawClient
from tornado_chat.client.socket import ConnectionClosed
from tornado_chat.core.types import Kind, Person, Role, Thread
from tornado_chat.storage import messages, rooms

HOST = token("service", "host")
FIRST_AGENT = 100
MESSAGES_PER_TURN = 4


@dataclass
class Figures:
    """What was done and found. ``lost``, ``repeated`` and ``shown_later`` have to stay 0."""

    handovers: int = 0
    cuts: int = 0
    messages: int = 0
    lost: int = 0
    repeated: int = 0
    shown_later: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.repeated or self.shown_later)


@dataclass
class Participant:
    """A person with one socket at a time, which is cut now and then, and what it has got."""

    id: int
    client: RawClient | None = None
    seen: set[int] = field(default_factory=set)
    unanswered: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    reader: asyncio.Task[None] | None = None

    def cut(self) -> bool:
        """Cut the socket, without a close frame. Returns False if it has closed already."""
        connection = None if self.client is None else self.client._socket._connection
        if connection is None or connection.protocol is None or self.client is None:
            return False
        connection.protocol._abort()
        return True

    async def stop(self) -> None:
        if self.reader is not None:
            await asyncio.wait({self.reader})


class ManyHandovers:
    """A conversation that goes from agent to agent.

    :arg harnesses: the servers; each socket is opened at one of them.
    """

    def __init__(self, harnesses: Sequence[Harness], rng: random.Random) -> None:
        self.harnesses = harnesses
        self.rng = rng
        self.figures = Figures()
        self.thread = Thread(Kind.SESSION, 0)

    @property
    def harness(self) -> Harness:
        return self.rng.choice(self.harnesses)

    async def api(self, path: str, who: str, body: Any = None) -> Any:
        answer = await self.harness.api("POST", f"/api/v1{path}", who, body)
        assert answer.code in (200, 201), answer.body
        return json.loads(answer.body)

    async def left_at(self, agent: int) -> int:
        """Return the last number that a former agent may have got."""
        sql = "SELECT MAX(left_seq) FROM participant WHERE kind = ? AND number = ? AND person = ?"
        key = f"{self.agent_role}:{agent}"

        def find(database: Any) -> int:
            values = (self.thread.kind.value, self.thread.id, key)
            row = database.execute_sql(sql.replace("?", database.param), values).fetchone()
            return int(row[0])

        return await self.harness.server._store.read(find)

    agent_role = "consultant"

    async def stored(self) -> dict[int, str]:
        last = await self.harness.server._store.read(messages.last_seq, self.thread)
        found = await self.harness.server._store.read(messages.after, self.thread, 0, last)
        return {message.seq: message.text for message in found}

    async def check(self, visitor: Participant, agents: Sequence[Participant], sent: Sequence[str]) -> None:
        """Compare what everyone has got with what is stored."""
        stored = await self.stored()
        figures = self.figures
        figures.messages = len(stored)
        texts = list(stored.values())
        figures.lost += len(set(sent) - set(texts)) + len(set(stored) - visitor.seen)
        figures.repeated += len(texts) - len(set(texts)) + visitor.repeated
        for agent in agents[:-1]:
            last = await self.left_at(agent.id)
            figures.shown_later += len([seq for seq in agent.seen if seq > last])
            figures.repeated += agent.repeated
            if agent.seen and agent.seen != set(range(1, max(agent.seen) + 1)):
                figures.lost += 1


class SessionHandovers(ManyHandovers):
    """A session: by offers that are accepted by a call, a frame or by entering, and by take-overs."""

    async def run(self, turns: int) -> Figures:
        self.session = await self.harness.session(consultant=FIRST_AGENT)
        self.thread = Thread(Kind.SESSION, self.session)
        visitor, agents, sent = Participant(1), [Participant(FIRST_AGENT)], []
        await self.connect(visitor, "user")
        await self.connect(agents[0], "consultant")
        for turn in range(turns):
            agent, following = agents[-1], Participant(FIRST_AGENT + turn + 1)
            work = [self.say(visitor, "user", f"v{turn}.{n}", sent) for n in range(MESSAGES_PER_TURN)]
            talking = asyncio.gather(*work, self.say_once(agent, f"a{turn}"))
            if self.rng.random() < 0.3:
                self.figures.cuts += agent.cut()
            if self.rng.random() < 0.3:
                self.figures.cuts += visitor.cut()
            await self.hand_over(agent, following, turn)
            if self.rng.random() < 0.3:
                self.figures.cuts += visitor.cut()
            await talking
            agents.append(following)
            self.figures.handovers += 1
        await self.say(visitor, "user", "the end", sent)
        stored = await self.stored()
        while not set(stored) <= visitor.seen:
            await self.reconnect(visitor, "user")
            await asyncio.sleep(0)
        await self.api(f"/sessions/{self.session}/end", HOST)
        for person in (visitor, *agents):
            await person.stop()
        await self.check(visitor, agents, sent)
        return self.figures

    async def hand_over(self, agent: Participant, following: Participant, turn: int) -> None:
        path, own = f"/sessions/{self.session}/handover", token("consultant", agent.id)
        way = turn % 3
        if way == 0:  # a take-over
            before, after = (Person(Role.CONSULTANT, str(each.id)) for each in (agent, following))
            await self.harness.server._store.write(
                lambda tx: rooms.replace_agent(tx, self.thread, before, after, None), self.thread
            )
        else:
            candidates = [{"role": "consultant", "id": id} for id in (5, following.id)]
            await self.api(path, own, {"to": candidates, "note": "n"})
            await self.api(f"{path}/decline", token("consultant", 5))
            if way == 1:
                await self.api(f"{path}/accept", token("consultant", following.id))
        await self.connect(following, "consultant")
        read = self.harness.server._store.look_up
        while (await read(rooms.get, self.thread)).helper.id != str(following.id):  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # entering accepts

    async def connect(self, person: Participant, role: str) -> None:
        client = await self.harness.chat(token(role, person.id), self.session, features="ack,seq,echo")
        person.client = client
        person.reader = asyncio.ensure_future(self.read(person, client))

    async def reconnect(self, person: Participant, role: str) -> None:
        if person.client is not None and person.client.close_code is None:
            return
        await person.stop()
        await self.connect(person, role)

    async def read(self, person: Participant, client: RawClient) -> None:
        here: set[int] = set()  # a number comes once on a socket
        with suppress(ConnectionClosed):
            while True:
                frame = await client.recv_json(None)
                if "ack" in frame:
                    person.unanswered.pop(frame["ack"], None)
                elif "seq" in frame:
                    person.repeated += frame["seq"] in here
                    here.add(frame["seq"])
                    person.seen.add(frame["seq"])

    async def say(self, person: Participant, role: str, text: str, sent: list[str]) -> None:
        """Send a message until it is acknowledged, with the same id."""
        sent.append(text)
        person.unanswered[text] = text
        lock = self.__dict__.setdefault("_lock", asyncio.Lock())
        while text in person.unanswered:
            async with lock:
                await self.reconnect(person, role)
            client = person.client
            with suppress(ConnectionClosed):
                assert client is not None
                await client.send_json({"msg": text, "id": text})
            while text in person.unanswered and client is not None and client.close_code is None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def say_once(self, person: Participant, text: str) -> None:
        """Send a message of an agent that may be replaced at this moment: it may be refused."""
        with suppress(ConnectionClosed):
            assert person.client is not None
            await person.client.send_json({"msg": text, "id": text})


class SupportHandovers(ManyHandovers):
    """A support conversation: by transfers at once, and by offers to waiters that want to be asked."""

    agent_role = "waiter"

    async def run(self, turns: int) -> Figures:
        agents: list[Participant] = [await self.waiter(FIRST_AGENT, offers=False)]
        user = Participant(1)
        sent: list[str] = []
        await self.connect_user(user)
        while not self.peer_of(agents[0]):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for turn in range(turns):
            agent, offers = agents[-1], turn % 2 == 1
            following = await self.waiter(FIRST_AGENT + turn + 1, offers=offers)
            talking = asyncio.gather(
                *(self.say(user, f"u{turn}.{n}", sent) for n in range(MESSAGES_PER_TURN))
            )
            if self.rng.random() < 0.4:
                self.figures.cuts += user.cut()
            await self.transfer(agent, following, offers)
            if self.rng.random() < 0.4:
                self.figures.cuts += user.cut()
            await talking
            agents.append(following)
            self.figures.handovers += 1
            assert agent.client is not None
            await agent.client.close()
        stored = await self.stored()
        while not set(stored) <= user.seen:
            await self.reconnect(user)
            await asyncio.sleep(0.001)
        for person in (user, *agents):
            if person.client is not None:
                await person.client.close()
            await person.stop()
        await self.check(user, agents, sent)
        return self.figures

    async def transfer(self, agent: Participant, following: Participant, offers: bool) -> None:
        assert agent.client is not None
        payload = {"waiter": following.id, "note": "n"}
        while not self.peer_of(following):
            if not self.peer_of(agent):
                await asyncio.sleep(0.001)
                continue
            frame = {"id": "t", "type": "transfer", "payload": payload, "to": self.peer_of(agent)}
            await agent.client.send_json(frame)
            for _ in range(300):  # until the other waiter is known everywhere, the transfer is refused
                if self.peer_of(following):
                    break
                await asyncio.sleep(0.001)

    def peer_of(self, person: Participant) -> str:
        return str(person.unanswered.get("peer", ""))

    async def waiter(self, id: int, *, offers: bool) -> Participant:
        features = ["ack", "seq", "echo", *(["offer"] if offers else [])]
        peer = await self.harness.waiter(id, features=features)
        person = Participant(id, peer.client)

        async def on_frame(frame: Any) -> None:
            if frame["type"] == "new_connection":
                person.unanswered["peer"] = frame["from"]
                self.thread = Thread(Kind.SUPPORT, frame["payload"]["conversation"])
            elif frame["type"] == "offer" and frame["payload"]["state"] == "offered":
                await peer.send_frame("accept_offer", {"offer": int(frame["payload"]["id"])})

        person.reader = asyncio.ensure_future(self.read(person, peer.client, on_frame))
        return person

    async def connect_user(self, user: Participant) -> None:
        peer = await self.harness.user(user.id, features=["ack", "seq", "echo"])
        user.client = peer.client

        async def on_frame(frame: Any) -> None:
            if frame["type"] == "message_text_success":
                user.unanswered.pop(frame["reply_id"], None)

        user.reader = asyncio.ensure_future(self.read(user, peer.client, on_frame))

    async def reconnect(self, user: Participant) -> None:
        if user.client is not None and user.client.close_code is None:
            return
        await user.stop()
        await self.connect_user(user)

    async def read(self, person: Participant, client: RawClient, on_frame: Any) -> None:
        here: set[int] = set()
        with suppress(ConnectionClosed):
            while True:
                frame = await client.recv_json(None)
                if frame["type"] == "message_text":
                    person.repeated += frame["seq"] in here
                    here.add(frame["seq"])
                    person.seen.add(frame["seq"])
                else:
                    await on_frame(frame)

    async def say(self, user: Participant, text: str, sent: list[str]) -> None:
        sent.append(text)
        user.unanswered[text] = text
        lock = self.__dict__.setdefault("_lock", asyncio.Lock())
        while text in user.unanswered:
            async with lock:
                await self.reconnect(user)
            client = user.client
            frame = {"id": text, "type": "message_text", "payload": {"message": text}}
            with suppress(ConnectionClosed):
                assert client is not None
                await client.send_json(frame)
            for _ in range(200):  # while the connection has not come back, it is refused
                if text not in user.unanswered or client is None or client.close_code is not None:
                    break
                await asyncio.sleep(0.001)

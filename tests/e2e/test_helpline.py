"""A conversation of a helpline from the line to the rating, with all that a crisis takes.

A guest accepts the consent, waits, is served by a trainee under approval, an alert calls the supervisor, who
whispers, joins, takes over and hands over; connections are cut, and the server is killed. At the end the
transcript, the audit and each person's screen agree on who said what, in which order.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, Peer, token
from tests.e2e.conftest import Process
from tests.helpers.chaos import NO_ANSWER, SILENT, Cluster
from tests.helpers.faults import FaultyProxy
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import RawClient

pytestmark = pytest.mark.slow

ADMIN, SUPERVISOR = token("admin", 9), token("supervisor", 3, "Wu")
OTHER_SUPERVISOR = token("supervisor", 4, "Ma")
VISITOR_FEATURES = ["ack", "seq", "echo", "sender", "group", "consent", "eta", "profile"]
AGENT_FEATURES = ["ack", "seq", "echo", "sender", "profile", "approval", "offer", "ready"]
MIN_CONVERSATIONS = 5  # that an expected wait rests on
ALERT_WORD = "自杀"

Spoken = tuple[str, str]
"""The role of a speaker, and the text."""


def options(folder: Path) -> Sequence[str]:
    words = folder / "words.txt"
    words.write_text(f"{ALERT_WORD}\n")
    return (
        "auth.guests=on",
        "group:crisis.roles=consultant",
        "group:crisis.supervisors=supervisor:3",
        "group:crisis.consent=Your words are stored.",
        "group:crisis.consent_version=1",
        "group:crisis.approval_timeout=0",
        "plugins.enabled=audit, keyword_filter",
        f"plugin:keyword_filter.alert={words}",
    )


def spoken(frame: dict[str, Any]) -> Spoken | None:
    """Return what a frame of the support dialect, or of ``/observe``, shows as said."""
    if frame.get("type") == "message_text":
        return frame["sender"]["role"], frame["payload"]["message"]
    if frame.get("senderType") is not None:
        return frame["sender"]["role"], frame["msg"]
    return None


class Screen:
    """What one person has seen in the conversation, over all of its sockets.

    :ivar lines: by ``seq``: a line that comes again has to be the same.
    """

    def __init__(self) -> None:
        self.lines: dict[int, Spoken] = {}

    def note(self, frame: dict[str, Any]) -> None:
        line = spoken(frame)
        if line is not None:
            assert self.lines.setdefault(frame["seq"], line) == line

    async def until(self, client: RawClient, key: str, value: Any = None) -> dict[str, Any]:
        """Return the next frame with ``key``, and this value if one is given."""
        while True:
            frame = dict(await client.recv_json(WAIT_TIMEOUT_SECONDS))
            self.note(frame)
            if key in frame and value in (None, frame[key]):
                return frame

    async def until_said(self, client: RawClient, text: str) -> None:
        while not any(line == text for _, line in self.lines.values()):
            frame = await client.recv_json(WAIT_TIMEOUT_SECONDS)
            self.note(frame)

    @property
    def story(self) -> list[Spoken]:
        return [self.lines[seq] for seq in sorted(self.lines)]


async def sign_in(harness: Harness, path: str, who: str, features: list[str]) -> Peer:
    peer = Peer(await harness.connect(path))
    await peer.sign_in_with(who, features)
    return peer


async def serve_earlier_users(harness: Harness) -> None:
    """Let some users of the group be served, so that there is an expected wait."""
    agent = await sign_in(harness, "/v1/ws/waiter/connect", token("consultant", 8), [])
    await agent.send_frame("ready")
    for number in range(MIN_CONVERSATIONS):
        user = await sign_in(harness, "/v1/ws/user/connect", token("user", 100 + number), [])
        await user.send_frame("connect", {"group": "crisis"})
        await user.until("connect_success")
        await user.send_frame("disconnect")
        await agent.until("disconnected")
        await user.close()
    await agent.send_frame("unready")
    await agent.close()


async def api(harness: Harness, method: str, path: str, who: str | None, body: Any = None) -> Any:
    answer = await harness.api(method, f"/api/v1{path}", who, body)
    assert answer.code < 300, (path, answer.code, answer.body)
    return json.loads(answer.body) if answer.body else None


async def audit_actions(server: Process) -> str:
    """Return what the audit has, as ``tornado-chat audit show`` prints it."""
    arguments = [word for option in server.options for word in ("--set", option)]
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tornado_chat", "audit", "show", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    shown, _ = await running.communicate()
    assert running.returncode == 0, shown.decode()
    return shown.decode()


class Story:
    """The people of one run.

    :arg servers: the visitor and the supervisor are at the first, the agents at the last.
    """

    def __init__(self, servers: Sequence[Process], proxy: FaultyProxy) -> None:
        self.servers = servers
        self.proxy = proxy
        self.visitor_screen, self.supervisor_screen = Screen(), Screen()
        self.trainee_screen, self.next_screen = Screen(), Screen()

    @property
    def here(self) -> Harness:
        return self.servers[0].harness

    @property
    def there(self) -> Harness:
        return self.servers[-1].harness

    async def visit(self) -> Peer:
        """Connect the visitor through the proxy."""
        peer = Peer(await RawClient.connect(f"{self.proxy.url}/v1/ws/user/connect"))
        await peer.sign_in_with(self.guest, VISITOR_FEATURES)
        await peer.send_frame("connect", {"group": "crisis"})
        return peer

    async def cut_visitor(self, visitor: Peer) -> Peer:
        """Cut the visitor's connection, and let the visitor come back to the same agent."""
        self.proxy.cut()
        await visitor.client.wait_closed()
        visitor = await self.visit()
        await self.visitor_screen.until(visitor.client, "type", "connect_success")
        return visitor

    async def say(self, peer: Peer, screen: Screen, text: str, **more: Any) -> None:
        await peer.send_frame("message_text", {"message": text}, id=text, **more)
        await screen.until_said(peer.client, text)

    async def observe(self) -> RawClient:
        features = "seq,sender,approve,speak,ack"
        path = f"/observe?token={SUPERVISOR}&conversationId={self.number}&features={features}"
        return await self.here.connect(path)

    async def tell(self) -> None:
        """Play the story, and compare what each one has seen."""
        here, there = self.here, self.there
        visitor_screen, supervisor_screen = self.visitor_screen, self.supervisor_screen
        await serve_earlier_users(there)
        self.guest = (await api(here, "POST", "/guest", None))["token"]
        alerts = await here.connect(f"/notify?token={SUPERVISOR}&features=seq")
        await here.connect(f"/notify?token={OTHER_SUPERVISOR}&features=seq")

        # The line: the consent, a position, an expected wait.
        idle = await sign_in(there, "/v1/ws/waiter/connect", token("consultant", 8), [])
        await idle.send_frame("ready")
        busy = await sign_in(here, "/v1/ws/user/connect", token("user", 50), [])
        await busy.send_frame("connect", {"group": "crisis"})
        await busy.until("connect_success")
        await idle.send_frame("unready")
        visitor = await self.visit()
        asked = (await visitor.until("consent"))["payload"]
        assert asked["text"] == "Your words are stored."
        await visitor.send_frame("consent", {"version": asked["version"], "accept": True})
        queued = (await visitor.until("connect_queue"))["payload"]
        assert queued["location"] == 1
        self.number = queued["conversation"]

        # The trainee.
        trainee_token = token("consultant", 5, "Chen", trainee=True)
        trainee = await sign_in(there, "/v1/ws/waiter/connect", trainee_token, AGENT_FEATURES)
        await trainee.send_frame("ready")
        address = (await trainee.until("new_connection"))["payload"]["uuid"]
        await visitor_screen.until(visitor.client, "type", "connect_success")
        observer = await self.observe()
        for text, edited in (("good evening", None), ("calm down", "I am listening")):
            await trainee.send_frame("message_text", {"message": text}, to=address)
            held = (await supervisor_screen.until(observer, "held"))["held"]
            while held["state"] != "held":  # the decision on the message before
                held = (await supervisor_screen.until(observer, "held"))["held"]
            assert held["text"] == text
            decision = {"edit": held["id"], "text": edited} if edited else {"approve": held["id"]}
            await observer.send_json(decision)
            for screen, client in (
                (visitor_screen, visitor.client),
                (supervisor_screen, observer),
                (self.trainee_screen, trainee.client),
            ):
                await screen.until_said(client, edited or text)

        # The alert, and the supervisor's steps.
        await self.say(visitor, visitor_screen, f"I think of {ALERT_WORD}")
        alert = await Screen().until(alerts, "type", 2)
        assert alert["data"]["observeConversationId"] == str(self.number)
        record = int(alert["data"]["sessionId"])
        whisper = await here.chat(SUPERVISOR, record, type=1, features="ack")
        asking = await there.chat(trainee_token, record, type=1, features="ack")
        await whisper.send_json({"msg": "ask how it is now", "id": "w"})
        while (await asking.recv_json(WAIT_TIMEOUT_SECONDS)).get("msg") != "ask how it is now":
            pass
        visitor = await self.cut_visitor(visitor)
        base = f"/support/conversations/{self.number}"
        await api(here, "POST", f"{base}/join", SUPERVISOR)
        await supervisor_screen.until(observer, "part", "supervisor")
        await observer.send_json({"msg": "I am here as well", "id": "j"})
        await visitor_screen.until_said(visitor.client, "I am here as well")
        await api(here, "POST", f"{base}/takeover", SUPERVISOR, {"former": "leave"})
        await supervisor_screen.until(observer, "part", "agent")
        await self.trainee_screen.until(trainee.client, "type", "disconnected")
        await observer.send_json({"msg": "I stay with you", "id": "t"})
        await visitor_screen.until_said(visitor.client, "I stay with you")

        # The kill.
        await self.say(visitor, visitor_screen, "before the kill")
        await self.servers[0].stop(signal.SIGKILL)
        await self.servers[0].start()
        observer = await self.observe()
        await supervisor_screen.until(observer, "part", "agent")
        await visitor.client.wait_closed()
        visitor = await self.visit()
        await visitor_screen.until(visitor.client, "type", "connect_success")
        await self.say(visitor, visitor_screen, "after the kill")

        # The hand-over, and the end.
        following_token = token("consultant", 6, "Sun")
        following = await sign_in(there, "/v1/ws/waiter/connect", following_token, AGENT_FEATURES)
        await following.send_frame("ready")
        body = {"to": [{"role": "consultant", "id": 6}], "note": "speak slowly"}
        await api(self.here, "POST", f"{base}/handover", SUPERVISOR, body)
        offer = await self.next_screen.until(following.client, "type", "offer")
        assert offer["payload"]["note"] == "speak slowly"
        visitor = await self.cut_visitor(visitor)
        await following.send_frame("accept_offer", {"offer": offer["payload"]["id"]})
        new = await self.next_screen.until(following.client, "type", "new_connection")
        address = new["payload"]["uuid"]
        while (await visitor_screen.until(visitor.client, "type", "handed_over"))["payload"]["to"][
            "id"
        ] != "6":
            pass
        await self.say(following, self.next_screen, "Sun is here now", to=address)
        await visitor_screen.until_said(visitor.client, "Sun is here now")
        await self.say(visitor, visitor_screen, "thank you")
        await self.next_screen.until_said(following.client, "thank you")
        await visitor.send_frame("disconnect")
        await self.next_screen.until(following.client, "type", "disconnected")
        await visitor.send_frame("rate", {"rate": 5})
        await visitor_screen.until(visitor.client, "type", "rate_success")
        await self.compare()

    async def compare(self) -> None:
        expected = [
            ("consultant", "good evening"),
            ("consultant", "I am listening"),
            ("user", f"I think of {ALERT_WORD}"),
            ("supervisor", "I am here as well"),
            ("supervisor", "I stay with you"),
            ("user", "before the kill"),
            ("user", "after the kill"),
            ("consultant", "Sun is here now"),
            ("user", "thank you"),
        ]
        assert self.visitor_screen.story == expected
        assert [line for line in self.trainee_screen.story if line[1] == "I stay with you"] == []
        assert set(self.trainee_screen.story) <= set(expected[:4])
        assert self.supervisor_screen.story[:4] == expected[:4]
        transcript = await api(
            self.here, "GET", f"/support/conversations/{self.number}/export?format=json", ADMIN
        )
        said = [(line["sender"], line["message"]) for line in transcript["messages"]]
        assert said == expected, transcript
        details = await api(self.here, "GET", f"/support/conversations/{self.number}", ADMIN)
        assert details["rate"] == 5
        messages = await api(self.here, "GET", f"/support/conversations/{self.number}/messages", ADMIN)
        assert [each["version"] for each in messages["consents"]] == ["1"]
        shown = await audit_actions(self.servers[0])
        for action in (
            *("accepted consent", "approved message", "edited message", "asked for supervision"),
            *("joined", "took over", "offered hand-over", "accepted hand-over", "rated"),
        ):
            assert action in shown, action


async def play(servers: Sequence[Process]) -> None:
    port = int(servers[0].url.rsplit(":", 1)[1])
    async with FaultyProxy(port) as proxy:
        await Story(servers, proxy).tell()


@pytest.mark.gen_test
async def test_on_one_process(process: Process, tmp_path: Path) -> None:
    process.options += options(tmp_path)
    await process.start()
    await play([process])


@pytest.fixture
def cluster(
    io_loop: IOLoop, tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer
) -> Iterator[Cluster]:
    """Run two servers of a helpline."""
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 2, children=False)
    for number, server in enumerate(cluster.servers, 1):
        server.options += options(tmp_path)
        state = tmp_path / f"server-{number}" / "state"
        state.mkdir()
        (state / "audit.key").write_text("ab" * 32)  # the same on all machines
        server.expected.append(f"{SILENT}|{NO_ANSWER}")
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield cluster
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)


@pytest.mark.gen_test
async def test_on_two_processes(cluster: Cluster) -> None:
    await play(cluster.servers)

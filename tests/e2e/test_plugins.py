"""Plugins in a plugin folder of the real process: one for each kind of hook."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Harness, Peer, token
from tests.e2e.conftest import Process
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

VISITOR, COUNSELLOR, HOST = token("user", 1, "Lin"), token("consultant", 2, "Chen"), token("service", "host")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    return folder


def write_plugin(folder: Path, name: str, body: str) -> None:
    """Write a plugin with this class body into the folder."""
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    (folder / f"{name}.py").write_text(
        "import asyncio, json, pathlib, time\n"
        "from dataclasses import dataclass\n"
        "import click, peewee, tornado.web, tornado.websocket\n"
        "from tornado_chat import *\n"
        "def note(*what):\n"
        f"    with open({str(folder / 'notes')!r}, 'a') as file:\n"
        "        file.write(' '.join(map(str, what)) + '\\n')\n"
        f"class TheirPlugin(Plugin):\n{lines}\n"
    )


async def start(process: Process, folder: Path, *options: str) -> Harness:
    await process.start(f"plugins.paths={folder}", *options)
    return process.harness


async def wait_for_notes(folder: Path, *expected: str) -> list[str]:
    """Wait until the plugins have noted all of ``expected``, and return all notes."""
    notes: list[str] = []
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not set(expected) <= set(notes):
            await asyncio.sleep(0.02)  # another process writes the file of notes
            notes = (folder / "notes").read_text().splitlines() if (folder / "notes").exists() else []
    return notes


async def open_chat(harness: Harness, session: int) -> tuple[Any, Any]:
    visitor = await harness.chat(VISITOR, session, features="ack")
    counsellor = await harness.chat(COUNSELLOR, session)
    for who in (visitor, counsellor):
        while (await who.recv_json())["msg"] != "会话已开始":
            pass
    return visitor, counsellor


def run(process: Process, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the state of the process."""
    options = [word for option in process.options for word in ("--set", option)]
    return subprocess.run(
        [sys.executable, "-m", "tornado_chat", *arguments, *options],
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_SECONDS,
    )


@pytest.mark.gen_test
async def test_lifecycle(process: Process, folder: Path) -> None:
    write_plugin(
        folder,
        "life",
        """
@hookimpl
async def startup(self, context):
    self.context = context
    context.spawn(self.tick())
    note('startup', context.language, context.state_dir.name)
async def tick(self):
    try:
        await asyncio.Event().wait()
    finally:
        note('task ended')
@hookimpl
def shutdown(self):
    note('shutdown')
""",
    )
    await start(process, folder)
    await process.stop()
    assert (folder / "notes").read_text().splitlines() == ["startup zh_CN state", "task ended", "shutdown"]


@pytest.mark.gen_test
async def test_registration(process: Process, folder: Path) -> None:
    write_plugin(
        folder,
        "shop",
        """
class Visit(peewee.Model):
    who = peewee.CharField()
    class Meta:
        table_name = 'shop_visit'
class Page(tornado.web.RequestHandler):
    def initialize(self, context):
        self.context = context
    async def get(self):
        identity = await self.context.verify(self.get_query_argument('token'))
        visit = TheirPlugin.Visit.insert(who=identity.person.key)
        await self.context.write(lambda tx: visit.execute(tx.database))
        self.write('welcome ' + identity.name)
class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)
class LastIn:
    def rank(self, ticket):
        return (-ticket.number,)
    def choose(self, ticket, pool):
        return Choice(pool.least_loaded().person, 'the last shall be first')
@hookimpl
def register_models(self):
    return [self.Visit]
@hookimpl
def register_handlers(self, context):
    return [('/shop', self.Page, {'context': context}), ('/shop/echo', self.Echo)]
@hookimpl
def register_commands(self):
    @click.command('shop')
    @click.option('--loud', is_flag=True)
    @click.pass_obj
    def shop(context, loud):
        for visit in self.Visit.select().execute(context.database):
            click.echo(visit.who.upper() if loud else visit.who)
    return [shop]
@hookimpl
def register_queue_policy(self):
    return self.LastIn()
""",
    )
    harness = await start(process, folder)
    page = await harness.api("GET", f"/shop?token={VISITOR}")
    assert (page.code, page.body) == (200, b"welcome Lin")
    echo = await harness.connect("/shop/echo")
    await echo.send_json({"a": 1})
    assert await echo.recv_json() == {"a": 1}

    line = [await harness.user(id, connect=False) for id in (11, 12, 13)]
    for peer in line:
        await peer.send_frame("connect")
        await peer.until("connect_queue")
    waiter = await harness.waiter(7)
    users = [(await waiter.until("new_connection"))["payload"]["uuid"] for _ in line]
    assert users == [peer.uuid for peer in reversed(line)]
    await process.wait_for_log("the last shall be first")

    process.options.append(f"plugins.paths={folder}")
    assert run(process, "shop", "--loud").stdout == "USER:1\n"
    assert "shop" in run(process, "plugins").stdout


@pytest.mark.gen_test
async def test_decisions(process: Process, folder: Path) -> None:
    write_plugin(
        folder,
        "own",
        """
@hookimpl
async def authenticate(self, token):
    await asyncio.sleep(0)
    if token == 'magic':
        return Identity(Person(Role.USER, '1'), 'Lin')
    if token == 'spent':
        raise Unauthenticated('token_invalid', reason='it was used before')
@hookimpl
def authorize(self, identity, action, thread):
    if action is Action.OBSERVE:
        return identity.person.id == '9'
    if action is Action.QUEUE and identity.person.id == '66':
        return False
@hookimpl
async def find_session(self, session_id):
    if session_id == 70:
        return HostSession('1', '2', 'Lin', 'Chen')
@hookimpl
def find_record(self, record_id):
    if record_id == 80:
        return HostRecord(70, '3')
""",
    )
    harness = await start(process, folder)
    counsellor = await harness.chat(COUNSELLOR, 70)
    assert "咨询师 Chen" in (await counsellor.recv_json())["msg"]
    visitor = await harness.connect("/chat?token=magic&sessionId=70&type=0")
    assert "来访者 Lin" in (await visitor.recv_json())["msg"]
    stranger = await harness.chat(token("user", 5), 70)
    assert (await stranger.wait_closed()).code == 4403
    assert (await (await harness.chat(VISITOR, 71)).wait_closed()).code == 4404
    spent = await (await harness.connect("/chat?token=spent&sessionId=70&type=0")).wait_closed()
    assert (spent.code, "it was used before" in spent.reason) == (4401, True)
    supervisor = await harness.chat(token("supervisor", 3), 80, 1)
    assert "督导" in (await supervisor.recv_json())["msg"]

    listener = await harness.connect(f"/observe?token={token('supervisor', 9)}&sessionId=70")
    refused = await harness.connect(f"/observe?token={token('supervisor', 3)}&sessionId=70")
    assert (await refused.wait_closed()).code == 4403
    await visitor.send_json({"msg": "hello"})
    assert (await listener.recv_json())["msg"] == "hello"

    banned = await harness.user(66)
    assert (await banned.get("error"))["payload"]["message"]


@pytest.mark.gen_test
async def test_chains(process: Process, folder: Path) -> None:
    write_plugin(
        folder,
        "a_polite",
        """
@hookimpl
def filter_message(self, draft):
    if 'damn' in draft.text:
        raise Refused('mind your words', '请注意用语')
    return draft.replace(draft.text.replace('hell', 'heaven'))
@hookimpl
async def filter_notification(self, draft):
    if draft.msg == 'spam':
        raise Refused('no spam')
    return draft.replace(msg=draft.msg + '!')
""",
    )
    write_plugin(
        folder,
        "b_slow",
        """
@hookimpl
async def filter_message(self, draft):
    await asyncio.sleep(0.05 if draft.text.startswith('1') else 0)
    return draft.replace(draft.text + ' (' + draft.sender.person.key + ')')
""",
    )
    harness = await start(process, folder)
    session = await harness.session()
    visitor, counsellor = await open_chat(harness, session)
    for n, text in enumerate(("1 hell", "2 damn", "3 fine")):
        await visitor.send_json({"msg": text, "id": f"m{n}"})
    assert (await counsellor.recv_json())["msg"] == "1 heaven (user:1)"
    assert (await counsellor.recv_json())["msg"] == "3 fine (user:1)"
    answers = [await visitor.recv_json() for _ in range(3)]
    assert {answer.get("ack") for answer in answers} == {"m0", "m2", None}
    assert "错误: 未发送: 请注意用语" in [answer.get("msg") for answer in answers]
    page = await harness.api("GET", f"/api/v1/sessions/{session}/messages", HOST)
    assert [item["msg"] for item in json.loads(page.body)["items"]] == [
        "1 heaven (user:1)",
        "3 fine (user:1)",
    ]
    # Messages sent before the end are delivered before it, although a filter delays them.
    await visitor.send_json({"msg": "1 bye"})
    await visitor.close(4000)
    assert (await counsellor.recv_json())["msg"] == "1 bye (user:1)"
    assert (await counsellor.recv_json())["msg"] == "会话已结束"

    pop_ups = await harness.connect(f"/notify?token={COUNSELLOR}")  # the invitation is over with the session
    wanted = {"role": "consultant", "id": 2, "type": 0}
    assert (await harness.api("POST", "/api/v1/notifications", HOST, {**wanted, "msg": "spam"})).code == 422
    assert (await harness.api("POST", "/api/v1/notifications", HOST, {**wanted, "msg": "tea"})).code == 202
    assert (await pop_ups.recv_json())["msg"] == "tea!"


EVENTS = """
@hookimpl
def message_posted(self, message):
    note('message_posted', message.sender.key, message.text)
@hookimpl
async def session_started(self, room):
    note('session_started', room.thread.id, room.state)
@hookimpl
async def session_ended(self, room):
    note('session_ended', room.thread.id, room.state)
@hookimpl
def participant_joined(self, thread, identity):
    note('participant_joined', thread.id, identity.name)
@hookimpl
def participant_left(self, thread, person):
    note('participant_left', thread.id, person.key)
@hookimpl
def transcript_read(self, thread, identity, how):
    note('transcript_read', thread.id, identity.person.key, how)
@hookimpl
def observer_joined(self, thread, identity):
    note('observer_joined', thread.id, identity.person.key)
@hookimpl
def observer_left(self, thread, identity):
    note('observer_left', thread.id, identity.person.key)
@hookimpl
def conversation_queued(self, conversation):
    note('conversation_queued', conversation.user.key)
@hookimpl
def conversation_assigned(self, conversation, reason):
    note('conversation_assigned', conversation.user.key, conversation.waiter.key, bool(reason))
@hookimpl
def conversation_ended(self, conversation, gone):
    note('conversation_ended', conversation.user.key, gone.key)
@hookimpl
def presence_changed(self, person, online):
    note('presence_changed', person.key, online)
@hookimpl
def notification_created(self, notification):
    note('notification_created', notification.recipient.key, notification.msg)
@hookimpl
async def deliver_notification(self, notification, online):
    note('deliver_notification', notification.recipient.key, notification.msg, online)
"""


@pytest.mark.gen_test
async def test_events(process: Process, folder: Path) -> None:
    write_plugin(folder, "ears", EVENTS)
    harness = await start(process, folder)
    session = await harness.session(user_name="Lin")
    await harness.record(session)
    pop_ups = await harness.connect(f"/notify?token={COUNSELLOR}")
    await pop_ups.recv_json()
    await wait_for_notes(
        folder,
        "notification_created consultant:2 您有新的对话",
        "deliver_notification consultant:2 您有新的对话 False",
    )
    wanted = {"role": "consultant", "id": 2, "type": 0, "msg": "tea"}
    await harness.api("POST", "/api/v1/notifications", HOST, wanted)
    visitor, _ = await open_chat(harness, session)
    observer = await harness.connect(f"/observe?token={token('supervisor', 3)}&sessionId={session}")
    await wait_for_notes(folder, f"observer_joined {session} supervisor:3")
    await visitor.send_json({"msg": "hello"})
    await observer.recv_json()
    await harness.api("GET", f"/api/v1/sessions/{session}/export", COUNSELLOR)
    await observer.close()
    await visitor.close(4000)
    user, waiter = await harness.user(5), await harness.waiter(7)
    await user.until("connect_success")
    await waiter.send_frame("disconnect", to=user.uuid)
    await user.until("disconnected")
    await user.close()
    await wait_for_notes(
        folder,
        "deliver_notification consultant:2 tea True",
        "message_posted user:1 hello",
        f"session_started {session} active",
        f"session_ended {session} completed",
        f"participant_joined {session} Lin",
        f"participant_joined {session} Chen",
        f"participant_left {session} user:1",
        f"transcript_read {session} consultant:2 export",
        f"observer_left {session} supervisor:3",
        "conversation_queued user:5",
        "conversation_assigned user:5 waiter:7 True",
        "conversation_ended user:5 waiter:7",
        "presence_changed user:5 True",
        "presence_changed user:5 False",
    )


@pytest.mark.gen_test
async def test_the_event_of_a_stored_message_follows_after_a_crash(process: Process, folder: Path) -> None:
    write_plugin(
        folder,
        "ears",
        """
@hookimpl
async def message_posted(self, message):
    if pathlib.Path(__file__).with_name('awake').exists():
        note(message.text)
    else:
        await asyncio.Event().wait()
""",
    )
    harness = await start(process, folder, "plugin:ears.timeout=60")
    session = await harness.session()
    visitor, counsellor = await open_chat(harness, session)
    for n in range(20):
        await visitor.send_json({"msg": f"m{n}"})
        await counsellor.recv_json()
    await process.stop(signal.SIGKILL)
    (folder / "awake").touch()
    await start(process, folder)
    assert await wait_for_notes(folder, "m19") == [f"m{n}" for n in range(20)]


FAULTY = {
    "crashes": "raise ValueError('no')",
    "hangs": "await asyncio.Event().wait()",
    "ignores": """
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
""",
    "exits": "raise SystemExit(3)",
}


@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_thousand_messages_pass_crashing_and_hanging_plugins(process: Process, folder: Path) -> None:
    for name, does in FAULTY.items():
        write_plugin(folder, name, f"@hookimpl\nasync def message_posted(self, message):\n    {does}\n")
    write_plugin(folder, "sleeps", "@hookimpl\ndef message_posted(self, message):\n    time.sleep(1e6)\n")
    write_plugin(folder, "works", "@hookimpl\ndef message_posted(self, message):\n    note(message.text)\n")
    timeouts = [f"plugin:{name}.timeout=0.05" for name in (*FAULTY, "sleeps")]
    harness = await start(process, folder, *timeouts)
    session = await harness.session()
    visitor, counsellor = await open_chat(harness, session)

    async def hear() -> list[str]:
        return [(await counsellor.recv_json())["msg"] for _ in range(1000)]

    hearing = asyncio.create_task(hear())
    for n in range(1000):
        await visitor.send_json({"msg": f"m{n}", "id": f"m{n}"})
    assert await hearing == [f"m{n}" for n in range(1000)]
    assert [(await visitor.recv_json())["ack"] for _ in range(1000)] == [f"m{n}" for n in range(1000)]
    assert await wait_for_notes(folder, "m999") == [f"m{n}" for n in range(1000)]

    for name in (*FAULTY, "sleeps"):
        await process.wait_for_log(f"plugin {name} is suspended for 60 s")
    metrics = (await harness.api("GET", "/metrics")).body.decode()
    for name in (*FAULTY, "sleeps"):
        kind = "error" if name in ("crashes", "exits") else "timeout"
        assert re.search(
            rf'plugin_failures_total{{hook="message_posted",kind="{kind}",plugin="{name}"}} [1-9]', metrics
        ), name
        assert (
            len([line for line in process.log if f"plugin {name} " in line and "message_posted" in line]) <= 2
        )
    assert await process.stop() == 0
    process.expected += ["tornado_chat.plugins.health", "Task was destroyed but it is pending"]


@pytest.mark.gen_test
async def test_sighup_changes_settings_without_disconnecting_clients(
    process: Process, folder: Path, tmp_path: Path
) -> None:
    write_plugin(
        folder,
        "tail",
        """
@dataclass(frozen=True)
class Settings(PluginSettings):
    words: str = option('old', 'What is added.')
@classmethod
def check(cls, settings):
    if settings.words == 'bad':
        raise ValueError('words: bad is not good; take another')
@hookimpl
def filter_message(self, draft):
    return draft.replace(draft.text + ' ' + self.settings.words)
""",
    )
    ini = tmp_path / "own.ini"
    ini.write_text("[plugin:tail]\nwords = first\n")
    harness = await start_with(process, folder, ini)
    session = await harness.session()
    visitor, counsellor = await open_chat(harness, session)

    async def said() -> str:
        await visitor.send_json({"msg": "x"})
        return str((await counsellor.recv_json())["msg"])

    assert await said() == "x first"
    ini.write_text("[plugin:tail]\nwords = second\n")
    await reload(process, "reloaded")
    assert await said() == "x second"
    ini.write_text("[plugin:tail]\nwords = bad\n")
    await reload(process, "not reloaded.*words: bad is not good; take another")
    assert await said() == "x second"
    process.expected.append("not reloaded")


async def start_with(process: Process, folder: Path, ini: Path) -> Harness:
    process.files = [ini]
    return await start(process, folder)


async def reload(process: Process, says: str) -> None:
    before = len(process.log)
    os.kill(process.pid, signal.SIGHUP)
    await process.wait_for_log(says, after=before)


@pytest.mark.gen_test
async def test_the_queue_is_reordered_after_sighup(process: Process, folder: Path, tmp_path: Path) -> None:
    ini = tmp_path / "own.ini"
    ini.write_text("[plugins]\nenabled = queue_policy\n")
    harness = await start_with(process, folder, ini)
    ordinary = await harness.user(1)
    await ordinary.until("connect_queue")
    vip = Peer(await harness.connect("/v1/ws/user/connect"))
    await vip.sign_in_with(token("user", 2, priority=2))
    await vip.send_frame("connect")
    assert (await vip.until("connect_queue"))["payload"] == {"location": 2}
    ini.write_text("[plugins]\nenabled = queue_policy\n[plugin:queue_policy]\npriority = on\n")
    await reload(process, "reloaded")
    assert (await vip.until("connect_queue"))["payload"] == {"location": 1}
    waiter = await harness.waiter(7)
    assert (await waiter.until("new_connection"))["payload"] == {"uuid": vip.uuid}
    process.files = []
    process.options += ["plugins.enabled=queue_policy", "plugin:queue_policy.priority=on"]
    explained = run(process, "queue", "explain").stdout
    found = re.search(r"user:2 to waiter:7 after \d+ s: (.*)", explained)
    assert found
    assert found.group(1) == "priority 2, 600 s ahead; least loaded waiter, 0 of 5"


@pytest.mark.gen_test
async def test_a_queue_policy_that_fails_on_sighup_is_named_and_the_rest_is_reloaded(
    process: Process, folder: Path, tmp_path: Path
) -> None:
    write_plugin(
        folder,
        "moody",
        """
@dataclass(frozen=True)
class Settings(PluginSettings):
    words: str = ''
@hookimpl
def register_queue_policy(self):
    if self.settings.words == 'fails':
        raise RuntimeError('no policy today')
""",
    )
    ini = tmp_path / "own.ini"
    ini.write_text("")
    harness = await start_with(process, folder, ini)
    client = await harness.connect(f"/notify?token={VISITOR}")
    process.expected += ["no policy today"]
    ini.write_text("[plugin:moody]\nwords = fails\n[limits]\nconnections_per_identity = 1\n")
    await reload(process, "reloaded.*limits.connections_per_identity")
    refused = await harness.connect(f"/notify?token={VISITOR}")
    assert (await refused.wait_closed()).code == 4429
    assert len(await process.wait_for_log("the previous queue policy stays in use: plugin moody")) == 1
    ini.write_text("[plugin:moody]\nwords = good\n")
    await reload(process, "reloaded")
    await client.close()


PICKY = """
@hookimpl
def filter_message(self, draft):
    if draft.text == 'bad':
        raise KeyError(draft.text)
    return draft.replace(draft.text + ', filtered')
"""


@pytest.mark.parametrize("on_error", ["allow", "reject"])
@pytest.mark.gen_test
async def test_one_sender_does_not_switch_a_filter_off_for_others(
    process: Process, folder: Path, on_error: str
) -> None:
    write_plugin(folder, "picky", PICKY)
    process.expected += ["plugin picky failed in filter_message: KeyError", "a person, who is slowed down"]
    harness = await start(process, folder, f"plugin:picky.on_error={on_error}")
    sender, _ = await open_chat(harness, await harness.session())
    for n in range(7):  # five are free, so that the last one waits for a second
        await sender.send_json({"msg": "bad", "id": f"m{n}"})
        answer = await sender.recv_json()
        if on_error == "allow":
            assert answer["ack"] == f"m{n}"
        else:
            assert answer["msg"].startswith("错误: 未发送: 内容检查出错; 原样重发没有帮助"), answer
    await process.wait_for_log("WARNING .*a person, who is slowed down .* person=user:1 session=")
    user, waiter = await harness.user(5), await harness.waiter(7)
    await user.until("connect_success")
    for n in range(10):
        await user.send_frame("message_text", {"message": f"m{n}"})
        assert (await waiter.until("message_text"))["payload"]["message"] == f"m{n}, filtered"
    status = json.loads((await harness.api("GET", "/api/v1/status")).body)
    outcome = "pass without it" if on_error == "allow" else "are refused"
    assert (
        f"failed 7 times (last: KeyError): the texts for which it fails {outcome}"
        in (status["problems"]["plugin picky"])
    )
    assert [plugin["state"] for plugin in status["plugins"]] == ["running"]

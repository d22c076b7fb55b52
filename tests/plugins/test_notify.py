"""The plugin notify: rules, signatures, retries, dead letters, with real receivers."""

import asyncio
import hashlib
import hmac
import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from click.testing import CliRunner, Result
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado_chat_plugins.notify import Notify, NotifySettings, events, read_settings, rules
from tornado_chat_plugins.notify.rules import Channel
from tornado_chat_plugins.notify.sending import check_response, message_text, sign

from tests.cluster.conftest import settings as cluster_settings
from tests.conftest import Harness, token
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import (
    CommandContext,
    DeliveryError,
    GiveUp,
    Notification,
    Person,
    RetryLater,
    Role,
    Thread,
    config,
)
from tornado_chat.cli import main
from tornado_chat.config import ini as config_reading
from tornado_chat.core.types import Kind
from tornado_chat.observability import logs
from tornado_chat.server.server import Server
from tornado_chat.services.plugin_host import delivery_housekeeping
from tornado_chat.services.plugin_host import outbox as worker
from tornado_chat.storage import deliveries as delivery_queries
from tornado_chat.storage import models
from tornado_chat.storage.database import open_database
from tornado_chat.storage.models import PluginDelivery

# Apprise imports a module that Python will drop.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

APPRISE_SAYS = "^(Unparseable URL|Failed to send JSON)"
"""Log lines that only pytest gets: Apprise's logger does not propagate, but pytest listens to each logger."""

SECRET = "0123456789abcdef0123456789abcdef"
SECOND = 1_000_000
WORDS = "secret words"


# Rules


def notification(role: Role = Role.CONSULTANT, type: int = 0, data: Any = None) -> Notification:
    return Notification(
        7, Person(role, "2"), Thread(Kind.INBOX, 1), 1, type, WORDS, data, 1_795_223_826_123_000
    )


def test_a_rule_without_conditions_applies_to_all() -> None:
    rule = rules.parse(Channel.WEBHOOK, "https://host.example/hook")
    assert all(
        rule.applies(notification(role, type), online)
        for role in Role
        for type in range(3)
        for online in (0, 1)
    )


def test_all_conditions_must_hold() -> None:
    rule = rules.parse(Channel.WEBHOOK, "https://host.example/hook role=consultant+admin type=0+2 offline")
    assert rule.applies(notification(Role.ADMIN, 2), False)
    assert not rule.applies(notification(Role.USER, 2), False)
    assert not rule.applies(notification(Role.ADMIN, 1), False)
    assert not rule.applies(notification(Role.ADMIN, 2), True)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("http://host.example/hook", "must begin with https://"),
        ("http://10.0.0.1/hook", "must begin with https://"),
        ("http://127.0.0.1.example/hook", "must begin with https://"),
        ("ftp://host.example/", "begins with an address like https://"),
        ("role=user", "begins with an address like https://"),
        ("https:///hook", "begins with an address like https://"),
        ("https://host:99999/", "no URL"),
        ("https://host/ role=consultent", 'did you mean "consultant"?'),
        ("https://host/ role=", "is no role; there are user"),
        ("https://host/ role=service", "is no role"),
        ("https://host/ type=3", '"3" is no type; there are 0'),
        ("https://host/ online", '"online" is unknown; a rule is like'),
        ("https://host/ offline=1", '"offline=1" is unknown'),
    ],
)
def test_mistakes_in_rules_are_explained(line: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)) as caught:
        rules.parse(Channel.WEBHOOK, line)
    assert str(caught.value).startswith(f'in the rule "{line}"')


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_loopback_addresses_need_no_tls(host: str) -> None:
    rules.parse(Channel.WEBHOOK, f"http://{host}:8000/hook")


def test_rules_and_their_errors_show_no_secrets() -> None:
    line = "https://me:hidden1@host:1/hook?key=hidden2#hidden3"
    rule = rules.parse(Channel.WEBHOOK, line)
    [target] = rules.merge_targets([(rule, rule.address, rules.redact_url(rule.address))]).values()
    assert target.shown == "https://host:1/hook"
    assert "hidden" not in repr(target) + repr(rule) + target.key
    with pytest.raises(ValueError) as caught:
        rules.parse(Channel.WEBHOOK, f"{line} nonsense")
    assert "hidden" not in str(caught.value)


def test_one_address_in_two_rules_is_one_target() -> None:
    lines = ["https://host/ role=user", "https://host/ type=2", "https://other/"]
    parsed = [rules.parse(Channel.WEBHOOK, line) for line in lines]
    found = rules.merge_targets([(rule, rule.address, rule.address) for rule in parsed])
    assert len(found) == 2
    first = next(iter(found.values()))
    assert first.is_wanted(notification(Role.USER, 0), True)
    assert first.is_wanted(notification(Role.ADMIN, 2), True)
    assert not first.is_wanted(notification(Role.ADMIN, 0), True)


# Settings


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    return private(tmp_path / "webhook-secret", SECRET + "\n")


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_webhooks_need_a_secret(tmp_path: Path) -> None:
    hooks = ("https://host/",)
    with pytest.raises(ValueError, match=r"^webhook_secret_file: webhooks are signed"):
        read_settings(NotifySettings(webhooks=hooks))
    with pytest.raises(ValueError, match=r"^webhook_secret_file: .* cannot be read: No such file"):
        read_settings(NotifySettings(webhooks=hooks, webhook_secret_file=str(tmp_path / "none")))
    short = private(tmp_path / "short", "too short\n")
    with pytest.raises(ValueError, match=r"^webhook_secret_file: .*has 9 bytes; use at least 32"):
        read_settings(NotifySettings(webhooks=hooks, webhook_secret_file=str(short)))


def test_a_mistaken_rule_is_named_with_its_option(secret_file: Path) -> None:
    settings = NotifySettings(webhooks=("https://host/ rle=user",), webhook_secret_file=str(secret_file))
    with pytest.raises(
        ValueError, match=r'^webhooks: in the rule "https://host/ rle=user", "rle=user" is unknown'
    ):
        read_settings(settings)


def test_files_for_apprise(tmp_path: Path) -> None:
    file = private(
        tmp_path / "team.urls", "# the team\n\njson://host.example/hidden\nmailto://a:hidden@example.com\n"
    )
    found = read_settings(NotifySettings(apprise=(f"{file} role=admin offline",))).targets.values()
    assert [each.shown for each in found] == [f"{file} line 3 (json)", f"{file} line 4 (mailto)"]
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("line", "text", "wrong"),
    [
        ("json://host/", None, '^apprise: in the rule "json://host/", .*no absolute path'),
        ("{file}", None, "^apprise: .* cannot be read"),
        ("{file}", "# nothing\n", "^apprise: .*has no address in it"),
        ("{file}", "\nhidden://hidden\n", "^apprise: line 2 of .* is no Apprise URL"),
    ],
)
def test_mistakes_in_files_for_apprise(
    tmp_path: Path, line: str, text: str | None, wrong: str, expected_logs: list[str]
) -> None:
    expected_logs.append(APPRISE_SAYS)
    file = tmp_path / "team.urls"
    if text is not None:
        private(file, text)
    with pytest.raises(ValueError, match=wrong) as caught:
        read_settings(NotifySettings(apprise=(line.format(file=file),)))
    assert "hidden" not in str(caught.value)


def test_a_missing_apprise_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = private(tmp_path / "team.urls", "json://host/")
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ValueError, match=r"^apprise: .*pip install 'tornado_chat\[notify\]'"):
        read_settings(NotifySettings(apprise=(str(file),)))


# The contents of events and messages


def test_the_signature() -> None:
    # printf '1795223826.{}' | openssl dgst -sha256 -hmac key
    assert (
        sign(b"key", "1795223826", b"{}") == "v1=" + hmac.new(b"key", b"1795223826.{}", "sha256").hexdigest()
    )
    assert sign(b"key", "1795223827", b"{}") != sign(b"key", "1795223826", b"{}")


def test_an_event_reveals_ids_only() -> None:
    data = {"sessionId": 4, "apointmentId": "a7", "title": WORDS, "noteid": {"a": WORDS}, "longId": "x" * 65}
    data |= {"said": "secret", "paid": 7, "unlaid": "x", "id": 3, "consultantId": "x" * 65}
    event = json.loads(events.body("an id", notification(type=2, data=data)))
    assert event == {
        "id": "an id",
        "type": "notification",
        "time": "2026-11-21T01:17:06.123Z",
        "notification": {
            "id": 7,
            "type": 2,
            "role": "consultant",
            "person": "2",
            "data": {"sessionId": 4, "apointmentId": "a7"},
        },
    }
    assert json.loads(events.body("an id", notification()))["notification"]["data"] is None


def test_message_texts_by_language() -> None:
    assert message_text("zh_CN", 2) == ("新的对话", "您有新的通知, 请登录查看")
    assert message_text("en", 1) == (
        "Appointment changed",
        "You have a new notification. Sign in to read it.",
    )
    assert message_text("en", 9)[0] == "New notification"


# The answers of webhooks


class Answer:
    def __init__(self, **headers: str) -> None:
        self.headers = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("status", [200, 204])
def test_statuses_that_accept(status: int) -> None:
    check_response(status)


@pytest.mark.parametrize("status", [302, 304, 400, 401, 404, 410, 500])
def test_statuses_that_refuse(status: int) -> None:
    with pytest.raises(DeliveryError, match=f"^answered {status}$") as caught:
        check_response(status)
    assert type(caught.value) is (GiveUp if status == 410 else DeliveryError)


@pytest.mark.parametrize(
    ("status", "header", "wait"),
    [
        (429, "30", 30),
        (503, " 7 ", 7),
        (500, "30", None),
        (429, "Fri, 31 Dec 1999 23:59:59 GMT", None),
        (503, "²", None),
        (503, "-1", None),
    ],
)
def test_retry_after_headers(status: int, header: str, wait: float | None) -> None:
    answer: Any = Answer(Retry_After=header)
    with pytest.raises(DeliveryError) as caught:
        check_response(status, answer)
    assert (caught.value.seconds if isinstance(caught.value, RetryLater) else None) == wait


# Over real sockets


class Receiver:
    """A web server with configurable answers: a status, None for no answer, or a function."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[Any] = asyncio.Queue()
        self.answers: list[int | None] = []
        self.then: int | None = 204
        self.at_last = 204  # the answer of those without one, when the receiver opens
        self.headers: dict[str, str] = {}
        self.hanging: set[str] = set()  # paths without an answer
        self.open = asyncio.Event()
        self.at_once = self.most_at_once = 0
        socket, self.port = bind_unused_port()
        receiver = self

        class Handler(RequestHandler):
            async def post(self) -> None:
                receiver.at_once += 1
                receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
                receiver.requests.put_nowait(self.request)
                status = receiver.answers.pop(0) if receiver.answers else receiver.then
                if self.request.path in receiver.hanging:
                    status = None
                try:
                    if status is None:
                        await receiver.open.wait()
                        status = receiver.at_last
                finally:
                    receiver.at_once -= 1
                for name, value in receiver.headers.items():
                    self.set_header(name, value)
                self.set_status(status)

            def compute_etag(self) -> None:
                return None

        self._server = HTTPServer(Application([(".*", Handler)], log_function=lambda handler: None))
        self._server.add_socket(socket)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self) -> Any:
        """Return the next request."""
        return await asyncio.wait_for(self.requests.get(), WAIT_TIMEOUT_SECONDS)

    async def close(self) -> None:
        self.open.set()
        self._server.stop()
        await self._server.close_all_connections()


@pytest.fixture
def receiver(io_loop: IOLoop) -> Iterator[Receiver]:
    async def make() -> Receiver:
        return Receiver()

    receiver = io_loop.run_sync(make)
    yield receiver
    io_loop.run_sync(receiver.close)


@pytest.fixture
def options() -> dict[str, str]:
    """The plugin's section, which a test may parametrize."""
    return {}


@pytest.fixture
def urls() -> str:
    """The file for Apprise."""
    return ""


@pytest.fixture
def settings(
    settings: config.Config,
    tmp_path: Path,
    secret_file: Path,
    receiver: Receiver,
    options: dict[str, str],
    urls: str,
) -> config.Config:
    file = private(tmp_path / "team.urls", urls.format(port=receiver.port)) if urls else ""
    section = {
        "webhooks": "{url}/hook?key=hidden",
        "webhook_secret_file": str(secret_file),
        "retry_after": "0.05",
        **options,
    }
    return replace(
        settings,
        plugins=config.Plugins(paths=(), enabled=("notify",)),
        plugin_entries={
            "notify": [
                config_reading.OptionEntry(
                    "test", "plugin:notify", name, text.format(url=receiver.url, file=file)
                )
                for name, text in section.items()
            ]
        },
    )


async def notify(harness: Harness, id: int = 2, role: str = "consultant", **more: Any) -> int:
    body = {"role": role, "id": id, "type": 0, "msg": WORDS, **more}
    answer = await harness.api("POST", "/api/v1/notifications", token("service", "host"), body)
    assert answer.code == 202, answer.body
    return int(json.loads(answer.body)["notification_id"])


async def deliveries(harness: Harness) -> list[PluginDelivery]:
    return await harness.server._store.read(
        lambda database: list(PluginDelivery.select().order_by(PluginDelivery.id).execute(database))
    )


async def until(harness: Harness, wanted: Callable[[list[PluginDelivery]], bool]) -> list[PluginDelivery]:
    """Wait until the deliveries fulfil the condition, and return them."""
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not wanted(rows := await deliveries(harness)):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
    return rows


def all_in(state: str) -> Callable[[list[PluginDelivery]], bool]:
    return lambda rows: bool(rows) and all(row.state == state for row in rows)


def genuine(request: Any) -> bool:
    """Check the signature as the README describes for receivers."""
    timestamp = request.headers["Tornado-Chat-Timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    code = hmac.new(SECRET.encode(), timestamp.encode() + b"." + request.body, hashlib.sha256)
    return hmac.compare_digest(f"v1={code.hexdigest()}", request.headers["Tornado-Chat-Signature"])


@pytest.mark.gen_test
async def test_a_signed_event_has_no_text(harness: Harness, receiver: Receiver) -> None:
    number = await notify(harness, type=2, data={"sessionId": 4, "title": WORDS})
    request = await receiver.get()
    assert request.path == "/hook"
    assert request.query == "key=hidden"
    assert genuine(request)
    event = json.loads(request.body)
    assert event["id"] == request.headers["Tornado-Chat-Event"]
    assert event["notification"] == {
        "id": number,
        "type": 2,
        "role": "consultant",
        "person": "2",
        "data": {"sessionId": 4},
    }
    assert WORDS.encode() not in request.body
    [row] = await until(harness, all_in("delivered"))
    assert (row.attempts, row.last_error, row.shown) == (1, None, receiver.url + "/hook")


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"webhook_timeout": "0.2"}])
async def test_failed_attempts_are_repeated_until_one_succeeds(
    harness: Harness, receiver: Receiver, caplog: Any
) -> None:
    caplog.set_level("INFO")
    receiver.answers = [500, None, 302, 404]
    for id in range(3):
        await notify(harness, id)
    requests = [await receiver.get() for _ in range(3 + 4)]
    rows = await until(harness, all_in("delivered"))
    assert receiver.requests.empty()
    assert all(genuine(request) for request in requests)
    assert sum(row.attempts for row in rows) == 7
    for row in rows:
        same = [each for each in requests if each.headers["Tornado-Chat-Event"] == row.event_id]
        assert len(same) == row.attempts
        assert len({each.body for each in same}) == 1
    told = [record.getMessage() for record in caplog.records if "tried again" in record.getMessage()]
    assert len(told) == sum(row.attempts > 1 for row in rows)
    assert "hidden" not in "".join(told)


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"webhooks": "http://127.0.0.1:1/hook"}])
async def test_an_unreachable_receiver(harness: Harness, receiver: Receiver) -> None:
    await notify(harness)
    [row] = await until(harness, lambda rows: bool(rows) and rows[0].attempts > 1)
    assert row.state == "waiting"
    assert row.last_error == "cannot be reached: Connection refused"


@pytest.mark.gen_test
async def test_gone_is_given_up_at_once(
    harness: Harness, receiver: Receiver, expected_logs: list[str]
) -> None:
    expected_logs.append(r"given up after 1 attempts: answered 410 \(`tornado-chat deliveries list`\)$")
    receiver.then = 410
    await notify(harness)
    await until(harness, all_in("dead"))


@pytest.mark.gen_test
async def test_retry_after(harness: Harness, receiver: Receiver) -> None:
    receiver.answers, receiver.headers = [503], {"Retry-After": "1"}
    await notify(harness)
    await receiver.get()
    before = time.monotonic()
    await receiver.get()
    assert time.monotonic() - before > 0.9


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "options", [{"webhooks": "{url}/a role=consultant type=0+2 offline\n{url}/b role=user"}]
)
async def test_rules_and_offline(harness: Harness, receiver: Receiver) -> None:
    there = await harness.connect(f"/notify?token={token('consultant', 2)}")
    await notify(harness, 2, type=1, data={"apointmentId": 1})
    await there.recv_json()  # from now on the server knows that the recipient is online
    await notify(harness, 2)
    await notify(harness, 4, "supervisor")
    absent = await notify(harness, 5)
    other = await notify(harness, 2, "user")
    got = [await receiver.get(), await receiver.get()]
    assert {(each.path, json.loads(each.body)["notification"]["id"]) for each in got} == {
        ("/a", absent),
        ("/b", other),
    }
    assert len(await deliveries(harness)) == 2


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_INTERVAL_SECONDS", 0.2)


async def command(harness: Harness, *arguments: str) -> Result:
    """Run `notify …` beside the server, with its own database connection."""

    def run() -> Result:
        database = open_database(harness.config.storage)
        context = CommandContext(NotifySettings(), database, "en", "UTC", Path())
        try:
            [group] = Notify(NotifySettings()).register_commands()
            return CliRunner().invoke(group, arguments, obj=context)
        finally:
            database.close()

    return await asyncio.to_thread(run)


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"give_up_after": "0.3"}])
async def test_dead_letters(
    often: None, harness: Harness, receiver: Receiver, expected_logs: list[str]
) -> None:
    expected_logs.append(r"given up after \d+ attempts: answered 500")
    receiver.then = 500
    number = await notify(harness)
    [row] = await until(harness, all_in("dead"))
    assert row.attempts > 1

    shown = await command(harness, "list", "--dead")
    assert shown.exit_code == 0
    heading, line, *rest = shown.output.splitlines()
    assert heading.startswith("ID  PLUGIN  STATE  SINCE / NEXT TRY")
    assert re.fullmatch(
        rf"{row.id}   notify  dead   \S+ \S+ +{row.attempts} +{number} +consultant:2  "
        rf"{receiver.url}/hook  answered 500",
        line,
    )
    assert "0 waiting, 1 dead, 0 delivered" in rest[1]
    assert "tornado-chat notify retry" in shown.output

    receiver.then = 204
    while not receiver.requests.empty():
        assert (await receiver.get()).headers["Tornado-Chat-Event"] == row.event_id
    again = await command(harness, "retry", str(row.id))
    assert again.exit_code == 0
    assert again.output.startswith("1 delivery waits again")
    assert (await receiver.get()).headers["Tornado-Chat-Event"] == row.event_id
    await until(harness, all_in("delivered"))

    refused = await command(harness, "retry", str(row.id), "99")
    assert refused.exit_code == 1
    assert f"{row.id} is delivered, there is no delivery 99" in refused.output
    for number in (0, 2**63, 2**64):
        assert (await command(harness, "retry", str(number))).exit_code == 2
        assert (await command(harness, "list", "--last", str(number))).exit_code == 2
    nothing = await command(harness, "retry", "--all")
    assert (nothing.exit_code, nothing.output) == (0, "there is no dead delivery\n")
    assert (await command(harness, "retry")).exit_code == 2
    assert "0 waiting, 0 dead, 1 delivered" in (await command(harness, "list")).output


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"retry_after": "0.6"}])
async def test_a_restart_loses_and_repeats_nothing(harness: Harness, receiver: Receiver) -> None:
    receiver.then = 500
    await notify(harness, 1)
    event = (await receiver.get()).headers["Tornado-Chat-Event"]
    await until(harness, lambda rows: rows[0].attempts == 1)
    await restart(harness)
    receiver.then = 204
    [row] = await until(harness, all_in("delivered"))
    assert row.attempts == receiver.requests.qsize() + 1
    while not receiver.requests.empty():
        assert (await receiver.get()).headers["Tornado-Chat-Event"] == event

    def forget(tx: Any) -> None:  # as if the server had crashed before it stored the plugin's position
        models.PluginCursor.update(position=0).execute(tx.database)

    await restart(harness, forget)
    await notify(harness, 2)
    last = await receiver.get()
    assert json.loads(last.body)["notification"]["person"] == "2"
    assert len(await until(harness, all_in("delivered"))) == 2
    assert receiver.requests.empty()


async def restart(harness: Harness, between: Callable[[Any], None] = lambda tx: None) -> None:
    """Restart the server; ``between`` may write to the database while it is stopped."""
    await harness.server.stop()
    harness.server = Server(harness.config)
    await harness.server._store.write(between)
    await harness.server.start()


@pytest.fixture
def clustered(settings: config.Config, redis: RedisServer) -> config.Config:
    return replace(settings, cluster=cluster_settings(redis))


@pytest.mark.gen_test
@pytest.mark.parametrize("database_kind", ["mariadb"], indirect=True)
async def test_of_two_processes_one_delivers(
    often: None, clustered: config.Config, receiver: Receiver
) -> None:
    servers = [Server(clustered), Server(clustered)]
    for server in servers:
        await server.start()
    harnesses = [Harness(server, clustered, []) for server in servers]
    receiver.then = None
    for harness in harnesses:
        await notify(harness)
    for _ in range(2):
        await receiver.get()
    await asyncio.sleep(5 * worker.POLL_INTERVAL_SECONDS)  # the other process looks for what is due meanwhile
    receiver.open.set()
    await until(harnesses[0], lambda rows: len(rows) == 2 and all_in("delivered")(rows))
    assert receiver.requests.empty()
    for server in servers:
        await server.stop()


@pytest.mark.gen_test
async def test_an_attempt_under_way_is_finished_before_the_stop(harness: Harness, receiver: Receiver) -> None:
    receiver.answers = [None]
    await notify(harness)
    await receiver.get()
    asyncio.get_running_loop().call_later(0.2, receiver.open.set)
    await restart(harness)
    [row] = await deliveries(harness)
    assert (row.state, row.attempts) == ("delivered", 1)


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"webhooks": "{url}/a\n{url}/b"}])
async def test_attempts_are_limited_in_total_and_per_target(harness: Harness, receiver: Receiver) -> None:
    receiver.then = None
    await asyncio.gather(*(notify(harness, id) for id in range(12)))
    first = [(await receiver.get()).path for _ in range(8)]
    assert sorted(first) == ["/a"] * 4 + ["/b"] * 4
    receiver.then = 204
    receiver.open.set()
    await until(harness, lambda rows: len(rows) == 24 and all_in("delivered")(rows))
    assert receiver.most_at_once == 8


FIVE_TARGETS = "\n".join(f"{{url}}/{name}" for name in "abcde")


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"webhooks": FIVE_TARGETS}])
async def test_further_attempts_share_few_places(harness: Harness, receiver: Receiver) -> None:
    receiver.then = None
    await asyncio.gather(*(notify(harness, id) for id in range(6)))
    await until(harness, lambda rows: len(rows) == 30)
    first = Counter([(await receiver.get()).path for _ in range(5 + worker.Places().extra)])
    assert min(first.values()) >= 1
    assert max(first.values()) <= 4
    receiver.open.set()
    await until(harness, all_in("delivered"))
    assert receiver.most_at_once == 5 + worker.Places().extra


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "options", [{"webhooks": "{url}/hangs-a\n{url}/hangs-b\n{url}/pager", "webhook_timeout": "3600"}]
)
async def test_webhooks_that_never_answer_do_not_delay_another_one(
    harness: Harness, receiver: Receiver
) -> None:
    """The worst case: all others hang, with a backlog, and their time-out is an hour."""
    receiver.hanging = {"/hangs-a", "/hangs-b"}
    await asyncio.gather(*(notify(harness, id) for id in range(20)))
    seen = Counter[str]()
    while seen["/pager"] < 20:
        seen[(await receiver.get()).path] += 1
    assert seen["/hangs-a"] <= worker.Places().per_target
    assert seen["/hangs-b"] <= worker.Places().per_target
    await notify(harness, 99)
    while (request := await receiver.get()).path != "/pager":
        pass
    assert json.loads(request.body)["notification"]["person"] == "99"


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"retry_after": "0.001"}])
async def test_an_ailing_target_has_one_place_and_gets_new_deliveries_first(
    harness: Harness, receiver: Receiver
) -> None:
    receiver.then = 500
    await asyncio.gather(*(notify(harness, id) for id in range(9)))
    await until(harness, lambda rows: len(rows) == 9 and all(row.attempts for row in rows))
    receiver.then = None
    while receiver.at_once != 1:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)
    while not receiver.requests.empty():
        receiver.requests.get_nowait()
    new = await notify(harness, 99)  # all others of the target are due, and one attempt waits for an answer
    await until(harness, lambda rows: len(rows) == 10)
    assert receiver.at_once == 1
    receiver.then = receiver.at_last = 500
    receiver.open.set()
    assert json.loads((await receiver.get()).body)["notification"]["id"] == new
    receiver.then = 204
    await until(harness, all_in("delivered"))


def test_each_recipient_of_an_apprise_address_is_a_target(tmp_path: Path) -> None:
    lines = [
        "mailtos://user:hidden@example.com?to=a@example.org,b@example.org",
        "dingtalk://abcdef12345/13800000000/13900000000",
        "tgram://123456789:abcdefg_hijklmnop/123/456",
        "json://host.example/",
    ]
    file = private(tmp_path / "team.urls", "\n".join(lines))
    found = list(read_settings(NotifySettings(apprise=(str(file),))).targets.values())
    wanted = [each for each in found if each.is_wanted(notification(), False)]
    assert [each.shown for each in wanted] == [
        f"{file} line 1 (mailtos), recipient 1",
        f"{file} line 1 (mailtos), recipient 2",
        f"{file} line 2 (dingtalk)",
        f"{file} line 3 (tgram), recipient 1",
        f"{file} line 3 (tgram), recipient 2",
        f"{file} line 4 (json)",
    ]
    assert ["a%40example.org" in wanted[0].address, "b%40example.org" in wanted[0].address] == [True, False]
    # Deliveries that were stored for the whole lines are still sent.
    assert [each.address for each in found if each not in wanted] == [lines[0], lines[2]]
    assert "hidden" not in repr(found)


@pytest.mark.gen_test
async def test_a_reload_changes_the_rules(
    harness: Harness, receiver: Receiver, expected_logs: list[str]
) -> None:
    expected_logs.append(f"1 delivery is given up: {worker.UNKNOWN_TARGET}")
    receiver.answers, receiver.headers = [503], {"Retry-After": "1000"}
    await notify(harness, 1)
    await receiver.get()
    await until(harness, lambda rows: rows[0].attempts == 1)
    entries = [
        entry._replace(text=receiver.url + "/other") if entry.option == "webhooks" else entry
        for entry in harness.config.plugin_entries["notify"]
    ]
    await harness.server.reload(replace(harness.config, plugin_entries={"notify": entries}))
    await notify(harness, 2)
    assert (await receiver.get()).path == "/other"
    rows = await until(harness, lambda rows: [row.state for row in rows] == ["dead", "delivered"])
    assert rows[0].last_error == worker.UNKNOWN_TARGET


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"webhooks": "", "apprise": "{file} role=consultant"}])
@pytest.mark.parametrize("urls", ["json://127.0.0.1:{port}/good\njson://user:hidden@127.0.0.1:{port}/bad"])
async def test_by_apprise(
    harness: Harness, receiver: Receiver, caplog: Any, expected_logs: list[str]
) -> None:
    expected_logs.append(APPRISE_SAYS)
    caplog.set_level("INFO")
    receiver.answers = [500]
    await notify(harness, type=2, data={"sessionId": 1})
    await notify(harness, 2, "user")
    requests = [await receiver.get() for _ in range(3)]
    assert sorted(each.path for each in requests) in (["/bad", "/bad", "/good"], ["/bad", "/good", "/good"])
    for each in requests:
        content = json.loads(each.body)
        assert (content["title"], content["message"]) == message_text("zh_CN", 2)
        assert WORDS.encode() not in each.body
    rows = await until(harness, all_in("delivered"))
    assert sorted(row.attempts for row in rows) == [1, 2]
    assert receiver.requests.empty()
    assert "hidden" not in caplog.text
    assert "hidden" not in "".join(f"{row.shown} {row.target} {row.body}" for row in rows)


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"webhooks": "", "apprise": "{file}"}])
@pytest.mark.parametrize("urls", ["json://127.0.0.1:{port}/"])
async def test_errors_of_apprise_are_recorded(
    harness: Harness, receiver: Receiver, expected_logs: list[str], caplog: Any
) -> None:
    expected_logs.append(APPRISE_SAYS)
    caplog.set_level("INFO")
    receiver.then = 500
    await notify(harness)
    [row] = await until(harness, lambda rows: bool(rows) and rows[0].attempts > 0)
    assert "500" in row.last_error
    assert not logging.getLogger("apprise").propagate
    [told] = [record.getMessage() for record in caplog.records if "tried again" in record.getMessage()]
    assert told.endswith("it is tried again: the service did not accept the message")


@pytest.mark.gen_test
async def test_secret_files_that_others_can_read_are_reported(
    harness: Harness, secret_file: Path, expected_logs: list[str]
) -> None:
    expected_logs.append(
        f"others on this machine can read the secrets in {secret_file}: chmod 600 {secret_file}$"
    )
    secret_file.chmod(0o640)  # noqa: ASYNC240 - at once
    await restart(harness)


@pytest.mark.gen_test
async def test_errors_of_the_database_are_retried(
    harness: Harness, receiver: Receiver, expected_logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_logs += ["the outbox of plugin notify cannot be read", "cannot be recorded as delivered"]
    expected_logs += ["the database refused"]
    monkeypatch.setattr(worker, "ERROR_RETRY_SECONDS", 0.05)
    real_upcoming, real_record = delivery_queries.upcoming, delivery_queries.record
    broken = {"upcoming", "record"}

    def upcoming(*args: Any, **kwargs: Any) -> Any:
        if "upcoming" in broken:
            broken.discard("upcoming")
            raise pw.OperationalError("locked")
        return real_upcoming(*args, **kwargs)

    def record(*args: Any) -> None:
        if "record" in broken:
            broken.discard("record")
            raise pw.OperationalError("locked")
        real_record(*args)

    monkeypatch.setattr(delivery_queries, "upcoming", upcoming)
    monkeypatch.setattr(delivery_queries, "record", record)
    await notify(harness)
    await receiver.get()
    [row] = await until(harness, all_in("delivered"))
    assert not broken
    assert row.attempts == 1
    assert receiver.requests.empty()


@pytest.mark.gen_test
async def test_old_deliveries_are_removed(harness: Harness, receiver: Receiver) -> None:
    for id in (1, 2):
        await notify(harness, id)
    old, young = await until(harness, lambda rows: len(rows) == 2 and all_in("delivered")(rows))

    def age(tx: Any) -> None:
        kept = delivery_housekeeping.KEPT_DELIVERED_DAYS * delivery_housekeeping.DAY_MICROSECONDS
        PluginDelivery.update(next_at=tx.now - kept - SECOND).where(PluginDelivery.id == old.id).execute(
            tx.database
        )

    await harness.server._store.write(age)
    await restart(harness)
    assert [row.id for row in await until(harness, lambda rows: len(rows) == 1)] == [young.id]


@pytest.mark.gen_test
async def test_the_installed_command_lists_deliveries(
    harness: Harness, receiver: Receiver, tmp_path: Path, secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda settings: None)
    await notify(harness)
    await until(harness, all_in("delivered"))
    ini = tmp_path / "chat.ini"
    ini.write_text(
        f"[storage]\nurl = {harness.config.storage.url}\n[plugins]\nenabled = notify\n"
        f"[plugin:notify]\nwebhooks =\n    {receiver.url}/hook role=user offline\n    {receiver.url}/other\n"
        f"webhook_secret_file = {secret_file}\n"
    )
    result = await asyncio.to_thread(
        CliRunner().invoke, main, ["notify", "list", "--config", str(ini)], catch_exceptions=False
    )
    assert (result.exit_code, result.output) == (0, "0 waiting, 0 dead, 1 delivered in the last days\n")

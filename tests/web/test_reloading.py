"""A reload: the effect of each option on a running server; an invalid configuration has no effect."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.conftest import SECRET, Harness, changed, token
from tests.web.test_slow_and_silent import mute, read_until
from tornado_chat import config
from tornado_chat.client import ConnectionClosed
from tornado_chat.config.reload import ConfigChange, merge_reloadable
from tornado_chat.config.sections import ConfigError
from tornado_chat.core.types import Kind, Person, Role, Thread

VISITOR = token("user", 1)
COUNSELLOR = token("consultant", 2)
OTHER_SECRET = b"another secret of the tests, as long as it has to be"


async def reload(harness: Harness, section: str, **options: Any) -> ConfigChange:
    """Reload with other values in one section; earlier changes stay."""
    harness.config = changed(harness.config, section, **options)
    return await harness.server.reload(harness.config)


# --- which options are applied ---


def test_reloadable_options_are_applied_and_others_are_reported() -> None:
    running = config.Config()
    read = replace(
        running,
        server=config.Server(port=1, drain_seconds=9),
        limits=config.Limits(burst=7),
        storage=config.Storage(durability="normal"),
    )
    change = merge_reloadable(running, read)
    assert change.options == ["server.drain_seconds", "limits.burst"]
    assert change.needs_restart == ["server.port", "storage.durability"]
    assert change.config == replace(
        running, server=config.Server(drain_seconds=9), limits=config.Limits(burst=7)
    )
    again = merge_reloadable(change.config, read)
    assert (again.options, again.needs_restart) == ([], ["server.port", "storage.durability"])
    assert merge_reloadable(change.config, running).needs_restart == []


@pytest.mark.gen_test
async def test_a_reload_logs_its_changes(harness: Harness) -> None:
    change = await reload(harness, "limits", burst=7)
    assert (change.options, change.needs_restart, change.plugins, change.keys) == (
        ["limits.burst"],
        [],
        [],
        False,
    )
    change = await reload(harness, "server", language="en")
    assert (change.options, change.needs_restart) == ([], ["server.language"])


# --- limits ---


@pytest.mark.gen_test
async def test_the_frame_rate_also_of_open_sockets(harness: Harness) -> None:
    visitor = await harness.chat(VISITOR, await harness.session())
    await reload(harness, "limits", burst=3, messages_per_second=0.1)
    for n in range(4):
        await visitor.send_json({"msg": str(n)})
    assert (await visitor.wait_closed()).code == 4429


@pytest.mark.gen_test
async def test_the_size_of_frames_and_bodies(harness: Harness) -> None:
    session = await harness.session()
    large = {"msg": "x" * 300_000}
    visitor = await harness.chat(VISITOR, session)
    await visitor.send_json(large)
    assert (await visitor.wait_closed()).code == 1009
    await reload(harness, "limits", frame_bytes=2_000_000)
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.send_json({"msg": "x" * 1_500_000, "id": "a"})
    while "ack" not in await visitor.recv_json():
        pass
    data = {"apointmentId": 3, "more": "x" * 1_500_000}
    body = {"role": "user", "id": 1, "type": 1, "msg": "short", "data": data}
    assert (await harness.api("POST", "/api/v1/notifications", token("service", "host"), body)).code == 202


@pytest.mark.gen_test
async def test_the_socket_limit_of_one_person(harness: Harness) -> None:
    await reload(harness, "limits", connections_per_identity=1)
    await harness.connect(f"/notify?token={VISITOR}")
    second = await harness.connect(f"/notify?token={VISITOR}")
    assert (await second.wait_closed()).code == 4429


@pytest.mark.gen_test
async def test_pings_also_of_open_sockets(harness: Harness) -> None:
    reader, writer = await mute(harness, f"/notify?token={VISITOR}&features=seq")
    await reload(harness, "limits", ping_interval=0.1, ping_timeout=0.2)
    received = await reader.read(2)
    assert received[0] == 0x89  # a ping
    assert b"\x11\x38" in await read_until(reader, b"to get what is missing")  # 4408
    writer.close()


@pytest.mark.gen_test
async def test_repetitions_of_notifications(harness: Harness) -> None:
    body = {"role": "user", "id": 1, "type": 0, "msg": "once"}
    assert (await harness.api("POST", "/api/v1/notifications", token("service", "host"), body)).code == 202
    inbox = Thread(Kind.INBOX, 1)
    for repeat, expected in ((0, ["once", "next"]), (None, ["next"]), (1, ["once", "next"])):
        if repeat is not None:
            await reload(harness, "notifications", repeat=repeat)
        client = await harness.connect(f"/notify?token={VISITOR}")
        note = await harness.server._notifications.notify(Person(Role.USER, "1"), 0, "next", None)
        assert [(await client.recv_json())["msg"] for _ in expected] == expected
        await harness.receipt(Person(Role.USER, "1"), inbox, note.seq)
        await harness.server._notifications.mark_read(Person(Role.USER, "1"), note.id)
        await client.close()


class TestSlow:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", outgoing_bytes=2**30, bytes_burst=2**30)

    @pytest.mark.gen_test
    async def test_the_unread_limit_of_open_sockets(self, harness: Harness) -> None:
        session = await harness.session()
        reader, writer = await mute(harness, f"/chat?token={VISITOR}&sessionId={session}&features=seq")
        await reload(harness, "limits", outgoing_bytes=65_536)
        counsellor = await harness.chat(COUNSELLOR, session, features="ack")
        for n in range(150):  # more than the sockets' buffers can hold
            await counsellor.send_json({"msg": "x" * 60_000, "id": str(n)})
            while "ack" not in await counsellor.recv_json():
                pass
        await read_until(reader, b"too slow")
        writer.close()


# --- the dialects ---


@pytest.mark.gen_test
async def test_the_grace_and_the_observers_of_counselling(harness: Harness) -> None:
    session = await harness.session()
    visitor, counsellor = await harness.chat(VISITOR, session), await harness.chat(COUNSELLOR, session)
    observe = f"/observe?token={token('supervisor', 3)}&sessionId={session}"
    assert (await (await harness.connect(observe)).wait_closed()).code == 4403
    await reload(harness, "counselling", rejoin_grace=0.1, observe="any")
    observer = await harness.connect(observe)
    await visitor.close()
    assert (await observer.recv_json())["senderType"] is None
    assert (await counsellor.wait_closed()).code == 1000


@pytest.mark.gen_test
async def test_the_capacity_of_connected_waiters(harness: Harness) -> None:
    await reload(harness, "support", capacity=1)
    await harness.waiter(7)
    first, second = await harness.user(1), await harness.user(2)
    await first.until("connect_success")
    await second.until("connect_queue")
    await reload(harness, "support", capacity=2)
    await second.until("connect_success")
    status = json.loads((await harness.api("GET", "/api/v1/support/status", token("admin", 9))).body)
    assert status["waiters"][0]["capacity"] == 2


@pytest.mark.gen_test
async def test_the_timeouts_and_the_grace_of_support(harness: Harness) -> None:
    await reload(harness, "support", auth_timeout=0.1, rejoin_grace=0.1)
    silent = await harness.connect("/v1/ws/user/connect")
    assert (await silent.wait_closed()).code == 4401
    waiter, user = await harness.waiter(7), await harness.user(1)
    await user.until("connect_success")
    await user.close()
    await waiter.until("disconnected")


# --- origins and networks ---


@pytest.mark.gen_test
async def test_origins_and_networks(harness: Harness) -> None:
    async def is_accepted() -> bool:
        try:
            client = await harness.connect(
                f"/notify?token={VISITOR}", headers={"Origin": "https://shop.example"}
            )
        except ConnectionClosed:
            return False
        await client.close()
        return True

    assert not await is_accepted()
    await reload(harness, "web", origins=("https://shop.example",), ops_networks=("10.0.0.0/8",))
    assert await is_accepted()
    assert (await harness.api("GET", "/healthz")).code == 403
    asked = {"X-Forwarded-For": "10.1.1.1"}
    assert (await harness.api("GET", "/healthz", **asked)).code == 200
    await reload(harness, "server", trusted_proxies=())
    assert (await harness.api("GET", "/healthz", **asked)).code == 403


# --- keys ---


def write_secret(harness: Harness, secret: bytes) -> None:
    Path(harness.config.auth.secret_file).write_bytes(secret)


def made_with(secret: bytes, who: str) -> str:
    return jwt.encode(jwt.decode(who, options={"verify_signature": False}), secret, "HS256")


@pytest.mark.gen_test
async def test_another_secret_closes_the_sockets_of_the_first(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session)
    waiter, user = await harness.waiter(7), await harness.user(1)
    await user.until("connect_success")
    await visitor.recv_json()
    await counsellor.recv_json()
    write_secret(harness, OTHER_SECRET)
    assert (await harness.server.reload(harness.config)).keys
    for client in (visitor, counsellor, waiter.client, user.client):
        closed = await client.wait_closed()
        assert (closed.code, "key" in closed.reason) == (4401, True)
    refused = await harness.connect(f"/notify?token={VISITOR}")
    assert (await refused.wait_closed()).code == 4401
    there = await harness.connect(f"/notify?token={made_with(OTHER_SECRET, VISITOR)}")
    assert not (await harness.server.reload(harness.config)).keys
    host = made_with(OTHER_SECRET, token("service", "host"))
    body = {"role": "user", "id": 1, "type": 0, "msg": "still there"}
    assert (await harness.api("POST", "/api/v1/notifications", host, body)).code == 202
    assert (await there.recv_json())["msg"] == "still there"


def write_public_key(path: Path) -> ed25519.Ed25519PrivateKey:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(pem)
    return key


@pytest.mark.gen_test
async def test_a_public_key_is_reloaded(harness: Harness, tmp_path: Path) -> None:
    pem = tmp_path / "key.pem"
    claims = jwt.decode(VISITOR, options={"verify_signature": False})

    async def opens(key: ed25519.Ed25519PrivateKey) -> bool:
        who = jwt.encode(claims, key, "EdDSA")
        return (await harness.api("GET", "/api/v1/notifications", who)).code == 200

    first = write_public_key(pem)
    change = await reload(harness, "auth", algorithms=("EdDSA",), public_key_file=str(pem))
    assert change.options == ["auth.algorithms", "auth.public_key_file"]
    assert change.keys
    assert await opens(first)
    second = write_public_key(pem)
    assert (await harness.server.reload(harness.config)).keys
    assert not await opens(first)
    assert await opens(second)


@pytest.mark.gen_test
async def test_a_key_set_keeps_its_known_keys(harness: Harness) -> None:
    options = {"algorithms": ("RS256",), "jwks_url": "http://127.0.0.1:1/jwks"}
    assert (await reload(harness, "auth", **options)).keys
    known = harness.server._access_control.authenticator.key_set
    assert not (await reload(harness, "auth", issuer="https://a.example")).keys
    assert harness.server._access_control.authenticator.key_set is known
    assert (await reload(harness, "auth", jwks_url="http://127.0.0.1:2/jwks")).keys


@pytest.mark.gen_test
async def test_guests_and_claims(harness: Harness) -> None:
    assert (await harness.api("POST", "/api/v1/guest")).code == 403
    await reload(harness, "auth", guests=True, role_claim="role")
    await reload(harness, "limits", guests_per_minute=1)
    assert 'content="role"' in (await harness.api("GET", "/room")).body.decode()
    answer = await harness.api("POST", "/api/v1/guest")
    assert answer.code == 201
    guest = json.loads(answer.body)["token"]
    assert jwt.decode(guest, SECRET, ["HS256"])["role"] == "user"
    assert (await harness.api("GET", "/api/v1/notifications", guest)).code == 200
    assert (await harness.api("GET", "/api/v1/notifications", VISITOR)).code == 401
    assert (await harness.api("POST", "/api/v1/guest")).code == 429


# --- invalid configurations ---


@pytest.mark.gen_test
async def test_an_invalid_key_changes_nothing(harness: Harness) -> None:
    write_secret(harness, b"short")
    with pytest.raises(ConfigError, match="has 5 bytes and can be guessed"):
        await reload(harness, "limits", connections_per_identity=1)
    for _ in range(2):
        await (await harness.connect(f"/notify?token={VISITOR}")).send_json({})
    await asyncio.sleep(0)
    assert (await harness.api("GET", "/api/v1/notifications", VISITOR)).code == 200


# --- failures ---

PLUGIN = """
from dataclasses import dataclass
from tornado_chat.plugin_api import Choice, Plugin, PluginSettings, hookimpl

class Moody(Plugin):
    failing = set()

    @dataclass(frozen=True)
    class Settings(PluginSettings):
        mood: str = "good"

    @classmethod
    def check(cls, settings):
        if "check" in cls.failing:
            raise TypeError("check fails")

    @hookimpl
    def reload(self):
        if "reload" in self.failing:
            raise RuntimeError("reload fails")

    class Policy:
        def __init__(self, failing):
            self.fails = "rank" in failing

        def rank(self, ticket):
            if self.fails:
                raise RuntimeError("rank fails")
            return (ticket.number,)

        def choose(self, ticket, pool):
            return Choice(pool.least_loaded().person, "moody")

    @hookimpl
    def register_queue_policy(self):
        if "register" in self.failing:
            raise RuntimeError("register fails")
        return self.Policy(self.failing)
"""


class TestFailures:
    @pytest.fixture
    def settings(self, settings: config.Config, tmp_path: Path) -> config.Config:
        folder = tmp_path / "plugins.d"
        folder.mkdir()
        (folder / "moody.py").write_text(PLUGIN)
        return changed(settings, "plugins", paths=(str(folder),))

    @pytest.mark.parametrize("failing", ["check", "reload", "register", "rank"])
    @pytest.mark.gen_test
    async def test_a_plugin_that_fails_is_named_and_does_not_stop_the_rest(
        self, harness: Harness, failing: str, expected_logs: list[str]
    ) -> None:
        expected_logs += ["moody", "previous queue policy"]
        (moody,) = (each.plugin for each in harness.server._plugins.loaded)
        user = await harness.user(1)
        await user.until("connect_queue")
        policy, before = harness.server._dispatcher.policy, moody.settings
        type(moody).failing.add(failing)
        change = await reload(harness, "limits", connections_per_identity=1)
        assert change.failed_plugins == ["moody"]
        assert harness.server._services.limits.connections_per_identity == 1
        assert moody.settings == before
        assert (harness.server._dispatcher.policy is policy) is (failing in ("register", "rank"))
        type(moody).failing.clear()
        change = await harness.server.reload(harness.config)
        assert (change.failed_plugins, change.options) == ([], [])
        await harness.waiter(7)
        await user.until("connect_success")


@pytest.mark.gen_test
@pytest.mark.parametrize("part", ["_access_control", "_hub", "_dispatcher", "_services", "application"])
async def test_a_part_that_fails_leaves_all_old_values_and_the_next_reload_tries_again(
    harness: Harness, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = harness.server
    failing = getattr(server, part)
    reconfigure = failing.reconfigure

    def values() -> tuple[object, ...]:
        limits, support = server._services.limits, server._services.support_settings
        hub, origins = server._hub._ping_interval, server.application._origins.listed
        return limits, support, hub, origins, server._config, server._dispatcher._settings

    def fail_once(*arguments: Any) -> None:
        monkeypatch.setattr(failing, "reconfigure", reconfigure)
        raise RuntimeError("a bug")

    before = values()
    harness.config = changed(harness.config, "limits", ping_interval=77)
    harness.config = changed(harness.config, "support", capacity=2)
    harness.config = changed(harness.config, "web", origins=("https://shop.example",))
    monkeypatch.setattr(failing, "reconfigure", fail_once)
    with pytest.raises(RuntimeError, match="a bug"):
        await server.reload(harness.config)
    assert values() == before
    change = await server.reload(harness.config)
    assert change.options == ["support.capacity", "limits.ping_interval", "web.origins"]
    assert all(old != new for old, new in zip(before, values(), strict=True))

"""Shared fixtures: a new event loop, a real server on a free port, clients with tokens.

A test fails on a log line of level warning or above that it does not expect.
"""

import asyncio
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.ioloop import IOLoop

from tests.helpers.mariadb import MariaDB, make_data
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.client import RawClient
from tornado_chat.core.types import Person, Thread
from tornado_chat.server.server import Server
from tornado_chat.testing.http_request import request
from tornado_chat.testing.tokens import make_token

# A slow run on a busy machine is no failure.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

# Under PYTHONDONTWRITEBYTECODE, each worker and each server process would compile all modules at its start,
# which takes most of a run. The folder keeps the source folders free of bytecode, as the variable asks for.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", "") and "PYTHONPYCACHEPREFIX" not in os.environ:
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    sys.pycache_prefix, sys.dont_write_bytecode = os.environ["PYTHONPYCACHEPREFIX"], False

pytest_plugins = ["pytester", "tornado_chat.testing"]

SECRET = b"a secret of the tests, long enough for HS256"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest test first, so that the other workers do not wait for its end."""
    items.sort(key=lambda item: item.path.name != "test_other_pythons.py")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the properties that tests recorded with ``record_property``: facts about the machine."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties if report.when == "call" else ():
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture
def new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """The function that makes the event loop of a test."""
    return asyncio.new_event_loop


@pytest.fixture
def io_loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[IOLoop]:
    """The loop fixture that pytest-tornado uses, made without the deprecated ``make_current``."""
    loop = new_loop()
    asyncio.set_event_loop(loop)
    io_loop = IOLoop.current()
    yield io_loop
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    AsyncHTTPClient().close()
    loop.run_until_complete(loop.shutdown_default_executor())
    io_loop.close(all_fds=True)
    asyncio.set_event_loop(None)


@pytest.fixture
def expected_logs() -> list[str]:
    """Patterns of the warnings and errors that a test expects; the test appends them."""
    return []


@pytest.fixture(autouse=True)
def _no_unexpected_logs(caplog: pytest.LogCaptureFixture, expected_logs: list[str]) -> Iterator[None]:
    yield
    unexpected = [
        f"{record.levelname} {record.name}: {record.getMessage()}"
        for record in caplog.get_records("setup") + caplog.get_records("call")
        if record.levelno >= logging.WARNING
        and not any(re.search(pattern, record.getMessage()) for pattern in expected_logs)
    ]
    assert not unexpected, "unexpected log lines"


def token(role: str, id: int | str, name: str | None = None, *, lifetime: float = 3600, **claims: Any) -> str:
    """Return a token; ``claims`` are additional claims, as a host system adds them for plugins."""
    return make_token(SECRET, role, id, name, lifetime=lifetime, **claims)


@dataclass
class Harness:
    """A running server and the clients of a test."""

    server: Server
    config: config.Config
    clients: list[RawClient]

    @property
    def http(self) -> str:
        return self.server.url

    @property
    def ws(self) -> str:
        return self.server.url.replace("http", "ws", 1)

    async def connect(self, path: str, **options: Any) -> RawClient:
        client = await RawClient.connect(self.ws + path, **options)
        self.clients.append(client)
        return client

    async def chat(self, who: str, session_id: int, type: int = 0, features: str = "") -> RawClient:
        """Connect to a session with the token ``who``."""
        extra = f"&features={features}" if features else ""
        return await self.connect(f"/chat?token={who}&sessionId={session_id}&type={type}{extra}")

    async def user(self, id: int | str, *, connect: bool = True, **more: Any) -> "Peer":
        peer = Peer(await self.connect("/v1/ws/user/connect"))
        await peer.sign_in("user", id, **more)
        if connect:
            await peer.send_frame("connect")
        return peer

    async def waiter(self, id: int | str, *, ready: bool = True, **more: Any) -> "Peer":
        peer = Peer(await self.connect("/v1/ws/waiter/connect"))
        await peer.sign_in("waiter", id, **more)
        if ready:
            await peer.send_frame("ready")
        return peer

    async def api(
        self, method: str, path: str, who: str | None = None, body: Any = None, **headers: str
    ) -> HTTPResponse:
        return await request(self.http + path, method, who, body, headers)

    async def receipt(self, reader: Person, thread: Thread, seq: int) -> None:
        """Wait until the server has a receipt of ``reader`` for ``thread`` up to ``seq``."""
        while (await self.server._receipts.get(thread, reader) or 0) < seq:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)

    async def session(self, user: int = 1, consultant: int = 2, **more: Any) -> int:
        body = {"user_id": user, "consultant_id": consultant, **more}
        answer = await self.api("POST", "/api/v1/sessions", token("service", "host"), body)
        assert answer.code in (200, 201), answer.body
        return int(json.loads(answer.body)["session_id"])

    async def record(self, session_id: int, supervisor: int = 3) -> int:
        answer = await self.api(
            "POST",
            f"/api/v1/sessions/{session_id}/supervision",
            token("service", "host"),
            {"supervisor_id": supervisor},
        )
        assert answer.code == 201, answer.body
        return int(json.loads(answer.body)["record_id"])


class Peer:
    """An authenticated client of the support dialect, with its address ``uuid``."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.uuid = ""
        self._count = 0

    async def sign_in(self, role: str, id: int | str, features: list[str] | None = None, **more: Any) -> None:
        await self.sign_in_with(token(role, id, **more), features)

    async def sign_in_with(self, text: str, features: list[str] | None = None) -> None:
        hello = await self.get("initialize")
        self.uuid = hello["to"]
        payload: dict[str, Any] = {"token": text}
        if features:
            payload["features"] = features
        await self.send_frame("auth", payload)

    async def send_frame(self, type: str, payload: Any = None, **more: Any) -> str:
        self._count += 1
        frame = {"id": f"f{self._count}", "type": type, "payload": payload, **more}
        await self.client.send_json(frame)
        return str(frame["id"])

    async def get(self, type: str, timeout: float = WAIT_TIMEOUT_SECONDS) -> dict[str, Any]:
        """Return the next frame, which must be of ``type``."""
        frame = await self.client.recv_json(timeout)
        assert frame["type"] == type, frame
        return dict(frame)

    async def until(self, type: str, timeout: float = WAIT_TIMEOUT_SECONDS) -> dict[str, Any]:
        """Return the next frame of ``type``; the frames before it are ignored."""
        while True:
            frame = await self.client.recv_json(timeout)
            if frame["type"] == type:
                return dict(frame)

    async def close(self, code: int = 1000) -> None:
        await self.client.close(code)


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A temporary folder, in memory (``/dev/shm``) if possible."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="tornado-chat-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mariadb_data(memory: Path) -> Path:
    (memory / "new").mkdir()
    return make_data(memory / "new")


@pytest.fixture(scope="session")
def mariadb(memory: Path, mariadb_data: Path) -> Iterator[MariaDB]:
    """A MariaDB server, shared by all tests that leave it unchanged."""
    options = ("--innodb-flush-log-at-trx-commit=0", "--max-connections=300")
    with MariaDB(memory / "shared", mariadb_data, *options) as server:
        yield server


@pytest.fixture
def own_mariadb(memory: Path, mariadb_data: Path, tmp_path: Path) -> Iterator[MariaDB]:
    """A MariaDB server of the test's own, which the test may kill."""
    with MariaDB(memory / tmp_path.name, mariadb_data) as server:
        yield server
    shutil.rmtree(server.directory)


@pytest.fixture(scope="session")
def redis(memory: Path) -> Iterator[RedisServer]:
    """A Redis server, shared by all tests that leave it running."""
    with RedisServer(memory / "redis") as server:
        yield server


@pytest.fixture
def own_redis(memory: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server of the test's own, which the test may kill."""
    with RedisServer(memory / f"redis-{tmp_path.name}") as server:
        yield server


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    """The kind of database of the test, ``sqlite`` or ``mariadb``; see ``on_both``."""
    return str(getattr(request, "param", "sqlite"))


on_both = pytest.mark.parametrize("database_kind", ["sqlite", "mariadb"], indirect=True)
"""Mark that runs a test on both kinds of database; as ``pytestmark`` for all tests of a module."""


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """``[storage] url`` of a database of the test's own; a MariaDB database has the tables already."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / config.DATABASE_FILE_NAME}"
        return
    server: MariaDB = request.getfixturevalue("mariadb")
    with server.database(migrated=True) as name:
        yield server.url(name)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> config.Config:
    """The configuration of ``harness``; a test module overrides this fixture to change it."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    return config.Config(
        server=config.Server(port=0, timezone="Asia/Shanghai", drain_seconds=0),
        auth=config.Auth(secret_file=str(secret)),
        storage=config.Storage(url=database_url, durability="normal"),
        support=config.Support(queue_interval=0.05),
    ).with_state_dir(tmp_path / "state")


@pytest.fixture
def harness(io_loop: IOLoop, settings: config.Config) -> Iterator[Harness]:
    async def start() -> Harness:
        server = Server(settings)
        await server.start()
        return Harness(server, settings, [])

    harness = io_loop.run_sync(start)
    yield harness

    async def stop() -> None:
        for client in harness.clients:
            await client.close()
        await harness.server.stop()

    io_loop.run_sync(stop)


def changed(settings: config.Config, section: str, **options: Any) -> config.Config:
    """Return ``settings`` with other values in one section."""
    return replace(settings, **{section: replace(getattr(settings, section), **options)})

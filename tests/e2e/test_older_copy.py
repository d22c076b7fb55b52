"""The database goes back to an older copy under the running process: no later message is hidden."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.e2e.test_faults import Listener
from tests.helpers.chaos import NAME, Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import (
    ChatClient,
    ConnectionClosed,
    MessageRefused,
    NotifyClient,
    RawClient,
    UserClient,
    WaiterClient,
)

VISITOR, COUNSELLOR = token("user", 1), token("consultant", 2)
HOST = token("service", "host")
USER, WAITER = token("user", 3), token("waiter", 4)
GONE_BACK = "the database has gone back by"
AFRESH = "the server starts afresh"
AFTERWARDS = [f"after {n}" for n in range(15)]

pytestmark = pytest.mark.slow


class Conversations:
    """Two sessions and a support conversation. The first consultant uses the seed's protocol only."""

    async def begin(self, speaking: Harness, listening: Harness) -> None:
        session = await speaking.session(user=1, consultant=2)
        self.visitor = await ChatClient(speaking.ws, VISITOR, session).connect()
        path = f"/chat?token={COUNSELLOR}&sessionId={session}&type=0"
        self.counsellor = Listener(listening.ws, path)
        other = await speaking.session(user=1, consultant=5)
        self.other_visitor = await ChatClient(speaking.ws, VISITOR, other).connect()
        self.other_counsellor = await ChatClient(listening.ws, token("consultant", 5), other).connect()
        self.waiter = await WaiterClient(listening.ws, WAITER).connect()
        self.user = await UserClient(speaking.ws, USER).connect()
        while (await self.user.receive(WAIT_TIMEOUT_SECONDS)).type != "connect_success":
            pass

    async def say(self, texts: list[str]) -> None:
        """Return when all texts are acknowledged in all conversations."""
        async with asyncio.timeout(3 * WAIT_TIMEOUT_SECONDS):
            for text in texts:
                for client in (self.visitor, self.other_visitor, self.user):
                    while not await self._is_stored(client, text):
                        pass

    async def _is_stored(self, client: ChatClient | UserClient, text: str) -> bool:
        try:
            await client.send(text)
        except MessageRefused:  # the server asks to send the message again
            return False
        return True

    async def until(self, text: str) -> list[list[str]]:
        """Wait until each reader has got ``text``; return the texts that each got, without repetitions."""
        return [
            await self.counsellor.until(text),
            await received(self.other_counsellor, text),
            await received(self.waiter, text),
        ]

    async def end(self) -> None:
        for client in (self.visitor, self.other_visitor, self.other_counsellor, self.waiter, self.user):
            await client.close()
        await self.counsellor.close()


async def received(client: ChatClient | WaiterClient, last: str) -> list[str]:
    found: list[str] = []
    while last not in found:
        frame = await client.receive(WAIT_TIMEOUT_SECONDS)
        text = frame.msg if isinstance(client, ChatClient) else frame.message
        if text not in found:
            found.append(text)
    return found


async def off_loop(work: Callable[..., object], *arguments: object) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


# --- SQLite ---


def copy_database(source: Path, target: Path) -> None:
    """Copy into ``target`` by SQLite's own means, as ``sqlite3 target '.restore source'`` does."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target, timeout=30)) as new:
        old.backup(new)


def write_over(copy: Path, database: Path) -> None:
    copy_database(copy, database)


def put_in_place(copy: Path, database: Path) -> None:
    """Replace the file and remove the log of the former one, as an operator does."""
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink()
    copy.replace(database)


@pytest.mark.parametrize("restore", [write_over, put_in_place])
@pytest.mark.gen_test(timeout=120)
async def test_a_restored_sqlite_database_hides_no_later_message(
    process: Process, tmp_path: Path, restore: Callable[[Path, Path], None]
) -> None:
    process.expected += [GONE_BACK, AFRESH, "could not be stored"]
    harness = (await process.start("limits.messages_per_second=10000")).harness
    talks = Conversations()
    await talks.begin(harness, harness)
    await talks.say([f"before {n}" for n in range(5)])
    await talks.until("before 4")
    database, copy = process.directory / "state" / "tornado-chat.sqlite3", tmp_path / "copy"
    await off_loop(copy_database, database, copy)
    await talks.say([f"lost {n}" for n in range(10)])
    await talks.until("lost 9")
    await off_loop(restore, copy, database)
    await talks.say(AFTERWARDS)
    for texts in await talks.until(AFTERWARDS[-1]):
        assert [text for text in texts if text.startswith("after")] == AFTERWARDS
    await talks.end()
    assert len(process.forget(GONE_BACK)) == 1
    assert len(process.forget(AFRESH)) == 1
    process.forget("could not be stored yet")
    await process.stop()
    # Another start finds nothing wrong.
    await process.start()
    await process.stop()


@pytest.mark.gen_test(timeout=60)
async def test_sockets_are_closed_with_1012_and_nothing_is_stored_in_a_file_without_a_name(
    process: Process, tmp_path: Path
) -> None:
    process.expected += [GONE_BACK, AFRESH, "has been removed", "could not be stored"]
    harness = (await process.start()).harness
    session = await harness.session(user=1, consultant=2)
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.send_json({"msg": "stored", "id": "1"})
    while (await visitor.recv_json(WAIT_TIMEOUT_SECONDS)).get("ack") != "1":
        pass
    database, away = process.directory / "state" / "tornado-chat.sqlite3", tmp_path / "away"
    copy = tmp_path / "copy"
    await off_loop(copy_database, database, copy)
    database.rename(away)
    # A thread that opens its first connection now makes no empty file.
    page = f"/api/v1/sessions/{session}/messages"
    answers = await asyncio.gather(*(harness.api("GET", page, HOST) for _ in range(8)))
    assert {answer.code for answer in answers} <= {200, 503}
    assert not database.exists()
    await visitor.send_json({"msg": "refused", "id": "2"})
    answer = await until_system(visitor, "错误")
    assert answer["msg"] == "错误: 消息未能保存, 请重新发送"
    away.rename(database)
    await visitor.send_json({"msg": "again", "id": "2"})
    while (await visitor.recv_json(WAIT_TIMEOUT_SECONDS)).get("ack") != "2":
        pass
    put_in_place(copy, database)
    await visitor.send_json({"msg": "after", "id": "3"})
    with pytest.raises(ConnectionClosed) as closed:
        await until_system(visitor, "no frame begins like this")
    assert (closed.value.code, closed.value.reason) == (1012, "the server has lost messages: reconnect now")
    await process.wait_for_log(AFRESH)
    assert (await harness.api("GET", "/readyz")).code == 200
    assert len(process.forget("has been removed")) == 1
    assert len(process.forget(GONE_BACK)) == len(process.forget(AFRESH)) == 1
    await process.stop()


async def until_system(client: RawClient, start: str) -> dict[str, str]:
    while True:
        frame = await client.recv_json(WAIT_TIMEOUT_SECONDS)
        if frame.get("isSystem") and frame["msg"].startswith(start):
            return dict(frame)


# --- several processes on MariaDB ---

COPY = "older_copy"


def copy_rows(server: MariaDB, source: str, target: str) -> None:
    """Make the rows of ``target`` those of ``source``, in one transaction."""
    tables = [name for (name,) in server.run(f"SHOW TABLES FROM {source}")]
    with closing(server.connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        for table in tables:
            cursor.execute(f"DELETE FROM {target}.{table}")
            cursor.execute(f"INSERT INTO {target}.{table} SELECT * FROM {source}.{table}")
        connection.commit()


def make_copy(server: MariaDB) -> None:
    server.run(f"CREATE DATABASE {COPY}")
    for (table,) in server.run(f"SHOW TABLES FROM {NAME}"):
        server.run(f"CREATE TABLE {COPY}.{table} LIKE {NAME}.{table}")
    copy_rows(server, NAME, COPY)


@pytest.fixture(params=[False, True], ids=["servers", "workers"])
def cluster(
    request: pytest.FixtureRequest,
    io_loop: IOLoop,
    tmp_path: Path,
    own_mariadb: MariaDB,
    own_redis: RedisServer,
) -> Iterator[Cluster]:
    """Run three servers, or three workers of one."""
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 3, children=request.param)
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield cluster
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)


@pytest.mark.gen_test(timeout=180)
async def test_a_failover_to_an_older_copy_hides_no_later_message_on_any_process(
    cluster: Cluster, own_mariadb: MariaDB
) -> None:
    speaking, listening, idle = ([server.harness for server in cluster.servers] * 3)[:3]
    talks = Conversations()
    await talks.begin(speaking, listening)
    # This process stores nothing by itself, so only another one can notice for it.
    notified = await NotifyClient(idle.ws, COUNSELLOR).connect()
    await talks.say([f"before {n}" for n in range(5)])
    await talks.until("before 4")
    await off_loop(make_copy, own_mariadb)
    await talks.say([f"lost {n}" for n in range(10)])
    await talks.until("lost 9")
    await off_loop(copy_rows, own_mariadb, COPY, NAME)
    await talks.say(AFTERWARDS)
    for texts in await talks.until(AFTERWARDS[-1]):
        assert [text for text in texts if text.startswith("after")] == AFTERWARDS
    for server in cluster.servers:
        await server.wait_for_log(AFRESH, times=cluster.processes_per_server)
    await talks.end()
    await notified.close()

"""The real process under load on a MariaDB server that is killed, hangs, or is locked, full or read-only."""

import asyncio
import contextlib
import random
import signal

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.e2e.test_database_faults import REFUSED, chatting_pair, ready, say
from tests.e2e.test_faults import Listener
from tests.helpers.mariadb import MariaDB
from tests.helpers.mysql_proxy import AtCommit, MysqlProxy
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.client import ChatClient
from tornado_chat.core.types import Kind, Thread
from tornado_chat.storage import messages, models
from tornado_chat.storage.database import open_database

NAME = "chat"
AWAY = ("the database accepts no writes", "the database is unavailable", "could not be stored yet")

pytestmark = pytest.mark.slow


@pytest.fixture
def server(own_mariadb: MariaDB) -> MariaDB:
    """Return a server with an unprivileged user for the process."""
    own_mariadb.run(f"CREATE DATABASE {NAME}")
    for host in ("localhost", "127.0.0.1"):
        own_mariadb.run(f"CREATE USER chat@'{host}'", f"GRANT ALL ON {NAME}.* TO chat@'{host}'")
    return own_mariadb


@pytest.fixture
def process(io_loop: IOLoop, server: MariaDB, process: Process) -> Process:
    process.options += [f"storage.url={url(server.port)}", "limits.messages_per_second=10000"]
    return process


def url(port: int) -> str:
    return f"mysql://chat@127.0.0.1:{port}/{NAME}"


async def off_loop(work: object, *arguments: object) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work, *arguments)  # type: ignore[arg-type]


class Pairs:
    """Pairs that chat until ``end``; every other listener uses only the seed's protocol."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, ChatClient, ChatClient | Listener]] = []
        self._over = asyncio.Event()
        self._speaking: list[asyncio.Task[int]] = []

    async def begin(self, harness: Harness, count: int) -> None:
        for n in range(count):
            session = await harness.session(user=10 + n, consultant=20 + n)
            visitor = await ChatClient(harness.ws, token("user", 10 + n), session).connect()
            who = token("consultant", 20 + n)
            listener: ChatClient | Listener
            if n % 2:
                listener = Listener(harness.ws, f"/chat?token={who}&sessionId={session}&type=0")
            else:
                listener = await ChatClient(harness.ws, who, session).connect()
            self.pairs.append((session, visitor, listener))
        self._speaking = [asyncio.create_task(self._send_numbers(visitor)) for _, visitor, _ in self.pairs]

    async def _send_numbers(self, client: ChatClient) -> int:
        sent = 0
        while not self._over.is_set():
            await asyncio.gather(*(client.send(f"{sent + n}") for n in range(5)))
            sent += 5
            await asyncio.sleep(0.01)
        return sent

    async def wait_for_progress(self) -> None:
        """Return when each sender has got another acknowledgement: its message was stored."""
        visitors = [visitor for _, visitor, _ in self.pairs]
        await asyncio.wait_for(
            asyncio.gather(*(visitor.send("?") for visitor in visitors)), WAIT_TIMEOUT_SECONDS
        )

    async def end(self, port: int) -> None:
        """Check that messages are stored once, in order, and all received; with numbers only once."""
        self._over.set()
        said = await asyncio.gather(*self._speaking)
        database = open_database(_storage(port))
        for (session, visitor, listener), sent in zip(self.pairs, said, strict=True):
            expected = [f"{n}" for n in range(sent)]
            stored = messages.after(database, Thread(Kind.SESSION, session), 0, 100_000)
            assert [message.seq for message in stored] == list(range(1, len(stored) + 1))
            assert [message.text for message in stored if message.text != "?"] == expected
            if isinstance(listener, Listener):
                heard = [text for text in await listener.until(expected[-1]) if text != "?"]
            else:
                heard = []
                while expected[-1] not in heard:
                    frame = await listener.receive(WAIT_TIMEOUT_SECONDS)
                    heard += [frame.msg] if not frame.system and frame.msg != "?" else []
            assert heard == expected
            await visitor.close()
            await listener.close()
        database.close()


def _storage(port: int) -> config.Storage:
    return config.Storage(url=url(port))


@pytest.mark.gen_test
async def test_a_restarted_database_server_causes_only_delay(process: Process, server: MariaDB) -> None:
    talks = Pairs()
    await talks.begin((await process.start()).harness, 5)
    for _ in range(3):
        await talks.wait_for_progress()
        await off_loop(server.stop, signal.SIGKILL)
        await asyncio.sleep(random.uniform(0, 0.3))
        await off_loop(server.start)
    await talks.wait_for_progress()
    await talks.end(server.port)
    await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_a_suspended_database_server_causes_only_delay(process: Process, server: MariaDB) -> None:
    talks = Pairs()
    await talks.begin((await process.start()).harness, 3)
    for seconds in (0.3, 2.0):
        await talks.wait_for_progress()
        server.freeze()
        await asyncio.sleep(seconds)
        server.resume()
    await talks.wait_for_progress()
    await talks.end(server.port)


@pytest.mark.gen_test
async def test_connections_cut_at_the_commit_cause_only_delay(process: Process, server: MariaDB) -> None:
    async with MysqlProxy(server.port) as proxy:
        process.options.append(f"storage.url={url(proxy.port)}")
        talks = Pairs()
        await talks.begin((await process.start()).harness, 3)
        for fault in AtCommit:
            await talks.wait_for_progress()
            proxy.faults.append(fault)
            while proxy.faults:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        await talks.wait_for_progress()
        await talks.end(server.port)
        await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_a_message_that_waits_too_long_is_refused_and_not_stored(
    process: Process, server: MariaDB
) -> None:
    process.options.append("storage.patience=0.5")
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    assert (await say(visitor, "before"))["ack"] == "before"
    await off_loop(server.stop, signal.SIGKILL)
    assert (await say(visitor, "into the void"))["msg"] == REFUSED
    assert (await say(visitor, "told at once"))["msg"] == REFUSED
    code, problems = await ready(harness)
    assert code == 503
    assert "Can't connect" in problems["database"]
    assert (await harness.api("GET", "/healthz")).code == 200
    await off_loop(server.start)
    assert (await say(visitor, "into the void"))["ack"] == "into the void"  # the same id, sent again
    assert (await ready(harness))[0] == 200
    assert [(await counsellor.recv_json())["msg"] for _ in range(2)] == ["before", "into the void"]
    await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_a_database_server_without_free_connections_is_waited_for(
    process: Process, server: MariaDB
) -> None:
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    server.run("SET GLOBAL max_connections = 10")
    ours = server.run("SELECT id FROM information_schema.processlist WHERE user = 'chat'")
    for (id,) in ours:
        server.run(f"KILL {id}")
    taken = []
    with contextlib.suppress(Exception):
        while True:
            taken.append(server.connect(user="chat", unix_socket=server.socket))
    await visitor.send_json({"msg": "patient", "id": "a"})
    with pytest.raises(TimeoutError):
        await visitor.recv_json(0.5)
    for connection in taken:
        connection.close()
    assert (await visitor.recv_json())["ack"] == "a"
    assert (await counsellor.recv_json())["msg"] == "patient"
    await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_a_read_only_database_server_is_waited_for(process: Process, server: MariaDB) -> None:
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    server.run("SET GLOBAL read_only = 1")
    await visitor.send_json({"msg": "patient", "id": "a"})
    with pytest.raises(TimeoutError):
        await visitor.recv_json(0.5)
    server.run("SET GLOBAL read_only = 0")
    assert (await visitor.recv_json())["ack"] == "a"
    assert (await counsellor.recv_json())["msg"] == "patient"
    await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_locks_and_deadlocks_of_other_clients_cause_only_delay(
    process: Process, server: MariaDB
) -> None:
    talks = Pairs()
    await talks.begin((await process.start()).harness, 4)
    await talks.wait_for_progress()
    sessions = [session for session, *_ in talks.pairs]

    def disturb() -> None:
        for n in range(20):
            with contextlib.suppress(Exception), server.session(NAME) as other:
                # A large transaction: in a deadlock the server rolls back the smaller one, here the
                # process's.
                rows = [(f"user:x{n}-{m}",) for m in range(50)]
                other.executemany("INSERT INTO inbox (owner, last_seq) VALUES (%s, 0)", rows)
                for session in random.sample(sessions, 3):
                    other.execute(f"UPDATE consultation_session SET rate = 1 WHERE id = {session}")

    await off_loop(disturb)
    await talks.wait_for_progress()
    await talks.end(server.port)


@pytest.mark.gen_test
async def test_a_restart_of_both_servers_continues_the_conversations(
    process: Process, server: MariaDB
) -> None:
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    assert (await say(visitor, "before"))["ack"] == "before"
    assert (await counsellor.recv_json())["msg"] == "before"
    await process.stop(signal.SIGKILL)
    await off_loop(server.stop, signal.SIGKILL)
    await off_loop(server.start)
    harness = (await process.start()).harness
    again = await harness.chat(token("user", 1), 1, features="ack")
    assert (await say(again, "after"))["ack"] == "after"
    late = await harness.chat(token("consultant", 2), 1)
    while (await late.recv_json())["msg"] != "after":  # earlier messages may be sent again
        pass
    database = open_database(_storage(server.port))
    assert models.WriterProcess.select().count(database) == 2  # that of the killed process is removed later
    database.close()

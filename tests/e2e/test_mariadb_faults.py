"""The real process on a MariaDB server that dies, hangs, is locked, full or read-only while people talk."""

import asyncio
import contextlib
import random
import signal

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import House, token
from tests.e2e.conftest import Process
from tests.e2e.test_database_faults import REFUSED, ready, say, talking
from tests.e2e.test_faults import Listener
from tests.mariadb import MariaDB
from tests.mysql_proxy import AtCommit, MysqlProxy
from tests.patience import PATIENCE
from tornado_chat import config
from tornado_chat.client import ChatClient
from tornado_chat.core.types import Kind, Thread
from tornado_chat.storage import messages, models
from tornado_chat.storage.database import open_database

NAME = "chat"
AWAY = ("the database accepts no writes", "the database is unavailable", "could not be stored yet")


@pytest.fixture
def server(own_mariadb: MariaDB) -> MariaDB:
    """It lets the process in as somebody without privileges."""
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


class Talks:
    """Pairs who talk until they are told to stop. In turn, who listens knows numbers, or is a client of the seed."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, ChatClient, ChatClient | Listener]] = []
        self._over = asyncio.Event()
        self._speaking: list[asyncio.Task[int]] = []

    async def begin(self, house: House, count: int) -> None:
        for n in range(count):
            session = await house.session(user=10 + n, consultant=20 + n)
            visitor = await ChatClient(house.ws, token("user", 10 + n), session).connect()
            who = token("consultant", 20 + n)
            listener: ChatClient | Listener
            if n % 2:
                listener = Listener(house.ws, f"/chat?token={who}&sessionId={session}&type=0")
            else:
                listener = await ChatClient(house.ws, who, session).connect()
            self.pairs.append((session, visitor, listener))
        self._speaking = [asyncio.create_task(self._speak(visitor)) for _, visitor, _ in self.pairs]

    async def _speak(self, client: ChatClient) -> int:
        sent = 0
        while not self._over.is_set():
            await asyncio.gather(*(client.send(f"{sent + n}") for n in range(5)))
            sent += 5
            await asyncio.sleep(0.01)
        return sent

    async def go_on(self) -> None:
        """Returns when everybody who spoke has been answered once more: it was stored."""
        visitors = [visitor for _, visitor, _ in self.pairs]
        await asyncio.wait_for(asyncio.gather(*(visitor.send("?") for visitor in visitors)), PATIENCE)

    async def end(self, port: int) -> None:
        """Nothing is lost, nothing there twice, all in order; nobody who knows numbers has heard anything twice."""
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
                    frame = await listener.receive(PATIENCE)
                    heard += [frame.msg] if not frame.system and frame.msg != "?" else []
            assert heard == expected
            await visitor.close()
            await listener.close()
        database.close()


def _storage(port: int) -> config.Storage:
    return config.Storage(url=url(port))


@pytest.mark.gen_test
async def test_a_server_that_is_killed_and_comes_back_costs_time_only(
    process: Process, server: MariaDB
) -> None:
    talks = Talks()
    await talks.begin((await process.start()).house, 5)
    for _ in range(3):
        await talks.go_on()
        await off_loop(server.stop, signal.SIGKILL)
        await asyncio.sleep(random.uniform(0, 0.3))
        await off_loop(server.start)
    await talks.go_on()
    await talks.end(server.port)
    await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_a_server_that_hangs_for_a_while_costs_time_only(process: Process, server: MariaDB) -> None:
    talks = Talks()
    await talks.begin((await process.start()).house, 3)
    for seconds in (0.3, 2.0):
        await talks.go_on()
        server.freeze()
        await asyncio.sleep(seconds)
        server.resume()
    await talks.go_on()
    await talks.end(server.port)


@pytest.mark.slow
@pytest.mark.gen_test
async def test_connections_that_end_at_the_commit_cost_time_only(process: Process, server: MariaDB) -> None:
    async with MysqlProxy(server.port) as proxy:
        process.options.append(f"storage.url={url(proxy.port)}")
        talks = Talks()
        await talks.begin((await process.start()).house, 3)
        for fault in AtCommit:
            await talks.go_on()
            proxy.faults.append(fault)
            while proxy.faults:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        await talks.go_on()
        await talks.end(server.port)
        await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_who_waits_too_long_is_told_and_nothing_of_it_is_stored(
    process: Process, server: MariaDB
) -> None:
    process.options.append("storage.patience=0.5")
    house = (await process.start()).house
    visitor, counsellor = await talking(house)
    assert (await say(visitor, "before"))["ack"] == "before"
    await off_loop(server.stop, signal.SIGKILL)
    assert (await say(visitor, "into the void"))["msg"] == REFUSED
    assert (await say(visitor, "told at once"))["msg"] == REFUSED
    code, problems = await ready(house)
    assert code == 503
    assert "Can't connect" in problems["database"]
    assert (await house.api("GET", "/healthz")).code == 200
    await off_loop(server.start)
    assert (await say(visitor, "into the void"))["ack"] == "into the void"  # the same id, sent again
    assert (await ready(house))[0] == 200
    assert [(await counsellor.recv_json())["msg"] for _ in range(2)] == ["before", "into the void"]
    await process.stop()
    process.expected += [*AWAY, "Traceback"]


@pytest.mark.gen_test
async def test_a_server_without_a_connection_left_is_waited_for(process: Process, server: MariaDB) -> None:
    house = (await process.start()).house
    visitor, counsellor = await talking(house)
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
async def test_a_server_that_is_read_only_is_waited_for(process: Process, server: MariaDB) -> None:
    house = (await process.start()).house
    visitor, counsellor = await talking(house)
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
async def test_others_who_lock_and_deadlock_cost_time_only(process: Process, server: MariaDB) -> None:
    talks = Talks()
    await talks.begin((await process.start()).house, 4)
    await talks.go_on()
    sessions = [session for session, *_ in talks.pairs]

    def disturb() -> None:
        for n in range(20):
            with contextlib.suppress(Exception), server.session(NAME) as other:
                # With a lot to undo, or the server would always let the process go on.
                rows = [(f"user:x{n}-{m}",) for m in range(50)]
                other.executemany("INSERT INTO inbox (owner, last_seq) VALUES (%s, 0)", rows)
                for session in random.sample(sessions, 3):
                    other.execute(f"UPDATE consultation_session SET rate = 1 WHERE id = {session}")

    await off_loop(disturb)
    await talks.go_on()
    await talks.end(server.port)


@pytest.mark.gen_test
async def test_a_restart_of_both_finds_what_was_going_on(process: Process, server: MariaDB) -> None:
    house = (await process.start()).house
    visitor, counsellor = await talking(house)
    assert (await say(visitor, "before"))["ack"] == "before"
    assert (await counsellor.recv_json())["msg"] == "before"
    await process.stop(signal.SIGKILL)
    await off_loop(server.stop, signal.SIGKILL)
    await off_loop(server.start)
    house = (await process.start()).house
    again = await house.chat(token("user", 1), 1, features="ack")
    assert (await say(again, "after"))["ack"] == "after"
    late = await house.chat(token("consultant", 2), 1)
    while (await late.recv_json())["msg"] != "after":  # perhaps what was said before, once more
        pass
    database = open_database(_storage(server.port))
    assert models.WriterProcess.select().count(database) == 2  # the row of the killed one is removed later
    database.close()

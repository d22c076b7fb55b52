"""Random load on the real process, while connections are cut and the process is killed; then the count.

``scripts/soak`` runs it for minutes, ``tests/e2e/test_soak.py`` for seconds. Each conversation has
a sender of numbered messages with ids (``…ack``), and one of two listeners: one that knows sequence numbers,
and one that knows only the seed. All of them connect through proxies that cut at random.

What must hold in the end, per conversation: everything acknowledged is stored, once, in the order in
which it was sent; the listener with numbers got exactly that; the seed's listener got it in the same
order, nothing missing, some of it perhaps more than once.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import House, token
from tests.e2e.conftest import Process
from tests.faults import FaultyProxy
from tests.mariadb import MariaDB, make_data
from tornado_chat import config
from tornado_chat.client import ChatClient, Closed, Options, RawClient, UserClient, WaiterClient
from tornado_chat.storage import models
from tornado_chat.storage.database import open_database

WORK = Options(first_delay=0.02, longest_delay=0.5, ping_interval=2.0, timeout=5.0)
PATIENCE = 60.0  # seconds until everything must have arrived after the last fault
CAPACITY = 5
MOST_UNHEARD = 500  # messages that a speaker is ahead of its listener


@dataclass
class Talk:
    """One conversation: what was sent, acknowledged, and heard by whom."""

    name: str
    sent: int = 0
    acknowledged: set[int] = field(default_factory=set)
    heard: list[int] = field(default_factory=list)
    plain: bool = False

    def text(self, number: int) -> str:
        return f"{self.name}/{number}"

    def hear(self, text: str) -> None:
        name, _, number = text.partition("/")
        assert name == self.name, f"{self.name} heard {text!r}, which is another's"
        self.heard.append(int(number))

    @property
    def first_heard(self) -> list[int]:
        """What was heard, without what came again."""
        return list(dict.fromkeys(self.heard))


@dataclass
class Count:
    """The figures of a run, and what is wrong."""

    sent: int = 0
    acknowledged: int = 0
    stored: int = 0
    received: int = 0
    again: int = 0
    kills: int = 0
    stops: int = 0
    cuts: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.stored} messages, {self.kills} kills, {self.stops} restarts, {self.cuts} cuts, "
            f"{self.lost} lost"
        )


class Soak:
    """One run.

    :arg seconds: how long it is loaded and hurt.
    :arg seed: of everything random here; the scheduling of processes is not.
    :arg mariadb: where messages are kept, and hurt too; SQLite if there is none.
    """

    def __init__(
        self,
        directory: Path,
        seconds: float,
        seed: int,
        say: Callable[[str], object],
        mariadb: MariaDB | None = None,
    ) -> None:
        self._process = Process(directory)
        self._seconds = seconds
        self._random = random.Random(seed)
        self._say = say
        self._mariadb = mariadb
        self._url = f"sqlite:///{directory / 'state' / config.DATABASE}"
        self._talks: list[Talk] = []
        self._over = asyncio.Event()
        self.count = Count()

    async def run(self, sessions: int, users: int) -> Count:
        """``sessions`` counselling sessions and ``users`` users of support, then the count."""
        self._process.options += [
            "counselling.rejoin_grace=300",
            "support.rejoin_grace=300",
            f"support.capacity={CAPACITY}",
            "limits.connections_per_identity=200",
            "limits.messages_per_second=10000",
            "limits.burst=10000",
            "limits.ping_interval=1",
            "limits.ping_timeout=3",
        ]
        if self._mariadb is not None:
            self._mariadb.run("CREATE DATABASE soak")
            self._url = self._mariadb.url("soak")
        self._process.options.append(f"storage.url={self._url}")
        process = await self._process.start()
        port = int(process.url.rsplit(":", 1)[1])
        try:
            async with FaultyProxy(port) as proxy:
                await self._load(process.house, proxy, sessions, users)
                self.count.cuts = proxy.cuts
        finally:
            await process.stop()
        self._compare()
        return self.count

    async def _load(self, house: House, proxy: FaultyProxy, sessions: int, users: int) -> None:
        workers: list[Awaitable[None]] = []
        for n in range(sessions):
            session = await house.session(user=1000 + n, consultant=2000 + n)
            talk = Talk(f"s{session}", plain=n % 2 == 1)
            self._talks.append(talk)
            visitor = ChatClient(proxy.url, token("user", 1000 + n), session, options=WORK)
            workers.append(self._speak(visitor, talk))
            listen = self._listen_as_the_seed if talk.plain else self._listen
            workers.append(listen(proxy.url, token("consultant", 2000 + n), session, talk))
        talks = {str(3000 + n): Talk(f"u{3000 + n}") for n in range(users)}
        self._talks += talks.values()
        waiters = [
            asyncio.create_task(self._wait_on(proxy.url, 4000 + n)) for n in range(-(-users // CAPACITY))
        ]
        for n in range(users):
            workers.append(self._ask(proxy.url, 3000 + n, talks[str(3000 + n)]))
        tasks = [asyncio.ensure_future(worker) for worker in workers]
        hurting = asyncio.create_task(self._hurt(proxy))
        talking = asyncio.gather(hurting, *tasks)
        try:
            # Waiters work until the others have done; one that ends before has failed.
            done, _ = await asyncio.wait([talking, *waiters], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (hurting, *tasks, *waiters):
                task.cancel()
            await asyncio.gather(hurting, *tasks, *waiters, return_exceptions=True)

    # --- those who talk ---

    async def _speak(self, client: ChatClient | UserClient, talk: Talk) -> None:
        async with client:
            await self._send(client, talk)
            await self._until_heard(talk)

    async def _send(self, client: ChatClient | UserClient, talk: Talk) -> None:
        """Numbered messages, several under way at once, until the time is over; all get their answer."""
        under_way: set[asyncio.Task[None]] = set()

        async def one(number: int) -> None:
            await client.send(talk.text(number), id=talk.text(number))
            talk.acknowledged.add(number)

        while not self._over.is_set():
            while len(under_way) < 8 and talk.sent - len(talk.heard) < MOST_UNHEARD:
                talk.sent += 1
                under_way.add(asyncio.create_task(one(talk.sent)))
            if under_way:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            await asyncio.sleep(self._random.random() * 0.02)  # the pace of the load
        await asyncio.gather(*under_way)

    async def _listen(self, url: str, who: str, session: int, talk: Talk) -> None:
        async with ChatClient(url, who, session, options=WORK) as client:
            while not self._is_heard(talk):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if not frame.system:
                        talk.hear(frame.msg)

    async def _listen_as_the_seed(self, url: str, who: str, session: int, talk: Talk) -> None:
        """A front end that knows nothing but how to connect again."""
        while not self._is_heard(talk):
            with contextlib.suppress(Closed, TimeoutError, OSError):
                client = await RawClient.connect(f"{url}/chat?token={who}&sessionId={session}&type=0")
                try:
                    while not self._is_heard(talk):
                        with contextlib.suppress(TimeoutError):
                            frame = await client.recv_json(0.5)
                            if not frame["isSystem"]:
                                talk.hear(frame["msg"])
                finally:
                    closing = asyncio.ensure_future(client.close())
                    await asyncio.wait({closing}, timeout=6)
            await asyncio.sleep(0.05)  # a page waits too

    async def _ask(self, url: str, id: int, talk: Talk) -> None:
        async with UserClient(url, token("user", id), options=WORK) as client:
            await client.expect("connect_success", PATIENCE)
            sending = asyncio.create_task(self._send(client, talk))
            while not (sending.done() and self._is_heard(talk)):
                with contextlib.suppress(TimeoutError):
                    frame = await client.receive(0.5)
                    if frame.type == "message_text":
                        talk.hear(frame.message.removeprefix("re "))
            sending.result()

    async def _wait_on(self, url: str, id: int) -> None:
        """Answers every message: what a user said comes back to that user."""
        async with WaiterClient(url, token("waiter", id), options=WORK) as client:
            while True:
                frame = await client.receive(None)
                if frame.type == "message_text":
                    assert frame.sender is not None
                    # By id, so that an answer that is given again after a cut is one answer.
                    await client.send(frame.sender, f"re {frame.message}", id=f"re {frame.message}")

    def _is_heard(self, talk: Talk) -> bool:
        return (
            self._over.is_set()
            and len(talk.acknowledged) == talk.sent
            and bool(talk.heard)
            and talk.heard[-1] == talk.sent
        )

    async def _until_heard(self, talk: Talk) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self._is_heard(talk):  # noqa: ASYNC110 - the listener is a client of its own
                await asyncio.sleep(0.05)

    # --- what hurts ---

    async def _hurt(self, proxy: FaultyProxy) -> None:
        until = time.monotonic() + self._seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2 + self._random.random()))
            faults = {"cut": 6, "half": 2, "stall": 1, "drop": 3, "kill": 2, "stop": 1}
            if self._mariadb is not None:
                faults |= {"database": 2, "hang": 1}
            match self._random.choices(list(faults), list(faults.values()))[0]:
                case "cut":
                    for link in self._some(proxy):
                        link.cut()
                        proxy.cuts += 1
                case "half":
                    for link in self._some(proxy):
                        link.leave_half_open()
                        proxy.cuts += 1
                case "stall":
                    proxy.stall()
                    await asyncio.sleep(self._random.random())
                    proxy.resume()
                case "drop":
                    proxy.drop_after_down = self._random.choice(
                        (None, None, self._random.randint(200, 20000))
                    )
                    proxy.drop_after_up = self._random.choice((None, None, self._random.randint(200, 20000)))
                case "kill":
                    await self._process.stop(signal.SIGKILL)
                    self.count.kills += 1
                    await self._process.start()
                case "stop":
                    await self._process.stop()
                    self.count.stops += 1
                    await self._process.start()
                case "database":
                    await asyncio.to_thread(self._restart_database)
                    self.count.kills += 1
                case "hang":
                    assert self._mariadb is not None
                    self._mariadb.freeze()
                    await asyncio.sleep(2 * self._random.random())
                    self._mariadb.resume()
            acknowledged = sum(len(talk.acknowledged) for talk in self._talks)
            self._say(f"{left:4.0f} s left, {acknowledged} acknowledged, {self.count.kills} kills")
        if not self.count.kills + self.count.stops:  # a short run, or a slow machine
            await self._process.stop(signal.SIGKILL)
            self.count.kills += 1
            await self._process.start()
        proxy.drop_after_down = proxy.drop_after_up = None
        self._over.set()

    def _restart_database(self) -> None:
        assert self._mariadb is not None
        self._mariadb.stop(signal.SIGKILL)
        self._mariadb.start()

    def _some(self, proxy: FaultyProxy) -> list:  # type: ignore[type-arg]
        return [link for link in list(proxy.links) if self._random.random() < 0.3]

    # --- the count ---

    def _compare(self) -> None:
        count = self.count
        stored = self._stored()
        for talk in self._talks:
            name, mine = talk.name, stored.get(talk.name, [])
            expected = list(range(1, talk.sent + 1))
            count.sent += talk.sent
            count.acknowledged += len(talk.acknowledged)
            count.stored += len(mine)
            count.received += len(talk.first_heard)
            count.again += len(talk.heard) - len(talk.first_heard)
            count.lost += len(talk.acknowledged - set(mine)) + len(set(expected) - set(talk.heard))
            if mine != expected:
                count.wrong.append(f"{name}: stored {_difference(expected, mine)}")
            if talk.first_heard != expected:
                count.wrong.append(f"{name}: heard {_difference(expected, talk.first_heard)}")
            if not talk.plain and talk.heard != expected:
                count.wrong.append(f"{name}: heard something twice")

    def _stored(self) -> dict[str, list[int]]:
        """The numbers of each conversation's messages (not the answers), in the stored order."""
        found: dict[str, list[int]] = {}
        database = open_database(config.Storage(url=self._url))
        m = models.Message
        query = m.select(m.text).where(m.sender.startswith("user:")).order_by(m.kind, m.thread_id, m.seq)
        for (text,) in query.tuples().execute(database):
            name, _, number = text.partition("/")
            found.setdefault(name, []).append(int(number))
        database.close()
        return found


def _difference(expected: list[int], found: list[int]) -> str:
    missing, place = sorted(set(expected) - set(found)), 0
    for place, (one, other) in enumerate(zip(expected, found, strict=False)):  # noqa: B007
        if one != other:
            break
    return f"{len(found)} of {len(expected)}, missing {missing[:5]}, differing from place {place}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument(
        "--mariadb", action="store_true", help="keep messages in a MariaDB server, and kill that too"
    )
    parser.add_argument("-v", action="store_true", help="tell the progress also where nobody looks")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    quiet = not (sys.stderr.isatty() or "-v" in sys.argv)

    def say(text: str) -> None:
        if not quiet:
            print(f"\r{text:<70}", end="", file=sys.stderr)

    print(
        f"seed {seed}, {arguments.seconds:.0f} s, {arguments.sessions} sessions, {arguments.users} users of support"
    )
    with tempfile.TemporaryDirectory(prefix="tornado-chat-soak-") as name, contextlib.ExitStack() as stack:
        directory, mariadb = Path(name), None
        if arguments.mariadb:
            (directory / "new").mkdir()
            mariadb = stack.enter_context(MariaDB(directory / "mariadb", make_data(directory / "new")))
        soak = Soak(directory, arguments.seconds, seed, say, mariadb)
        count = asyncio.run(soak.run(arguments.sessions, arguments.users))
    say("")
    print(
        f"sent {count.sent}, acknowledged {count.acknowledged}, stored {count.stored}, received {count.received}, "
        f"{count.again} of them again"
    )
    for line in count.wrong:
        print(line)
    print(count)
    return 1 if count.wrong or count.lost else 0


if __name__ == "__main__":
    raise SystemExit(main())

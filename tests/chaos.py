"""Many processes over MariaDB and Redis: each part fails in turn while people talk, and then all is counted.

``scripts/soak --processes 3`` does it with hundreds of conversations, ``tests/e2e/test_chaos.py`` with some. After
each failure every conversation has to go on, nobody may be sent away or lose its place, and the log may say of it
what belongs to the failure, in few lines.
"""

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis as redis_py

from tests.conftest import House, token
from tests.crowd import PATIENCE, WORK, Count, Crowd, Manner
from tests.e2e.conftest import Process
from tests.faults import FaultyProxy
from tests.mariadb import MariaDB
from tests.redis_server import RedisServer
from tornado_chat import config
from tornado_chat.client import UserClient, WaiterClient
from tornado_chat.storage import models
from tornado_chat.storage.database import open_database

NAME = "chaos"
GRACE = 30.0  # seconds, much less than Redis is away for
TAKEOVER = 20.0  # seconds at most; what it took is told
MOST_LINES = 12  # warnings of one process about one failure

TROUBLE = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback)\b")
KILLED = r"a process has ended .*signal=SIGKILL"
SILENT = r"has been silent for"
REDIS_AWAY = r"Redis at .* (does not answer|cannot be reached)"
NO_ANSWER = r"process \d does not report its status"
DATABASE_AWAY = (
    r"the database (is away|takes nothing)|could not be stored|could not be read|could not be looked for"
    r"|cannot coordinate now|could not read back|cannot be shared out"
)


class Cluster:
    """So many processes, each a server of its own, or all of them children of one."""

    def __init__(
        self, directory: Path, mariadb: MariaDB, redis: RedisServer, count: int, *, children: bool
    ) -> None:
        self.mariadb, self.redis = mariadb, redis
        self.children = children
        self.each = count if children else 1  # processes of one server
        self.url = mariadb.url(NAME)
        mariadb.run(f"CREATE DATABASE {NAME}")
        self.servers = []
        for number in range(1 if children else count):
            home = directory / f"server-{number + 1}"
            home.mkdir()
            server = Process(home)
            server.options += [
                f"server.processes={self.each}",
                f"storage.url={self.url}",
                "storage.durability=normal",
                f"cluster.url={redis.url}",
                "limits.messages_per_second=10000",
                "limits.burst=10000",
                "limits.connections_per_identity=200",
            ]
            self.servers.append(server)
        self._seen = dict.fromkeys(self.servers, 0)

    async def start(self) -> None:
        for server in self.servers:
            await server.start()

    async def stop(self) -> None:
        for server in self.servers:
            await server.stop()

    @property
    def house(self) -> House:
        return self.servers[0].house

    @property
    def ports(self) -> list[int]:
        return [int(server.url.rsplit(":", 1)[1]) for server in self.servers]

    @property
    def pids(self) -> list[int]:
        if not self.children:
            return [server.pid for server in self.servers]
        parent = self.servers[0].pid
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def coordinator(self) -> int | None:
        """The pid of the process that holds the lease."""
        with redis_py.Redis(port=self.redis.port) as client:
            holder: bytes | None = client.get(f"{config.Cluster().prefix}:lease")  # type: ignore[assignment]
        return int(holder.split(b"-")[-2]) if holder else None

    async def kill(self, pid: int) -> None:
        """Returns when it is dead; nobody takes its place yet, but for a parent."""
        if self.children:
            os.kill(pid, signal.SIGKILL)
        else:
            await next(server for server in self.servers if server.pid == pid).stop(signal.SIGKILL)

    async def replace(self) -> None:
        """Start those that are dead."""
        for server in self.servers:
            if not server.runs:
                await server.start()

    async def roll(self) -> None:
        """Restart one process after the other, in the way that is meant for it."""
        for server in self.servers:
            if self.children:
                mark = len(server.log)
                os.kill(server.pid, signal.SIGUSR2)
                await self.said("all processes have been restarted", mark)
            else:
                await server.stop()
                await server.start()

    # --- their logs ---

    @property
    def mark(self) -> int:
        return sum(len(server.log) for server in self.servers)

    async def said(self, pattern: str, mark: int = 0) -> None:
        """Wait until some process says it; lines that were there at ``mark`` do not count if there is one server."""
        async with asyncio.timeout(TAKEOVER):
            before = {
                server: mark if len(self.servers) == 1 else self._seen[server] for server in self.servers
            }
            while not any(  # noqa: ASYNC110 - read by another task
                re.search(pattern, line) for server in self.servers for line in server.log[before[server] :]
            ):
                await asyncio.sleep(0.02)

    def troubles(self) -> list[str]:
        """The warnings and errors in their logs."""
        return [line for server in self.servers for line in server.log if TROUBLE.search(line)]

    def news(self) -> list[list[str]]:
        """The lines of each server since the last call."""
        found = []
        for server in self.servers:
            found.append(server.log[self._seen[server] :])
            self._seen[server] = len(server.log)
        return found


class Line:
    """Users who wait from the beginning to the end, as all waiters have enough to do."""

    def __init__(self, url: str, first: int, count: int) -> None:
        self._url = url
        self._ids = range(first, first + count)
        self._clients: list[UserClient] = []
        self.seconds = 0.0

    async def join(self) -> None:
        for id in self._ids:
            client = await UserClient(self._url, token("user", id), options=WORK).connect()
            self._clients.append(client)
            await client.expect("connect_queue", PATIENCE)

    async def is_served(self, capacity: int) -> None:
        """One waiter after the other comes, until all have one."""
        for n in range(0, len(self._ids), capacity):
            waiter = WaiterClient(self._url, token("waiter", self._ids[0] + n), options=WORK)
            async with waiter:
                for client in self._clients[n : n + capacity]:
                    await client.expect("connect_success", PATIENCE)

    async def leave(self) -> None:
        for client in self._clients:
            await client.close()


class Chaos:
    """One run.

    :arg seed: of everything random here; the scheduling of processes is not.
    :arg tell: is given a line about each failure.
    :arg pause: seconds between two messages of a conversation, on the average.
    :arg away: seconds that Redis is unreachable.
    """

    def __init__(
        self, cluster: Cluster, seed: int, tell: Callable[[str], object], *, pause: float, away: float
    ) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        self._tell = tell
        self._away = away
        self._manner = Manner(burst=2, pause=pause, seed_senders=10, observed=10)
        self.count = Count()

    async def run(self, sessions: int, users: int) -> Count:
        """``sessions`` counselling sessions and ``users`` users of support, then the count."""
        cluster, manner = self._cluster, self._manner
        assert users % manner.capacity == 0, "or somebody in the line would be served at once"
        for server in cluster.servers:
            server.options += [
                f"counselling.rejoin_grace={GRACE}",
                f"support.rejoin_grace={GRACE}",
                f"support.capacity={manner.capacity}",
            ]
        await cluster.start()
        try:
            async with FaultyProxy(*cluster.ports) as proxy:
                crowd = Crowd(proxy.url, self._random, manner)
                await crowd.gather(cluster.house, sessions, users)
                await crowd.talk_during(self._fail_in_turn(crowd, Line(proxy.url, 9000, 2 * manner.capacity)))
        except BaseException:
            self._look_at_logs("the last failure", "")
            raise
        finally:
            await cluster.stop()
        self._look_at_logs("the end", "")
        crowd.compare(self.count, cluster.url)
        self._look_at_line()
        return self.count

    async def _fail_in_turn(self, crowd: Crowd, line: Line) -> None:
        for name, fail, expected in (
            ("the beginning", self._nothing, ""),
            ("a process killed", self._kill_a_process, f"{KILLED}|{SILENT}"),
            ("the coordinator killed", self._kill_the_coordinator, f"{KILLED}|{SILENT}"),
            ("the coordinator held up", self._hold_up_the_coordinator, f"{SILENT}|{REDIS_AWAY}|{NO_ANSWER}"),
            ("Redis killed, and back empty", self._restart_redis, REDIS_AWAY),
            (f"Redis away for {self._away:.0f} s", partial(self._freeze_redis, crowd), REDIS_AWAY),
            ("MariaDB killed", self._restart_database, DATABASE_AWAY),
            ("all processes restarted in turn", self._roll, ""),
        ):
            started = time.monotonic()
            what = await fail()
            failed = time.monotonic() - started
            on = await crowd.goes_on()
            await self._is_quiet()
            lines = self._look_at_logs(name, expected)
            self._tell(
                f"{name} ({failed:.1f} s{what}): all go on after {on:.1f} s; {lines} lines of warning; "
                f"{crowd.acknowledged} acknowledged"
            )
            if fail == self._nothing:
                await line.join()
        try:
            await line.is_served(self._manner.capacity)
            await crowd.goes_on()
        finally:
            await line.leave()

    # --- failures; what they return is told ---

    async def _nothing(self) -> str:
        return ""

    async def _kill_a_process(self) -> str:
        cluster = self._cluster
        others = [pid for pid in cluster.pids if pid != cluster.coordinator()]
        killed = time.monotonic()
        await cluster.kill(self._random.choice(others))
        self.count.kills += 1
        await cluster.said(SILENT, cluster.mark)
        found = time.monotonic() - killed
        await cluster.replace()
        return f", found dead after {found:.1f} s"

    async def _kill_the_coordinator(self) -> str:
        cluster = self._cluster
        before = cluster.coordinator()
        assert before is not None
        killed = time.monotonic()
        mark = cluster.mark
        await cluster.kill(before)
        self.count.kills += 1
        await cluster.said("this process coordinates now", mark)
        found = time.monotonic() - killed
        await cluster.replace()
        assert cluster.coordinator() != before
        return f", another coordinates after {found:.1f} s"

    async def _hold_up_the_coordinator(self) -> str:
        """As a machine does that swaps, or is moved elsewhere: it goes on, and does not know."""
        cluster = self._cluster
        before = cluster.coordinator()
        assert before is not None
        mark, held_up = cluster.mark, time.monotonic()
        os.kill(before, signal.SIGSTOP)
        try:
            await cluster.said("this process coordinates now", mark)
            found = time.monotonic() - held_up
            await asyncio.sleep(1)
        finally:
            os.kill(before, signal.SIGCONT)
        await cluster.said("coordinates now, and this process no more", mark)
        return f", another coordinates after {found:.1f} s"

    async def _restart_redis(self) -> str:
        redis = self._cluster.redis
        redis.stop(signal.SIGKILL)
        self.count.kills += 1
        await asyncio.sleep(1)
        await asyncio.to_thread(redis.start)
        return ""

    async def _freeze_redis(self, crowd: Crowd) -> str:
        redis = self._cluster.redis
        redis.freeze()
        frozen = time.monotonic()
        try:
            on = await crowd.goes_on()  # what the bus does not bring is looked for
            await asyncio.sleep(frozen + self._away - time.monotonic())
        finally:
            redis.resume()
        return f", meanwhile all go on after {on:.1f} s"

    async def _restart_database(self) -> str:
        mariadb = self._cluster.mariadb
        mariadb.stop(signal.SIGKILL)
        self.count.kills += 1
        await asyncio.to_thread(mariadb.start)
        return ""

    async def _roll(self) -> str:
        await self._cluster.roll()
        self.count.stops += len(self._cluster.pids)
        return ""

    async def _is_quiet(self) -> None:
        """All processes are there, one of them coordinates."""
        async with asyncio.timeout(TAKEOVER):
            with contextlib.suppress(redis_py.RedisError):
                while self._cluster.coordinator() not in self._cluster.pids:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)

    # --- the count ---

    def _look_at_logs(self, name: str, expected: str) -> int:
        """What was logged belongs to the failure, and is not much. Returns how many warnings there were."""
        total = 0
        for log in self._cluster.news():
            troubles = [line for line in log if TROUBLE.search(line)]
            surprises = [line for line in troubles if not expected or not re.search(expected, line)]
            self.count.wrong += [f"{name}: logged {line}" for line in surprises]
            if len(troubles) > MOST_LINES * self._cluster.each:
                self.count.wrong.append(f"{name}: {len(troubles)} lines of warning, as {troubles[-3:]}")
            total += len(troubles)
        return total

    def _look_at_line(self) -> None:
        """Who waited longer was served first."""
        database = open_database(config.Storage(url=self._cluster.url))
        c = models.SupportConversation
        query = c.select(c.assigned).where(c.user.startswith("user:90")).order_by(c.id).tuples()
        times = [assigned for (assigned,) in query.execute(database)]
        database.close()
        if times != sorted(times):
            self.count.wrong.append("the line was not served in order")

"""Several processes over MariaDB and Redis: each part fails in turn under load, then all messages are
checked.

``scripts/soak --processes 3`` runs it with hundreds of conversations, ``tests/e2e/test_chaos.py`` with some.
After each failure every conversation has to go on, no client may be disconnected for good or lose its queue
position, and the logs may contain only the expected warnings, in few lines.
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

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.helpers.crowd import CLIENT_OPTIONS, SETTLE_TIMEOUT_SECONDS, Crowd, LoadProfile, RunTotals
from tests.helpers.faults import FaultyProxy
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tornado_chat import config
from tornado_chat.client import UserClient, WaiterClient
from tornado_chat.storage import models
from tornado_chat.storage.database import open_database

NAME = "chaos"
GRACE_SECONDS = 30.0  # much less than Redis is unreachable for
TAKEOVER_TIMEOUT_SECONDS = 20.0  # until another process coordinates; the real time is reported
MAX_WARNINGS = 12  # of one process about one failure

WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback)\b")
KILLED = r"a process has ended .*signal=SIGKILL"
SILENT = r"has been silent for"
REDIS_AWAY = r"Redis at .* (does not answer|cannot be reached)"
NO_ANSWER = r"process \d does not report its status"
DATABASE_AWAY = (
    r"the database (is unavailable|accepts no writes)|could not be stored|could not be read"
    r"|cannot coordinate now|could not read back|is removed later"
)


class Cluster:
    """``count`` processes, each an independent server, or all of them workers of one parent process.

    :arg children: start them as workers of one parent process.
    """

    def __init__(
        self, directory: Path, mariadb: MariaDB, redis: RedisServer, count: int, *, children: bool
    ) -> None:
        self.mariadb, self.redis = mariadb, redis
        self.children = children
        self.processes_per_server = count if children else 1
        self.url = mariadb.url(NAME)
        mariadb.run(f"CREATE DATABASE {NAME}")
        self.servers = []
        for number in range(1 if children else count):
            home = directory / f"server-{number + 1}"
            home.mkdir()
            server = Process(home)
            server.options += [
                f"server.processes={self.processes_per_server}",
                f"storage.url={self.url}",
                "storage.durability=normal",
                f"cluster.url={redis.url}",
                "limits.messages_per_second=10000",
                "limits.burst=10000",
                "limits.sockets_per_minute=100000",
                "limits.sessions_per_hour=100000",
                "limits.connections_per_identity=200",
            ]
            self.servers.append(server)
        self._seen = dict.fromkeys(self.servers, 0)

    async def start(self) -> None:
        for server in self.servers:
            await server.start()
            if self.children:  # the start returns when the first of them is ready
                await server.wait_for_log("all processes are ready")

    async def stop(self) -> None:
        for server in self.servers:
            await server.stop()

    @property
    def harness(self) -> Harness:
        return self.servers[0].harness

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
        """Return the pid of the process that holds the lease, or None."""
        with redis_py.Redis(port=self.redis.port) as client:
            holder: bytes | None = client.get(f"{config.Cluster().prefix}:lease")  # type: ignore[assignment]
        return int(holder.split(b"-")[-2]) if holder else None

    async def kill(self, pid: int) -> None:
        """Kill a process and return when it has ended. Only a parent process replaces it by itself."""
        if self.children:
            os.kill(pid, signal.SIGKILL)
        else:
            await next(server for server in self.servers if server.pid == pid).stop(signal.SIGKILL)

    async def replace(self) -> None:
        """Start the servers that have ended."""
        for server in self.servers:
            if not server.runs:
                await server.start()

    async def roll(self) -> None:
        """Restart one process after the other: by SIGUSR2 to the parent process, or by stop and start."""
        for server in self.servers:
            if self.children:
                mark = len(server.log)
                os.kill(server.pid, signal.SIGUSR2)
                await self.wait_for_log("all processes have been restarted", mark)
            else:
                await server.stop()
                await server.start()

    # --- logs ---

    @property
    def mark(self) -> int:
        return sum(len(server.log) for server in self.servers)

    async def wait_for_log(self, pattern: str, mark: int = 0) -> None:
        """Wait until a process logs ``pattern``.

        :arg mark: with one server, lines before this one do not count; with several, lines before the last
            ``new_lines``.
        """
        async with asyncio.timeout(TAKEOVER_TIMEOUT_SECONDS):
            before = {
                server: mark if len(self.servers) == 1 else self._seen[server] for server in self.servers
            }
            while not any(  # noqa: ASYNC110 - read by another task
                re.search(pattern, line) for server in self.servers for line in server.log[before[server] :]
            ):
                await asyncio.sleep(0.02)

    def warnings(self) -> list[str]:
        """Return the warnings and errors in all logs."""
        return [line for server in self.servers for line in server.log if WARNING.search(line)]

    def new_lines(self) -> list[list[str]]:
        """Return the new log lines of each server since the last call."""
        found = []
        for server in self.servers:
            found.append(server.log[self._seen[server] :])
            self._seen[server] = len(server.log)
        return found


class WaitingUsers:
    """Users that wait in the queue during the whole run, since all waiters are at capacity."""

    def __init__(self, url: str, first: int, count: int) -> None:
        self._url = url
        self._ids = range(first, first + count)
        self._clients: list[UserClient] = []
        self.seconds = 0.0

    async def join(self) -> None:
        for id in self._ids:
            client = await UserClient(self._url, token("user", id), options=CLIENT_OPTIONS).connect()
            self._clients.append(client)
            await client.expect("connect_queue", SETTLE_TIMEOUT_SECONDS)

    async def serve(self, capacity: int) -> None:
        """Connect one waiter after the other, until each user is served."""
        for n in range(0, len(self._ids), capacity):
            waiter = WaiterClient(self._url, token("waiter", self._ids[0] + n), options=CLIENT_OPTIONS)
            async with waiter:
                for client in self._clients[n : n + capacity]:
                    await client.expect("connect_success", SETTLE_TIMEOUT_SECONDS)

    async def leave(self) -> None:
        for client in self._clients:
            await client.close()


class Chaos:
    """One run.

    :arg seed: of all random choices here; the scheduling of processes still varies.
    :arg report: is called with a line about each failure.
    :arg pause: seconds between two messages of a conversation, on average.
    :arg redis_outage: seconds for which Redis is unreachable.
    """

    def __init__(
        self,
        cluster: Cluster,
        seed: int,
        report: Callable[[str], object],
        *,
        pause: float,
        redis_outage: float,
    ) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        self._report = report
        self._redis_outage = redis_outage
        self._profile = LoadProfile(burst=2, pause=pause, seed_senders=10, observed=10)
        self.totals = RunTotals()

    async def run(self, sessions: int, users: int) -> RunTotals:
        """Run ``sessions`` counselling sessions and ``users`` support users, and return the totals."""
        cluster, profile = self._cluster, self._profile
        assert users % profile.capacity == 0, "else a user in the queue would be served at once"
        for server in cluster.servers:
            server.options += [
                f"counselling.rejoin_grace={GRACE_SECONDS}",
                f"counselling.leave_grace={GRACE_SECONDS}",
                f"support.leave_grace={GRACE_SECONDS}",
                f"support.rejoin_grace={GRACE_SECONDS}",
                f"support.capacity={profile.capacity}",
            ]
        await cluster.start()
        try:
            async with FaultyProxy(*cluster.ports) as proxy:
                crowd = Crowd(proxy.url, self._random, profile)
                await crowd.gather(cluster.harness, sessions, users)
                waiting = WaitingUsers(proxy.url, 9000, 2 * profile.capacity)
                await crowd.send_during(self._fail_in_turn(crowd, waiting))
        except BaseException:
            self._check_logs("the last failure", "")
            raise
        finally:
            await cluster.stop()
        self._check_logs("the end", "")
        crowd.compare(self.totals, cluster.url)
        self._check_queue_order()
        return self.totals

    async def _fail_in_turn(self, crowd: Crowd, waiting: WaitingUsers) -> None:
        for name, fail, expected in (
            ("the beginning", self._no_failure, ""),
            ("a process killed", self._kill_a_process, f"{KILLED}|{SILENT}"),
            ("the coordinator killed", self._kill_the_coordinator, f"{KILLED}|{SILENT}"),
            (
                "the coordinator suspended",
                self._suspend_the_coordinator,
                f"{SILENT}|{REDIS_AWAY}|{NO_ANSWER}",
            ),
            ("Redis killed and restarted empty", self._restart_redis, REDIS_AWAY),
            (
                f"Redis suspended for {self._redis_outage:.0f} s",
                partial(self._suspend_redis, crowd),
                REDIS_AWAY,
            ),
            ("MariaDB killed", self._restart_database, DATABASE_AWAY),
            ("all processes restarted in turn", self._roll, ""),
        ):
            started = time.monotonic()
            detail = await fail()
            failed = time.monotonic() - started
            resumed = await crowd.wait_for_progress()
            await self._wait_for_coordinator()
            warnings = self._check_logs(name, expected)
            self._report(
                f"{name} ({failed:.1f} s{detail}): all conversations go on after {resumed:.1f} s; "
                f"{warnings} warnings; {crowd.acknowledged} acknowledged"
            )
            if fail == self._no_failure:
                await waiting.join()
        try:
            await waiting.serve(self._profile.capacity)
            await crowd.wait_for_progress()
        finally:
            await waiting.leave()

    # --- failures; each returns a detail for the report ---

    async def _no_failure(self) -> str:
        return ""

    async def _kill_a_process(self) -> str:
        cluster = self._cluster
        others = [pid for pid in cluster.pids if pid != cluster.coordinator()]
        started = time.monotonic()
        await cluster.kill(self._random.choice(others))
        self.totals.kills += 1
        await cluster.wait_for_log(SILENT, cluster.mark)
        detected = time.monotonic() - started
        await cluster.replace()
        return f", detected after {detected:.1f} s"

    async def _kill_the_coordinator(self) -> str:
        cluster = self._cluster
        before = cluster.coordinator()
        assert before is not None
        started = time.monotonic()
        mark = cluster.mark
        await cluster.kill(before)
        self.totals.kills += 1
        await cluster.wait_for_log("this process coordinates now", mark)
        seconds = time.monotonic() - started
        await cluster.replace()
        assert cluster.coordinator() != before
        return f", another process coordinates after {seconds:.1f} s"

    async def _suspend_the_coordinator(self) -> str:
        """Suspend the coordinator for a while, as on a machine that swaps or is migrated."""
        cluster = self._cluster
        before = cluster.coordinator()
        assert before is not None
        mark, started = cluster.mark, time.monotonic()
        os.kill(before, signal.SIGSTOP)
        try:
            await cluster.wait_for_log("this process coordinates now", mark)
            seconds = time.monotonic() - started
            await asyncio.sleep(1)
        finally:
            os.kill(before, signal.SIGCONT)
        await cluster.wait_for_log("coordinates now, and this process no more", mark)
        return f", another process coordinates after {seconds:.1f} s"

    async def _restart_redis(self) -> str:
        redis = self._cluster.redis
        redis.stop(signal.SIGKILL)
        self.totals.kills += 1
        await asyncio.sleep(1)
        await asyncio.to_thread(redis.start)
        return ""

    async def _suspend_redis(self, crowd: Crowd) -> str:
        redis = self._cluster.redis
        redis.freeze()
        started = time.monotonic()
        try:
            resumed = await crowd.wait_for_progress()  # by resyncing from the database
            await asyncio.sleep(started + self._redis_outage - time.monotonic())
        finally:
            redis.resume()
        return f", meanwhile all conversations go on after {resumed:.1f} s"

    async def _restart_database(self) -> str:
        mariadb = self._cluster.mariadb
        mariadb.stop(signal.SIGKILL)
        self.totals.kills += 1
        await asyncio.to_thread(mariadb.start)
        return ""

    async def _roll(self) -> str:
        await self._cluster.roll()
        self.totals.stops += len(self._cluster.pids)
        return ""

    async def _wait_for_coordinator(self) -> None:
        """Wait until one of the running processes coordinates."""
        async with asyncio.timeout(TAKEOVER_TIMEOUT_SECONDS):
            with contextlib.suppress(redis_py.RedisError):
                while self._cluster.coordinator() not in self._cluster.pids:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)

    # --- checks ---

    def _check_logs(self, name: str, expected: str) -> int:
        """Check that the new warnings match ``expected`` and are few; return their number."""
        total = 0
        for log in self._cluster.new_lines():
            warnings = [line for line in log if WARNING.search(line)]
            unexpected = [line for line in warnings if not expected or not re.search(expected, line)]
            self.totals.wrong += [f"{name}: logged {line}" for line in unexpected]
            if len(warnings) > MAX_WARNINGS * self._cluster.processes_per_server:
                self.totals.wrong.append(f"{name}: {len(warnings)} warnings, such as {warnings[-3:]}")
            total += len(warnings)
        return total

    def _check_queue_order(self) -> None:
        """Check that users were assigned in the order in which they began to wait."""
        database = open_database(config.Storage(url=self._cluster.url))
        c = models.SupportConversation
        query = c.select(c.assigned).where(c.user.startswith("user:90")).order_by(c.id).tuples()
        times = [assigned for (assigned,) in query.execute(database)]
        database.close()
        if times != sorted(times):
            self.totals.wrong.append("the queue was not served in order")

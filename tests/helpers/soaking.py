"""Random load on the real server while connections are cut and the process is killed, then a comparison.

``scripts/soak`` runs it for minutes, ``tests/e2e/test_soak.py`` for seconds. ``crowd.py`` has the clients and
the conditions that must hold at the end; the clients connect through a proxy that cuts connections at random.
With ``--processes``, ``chaos.py`` runs instead: several processes, while each part that they depend on fails
in turn.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import Process
from tests.helpers.chaos import Chaos, Cluster
from tests.helpers.crowd import Crowd, LoadProfile, RunTotals
from tests.helpers.faults import FaultyProxy
from tests.helpers.mariadb import MariaDB, make_data
from tests.helpers.redis_server import RedisServer
from tornado_chat import config

PROFILE = LoadProfile()


class Soak:
    """One run.

    :arg seconds: the duration of the load and of the faults.
    :arg seed: of all random choices here; the scheduling of processes still varies.
    :arg report: is called with a line of progress.
    :arg mariadb: the database server, which also fails; None: SQLite.
    """

    def __init__(
        self,
        directory: Path,
        seconds: float,
        seed: int,
        report: Callable[[str], object],
        mariadb: MariaDB | None = None,
    ) -> None:
        self._process = Process(directory)
        self._seconds = seconds
        self._random = random.Random(seed)
        self._report = report
        self._mariadb = mariadb
        self._url = f"sqlite:///{directory / 'state' / config.DATABASE_FILE_NAME}"
        self.totals = RunTotals()

    async def run(self, sessions: int, users: int) -> RunTotals:
        """Run ``sessions`` counselling sessions and ``users`` support users, and return the totals."""
        self._process.options += [
            "counselling.rejoin_grace=300",
            "counselling.leave_grace=300",
            "support.leave_grace=300",
            "support.rejoin_grace=300",
            f"support.capacity={PROFILE.capacity}",
            "limits.connections_per_identity=200",
            "limits.messages_per_second=10000",
            "limits.burst=10000",
            "limits.sockets_per_minute=100000",
            "limits.sessions_per_hour=100000",
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
                self._crowd = crowd = Crowd(proxy.url, self._random, PROFILE)
                await crowd.gather(process.harness, sessions, users)
                await crowd.send_during(self._cause_faults(proxy))
                self.totals.cuts = proxy.cuts
        finally:
            await process.stop()
        crowd.compare(self.totals, self._url)
        return self.totals

    # --- faults ---

    async def _cause_faults(self, proxy: FaultyProxy) -> None:
        until = time.monotonic() + self._seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2 + self._random.random()))
            faults = {"cut": 6, "half": 2, "stall": 1, "drop": 3, "kill": 2, "stop": 1}
            if self._mariadb is not None:
                faults |= {"database": 2, "hang": 1}
            match self._random.choices(list(faults), list(faults.values()))[0]:
                case "cut":
                    for link in self._random_links(proxy):
                        link.cut()
                        proxy.cuts += 1
                case "half":
                    for link in self._random_links(proxy):
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
                    self.totals.kills += 1
                    await self._process.start()
                case "stop":
                    await self._process.stop()
                    self.totals.stops += 1
                    await self._process.start()
                case "database":
                    await asyncio.to_thread(self._restart_database)
                    self.totals.kills += 1
                case "hang":
                    assert self._mariadb is not None
                    self._mariadb.freeze()
                    await asyncio.sleep(2 * self._random.random())
                    self._mariadb.resume()
            self._report(
                f"{left:4.0f} s left, {self._crowd.acknowledged} acknowledged, {self.totals.kills} kills"
            )
        if not self.totals.kills + self.totals.stops:  # a short run, or a slow machine
            await self._process.stop(signal.SIGKILL)
            self.totals.kills += 1
            await self._process.start()
        proxy.drop_after_down = proxy.drop_after_up = None

    def _restart_database(self) -> None:
        assert self._mariadb is not None
        self._mariadb.stop(signal.SIGKILL)
        self._mariadb.start()

    def _random_links(self, proxy: FaultyProxy) -> list:  # type: ignore[type-arg]
        return [link for link in list(proxy.links) if self._random.random() < 0.3]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="duration with one process (%(default)g)"
    )
    parser.add_argument("--seed", type=int, default=None, help="of the random choices (a random one)")
    parser.add_argument(
        "--sessions", type=int, default=None, help="counselling sessions (20; 100 with several processes)"
    )
    parser.add_argument(
        "--users", type=int, default=None, help="support users (20; 100 with several processes)"
    )
    parser.add_argument(
        "--mariadb", action="store_true", help="store messages in a MariaDB server, which is killed too"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="with more than one: over MariaDB and Redis, while each part fails in turn (%(default)s)",
    )
    parser.add_argument(
        "--children", action="store_true", help="run the processes as the workers of one server"
    )
    parser.add_argument("-v", action="store_true", help="print the progress also without a terminal")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    several = arguments.processes > 1
    sessions, users = (n or (100 if several else 20) for n in (arguments.sessions, arguments.users))
    quiet = not (sys.stderr.isatty() or "-v" in sys.argv)

    def report(text: str) -> None:
        if not quiet:
            print(f"\r{text:<70}", end="", file=sys.stderr)

    print(f"seed {seed}, {sessions} sessions, {users} support users")
    with tempfile.TemporaryDirectory(prefix="tornado-chat-soak-") as name, contextlib.ExitStack() as stack:
        directory, mariadb = Path(name), None
        if arguments.mariadb or several:
            (directory / "new").mkdir()
            mariadb = stack.enter_context(MariaDB(directory / "mariadb", make_data(directory / "new")))
        if several and mariadb is not None:
            redis = stack.enter_context(RedisServer(directory / "redis"))
            cluster = Cluster(directory, mariadb, redis, arguments.processes, children=arguments.children)
            chaos = Chaos(cluster, seed, print, pause=1.5, redis_outage=60.0)
            totals = asyncio.run(chaos.run(sessions, users))
        else:
            soak = Soak(directory, arguments.seconds, seed, report, mariadb)
            totals = asyncio.run(soak.run(sessions, users))
    report("")
    print(
        f"sent {totals.sent}, acknowledged {totals.acknowledged}, stored {totals.stored}, "
        f"received {totals.received}, {totals.again} of them repeatedly"
    )
    for line in totals.wrong:
        print(line)
    print(totals)
    return 1 if totals.wrong or totals.lost else 0


if __name__ == "__main__":
    raise SystemExit(main())

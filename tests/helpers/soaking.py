"""Random load on the real process, while connections are cut and the process is killed; then the count.

``scripts/soak`` runs it for minutes, ``tests/e2e/test_soak.py`` for seconds. ``crowd.py`` says who talks, and what
must hold in the end; they connect through a proxy that cuts at random. With ``--processes`` it is ``chaos.py``: many
processes, and each part that they depend on fails in turn.
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
from tests.helpers.crowd import Count, Crowd, Manner
from tests.helpers.faults import FaultyProxy
from tests.helpers.mariadb import MariaDB, make_data
from tests.helpers.redis_server import RedisServer
from tornado_chat import config

MANNER = Manner()


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
        self._url = f"sqlite:///{directory / 'state' / config.DATABASE_FILE_NAME}"
        self.count = Count()

    async def run(self, sessions: int, users: int) -> Count:
        """``sessions`` counselling sessions and ``users`` users of support, then the count."""
        self._process.options += [
            "counselling.rejoin_grace=300",
            "support.rejoin_grace=300",
            f"support.capacity={MANNER.capacity}",
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
                self._crowd = crowd = Crowd(proxy.url, self._random, MANNER)
                await crowd.gather(process.house, sessions, users)
                await crowd.talk_during(self._hurt(proxy))
                self.count.cuts = proxy.cuts
        finally:
            await process.stop()
        crowd.compare(self.count, self._url)
        return self.count

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
            self._say(
                f"{left:4.0f} s left, {self._crowd.acknowledged} acknowledged, {self.count.kills} kills"
            )
        if not self.count.kills + self.count.stops:  # a short run, or a slow machine
            await self._process.stop(signal.SIGKILL)
            self.count.kills += 1
            await self._process.start()
        proxy.drop_after_down = proxy.drop_after_up = None

    def _restart_database(self) -> None:
        assert self._mariadb is not None
        self._mariadb.stop(signal.SIGKILL)
        self._mariadb.start()

    def _some(self, proxy: FaultyProxy) -> list:  # type: ignore[type-arg]
        return [link for link in list(proxy.links) if self._random.random() < 0.3]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of one process")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--sessions", type=int, default=None, help="of counselling: 20; of many processes 100"
    )
    parser.add_argument("--users", type=int, default=None, help="of support: 20; of many processes 100")
    parser.add_argument(
        "--mariadb", action="store_true", help="keep messages in a MariaDB server, and kill that too"
    )
    parser.add_argument(
        "--processes", type=int, default=1, help="over MariaDB and Redis; each part fails in turn"
    )
    parser.add_argument("--children", action="store_true", help="the processes are those of one server")
    parser.add_argument("-v", action="store_true", help="tell the progress also where nobody looks")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    several = arguments.processes > 1
    sessions, users = (n or (100 if several else 20) for n in (arguments.sessions, arguments.users))
    quiet = not (sys.stderr.isatty() or "-v" in sys.argv)

    def say(text: str) -> None:
        if not quiet:
            print(f"\r{text:<70}", end="", file=sys.stderr)

    print(f"seed {seed}, {sessions} sessions, {users} users of support")
    with tempfile.TemporaryDirectory(prefix="tornado-chat-soak-") as name, contextlib.ExitStack() as stack:
        directory, mariadb = Path(name), None
        if arguments.mariadb or several:
            (directory / "new").mkdir()
            mariadb = stack.enter_context(MariaDB(directory / "mariadb", make_data(directory / "new")))
        if several and mariadb is not None:
            redis = stack.enter_context(RedisServer(directory / "redis"))
            cluster = Cluster(directory, mariadb, redis, arguments.processes, children=arguments.children)
            chaos = Chaos(cluster, seed, print, pause=1.5, away=60.0)
            count = asyncio.run(chaos.run(sessions, users))
        else:
            soak = Soak(directory, arguments.seconds, seed, say, mariadb)
            count = asyncio.run(soak.run(sessions, users))
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

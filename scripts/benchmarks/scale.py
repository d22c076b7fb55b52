"""The same work on one, two and four processes over MariaDB and Redis: what each part of it costs.

All of it runs on this one machine, and a machine of two cores is full with one process already. So it is not
the rate that shows how far this scales, but the processor time of each part for each piece of work: as
long as that stays the same, twice the machines do twice the work, until one of the shared parts is full.
The databases are private and go away.
"""

import contextlib
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.helpers.mariadb import MariaDB, make_data
from tests.helpers.redis_server import RedisServer
from tornado_chat.bench import relay
from tornado_chat.bench.servers import ServerProcess, address, load, ours, session, token

SECONDS = 4.0
PAIRS = 20  # for each process
OBSERVERS = 100
PEOPLE = 4_000
SESSIONS = 100
WAITERS = 40
AT_ONCE = 20
SETTLE = 1.0
PRIVATE = ("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M")

Sockets = list[dict[str, Any]]


@dataclass(frozen=True)
class Setup:
    """How many processes; ``alone`` is one that knows of no others, and has no Redis."""

    processes: int
    alone: bool = False

    def __str__(self) -> str:
        return "1, without Redis" if self.alone else str(self.processes)


SETUPS = (Setup(1, alone=True), Setup(1), Setup(2), Setup(4))


class Town:
    """Processes that serve the same people."""

    def __init__(
        self, processes: Sequence[ServerProcess], database: MariaDB, cluster: RedisServer | None
    ) -> None:
        self.ports = [address(process.url)["port"] for process in processes]
        self.url = processes[0].url
        self._first = processes[0]
        self._database = database
        self._redis = redis.Redis.from_url(cluster.url) if cluster else None
        self._watched = {f"process {n}": process.number for n, process in enumerate(processes)}
        self._watched["MariaDB"] = database.pid
        if cluster is not None:
            self._watched["Redis"] = cluster.pid

    def port(self, n: int) -> int:
        return int(self.ports[n % len(self.ports)])

    def run(self, job: str, **plan: Any) -> dict[str, float]:
        """What the load saw, what each part used, and what was asked of the databases."""
        before = self._counted()
        result = load(self._first, job, SECONDS, watched=self._watched, **plan)
        time.sleep(SETTLE)  # until the last ones are gone
        after = self._counted()
        for name, count in after.items():
            result[name] = count - before.get(name, 0)
        return result

    def _counted(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, count in self._database.run("SHOW GLOBAL STATUS LIKE 'Com_%'"):
            word = str(name).removeprefix("Com_")
            if word in {"select", "insert", "update", "delete", "commit", "rollback", "begin", "savepoint"}:
                found[f"MySQL {word}"] = int(count)
        if self._redis is not None:
            for name, numbers in self._redis.info("commandstats").items():
                found[f"Redis {name.removeprefix('cmdstat_').lower()}"] = numbers["calls"]
            found.pop("Redis info", None)
        return found


@contextlib.contextmanager
def town(setup: Setup, mariadb: MariaDB, cluster: RedisServer) -> Iterator[Town]:
    with mariadb.database() as name, contextlib.ExitStack() as stack:
        options = [f"storage.url={mariadb.url(name)}", "counselling.observe=any", "support.rejoin_grace=0.05"]
        if not setup.alone:
            options += [f"cluster.url={cluster.url}", f"cluster.prefix={name}"]
        processes = [stack.enter_context(ours(*options, core=None)) for _ in range(setup.processes)]
        yield Town(processes, mariadb, None if setup.alone else cluster)


# --- the work ---


def together(town: Town) -> dict[str, float]:
    return _pairs(town, apart=0)


def apart(town: Town) -> dict[str, float]:
    return _pairs(town, apart=1)


def _pairs(town: Town, apart: int) -> dict[str, float]:
    sockets: Sockets = []
    for n in range(PAIRS * len(town.ports)):
        number = session(town.url, n)
        one, other = (
            f"/chat?token={token(role, n)}&sessionId={number}&type=0" for role in ("user", "consultant")
        )
        two = relay.pair(one, other, count='"isSystem":false')
        two[0] |= {"pace": 2 * n + 1, "port": town.port(n)}
        two[1] |= {"pace": 2 * n, "port": town.port(n + apart)}
        sockets += two
    return town.run("talk", sockets=sockets)


def observed(town: Town) -> dict[str, float]:
    number = session(town.url, PEOPLE)
    speaker = {
        "path": f"/chat?token={token('user', PEOPLE)}&sessionId={number}&type=0",
        "port": town.port(0),
        "message": '{"msg": "' + relay.TEXT + '"}',
        "in_flight": relay.IN_FLIGHT,
        "pace": OBSERVERS,
        "count": "nothing",
    }
    listeners = [
        {"path": f"/observe?token={token('supervisor', n)}&sessionId={number}", "port": town.port(n)}
        for n in range(OBSERVERS)
    ]
    return town.run("talk", sockets=[speaker, *listeners])


def connects(town: Town) -> dict[str, float]:
    passing = [
        {
            "path": f"/chat?token={token('user', n)}&sessionId={session(town.url, n)}&type=0&features=history",
            "port": town.port(n),
        }
        for n in range(SESSIONS)
    ]
    return town.run("connect", passing=passing, in_flight=AT_ONCE, ready='"history"')


def queue(town: Town) -> dict[str, float]:
    waiters = [
        {
            "path": "/v1/ws/waiter/connect",
            "port": town.port(n),
            "hello": [relay.frame("auth", {"token": token("waiter", n)}), relay.frame("ready")],
        }
        for n in range(WAITERS)
    ]
    users = [
        {
            "path": "/v1/ws/user/connect",
            "port": town.port(n),
            "hello": [relay.frame("auth", {"token": token("user", n)}), relay.frame("connect")],
        }
        for n in range(PEOPLE)
    ]
    return town.run("connect", sockets=waiters, passing=users, in_flight=AT_ONCE, ready='"connect_success"')


WORK: dict[str, Callable[[Town], dict[str, float]]] = {
    f"relay: {PAIRS} pairs for each process, both on the same one; per message": together,
    f"relay: {PAIRS} pairs for each process, each pair on two; per message": apart,
    f"fan-out: one speaker, {OBSERVERS} observers over all processes; per frame written": observed,
    "queue: a user connects, is matched, is told, and leaves; per user": queue,
    "connects: /chat until what was missed is there; per socket": connects,
}

# --- the tables ---


def lines(rounds: int) -> Iterator[str]:
    found: dict[str, dict[Setup, list[dict[str, float]]]] = {name: defaultdict(list) for name in WORK}
    with tempfile.TemporaryDirectory(prefix="tornado-chat-scale-") as folder, contextlib.ExitStack() as stack:
        data = make_data(Path(folder))
        server = Path(folder) / "mariadb"
        server.mkdir()
        mariadb = stack.enter_context(MariaDB(server, data, *PRIVATE))
        cluster = stack.enter_context(RedisServer(Path(folder) / "redis"))
        for _ in range(rounds):
            for setup in SETUPS:
                with town(setup, mariadb, cluster) as each:
                    for name, work in WORK.items():
                        if work is apart and setup.processes == 1:
                            continue
                        found[name][setup].append(work(each))
    one = 0.0
    for name, by_setup in found.items():
        if SETUPS[0] in by_setup:  # else the yardstick is that of the table before
            one = _ours(by_setup[SETUPS[0]])
        yield from _table(name, by_setup, one)
        yield ""


def _table(title: str, found: dict[Setup, list[dict[str, float]]], one: float) -> Iterator[str]:
    yield title
    yield (
        f"  {'processes':<18} {'per s':>8} {'µs ours':>8} {'ratio':>6} {'µs Redis':>9} {'µs MariaDB':>10} "
        f"{'Redis':>7} {'MySQL':>7} {'commits':>8} {'load':>5}  most asked for"
    )
    for setup, results in found.items():
        asked = {
            word: _median(results, lambda each, word=word: each[word] / each["all"])  # type: ignore[misc]
            for word in results[0]
            if re.match("(Redis|MySQL) ", word)
        }
        most = sorted((count, word) for word, count in asked.items() if count >= 0.01)[:-6:-1]
        yield (
            f"  {setup!s:<18} {_median(results, lambda each: each['count'] / each['seconds']):>8,.0f} "
            f"{_ours(results):>8.1f} {_ours(results) / max(one, 0.001):>6.2f} {_median(results, lambda each: _used(each, 'Redis')):>9.1f} "
            f"{_median(results, lambda each: _used(each, 'MariaDB')):>10.1f} "
            f"{_sum(asked, 'Redis'):>7.2f} {_sum(asked, 'MySQL'):>7.2f} {asked['MySQL commit']:>8.3f} "
            f"{_median(results, lambda each: each['cpu']):>5.2f}  "
            + ", ".join(f"{word.partition(' ')[2]} {count:.2f}" for count, word in most)
        )


def _ours(results: Sequence[dict[str, float]]) -> float:
    return _median(results, lambda each: _used(each, "process"))


def _used(result: dict[str, float], part: str) -> float:
    """Microseconds of the processor for a piece of the work."""
    used = sum(seconds for name, seconds in result.items() if name.split(" ")[0] == part and _is_part(name))
    return 1e6 * used / max(1, result["count"])


def _is_part(name: str) -> bool:
    return name in {"Redis", "MariaDB"} or name.startswith("process ")


def _sum(asked: dict[str, float], of: str) -> float:
    return sum(count for word, count in asked.items() if word.startswith(f"{of} "))


def _median(results: Sequence[dict[str, float]], of: Callable[[dict[str, float]], float]) -> float:
    return statistics.median(of(each) for each in results)

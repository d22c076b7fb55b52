"""The cost of the same work on one, two and four processes over MariaDB and Redis.

All processes run on this one machine, and one process already saturates a machine of two cores. The measure
of scaling is therefore not the rate, but the processor time of each part per unit of work: as long as that is
constant, twice the machines do twice the work, until a shared part is saturated. The databases are temporary.
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
from tornado_chat.bench.servers import ServerProcess, address, chat_server, load, session, token

MEASURE_SECONDS = 4.0
PAIRS = 20  # for each process
OBSERVERS = 100
PEOPLE = 4_000
SESSIONS = 100
WAITERS = 40
CONCURRENT_CONNECTS = 20
SETTLE_SECONDS = 1.0
MARIADB_OPTIONS = ("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M")

Sockets = list[dict[str, Any]]


@dataclass(frozen=True)
class Setup:
    """The number of processes. :ivar alone: one process without Redis."""

    processes: int
    alone: bool = False

    def __str__(self) -> str:
        return "1, without Redis" if self.alone else str(self.processes)


SETUPS = (Setup(1, alone=True), Setup(1), Setup(2), Setup(4))


class Deployment:
    """The processes, the database and the Redis server of one setup."""

    def __init__(
        self, processes: Sequence[ServerProcess], database: MariaDB, cluster: RedisServer | None
    ) -> None:
        self.ports = [address(process.url)["port"] for process in processes]
        self.url = processes[0].url
        self._first = processes[0]
        self._database = database
        self._redis = redis.Redis.from_url(cluster.url) if cluster else None
        self._watched = {f"process {n}": process.pid for n, process in enumerate(processes)}
        self._watched["MariaDB"] = database.pid
        if cluster is not None:
            self._watched["Redis"] = cluster.pid

    def port(self, n: int) -> int:
        return int(self.ports[n % len(self.ports)])

    def run(self, job: str, **plan: Any) -> dict[str, float]:
        """Run a job of the load generator. Adds processor times and the numbers of database operations."""
        before = self._count_operations()
        result = load(self._first, job, MEASURE_SECONDS, watched=self._watched, **plan)
        time.sleep(SETTLE_SECONDS)  # until the last connections are closed
        after = self._count_operations()
        for name, count in after.items():
            result[name] = count - before.get(name, 0)
        return result

    def _count_operations(self) -> dict[str, float]:
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
def deployment(setup: Setup, mariadb: MariaDB, cluster: RedisServer) -> Iterator[Deployment]:
    with mariadb.database() as name, contextlib.ExitStack() as stack:
        options = [f"storage.url={mariadb.url(name)}", "counselling.observe=any", "support.rejoin_grace=0.05"]
        if not setup.alone:
            options += [f"cluster.url={cluster.url}", f"cluster.prefix={name}"]
        processes = [stack.enter_context(chat_server(*options, core=None)) for _ in range(setup.processes)]
        yield Deployment(processes, mariadb, None if setup.alone else cluster)


# --- the work ---


def same_process(deployment: Deployment) -> dict[str, float]:
    return _pairs(deployment, separate_processes=0)


def separate_processes(deployment: Deployment) -> dict[str, float]:
    return _pairs(deployment, separate_processes=1)


def _pairs(deployment: Deployment, separate_processes: int) -> dict[str, float]:
    sockets: Sockets = []
    for n in range(PAIRS * len(deployment.ports)):
        number = session(deployment.url, n)
        one, other = (
            f"/chat?token={token(role, n)}&sessionId={number}&type=0" for role in ("user", "consultant")
        )
        two = relay.pair(one, other, count='"isSystem":false')
        two[0] |= {"acknowledged_by": 2 * n + 1, "port": deployment.port(n)}
        two[1] |= {"acknowledged_by": 2 * n, "port": deployment.port(n + separate_processes)}
        sockets += two
    return deployment.run("talk", sockets=sockets)


def observed(deployment: Deployment) -> dict[str, float]:
    number = session(deployment.url, PEOPLE)
    speaker = {
        "path": f"/chat?token={token('user', PEOPLE)}&sessionId={number}&type=0",
        "port": deployment.port(0),
        "message": '{"msg": "' + relay.TEXT + '"}',
        "in_flight": relay.IN_FLIGHT,
        "acknowledged_by": OBSERVERS,
        "count": "nothing",
    }
    listeners = [
        {"path": f"/observe?token={token('supervisor', n)}&sessionId={number}", "port": deployment.port(n)}
        for n in range(OBSERVERS)
    ]
    return deployment.run("talk", sockets=[speaker, *listeners])


def connects(deployment: Deployment) -> dict[str, float]:
    transient = []
    for n in range(SESSIONS):
        number = session(deployment.url, n)
        path = f"/chat?token={token('user', n)}&sessionId={number}&type=0&features=history"
        transient.append({"path": path, "port": deployment.port(n)})
    return deployment.run("connect", transient=transient, in_flight=CONCURRENT_CONNECTS, ready='"history"')


def queue(deployment: Deployment) -> dict[str, float]:
    waiters = [
        {
            "path": "/v1/ws/waiter/connect",
            "port": deployment.port(n),
            "hello": [relay.frame("auth", {"token": token("waiter", n)}), relay.frame("ready")],
        }
        for n in range(WAITERS)
    ]
    users = [
        {
            "path": "/v1/ws/user/connect",
            "port": deployment.port(n),
            "hello": [relay.frame("auth", {"token": token("user", n)}), relay.frame("connect")],
        }
        for n in range(PEOPLE)
    ]
    return deployment.run(
        "connect", sockets=waiters, transient=users, in_flight=CONCURRENT_CONNECTS, ready='"connect_success"'
    )


WORK: dict[str, Callable[[Deployment], dict[str, float]]] = {
    f"relay: {PAIRS} pairs for each process, each on one process; per message": same_process,
    f"relay: {PAIRS} pairs for each process, each on two processes; per message": separate_processes,
    f"fan-out: one sender, {OBSERVERS} observers on all processes; per frame written": observed,
    "queue: a user connects, is matched, gets the assignment, and leaves; per user": queue,
    "connects: /chat until the missed messages have arrived; per socket": connects,
}

# --- the tables ---


def measure(rounds: int) -> Iterator[str]:
    found: dict[str, dict[Setup, list[dict[str, float]]]] = {name: defaultdict(list) for name in WORK}
    with tempfile.TemporaryDirectory(prefix="tornado-chat-scale-") as folder, contextlib.ExitStack() as stack:
        data = make_data(Path(folder))
        server = Path(folder) / "mariadb"
        server.mkdir()
        mariadb = stack.enter_context(MariaDB(server, data, *MARIADB_OPTIONS))
        cluster = stack.enter_context(RedisServer(Path(folder) / "redis"))
        for _ in range(rounds):
            for setup in SETUPS:
                with deployment(setup, mariadb, cluster) as each:
                    for name, work in WORK.items():
                        if work is separate_processes and setup.processes == 1:
                            continue
                        found[name][setup].append(work(each))
    baseline = 0.0
    for name, by_setup in found.items():
        if SETUPS[0] in by_setup:  # else the baseline of the previous table applies
            baseline = _server_cost(by_setup[SETUPS[0]])
        yield from _table(name, by_setup, baseline)
        yield ""


def _table(title: str, found: dict[Setup, list[dict[str, float]]], baseline: float) -> Iterator[str]:
    yield title
    yield (
        f"  {'processes':<18} {'per s':>8} {'µs chat':>8} {'ratio':>6} {'µs Redis':>9} {'µs MariaDB':>10} "
        f"{'Redis':>7} {'MySQL':>7} {'commits':>8} {'load':>5}  most frequent operations"
    )
    for setup, results in found.items():
        operations = {
            word: _median(results, lambda each, word=word: each[word] / max(1, each["all"]))  # type: ignore[misc]
            for word in results[0]
            if re.match("(Redis|MySQL) ", word)
        }
        most = sorted((count, word) for word, count in operations.items() if count >= 0.01)[:-6:-1]
        yield (
            f"  {setup!s:<18} {_median(results, lambda each: each['count'] / each['seconds']):>8,.0f} "
            f"{_server_cost(results):>8.1f} {_server_cost(results) / max(baseline, 0.001):>6.2f} "
            f"{_median(results, lambda each: _part_cost(each, 'Redis')):>9.1f} "
            f"{_median(results, lambda each: _part_cost(each, 'MariaDB')):>10.1f} "
            f"{_sum(operations, 'Redis'):>7.2f} {_sum(operations, 'MySQL'):>7.2f} "
            f"{operations['MySQL commit']:>8.3f} {_median(results, lambda each: each['cpu']):>5.2f}  "
            + ", ".join(f"{word.partition(' ')[2]} {count:.2f}" for count, word in most)
        )


def _server_cost(results: Sequence[dict[str, float]]) -> float:
    return _median(results, lambda each: _part_cost(each, "process"))


def _part_cost(result: dict[str, float], part: str) -> float:
    """Return the processor time of a part per unit of work, in microseconds."""
    used = sum(seconds for name, seconds in result.items() if name.split(" ")[0] == part and _is_part(name))
    return 1e6 * used / max(1, result["count"])


def _is_part(name: str) -> bool:
    return name in {"Redis", "MariaDB"} or name.startswith("process ")


def _sum(operations: dict[str, float], of: str) -> float:
    return sum(count for word, count in operations.items() if word.startswith(f"{of} "))


def _median(results: Sequence[dict[str, float]], of: Callable[[dict[str, float]], float]) -> float:
    return statistics.median(of(each) for each in results)

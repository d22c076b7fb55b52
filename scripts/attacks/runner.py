"""Runs one attack against a server of its own, beside neighbours, and judges the harm.

Strategy: a pause that another program of the machine causes must not count. So the delays during an attack
are compared with those just before it, without the time by which the machine wakes an idle process too late.
They are not judged at all while other programs take more than ``MAX_LOAD`` of the processors. An attack that
seems to have caused delays is repeated with a new server; the delays count as harm only if they come back in
each of ``SAMPLES`` runs.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.attacks.attack import Attack, AttackFailed, Tally, Trial
from scripts.attacks.machine import LoadMeter
from scripts.attacks.neighbour import NeighbourProcess, Pair, Plan, Report
from scripts.attacks.people import HOST_ADDRESS, PEOPLE_ADDRESS, World, open_session, token
from scripts.attacks.server import TargetServer

SAMPLES = 3  # runs of an attack in which it has to cause delays until they count as harm
PAIRS = 3  # of neighbours
BASELINE_SECONDS = 3.0  # for which the delays are measured before an attack
QUICK_BASELINE_SECONDS = 1.5
SETTLE_SECONDS = 1.0  # after an attack, still part of it: the server works off what it has received
ATTACK_TIMEOUT_SECONDS = 150.0

MAX_P99_FACTOR, MAX_P99_GROWTH_SECONDS = 2.0, 0.05
MAX_LOAD = 0.25  # of the processors, that other programs may take if delays are to be judged
MAX_HEALTH_FACTOR, MAX_HEALTH_GROWTH_SECONDS = 2.0, 0.5
MAX_KEPT_BYTES = 64 * 2**20  # that the memory of each process may have grown at the end of an attack
MAX_PEAK_BYTES = 160 * 2**20  # that the memory of each process may grow meanwhile
MEMORY_TIMEOUT_SECONDS = 10.0  # for the memory to shrink
MEMORY_INTERVAL_SECONDS = 0.1
MAX_WARNINGS = 100  # that one attack may cause

NEIGHBOUR_USER, NEIGHBOUR_CONSULTANT = 1001, 2001


@dataclass(frozen=True)
class Delays:
    """The delays of the neighbours in a time.

    :ivar p99: seconds of the messages, without the lateness of the machine.
    :ivar health: seconds of the longest request of ``/healthz``, without it.
    :ivar load: the share of the processors that other programs took.
    """

    p99: float = 0.0
    health: float = 0.0
    load: float = 0.0

    @classmethod
    def of(cls, report: Report, load: float) -> "Delays":
        late = report.wake_p99
        return cls(max(0.0, report.p99 - late), max(0.0, report.longest_health_delay - late), load)


@dataclass
class Outcome:
    """The result of an attack.

    :ivar before: the delays of the neighbours just before the attack.
    :ivar during: the delays during it.
    :ivar memory: bytes before the attack, at most, and after it.
    :ivar failure: the reason why the attack could not be carried out; else empty.
    """

    attack: Attack
    tally: Tally = field(default_factory=Tally)
    before: Delays = field(default_factory=Delays)
    during: Delays = field(default_factory=Delays)
    memory: tuple[int, int, int] = (0, 0, 0)
    harm: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def is_machine_busy(self) -> bool:
        """Return True if the delays say nothing about the server."""
        return max(self.before.load, self.during.load) > MAX_LOAD

    @property
    def is_good(self) -> bool:
        return not (self.tally.got_in or self.harm or self.failure)


class Runner:
    """Runs attacks.

    :arg options: options of all servers, for several processes.
    :arg seed: makes the random choices of each attack, whatever runs before it.
    """

    def __init__(
        self, options: Callable[[], AbstractContextManager[Sequence[str]]], seed: int, *, quick: bool
    ) -> None:
        self._options = options
        self._seed = seed
        self._quick = quick

    async def run(self, attack: Attack) -> Outcome:
        """Run an attack until its harm is certain."""
        outcome = await self._run_once(attack)
        delays = delay_harm(outcome)
        for _ in range(SAMPLES - 1):
            if not delays:
                break
            again = await self._run_once(attack)
            outcome.harm = outcome.harm or again.harm
            delays = delay_harm(again) if not again.failure else delays
            if delays:
                outcome.before, outcome.during = again.before, again.during
        outcome.harm += delays
        return outcome

    async def _run_once(self, attack: Attack) -> Outcome:
        with (
            tempfile.TemporaryDirectory(prefix="tornado-chat-attack-") as name,
            self._options() as options,
        ):
            directory = Path(name)
            server = TargetServer(directory, [*options, *attack.options], attack.descriptors)
            try:
                await server.start()
                return await self._attack(attack, server)
            except (AttackFailed, OSError, RuntimeError, TimeoutError) as error:
                return Outcome(attack, failure=f"not prepared: {type(error).__name__}: {error}")
            finally:
                await server.stop()

    async def _attack(self, attack: Attack, server: TargetServer) -> Outcome:
        outcome = Outcome(attack)
        world = await World.set_up(server)
        trial = Trial(server, world, random.Random(f"{self._seed} {attack.name}"), quick=self._quick)
        outcome.tally = trial.tally
        if attack.prepare is not None:
            trial.prepared = await attack.prepare(trial)
        neighbours = await self._start_neighbours(server)
        measure = _DelayMeter(neighbours)
        try:
            await asyncio.sleep(SETTLE_SECONDS)
            await measure()
            await asyncio.sleep(QUICK_BASELINE_SECONDS if self._quick else BASELINE_SECONDS)
            outcome.before = await measure()
            memory = _MemoryWatch(server)
            outcome.failure = await _carry_out(attack, trial)
            await asyncio.sleep(SETTLE_SECONDS)
            outcome.during = await measure()
            trial.drop_sockets()
            outcome.memory = await memory.stop()
            last = await neighbours.finish()
        finally:
            trial.drop_sockets()
            world.leave()
            await neighbours.kill()
        faults = [*measure.faults, *last.faults]
        harm = memory_harm(outcome.memory, server.processes)
        outcome.harm = [*trial.tally.harm, *dict.fromkeys(faults), *harm]
        if not server.runs:
            outcome.harm.append("the server has ended")
        elif await server.stop() != 0:
            outcome.harm.append("the server did not stop in order")
        problems = server.problems(attack.expected_logs)
        if problems:
            outcome.harm.append(f"{len(problems)} errors in the log, the first: {problems[0]}")
        if server.warnings > MAX_WARNINGS:
            outcome.harm.append(f"{server.warnings} warnings in the log")
        return outcome

    async def _start_neighbours(self, server: TargetServer) -> NeighbourProcess:
        pairs = []
        for number in range(PAIRS):
            user, consultant = NEIGHBOUR_USER + number, NEIGHBOUR_CONSULTANT + number
            session = await open_session(server, user, consultant)
            pairs.append(Pair(session, (token("user", user), token("consultant", consultant))))
        return await NeighbourProcess.start(Plan(server.port, pairs, PEOPLE_ADDRESS, HOST_ADDRESS))


async def _carry_out(attack: Attack, trial: Trial) -> str:
    """Run the attack. Returns the reason why it could not be carried out; else an empty text."""
    limit = asyncio.timeout(ATTACK_TIMEOUT_SECONDS)
    try:
        async with limit:
            await attack.run(trial)
    except AttackFailed as error:
        return str(error)
    except Exception as error:  # a fault of the attack, or a server that answers nothing sensible
        if limit.expired():
            return f"it took more than {ATTACK_TIMEOUT_SECONDS:g} seconds"
        return f"{type(error).__name__}: {error}"
    return ""


class _DelayMeter:
    """Measures the delays since the last call.

    :ivar faults: those of all reports.
    """

    def __init__(self, neighbours: NeighbourProcess) -> None:
        self._neighbours = neighbours
        self._load = LoadMeter()
        self.faults: list[str] = []

    async def __call__(self) -> Delays:
        report = await self._neighbours.report()
        self.faults += report.faults
        return Delays.of(report, self._load())


class _MemoryWatch:
    """Samples the memory of the server from now on until ``stop``."""

    def __init__(self, server: TargetServer) -> None:
        self._server = server
        self._before = self._peak = server.memory_bytes
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._server.runs:
            self._peak = max(self._peak, self._server.memory_bytes)
            await asyncio.sleep(MEMORY_INTERVAL_SECONDS)

    async def stop(self) -> tuple[int, int, int]:
        """Return the bytes before, at most, and now, when the memory has had time to shrink."""
        loop = asyncio.get_running_loop()
        end = loop.time() + MEMORY_TIMEOUT_SECONDS
        after = self._server.memory_bytes if self._server.runs else 0
        max_bytes = self._before + MAX_KEPT_BYTES * self._server.processes
        while after > max_bytes and loop.time() < end and self._server.runs:
            await asyncio.sleep(MEMORY_INTERVAL_SECONDS)
            after = self._server.memory_bytes
        self._task.cancel()
        return self._before, self._peak, after


def delay_harm(outcome: Outcome) -> list[str]:
    """Return a sentence for each delay that is longer than the attack may cause."""
    before, during = outcome.before, outcome.during
    found: list[str] = []
    if outcome.is_machine_busy:
        return found
    if during.p99 > MAX_P99_FACTOR * before.p99 + MAX_P99_GROWTH_SECONDS:
        found.append(
            f"the neighbour's p99 was {during.p99 * 1e3:,.0f} ms, "
            f"without the attack {before.p99 * 1e3:,.0f} ms"
        )
    is_late = during.health > MAX_HEALTH_FACTOR * before.health + MAX_HEALTH_GROWTH_SECONDS
    if outcome.attack.health and is_late:
        found.append(f"/healthz took {during.health:,.1f} s, without the attack {before.health:,.1f} s")
    return found


def memory_harm(memory: tuple[int, int, int], processes: int) -> list[str]:
    """Return a sentence for each limit of the memory that is exceeded; a password's hash takes 64 MiB."""
    before, peak, after = memory
    found = []
    if peak > before + MAX_PEAK_BYTES * processes:
        found.append(f"the memory grew by {(peak - before) / 2**20:,.0f} MiB")
    if after > before + MAX_KEPT_BYTES * processes:
        found.append(f"{(after - before) / 2**20:,.0f} MiB of memory stayed after the attack")
    return found


@contextmanager
def one_process() -> Iterator[Sequence[str]]:
    """The options of a server in one process with SQLite: none."""
    yield ()


def several_processes(count: int) -> Callable[[], AbstractContextManager[Sequence[str]]]:
    """Return a context manager that starts MariaDB and Redis for a server of several processes.

    :raises ValueError: a program is missing; the message names it.
    """
    from tests.helpers.mariadb import MariaDB, make_data
    from tests.helpers.redis_server import RedisServer

    for program in ("mariadbd", "redis-server"):
        if shutil.which(program) is None and shutil.which(program, path="/usr/sbin") is None:
            raise ValueError(f"--processes needs {program}; install it, or leave --processes out")

    @contextmanager
    def services() -> Iterator[Sequence[str]]:
        with tempfile.TemporaryDirectory(prefix="tornado-chat-attack-") as name:
            directory = Path(name)
            (directory / "new").mkdir()
            with (
                MariaDB(directory / "mariadb", make_data(directory / "new")) as mariadb,
                RedisServer(directory / "redis") as redis,
                mariadb.database(migrated=True) as database,
            ):
                yield (
                    f"storage.url={mariadb.url(database)}",
                    f"cluster.url={redis.url}",
                    f"server.processes={count}",
                )

    return services

"""The neighbours of an attack: pairs of well-behaved clients that talk all the time, in their own process.

The process is separate, so that the attacker's work does not delay what is measured here. It reads a command
per line from standard input, and answers each with a line of JSON (``Report``). The first line has the
address and the tokens, which belong into no command line.

Each client sends numbered messages at a fixed rate, whether or not the earlier ones have arrived. So a pause
of the server delays all messages that fall into it, and each is counted.
"""

import asyncio
import math
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from scripts.attacks.raw_http import exchange, statuses
from scripts.attacks.raw_socket import RawSocket, SocketClosed

MESSAGES_PER_SECOND = 20.0  # of each client
HEALTH_INTERVAL_SECONDS = 0.1
WAKE_INTERVAL_SECONDS = 0.02
HEALTH_TIMEOUT_SECONDS = 30.0
LAST_MESSAGES_TIMEOUT_SECONDS = 30.0  # for the messages that are under way at the end
ANSWER_TIMEOUT_SECONDS = 60.0

REPORT, FINISH = "report", "finish"


class Pair(msgspec.Struct, frozen=True):
    """A session, and the tokens of its two participants."""

    session: int
    tokens: tuple[str, str]


class Plan(msgspec.Struct, frozen=True):
    """The first line of standard input.

    :ivar source: the address of the clients.
    :ivar health_source: the address of the requests of ``/healthz``.
    """

    port: int
    pairs: Sequence[Pair]
    source: str
    health_source: str


class Report(msgspec.Struct):
    """What has happened since the last report.

    :ivar delays: seconds from sending to arrival; for a message that is under way, its age.
    :ivar health_delays: seconds of each request of ``/healthz``.
    :ivar wake_delays: seconds by which this process itself, which is nearly idle, was woken too late. So much
        is the machine's, not the server's.
    :ivar faults: a sentence for each message that was lost, repeated or overtaken, and each lost connection.
    """

    delays: list[float] = msgspec.field(default_factory=list)
    health_delays: list[float] = msgspec.field(default_factory=list)
    wake_delays: list[float] = msgspec.field(default_factory=list)
    faults: list[str] = msgspec.field(default_factory=list)

    @property
    def p99(self) -> float:
        """Seconds; 99 % of the messages took at most this."""
        return quantile(self.delays, 0.99)

    @property
    def wake_p99(self) -> float:
        """Seconds; how late the machine wakes a process, in 99 % of the cases."""
        return quantile(self.wake_delays, 0.99)

    @property
    def longest_health_delay(self) -> float:
        return max(self.health_delays, default=0.0)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered), math.ceil(share * len(ordered))) - 1] if ordered else 0.0


class Direction:
    """The messages of one client to the other client of its pair."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_sent = self.last_received = 0
        self.under_way: deque[float] = deque()  # the times of sending


class Neighbours:
    """All pairs, and the requests of ``/healthz``."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._report = Report()
        self._directions: list[Direction] = []
        self._talking = True
        self._tasks: list[asyncio.Task[None]] = []
        self._health_started: float | None = None

    async def start(self) -> None:
        for pair in self._plan.pairs:
            sockets = [
                await RawSocket.open(
                    self._plan.port,
                    f"/chat?token={token}&sessionId={pair.session}&type=0",
                    source=self._plan.source,
                )
                for token in pair.tokens
            ]
            for number, socket in enumerate(sockets):
                direction = Direction(f"session {pair.session}, {('visitor', 'counsellor')[number]}")
                self._directions.append(direction)
                self._tasks.append(asyncio.create_task(self._send(socket, direction)))
                self._tasks.append(asyncio.create_task(self._receive(sockets[1 - number], direction)))
        self._tasks.append(asyncio.create_task(self._check_health()))
        self._tasks.append(asyncio.create_task(self._check_machine()))

    async def _send(self, socket: RawSocket, direction: Direction) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._talking:
            due += 1 / MESSAGES_PER_SECOND
            await asyncio.sleep(due - loop.time())
            direction.last_sent += 1
            direction.under_way.append(time.monotonic())
            await socket.send_json({"msg": f"{direction.last_sent}"})

    async def _receive(self, socket: RawSocket, direction: Direction) -> None:
        try:
            while True:
                message = await socket.receive_json(timeout=None)
                if message["isSystem"]:
                    continue
                number, expected = int(message["msg"]), direction.last_received + 1
                if number == expected:
                    direction.last_received = number
                    self._report.delays.append(time.monotonic() - direction.under_way.popleft())
                else:
                    self._report.faults.append(f"{direction.name}: message {number} instead of {expected}")
                    return
        except SocketClosed as closed:
            if self._talking:
                self._report.faults.append(
                    f"{direction.name}: the other side was disconnected, code {closed}"
                )

    async def _check_health(self) -> None:
        question = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        while self._talking:
            self._health_started = time.monotonic()
            answer = await exchange(
                self._plan.port, question, timeout=HEALTH_TIMEOUT_SECONDS, source=self._plan.health_source
            )
            self._report.health_delays.append(time.monotonic() - self._health_started)
            self._health_started = None
            if statuses(answer) != [200]:
                self._report.faults.append(f"/healthz answers {statuses(answer) or 'nothing'}")
            await asyncio.sleep(HEALTH_INTERVAL_SECONDS)

    async def _check_machine(self) -> None:
        loop = asyncio.get_running_loop()
        while self._talking:
            due = loop.time() + WAKE_INTERVAL_SECONDS
            await asyncio.sleep(WAKE_INTERVAL_SECONDS)
            self._report.wake_delays.append(loop.time() - due)

    def report(self) -> Report:
        """Return the report since the last one."""
        done, now = self._report, time.monotonic()
        self._report = Report()
        for direction in self._directions:
            done.delays += [now - sent for sent in direction.under_way]
        if self._health_started is not None:
            done.health_delays.append(now - self._health_started)
        return done

    async def finish(self) -> Report:
        """Stop talking, wait for the messages that are under way, and return the last report."""
        self._talking = False
        end = time.monotonic() + LAST_MESSAGES_TIMEOUT_SECONDS
        while time.monotonic() < end and any(each.under_way for each in self._directions):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self._report.faults += [
            f"{each.name}: {len(each.under_way)} messages were lost"
            for each in self._directions
            if each.under_way
        ]
        for task in self._tasks:
            task.cancel()
        return self.report()


class NeighbourProcess:
    """The process of the neighbours, as the runner uses it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, plan: Plan) -> "NeighbourProcess":
        """Start the process, and return when its pairs talk."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", __spec__.name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            limit=2**26,
        )
        neighbour = cls(process)
        await neighbour._ask(msgspec.json.encode(plan).decode())
        return neighbour

    async def report(self) -> Report:
        """Return what has happened since the last report."""
        return msgspec.json.decode(await self._ask(REPORT), type=Report)

    async def finish(self) -> Report:
        """End the process, and return its last report."""
        report = msgspec.json.decode(await self._ask(FINISH), type=Report)
        await self._process.wait()
        return report

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, line: str) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process of the neighbours has ended")
        return answer


async def main() -> None:
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    neighbours = Neighbours(plan)
    await neighbours.start()
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        is_end = line.strip() == FINISH
        report = await neighbours.finish() if is_end else neighbours.report()
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        sys.stdout.flush()
        if is_end:
            return


if __name__ == "__main__":
    asyncio.run(main())

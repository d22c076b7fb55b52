"""The load generator: raw frames over asyncio protocols, in a separate process, so that it is not the
bottleneck.

``python -m tornado_chat.bench.load`` reads a plan as JSON from standard input and writes the result as JSON.
A plan has the address of the server (``host``, ``port``), its pid (``server``), the ``job``, and its duration
in ``seconds`` after ``warm_up`` seconds. ``watched`` has the pids of other processes by name: the result has
their processor times. A socket may have its own ``port``.

``talk``
    Messages between ``sockets``, which are opened one after the other. Each has a ``path``, and optionally
    ``hello`` (texts to send when it is open), ``ready`` (a text in the frame after which the next socket is
    opened) and ``count`` (a text in the frames that are counted). A socket that sends has a ``message``,
    ``in_flight`` and ``acknowledged_by``: the index of the socket whose frames acknowledge a message.
    With ``rate`` it sends so many messages per second without waiting for that. In a message ``{n}`` stands
    for a number and ``{uuid}`` for the uuid in the ready frame. With ``http`` the message is sent as it is,
    over a connection that is not upgraded.
``connect``
    ``paths``, opened and closed, ``in_flight`` at a time; ``ready`` as above. Or ``transient``: sockets as
    above that are opened and closed while ``sockets`` are held open.
``request``
    HTTP ``requests``, sent over ``in_flight`` persistent connections.
``hold``
    ``sockets`` as above, held open until standard input is closed.
``fill``
    One socket as above sends ``messages`` messages; the job ends when all are acknowledged.
``storm``
    ``paths``, opened at the same time, ``times`` times; the result is that of the last time. A socket that is
    not open after ``timeout`` seconds has ``failed``.

It uses only the standard library, and none of the measured code.
"""

import asyncio
import json
import os
import re
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from tornado_chat.bench.load_socket import LoadSocket, MeasurementState

SLICE_SECONDS = 0.25
FILL_TIMEOUT_SECONDS = 120.0
CONCURRENT_OPENS = 50  # where the order of the sockets does not matter


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used so far, in seconds."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Measurement(MeasurementState):
    """One run of the load generator."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__()
        self.plan = plan

    async def connect(self, plan: dict[str, Any]) -> LoadSocket:
        _, socket = await asyncio.get_running_loop().create_connection(
            lambda: LoadSocket(self, plan), self.plan["host"], plan.get("port", self.plan["port"])
        )
        await socket.open
        return socket

    async def measure(self, received: Sequence["LoadSocket | Counter"]) -> dict[str, float]:
        """Warm up, then count for the seconds of the plan."""
        await asyncio.sleep(self.plan["warm_up"])
        self.delays.clear()
        warm = sum(each.received for each in received)
        for each in received:
            each.received = 0
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        watched = {"server": self.plan["server"], **self.plan.get("watched", {})}
        cpu_before = {name: cpu_seconds(process) for name, process in watched.items()}
        slices = await self._collect_slices(self.plan["seconds"])
        cpu_used = {name: cpu_seconds(process) - cpu_before[name] for name, process in watched.items()}
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        self.measuring = False
        delays = sorted(self.delays)
        count = sum(each.received for each in received)
        return {
            "count": count,
            "all": warm + count,
            "seconds": seconds,
            "cpu": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds,
            **cpu_used,
            "p50": quantile(delays, 0.5),
            "p99": quantile(delays, 0.99),
            "p99_quiet": quantile(sorted(quantile(sorted(each), 0.99) for each in slices if each), 0.5),
        }

    async def _collect_slices(self, seconds: float) -> list[list[float]]:
        """Wait for ``seconds``, and return the delays of each slice of this time."""
        until, slices = time.perf_counter() + seconds, []
        while (left := until - time.perf_counter()) > 0:
            before = len(self.delays)
            await asyncio.sleep(min(SLICE_SECONDS, left))
            slices.append(self.delays[before:])
        return slices


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(len(ordered) * share)] if ordered else 0.0


class Counter:
    """Counts the operations of one worker."""

    received = 0


async def talk(run: Measurement) -> dict[str, float]:
    sockets = await _open_all(run)
    await asyncio.sleep(0.5)  # until the frames sent on joining have arrived
    run.measuring = True
    senders = [socket for socket in sockets if socket.message]
    for socket in senders:
        sockets[socket.plan["acknowledged_by"]].senders.append(socket)
        if "rate" not in socket.plan:
            socket.send_messages(socket.plan["in_flight"])
    sending = [asyncio.create_task(socket.send_at_rate()) for socket in senders if "rate" in socket.plan]
    result = await run.measure(sockets)
    await asyncio.gather(*sending)
    return result


async def connect(run: Measurement) -> dict[str, float]:
    plans = cycle(run.plan.get("transient") or [{"path": path} for path in run.plan["paths"]])
    held = await asyncio.gather(*map(run.connect, run.plan.get("sockets", ())))
    await asyncio.sleep(0.5 if held else 0)
    run.measuring = True

    async def worker(counter: Counter) -> None:
        while run.measuring:
            plan = {"ready": run.plan.get("ready"), **next(plans), "transient": True}
            started = time.perf_counter()
            socket = await run.connect(plan)
            if plan["ready"]:
                await socket.ready
            run.delays.append(time.perf_counter() - started)
            socket.transport.abort()
            counter.received += 1

    counters = [Counter() for _ in range(run.plan["in_flight"])]
    workers = [asyncio.create_task(worker(counter)) for counter in counters]
    result = await run.measure(counters)
    await asyncio.gather(*workers)
    return result


async def request(run: Measurement) -> dict[str, float]:
    requests: Iterator[str] = cycle(run.plan["requests"])
    run.measuring = True

    async def worker(counter: Counter) -> None:
        reader, writer = await asyncio.open_connection(run.plan["host"], run.plan["port"], limit=2**22)
        while run.measuring:
            started = time.perf_counter()
            writer.write(next(requests).encode())
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 2") or found is None:
                raise SystemExit(head.decode())
            await reader.readexactly(int(found[1]))
            run.delays.append(time.perf_counter() - started)
            counter.received += 1
        writer.close()

    counters = [Counter() for _ in range(run.plan["in_flight"])]
    workers = [asyncio.create_task(worker(counter)) for counter in counters]
    result = await run.measure(counters)
    await asyncio.gather(*workers)
    return result


async def hold(run: Measurement) -> dict[str, float]:
    sockets = await _open_all(run)
    sys.stdout.write("held\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    return {"open": sum(not socket.closed for socket in sockets)}


async def storm(run: Measurement) -> dict[str, float]:
    plan, results = run.plan, list[tuple[float, LoadSocket] | BaseException]()
    for remaining in reversed(range(plan["times"])):
        started = time.perf_counter()
        results = await asyncio.gather(
            *(_open_timed(run, path, started) for path in plan["paths"]), return_exceptions=True
        )
        sockets = [socket for each in results if isinstance(each, tuple) for socket in each[1:]]
        if remaining:
            for socket in sockets:
                socket.transport.abort()
            await asyncio.sleep(1.0)
    delays = sorted(each[0] for each in results if isinstance(each, tuple))
    return {
        "count": len(delays),
        "failed": len(results) - len(delays),
        "p50": quantile(delays, 0.5),
        "last": delays[-1],
    }


async def _open_timed(run: Measurement, path: str, started: float) -> tuple[float, LoadSocket]:
    async with asyncio.timeout(run.plan["timeout"]):
        socket = await run.connect({"path": path, "transient": True})
    return time.perf_counter() - started, socket


async def _open_all(run: Measurement) -> list[LoadSocket]:
    """Open all sockets. If any has a ``ready`` text, open them in order, so that the server pairs them."""
    plans = run.plan["sockets"]
    if not any(plan.get("ready") for plan in plans):
        sockets: list[LoadSocket] = []
        for start in range(0, len(plans), CONCURRENT_OPENS):
            sockets += await asyncio.gather(*map(run.connect, plans[start : start + CONCURRENT_OPENS]))
        return sockets
    sockets, waiting = [], []
    for plan in plans:
        socket = await run.connect(plan)
        sockets.append(socket)
        waiting.append(socket)
        if not plan.get("ready_later"):  # else it becomes ready only when the next socket is open
            for each in waiting:
                if each.plan.get("ready"):
                    each.insert_uuid(await each.ready)
            waiting = []
    return sockets


async def fill(run: Measurement) -> dict[str, float]:
    (socket,), limit = await _open_all(run), run.plan["messages"]
    socket.senders.append(socket)
    socket.unsent = limit
    run.measuring = True
    async with asyncio.timeout(FILL_TIMEOUT_SECONDS):
        socket.send_messages(socket.plan["in_flight"])
        while socket.received < limit:  # noqa: ASYNC110 - counted by the protocol, without an event
            await asyncio.sleep(0.01)
    run.measuring = False
    return {"count": socket.received}


JOBS = {"fill": fill, "talk": talk, "connect": connect, "request": request, "hold": hold, "storm": storm}


async def main(plan: dict[str, Any]) -> dict[str, float]:
    return await JOBS[plan["job"]](Measurement(plan))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(json.loads(sys.stdin.readline())))))

"""A load generator that is not the limit: raw frames over asyncio protocols, in a process of its own.

``python -m tornado_chat.bench.load`` reads a plan as JSON from standard input and writes what it saw as JSON.
A plan names the server (``host``, ``port``, and as ``server`` its process), what to do (``job``) and for how long (``seconds``, after
``warm_up``). Of other processes, ``watched`` by a name, it tells what they used meanwhile; a socket may have a ``port`` of its own.

``talk``
    ``sockets``, opened one after the other: ``path``, ``hello`` (texts to send once it is open), ``ready`` (a
    word of the frame after which the next one is opened), ``count`` (a word of the frames that are counted),
    and of those that talk ``message``, ``in_flight`` and ``pace``, the index of the socket whose frames tell
    that a message has arrived. One with ``rate`` does not wait for that, and says so many a second. In a message ``{n}`` is a number and ``{uuid}`` what the ready frame named.
    One with ``http`` sends its message as it is, over a connection that is not upgraded.
``connect``
    ``paths``, opened and closed by ``in_flight`` at a time; ``ready`` as above. Or ``passing``, sockets as above, while ``sockets`` are held.
``request``
    ``requests``, sent over ``in_flight`` connections that are kept.
``hold``
    ``sockets`` as above, held until standard input is closed.
``storm``
    ``paths``, opened all at once, ``times`` times; what is seen is of the last time. Who is not let in after
    ``patience`` seconds has ``failed``.

Only the standard library is used, nothing of what is measured.
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

SLICE_SECONDS = 0.25  # seconds
CONCURRENT_OPENS = 50  # sockets that are opened at the same time where their order does not matter


def cpu_seconds(process: int) -> float:
    """Seconds of processor time that a process has used so far."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Measurement(MeasurementState):
    """The measuring."""

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
        used, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        watched = {"server": self.plan["server"], **self.plan.get("watched", {})}
        served = {name: cpu_seconds(process) for name, process in watched.items()}
        slices = await self._sliced(self.plan["seconds"])
        served = {name: cpu_seconds(process) - served[name] for name, process in watched.items()}
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        self.measuring = False
        delays = sorted(self.delays)
        count = sum(each.received for each in received)
        return {
            "count": count,
            "all": warm + count,
            "seconds": seconds,
            "cpu": (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / seconds,
            **served,
            "p50": quantile(delays, 0.5),
            "p99": quantile(delays, 0.99),
            "calm": quantile(sorted(quantile(sorted(each), 0.99) for each in slices if each), 0.5),
        }

    async def _sliced(self, seconds: float) -> list[list[float]]:
        """The delays of each slice of so many seconds to come."""
        until, slices = time.perf_counter() + seconds, []
        while (left := until - time.perf_counter()) > 0:
            before = len(self.delays)
            await asyncio.sleep(min(SLICE_SECONDS, left))
            slices.append(self.delays[before:])
        return slices


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(len(ordered) * share)] if ordered else 0.0


class Counter:
    """Counts what one of several workers does."""

    received = 0


async def talk(run: Measurement) -> dict[str, float]:
    sockets = await _open_all(run)
    await asyncio.sleep(0.5)  # what happens on joining
    run.measuring = True
    talkers = [socket for socket in sockets if socket.message]
    for socket in talkers:
        sockets[socket.plan["pace"]].listeners.append(socket)
        if "rate" not in socket.plan:
            socket.send_messages(socket.plan["in_flight"])
    saying = [asyncio.create_task(socket.send_at_rate()) for socket in talkers if "rate" in socket.plan]
    result = await run.measure(sockets)
    await asyncio.gather(*saying)
    return result


async def connect(run: Measurement) -> dict[str, float]:
    plans = cycle(run.plan.get("passing") or [{"path": path} for path in run.plan["paths"]])
    held = await asyncio.gather(*map(run.connect, run.plan.get("sockets", ())))
    await asyncio.sleep(0.5 if held else 0)
    run.measuring = True

    async def worker(counter: Counter) -> None:
        while run.measuring:
            plan = {"ready": run.plan.get("ready"), **next(plans), "passing": True}
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
    plan, came = run.plan, list[tuple[float, LoadSocket] | BaseException]()
    for more in reversed(range(plan["times"])):
        started = time.perf_counter()
        came = await asyncio.gather(
            *(_come(run, path, started) for path in plan["paths"]), return_exceptions=True
        )
        sockets = [socket for each in came if isinstance(each, tuple) for socket in each[1:]]
        if more:
            for socket in sockets:
                socket.transport.abort()
            await asyncio.sleep(1.0)
    delays = sorted(each[0] for each in came if isinstance(each, tuple))
    return {
        "count": len(delays),
        "failed": len(came) - len(delays),
        "p50": quantile(delays, 0.5),
        "last": delays[-1],
    }


async def _come(run: Measurement, path: str, started: float) -> tuple[float, LoadSocket]:
    async with asyncio.timeout(run.plan["patience"]):
        socket = await run.connect({"path": path, "passing": True})
    return time.perf_counter() - started, socket


async def _open_all(run: Measurement) -> list[LoadSocket]:
    """Where a socket waits for a word, one after the other: the server shall bring them together so."""
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
        if not plan.get("later"):  # else it is ready only with the next one
            for each in waiting:
                if each.plan.get("ready"):
                    each.learn(await each.ready)
            waiting = []
    return sockets


JOBS = {"talk": talk, "connect": connect, "request": request, "hold": hold, "storm": storm}


async def main(plan: dict[str, Any]) -> dict[str, float]:
    return await JOBS[plan["job"]](Measurement(plan))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(json.loads(sys.stdin.readline())))))

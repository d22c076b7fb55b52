"""Benchmarks of the server process: start-up time, and pauses for garbage collection."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from tornado_chat.bench import relay
from tornado_chat.bench.load import cpu_seconds
from tornado_chat.bench.servers import ServerProcess, chat_server, stock_server


def start(rounds: int) -> Iterator[str]:
    """Measure the time from the start of the process until it accepts connections."""
    with tempfile.TemporaryDirectory(prefix="tornado-chat-bench-") as folder:
        found: Mapping[str, Callable[[], AbstractContextManager[ServerProcess]]] = {
            "stock Tornado": stock_server,
            "serve, its first start": chat_server,
            "serve, with a database": lambda: chat_server(f"storage.url=sqlite:///{folder}/existing.db"),
        }
        with chat_server(f"storage.url=sqlite:///{folder}/existing.db"):
            pass
        yield "start: milliseconds from the start of the process until it listens, and its processor time"
        yield f"  {'':<36} {'median':>8} {'min':>8} {'max':>8} {'ratio':>6} {'processor':>10}"
        taken: dict[str, list[float]] = {name: [] for name in found}
        used: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, server in found.items():
                started = time.perf_counter()
                with server() as process:
                    taken[name].append((time.perf_counter() - started) * 1e3)
                    used[name].append(cpu_seconds(process.pid) * 1e3)
        baseline = statistics.median(taken["stock Tornado"])
        for name, each in taken.items():
            median = statistics.median(each)
            yield (
                f"  {name:<36} {median:>8.0f} {min(each):>8.0f} {max(each):>8.0f} {median / baseline:>6.2f} "
                f"{statistics.median(used[name]):>10.0f}"
            )


def pauses(rounds: int) -> Iterator[str]:
    """Measure the pauses for garbage collection while pairs exchange messages."""
    seconds = rounds * relay.MEASURE_SECONDS
    yield f"pauses: garbage collection while {relay.PAIRS} pairs exchange messages for {seconds:g} s"
    yield f"  {'':<36} {'pauses':>8} {'per s, ms':>9} {'longest, ms':>11} {'messages':>9}"
    for name, untuned in {"Python's defaults": True, "the server's settings": False}.items():
        seen: list[float] = []
        messages = 0.0
        for _ in range(rounds):
            durations, count = _pauses(untuned=untuned)
            seen += durations
            messages += count
        longest = max(seen, default=0) * 1e3
        per_second = sum(seen) * 1e3 / seconds
        yield f"  {name:<36} {len(seen):>8} {per_second:>9.2f} {longest:>11.2f} {messages:>9.0f}"


def _pauses(*, untuned: bool) -> tuple[list[float], float]:
    with tempfile.NamedTemporaryFile("r") as file:
        environment = {"PAUSES": file.name, **({"UNTUNED": "1"} if untuned else {})}
        count = relay.counselling("storage.durability=full", environment=environment)["count"]
        return [float(line.split()[1]) for line in Path(file.name).read_text().splitlines()], count

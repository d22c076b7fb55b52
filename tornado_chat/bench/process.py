"""Benchmarks of the server process: start-up time, and pauses for garbage collection."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from tornado_chat.bench import GC_DEFAULTS_VARIABLE, GC_LOG_VARIABLE, relay
from tornado_chat.bench.load import cpu_seconds
from tornado_chat.bench.servers import ServerProcess, chat_server, stock_server


def start(rounds: int) -> Iterator[str]:
    """Measure the time from the start of the process until it accepts connections."""
    with tempfile.TemporaryDirectory(prefix="tornado-chat-bench-") as folder:
        servers: Mapping[str, Callable[[], AbstractContextManager[ServerProcess]]] = {
            "stock Tornado": stock_server,
            "serve, its first start": chat_server,
            "serve, with a database": lambda: chat_server(f"storage.url=sqlite:///{folder}/existing.db"),
        }
        with chat_server(f"storage.url=sqlite:///{folder}/existing.db"):
            pass
        yield "start: milliseconds from the start of the process until it listens, and its processor time"
        yield f"  {'':<36} {'median':>8} {'min':>8} {'max':>8} {'ratio':>6} {'processor':>10}"
        elapsed_ms: dict[str, list[float]] = {name: [] for name in servers}
        cpu_ms: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                started = time.perf_counter()
                with server() as process:
                    elapsed_ms[name].append((time.perf_counter() - started) * 1e3)
                    cpu_ms[name].append(cpu_seconds(process.pid) * 1e3)
        baseline = statistics.median(elapsed_ms["stock Tornado"])
        for name, each in elapsed_ms.items():
            median = statistics.median(each)
            yield (
                f"  {name:<36} {median:>8.0f} {min(each):>8.0f} {max(each):>8.0f} {median / baseline:>6.2f} "
                f"{statistics.median(cpu_ms[name]):>10.0f}"
            )


def pauses(rounds: int) -> Iterator[str]:
    """Measure the pauses for garbage collection while pairs exchange messages."""
    seconds = rounds * relay.MEASURE_SECONDS
    yield f"pauses: garbage collection while {relay.PAIRS} pairs exchange messages for {seconds:g} s"
    yield f"  {'':<36} {'pauses':>8} {'per s, ms':>9} {'longest, ms':>11} {'messages':>9}"
    for name, use_defaults in {"Python's defaults": True, "the server's settings": False}.items():
        pause_seconds: list[float] = []
        messages = 0.0
        for _ in range(rounds):
            durations, count = _measure_pauses(use_defaults=use_defaults)
            pause_seconds += durations
            messages += count
        longest = max(pause_seconds, default=0) * 1e3
        per_second = sum(pause_seconds) * 1e3 / seconds
        yield f"  {name:<36} {len(pause_seconds):>8} {per_second:>9.2f} {longest:>11.2f} {messages:>9.0f}"


def _measure_pauses(*, use_defaults: bool) -> tuple[list[float], float]:
    """Return the durations of the pauses in seconds, and the number of messages."""
    with tempfile.NamedTemporaryFile("r") as file:
        environment = {GC_LOG_VARIABLE: file.name, **({GC_DEFAULTS_VARIABLE: "1"} if use_defaults else {})}
        count = relay.counselling("storage.durability=full", environment=environment)["count"]
        return [float(line.split()[1]) for line in Path(file.name).read_text().splitlines()], count

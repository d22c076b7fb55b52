"""A server's own life: how soon it is there, and how long it stops for garbage."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from tornado_chat.bench import relay
from tornado_chat.bench.load import cpu_seconds
from tornado_chat.bench.servers import ServerProcess, ours, stock


def start(rounds: int) -> Iterator[str]:
    """From the start of the process until it takes connections."""
    with tempfile.TemporaryDirectory(prefix="tornado-chat-bench-") as folder:
        found: Mapping[str, Callable[[], AbstractContextManager[ServerProcess]]] = {
            "stock Tornado": stock,
            "serve, its first start": ours,
            "serve, with a database": lambda: ours(f"storage.url=sqlite:///{folder}/there.db"),
        }
        with ours(f"storage.url=sqlite:///{folder}/there.db"):
            pass
        yield "start: milliseconds from the start of the process until it listens, and of the processor for it"
        yield f"  {'':<36} {'median':>8} {'min':>8} {'max':>8} {'ratio':>6} {'processor':>10}"
        taken: dict[str, list[float]] = {name: [] for name in found}
        used: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, server in found.items():
                begun = time.perf_counter()
                with server() as process:
                    taken[name].append((time.perf_counter() - begun) * 1e3)
                    used[name].append(cpu_seconds(process.number) * 1e3)
        baseline = statistics.median(taken["stock Tornado"])
        for name, each in taken.items():
            median = statistics.median(each)
            yield (
                f"  {name:<36} {median:>8.0f} {min(each):>8.0f} {max(each):>8.0f} {median / baseline:>6.2f} "
                f"{statistics.median(used[name]):>10.0f}"
            )


def pauses(rounds: int) -> Iterator[str]:
    """Collections of garbage while everybody talks."""
    yield f"pauses: garbage collection while {relay.PAIRS} pairs talk for {rounds * relay.MEASURE_SECONDS:g} s"
    yield f"  {'':<36} {'pauses':>8} {'per s, ms':>9} {'longest, ms':>11} {'messages':>9}"
    for name, untuned in {"as Python has it": True, "as we have it": False}.items():
        seen: list[float] = []
        messages = 0.0
        for _ in range(rounds):
            found, said = _pauses(untuned=untuned)
            seen += found
            messages += said
        seconds = rounds * relay.MEASURE_SECONDS
        longest = max(seen, default=0) * 1e3
        yield f"  {name:<36} {len(seen):>8} {sum(seen) * 1e3 / seconds:>9.2f} {longest:>11.2f} {messages:>9.0f}"


def _pauses(*, untuned: bool) -> tuple[list[float], float]:
    with tempfile.NamedTemporaryFile("r") as file:
        environment = {"PAUSES": file.name, **({"UNTUNED": "1"} if untuned else {})}
        said = relay.counselling("storage.durability=full", environment=environment)["count"]
        return [float(line.split()[1]) for line in Path(file.name).read_text().splitlines()], said

"""How busy the machine is with other programs than this one and all that it has started (Linux, proc(5))."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROCESSORS = os.cpu_count() or 1
IDLE_FIELDS = (3, 4)  # idle and iowait, of the first line of /proc/stat


class LoadMeter:
    """Measures the share of the processors that other programs take."""

    def __init__(self) -> None:
        self._sample = self._read()

    def __call__(self) -> float:
        """Return the share since the last call, from 0 to 1."""
        before, self._sample = self._sample, self._read()
        elapsed, busy, own = (new - old for new, old in zip(self._sample, before, strict=True))
        return min(1.0, max(0.0, busy - own) / (PROCESSORS * max(0.01, elapsed)))

    def _read(self) -> tuple[float, float, float]:
        """Return seconds: now, all processors busy, and processors of this program and its processes."""
        fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        busy = sum(ticks for number, ticks in enumerate(fields) if number not in IDLE_FIELDS)
        own = sum(_ticks(pid) for pid in family(os.getpid()))
        return time.monotonic(), busy / TICKS_PER_SECOND, own / TICKS_PER_SECOND


def family(pid: int) -> Iterator[int]:
    """Yield the process and all its descendants."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def _ticks(pid: int) -> int:
    """Return the processor time of a process that runs, and of those children that it has waited for."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(each) for each in fields[11:15])
    return 0

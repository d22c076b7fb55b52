"""``scripts/bench scale`` prints its tables. The speed is not checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = """
import sys
sys.path.insert(0, "scripts/benchmarks")
import scale
scale.MEASURE_SECONDS, scale.PAIRS, scale.OBSERVERS, scale.PEOPLE = 0.3, 1, 2, 40
scale.SESSIONS, scale.WAITERS, scale.CONCURRENT_CONNECTS, scale.SETTLE_SECONDS = 4, 2, 2, 0.1
scale.SETUPS = (scale.Setup(1, alone=True), scale.Setup(2))
print("\\n".join(scale.measure(1)))
"""


@pytest.mark.slow
def test_it_prints_a_table_for_each_kind_of_work() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SMALL],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("processes") >= 5
    two = [line.split() for line in done.stdout.splitlines() if line.startswith("  2 ")]
    assert len(two) == 5
    assert "publish" in done.stdout

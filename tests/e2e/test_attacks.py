"""``scripts/attack``: no attack gets in and none does harm; and how the harm is judged."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from scripts.attacks import report
from scripts.attacks.attack import Attack, Tally
from scripts.attacks.kinds import ATTACKS
from scripts.attacks.neighbour import Report, quantile
from scripts.attacks.runner import MAX_LOAD, Delays, Outcome, delay_harm, memory_harm

ROOT = Path(__file__).parents[2]

ONLY = (
    *("tokens", "rights-calls", "rights-sockets", "numbers-chosen", "time-shut-out", "http-smuggling"),
    *("greedy-history", "flood-fragments", "bomb-frames", "text-transcripts"),
)
"""The attacks of this test. All others have tests of their own beside the code that stops them; a release is
attacked in all ways."""

LAST_LINE = re.compile(r"(\d+) tries, 0 got in, 0 did harm")


@pytest.mark.slow
@pytest.mark.gen_test(timeout=1800)
async def test_no_attack_gets_in_or_does_harm() -> None:
    attack = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scripts.attacks", "--quick", "--seed", "1"),
        *(option for name in ONLY for option in ("--only", name)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await attack.communicate()
    text = output.decode()
    last = LAST_LINE.fullmatch(text.splitlines()[-1])
    assert last, text
    assert int(last[1]) > 2000
    assert attack.returncode == 0, text


async def do_nothing(trial: object) -> None:
    """An attack that has no effect."""


ATTACK = Attack("nothing", "nothing", do_nothing)
MIB = 2**20


def test_the_names_of_the_attacks_are_unique_and_fit_into_the_table() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 18


@pytest.mark.parametrize(
    ("before", "during", "load", "harmful"),
    [
        (0.002, 0.050, 0.0, False),
        (0.002, 0.060, 0.0, True),
        (0.100, 0.240, 0.0, False),
        (0.100, 0.260, 0.0, True),
        (0.002, 5.0, MAX_LOAD + 0.01, False),  # the machine is busy with other programs
    ],
)
def test_a_delay_is_harm_if_it_more_than_doubles_on_an_idle_machine(
    before: float, during: float, load: float, harmful: bool
) -> None:
    outcome = Outcome(ATTACK, before=Delays(p99=before), during=Delays(p99=during, load=load))
    assert bool(delay_harm(outcome)) is harmful


def test_the_lateness_of_the_machine_is_subtracted() -> None:
    delays = Delays.of(Report(delays=[0.3] * 100, health_delays=[0.5], wake_delays=[0.2] * 100), load=0.0)
    assert delays.p99 == pytest.approx(0.1)
    assert delays.health == pytest.approx(0.3)


def test_the_quantile_of_few_values_is_the_largest() -> None:
    assert quantile([], 0.99) == 0.0
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99.0


def test_memory_may_grow_a_little() -> None:
    assert memory_harm((80 * MIB, 120 * MIB, 100 * MIB), 1) == []
    assert memory_harm((80 * MIB, 300 * MIB, 200 * MIB), 2) == []
    assert memory_harm((80 * MIB, 400 * MIB, 90 * MIB), 1) == ["the memory grew by 320 MiB"]
    assert memory_harm((80 * MIB, 200 * MIB, 180 * MIB), 1) == ["100 MiB of memory stayed after the attack"]


def test_the_last_line_counts_tries_and_attacks() -> None:
    tally = Tally(got_in=["a", "b"])
    tally.refused["403"] = 5
    outcomes = [Outcome(ATTACK, tally), Outcome(ATTACK, harm=["x", "y"]), Outcome(ATTACK)]
    assert report.last_line(outcomes) == "7 tries, 2 got in, 1 did harm"
    assert [outcome.is_good for outcome in outcomes] == [False, False, True]
    assert [*report.lines(outcomes[0], 1)][1:] == [
        "    got in: a",
        "    got in: and 1 more (-v shows all)",
    ]

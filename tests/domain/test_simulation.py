"""Thousands of simulated runs of the real rules, with faults at every step."""

import pytest

from tests.domain.simulation import WORLDS, run

SEEDS = 1000


@pytest.mark.parametrize("world", WORLDS)
def test_no_run_violates_the_rules(world: str) -> None:
    for seed in range(SEEDS):
        try:
            run(world, seed)
        except Exception as error:
            pytest.fail(f"{error!r}; repeat this run: python -m tests.domain.simulation {world} {seed}")

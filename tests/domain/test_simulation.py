"""Thousands of days with faults at every step, on the real rules."""

import pytest

from tests.domain.simulation import WORLDS, live

SEEDS = 1000


@pytest.mark.parametrize("world", WORLDS)
def test_no_day_goes_wrong(world: str) -> None:
    for seed in range(SEEDS):
        try:
            live(world, seed)
        except Exception as error:
            pytest.fail(f"{error!r}; live it again: python -m tests.domain.simulation {world} {seed}")

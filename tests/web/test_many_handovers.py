"""Many hand-overs under connection cuts: no message is lost, repeated, or shown to a person that has left.

``HANDOVERS=1000`` makes so many of each kind; without it there are a few.
"""

import os
import random
from dataclasses import replace

import pytest

from tests.conftest import Harness
from tests.helpers.handing_over import SessionHandovers, SupportHandovers
from tornado_chat import config

HANDOVERS = int(os.environ.get("HANDOVERS", "24"))
SECONDS = 30 + HANDOVERS


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    limits = replace(
        settings.limits,
        messages_per_second=10_000,
        burst=10_000,
        requests_per_minute=10**6,
        sockets_per_minute=10**6,
    )
    return replace(settings, limits=limits)


@pytest.mark.gen_test(timeout=SECONDS)
async def test_sessions(harness: Harness) -> None:
    figures = await SessionHandovers([harness], random.Random(7)).run(HANDOVERS)
    print(figures)
    assert figures.is_clean, figures
    assert figures.handovers == HANDOVERS
    assert figures.cuts > HANDOVERS / 4


@pytest.mark.gen_test(timeout=SECONDS)
async def test_support_conversations(harness: Harness) -> None:
    figures = await SupportHandovers([harness], random.Random(7)).run(HANDOVERS)
    print(figures)
    assert figures.is_clean, figures
    assert figures.handovers == HANDOVERS
    assert figures.cuts > HANDOVERS / 4

"""More connections than the server has file descriptors."""

import asyncio
import re

from scripts.attacks.attack import Attack, Trial
from scripts.attacks.people import PEOPLE_ADDRESS, token
from scripts.attacks.raw_http import connect
from scripts.attacks.raw_socket import RawSocket, UpgradeRefused

DESCRIPTORS = 256
PEOPLE = 8  # for each process of the server
SOCKETS_OF_ONE_PERSON = 45
HOLD_SECONDS = 4.0
MAX_LOG_LINES = 20
RETURN_TIMEOUT_SECONDS = 15.0
OPEN_TIMEOUT_SECONDS = 2.0

EXHAUSTED = r"(?i)file descriptor|too many open files"
"""Lines in which the server reports that it has no descriptors left."""


async def run(trial: Trial) -> None:
    held: list[RawSocket] = []
    failures = 0
    people = PEOPLE * trial.server.processes

    async def open_one(number: int) -> None:
        nonlocal failures
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                held.append(await trial.socket(f"/notify?token={token('user', 400 + number % people)}"))
        except (UpgradeRefused, TimeoutError):
            failures += 1

    for start in range(0, people * SOCKETS_OF_ONE_PERSON, 60):
        await asyncio.gather(*(open_one(start + number) for number in range(60)))
    trial.refused("held", len(held))
    trial.refused("not accepted", failures)
    trial.require(failures > 0, "the descriptors suffice for all sockets")
    writers = [await connect(trial.server.port, PEOPLE_ADDRESS) for _ in range(20)]  # wait to be accepted
    await asyncio.sleep(HOLD_SECONDS)
    lines = [line for line in trial.server.log.splitlines() if re.search(EXHAUSTED, line)]
    if len(lines) > MAX_LOG_LINES:
        trial.harmed(f"{len(lines)} log lines about the descriptors, as {lines[-1][:100]}")
    trial.drop_sockets()
    for _, writer in writers:
        writer.transport.abort()
    await _sign_in(trial)


async def _sign_in(trial: Trial) -> None:
    """The server has to accept again as soon as descriptors are free."""
    try:
        async with asyncio.timeout(RETURN_TIMEOUT_SECONDS):
            socket = await trial.socket(f"/notify?token={token('user', 500)}", source=PEOPLE_ADDRESS)
            await socket.wait_closed(0.3)
    except (TimeoutError, UpgradeRefused):
        trial.harmed(
            f"the server does not accept {RETURN_TIMEOUT_SECONDS:g} s after the descriptors are free"
        )


ATTACKS = [
    Attack(
        "descriptors",
        "more sockets than the server has file descriptors",
        run,
        expected_logs=(EXHAUSTED, "socket.accept"),
        descriptors=DESCRIPTORS,
        health=False,
    )
]

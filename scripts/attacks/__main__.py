"""Attacks a server of its own in all known ways, beside people who talk, and prints what it found.

Each attack has a new server: a process of this tree in a temporary directory, with SQLite, guests and the
bundled plugins. An attack gets in if the server does what it should refuse. It does harm if the people beside
it lose, repeat or overtake a message, are disconnected or wait longer than just before it, or if the server
keeps memory, logs an error, or answers /healthz late. The last line is the result; the exit code is 1 if an
attack got in or did harm, or could not be carried out.
"""

import argparse
import asyncio
import random
import resource
import sys
import time

from scripts.attacks import report
from scripts.attacks.kinds import ATTACKS
from scripts.attacks.runner import Outcome, Runner, one_process, several_processes

MIN_DESCRIPTORS = 4096


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/attack", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="run this attack only, or those whose names begin with NAME-; may be repeated",
    )
    parser.add_argument(
        "--list", action="store_true", help="print the names of the attacks, and what they try"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print all that got in or did harm")
    parser.add_argument("--quick", action="store_true", help="few tries of each attack")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the random choices (printed; else a new one)"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="of each server; above 1 with MariaDB and Redis (%(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.list:
        for attack in ATTACKS:
            print(f"{attack.name:<22} {attack.text}")
        return 0
    chosen = [
        attack
        for attack in ATTACKS
        if not arguments.only
        or any(attack.name == name or attack.name.startswith(f"{name}-") for name in arguments.only)
    ]
    if not chosen:
        parser.error(f"no attack is called {' or '.join(arguments.only)}; --list names all")
    try:
        options = one_process if arguments.processes == 1 else several_processes(arguments.processes)
    except ValueError as error:
        parser.error(str(error))
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    _raise_descriptor_limit()
    print(f"seed {seed}; attacks: {len(chosen)}")
    for line in report.heading():
        print(line)
    started = time.monotonic()
    outcomes: list[Outcome] = []
    runner = Runner(options, seed, quick=arguments.quick)
    for number, attack in enumerate(chosen, 1):
        _show_progress(f"{number} of {len(chosen)}: {attack.name} ...")
        outcomes.append(asyncio.run(runner.run(attack)))
        _show_progress("")
        for line in report.lines(outcomes[-1], None if arguments.verbose else report.MAX_SENTENCES):
            print(line, flush=True)
    for line in report.remarks(outcomes, time.monotonic() - started):
        print(line)
    print(report.last_line(outcomes))
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _raise_descriptor_limit() -> None:
    """Let this process open the sockets of the floods; the servers inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MIN_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MIN_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _show_progress(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None

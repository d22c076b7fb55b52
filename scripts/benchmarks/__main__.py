"""Measures jobs beside their yardsticks, in alternating rounds of one run.

Times of different days or machines do not compare; the ratio of two medians of one run does.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the tests have a MariaDB to start

import counting
import hooks
import keywords
import on_mariadb
import peers
import scale

from tornado_chat.bench import jobs

JOBS = {
    **{name: partial(jobs.lines, name) for name in jobs.JOBS},
    "keywords": keywords.lines,
    "hooks": hooks.lines,
    "mariadb": on_mariadb.lines,
    "peers": peers.lines,
    "counting": counting.lines,
    "scale": scale.lines,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "jobs", nargs="*", metavar="JOB", help=f"some of {', '.join(JOBS)}; all if none is named"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each job (5)")
    parser.add_argument(
        "--storage",
        metavar="URL",
        default="",
        help="a MySQL database for relay to be measured on, too: mysql://…",
    )
    arguments = parser.parse_args()
    for name in arguments.jobs:
        if name not in JOBS:
            parser.error(f'there is no job "{name}", only {", ".join(JOBS)}')
    for name in arguments.jobs or JOBS:
        more = {"storage": arguments.storage} if arguments.storage and name == "relay" else {}
        for line in JOBS[name](arguments.rounds, **more):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return 0


raise SystemExit(main())

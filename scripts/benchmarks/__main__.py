"""Runs benchmark jobs and prints their tables; each job is measured against a baseline in alternating rounds.

Compare the ratios of medians within one run, not times of different days or machines.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # for tests.helpers, which starts MariaDB and Redis

import counting
import hooks
import keywords
import on_mariadb
import peers
import scale

from tornado_chat.bench import jobs

JOBS = {
    **{name: partial(jobs.run_job, name) for name in jobs.JOBS},
    "keywords": keywords.measure,
    "hooks": hooks.measure,
    "mariadb": on_mariadb.measure,
    "peers": peers.measure,
    "counting": counting.measure,
    "scale": scale.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"the jobs to run (all): {', '.join(JOBS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each job (%(default)s)")
    parser.add_argument(
        "--storage",
        metavar="URL",
        default="",
        help="measure relay also on this MySQL database: mysql://…",
    )
    arguments = parser.parse_args()
    for name in arguments.jobs:
        if name not in JOBS:
            parser.error(f'there is no job "{name}"; the jobs are {", ".join(JOBS)}')
    for name in arguments.jobs or JOBS:
        more = {"storage": arguments.storage} if arguments.storage and name == "relay" else {}
        for line in JOBS[name](arguments.rounds, **more):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return 0


raise SystemExit(main())

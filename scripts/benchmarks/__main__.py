"""Measures jobs beside their yardsticks, in alternating rounds of one run.

Times of different days or machines do not compare; the ratio of two medians of one run does.
"""

import argparse
import sys

import hooks
import keywords
from rounds import Job, measure

JOBS: dict[str, Job] = {each.name: each for each in (keywords.JOB, hooks.JOB)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    known = "; ".join(f"{name}: {job.manual}" for name, job in JOBS.items())
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"which ones, all if none is named. {known}")
    parser.add_argument("--rounds", type=int, default=5, help="of each job (5)")
    arguments = parser.parse_args()
    for name in arguments.jobs:
        if name not in JOBS:
            parser.error(f'there is no job "{name}", only {", ".join(JOBS)}')
    for name in arguments.jobs or JOBS:
        for line in measure(JOBS[name], arguments.rounds):
            sys.stdout.write(line + "\n")
    return 0


raise SystemExit(main())

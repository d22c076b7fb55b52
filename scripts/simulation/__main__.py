"""Simulates a day of the support queue in minutes, checks every decision, and prints a report.

The dispatcher and the queue are the real ones; people, database and clock are simulated. The same seed makes
the same day. A violated check ends the run with an error that names the seed.
"""

import argparse
import gc
import logging
import sys
import time

from scripts.simulation.day import Day, run_day
from scripts.simulation.footprint import footprint
from scripts.simulation.plan import POLICIES, Plan
from scripts.simulation.report import lines


def main() -> int:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--users", type=int, default=plan.users, help="users that arrive during the day (%(default)s)")
    add("--waiters", type=int, default=plan.waiters, help="waiters; each works a third of it (%(default)s)")
    add("--seed", type=int, default=plan.seed, help="of the random choices (%(default)s)")
    add("--hours", type=float, default=plan.hours, help="length of the day (%(default)g)")
    add("--policy", choices=POLICIES, default=plan.policy, help="queue policy (%(default)s)")
    add("--groups", type=int, default=plan.groups, help="groups, each with a queue (%(default)s)")
    add("--capacity", type=int, default=plan.capacity, help="users of a waiter at a time (%(default)s)")
    add("--talk", type=float, default=plan.talk, help="mean minutes of a conversation (%(default)g)")
    add("--patience", type=float, default=plan.patience, help="mean minutes to give up (%(default)g)")
    add("--takeovers", type=int, default=plan.takeovers, help="losses of the coordinator (%(default)s)")
    add("--refused", type=float, default=plan.refused, help="share of failing commits (%(default)g)")
    plan = Plan(**vars(parser.parse_args()))
    logging.getLogger("tornado_chat").setLevel(logging.ERROR)  # warnings of refused commits are expected
    memory = footprint()
    gc.set_threshold(50_000, 20, 100)  # the server's setting
    started = time.process_time()
    try:
        day = run_day(plan, _progress if sys.stderr.isatty() else lambda day: None)
    except AssertionError as error:
        sys.stderr.write(f"\ncheck failed: {error}; repeat it with --seed {plan.seed}\n")
        return 1
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    for line in lines(day, memory, time.process_time() - started):
        sys.stdout.write(line + "\n")
    return 0


def _progress(day: Day) -> None:
    minutes = int(day.loop.time() // 60)
    if minutes % 10 == 0:
        sys.stderr.write(
            f"\r\033[K{minutes // 60:02}:{minutes % 60:02}  {day.people:,} users arrived, "
            f"{day.waiting:,} waiting, {day.talking:,} served, {day.on_duty:,} waiters"
        )
        sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())

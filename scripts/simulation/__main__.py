"""Lives a day of the waiting line in minutes, checks every decision of it, and says what it was like.

The dispatcher and the line are the real ones; people, database and clock are simulated. The same seed makes
the same day. What does not hold ends it with an error, and the seed lives it again.
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
    add("--users", type=int, default=plan.users, help="who come during the day (%(default)s)")
    add("--waiters", type=int, default=plan.waiters, help="who work, each a third of the day (%(default)s)")
    add("--seed", type=int, default=plan.seed, help="another one is another day (%(default)s)")
    add("--hours", type=float, default=plan.hours, help="length of the day (%(default)g)")
    add("--policy", choices=POLICIES, default=plan.policy, help="who is next, and who serves (%(default)s)")
    add(
        "--capacity", type=int, default=plan.capacity, help="users that a waiter serves at once (%(default)s)"
    )
    add("--talk", type=float, default=plan.talk, help="minutes of a conversation, on average (%(default)g)")
    add("--patience", type=float, default=plan.patience, help="minutes until a user gives up (%(default)g)")
    add("--takeovers", type=int, default=plan.takeovers, help="of the coordinator (%(default)s)")
    add("--refused", type=float, default=plan.refused, help="share of commits that fail (%(default)g)")
    plan = Plan(**vars(parser.parse_args()))
    logging.getLogger("tornado_chat").setLevel(logging.ERROR)  # a match refused on purpose is no news
    needed = footprint()
    gc.set_threshold(50_000, 20, 100)  # as the server
    started = time.process_time()
    try:
        day = run_day(plan, _progress if sys.stderr.isatty() else lambda day: None)
    except AssertionError as error:
        sys.stderr.write(f"\nthis does not hold: {error}; --seed {plan.seed} lives it again\n")
        return 1
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    for line in lines(day, needed, time.process_time() - started):
        sys.stdout.write(line + "\n")
    return 0


def _progress(day: Day) -> None:
    minutes = int(day.loop.time() // 60)
    if minutes % 10 == 0:
        sys.stderr.write(
            f"\r\033[K{minutes // 60:02}:{minutes % 60:02}  {day.people:,} came, {day.waiting:,} wait, "
            f"{day.talking:,} talk, {day.on_duty:,} waiters"
        )
        sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())

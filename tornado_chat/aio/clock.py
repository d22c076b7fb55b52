"""The wall clock in the unit of the database and of the wire, and the clock of leases."""

import time


def now_microseconds() -> int:
    """Return the microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def now_seconds() -> float:
    """Return the seconds since 1970-01-01 UTC.

    Default arguments are this function and not ``time.time`` itself, which a test replaces later.
    """
    return time.time()


def boot_seconds() -> float:
    """Return the seconds since the start of the machine, those in which it was suspended included.

    A lease is measured by this clock: it ends elsewhere although this process or machine stands still. The
    loop's clock does not do: it stops with the machine, and uvloop reads it once per turn of the loop, so
    that the turn in which the process was suspended goes on with the time from before.
    """
    return time.clock_gettime(_LEASE_CLOCK)


_LEASE_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

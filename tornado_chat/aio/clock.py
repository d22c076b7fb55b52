"""The wall clock in the unit of the database and of the wire."""

import time


def now_microseconds() -> int:
    """Return the microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000

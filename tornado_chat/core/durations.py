"""Durations that people write: a number with a unit."""

import re

_SECONDS_PER_UNIT = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``90s``, ``30m``, ``12h`` or ``7d``.

    :raises ValueError: the text is no duration, or is zero. The message is for a person.
    """
    match = re.fullmatch(r"(\d{1,9})(s|m|min|h|d)", text, re.ASCII)
    if match is None or not int(match[1]):
        raise ValueError(f'"{text}" is not a duration such as 90s, 30m, 12h or 7d')
    return float(int(match[1]) * _SECONDS_PER_UNIT[match[2]])

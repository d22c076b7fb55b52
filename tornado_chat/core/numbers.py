"""The range of numbers: of sessions, records, conversations, notifications and messages.

It is the same in request bodies, addresses, query parameters, frames, commands and database columns.
"""

from typing import Annotated

from msgspec import Meta

MAX_NUMBER = 2**63 - 1
"""The highest number: the greatest value of a BIGINT column."""

MAX_OWN_NUMBER = 2**53 - 1
"""The highest number that the server itself chooses: the greatest integer that JavaScript keeps exactly."""

NUMBER_PATTERN = r"([0-9]{1,19})"
"""The group in a route's pattern that every number matches; the handler checks the range."""

Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
NumberText = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,18}$")]
"""A number as a text, for programs whose numbers are not exact above 2^53; the reader checks the range."""

Cursor = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
"""A number, or 0 for the position before the first one."""


def is_number(value: int) -> bool:
    """Return True if ``value`` is in the range of numbers."""
    return 1 <= value <= MAX_NUMBER

"""The format of times on the wire: ISO 8601 with microseconds, in the zone of ``[server] timezone``.

Strategy: a time without an offset means another moment to a reader in another zone, and two moments an hour
apart are the same text in the night in which clocks go back. So every time has its offset, except those of
the frames that the counselling seed describes, for sockets that asked for no feature.
"""

from datetime import UTC, datetime, tzinfo
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from msgspec import Meta

Time = Annotated[
    str,
    Meta(
        description="ISO 8601 in the server's zone, with its offset.",
        extra_json_schema={"format": "date-time"},
        examples=["2025-03-20T08:26:45.391706+08:00"],
    ),
]
SECOND_CHARS = len("2025-03-20T08:26:45")
OFFSET_CHARS = len("+08:00")


class LocalTimes:
    """Formats stored times in one zone.

    :arg zone: the IANA name; empty: the machine's zone.
    :arg has_offset: whether the texts end with the zone's offset at the time.
    """

    def __init__(self, zone: str = "", *, has_offset: bool = True) -> None:
        self._zone_name = zone
        self._has_offset = has_offset
        self._zone: tzinfo | None = ZoneInfo(zone) if zone else None
        # Messages of one commit have the same time, and successive messages are often of the same second:
        # the last text and the last second are cached.
        self._last = self._last_second = -1
        self._last_text = self._second_text = self._offset_text = ""

    def without_offset(self) -> Self:
        """Return the formatter of the same zone for the frames of the counselling seed."""
        return type(self)(self._zone_name, has_offset=False)

    def format(self, microseconds: int) -> str:
        """Return a text such as ``2025-03-20T08:26:45.391706+08:00``.

        :arg microseconds: since 1970 UTC.
        """
        if microseconds != self._last:
            second, fraction = divmod(microseconds, 1_000_000)
            if second != self._last_second:
                local = datetime.fromtimestamp(second, UTC).astimezone(self._zone)
                text = local.isoformat(timespec="seconds")
                self._second_text, self._offset_text = text[:SECOND_CHARS], text[SECOND_CHARS:]
                if not self._has_offset:
                    self._offset_text = ""
                self._last_second = second
            self._last = microseconds
            self._last_text = f"{self._second_text}.{fraction:06}{self._offset_text}"
        return self._last_text

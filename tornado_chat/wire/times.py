"""The format of times on the wire: ISO 8601, local, without zone, with microseconds (counselling seed)."""

from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo


class LocalTimes:
    """Formats stored times in the zone of ``[server] timezone``; empty: the machine's zone."""

    def __init__(self, zone: str = "") -> None:
        self._zone: tzinfo | None = ZoneInfo(zone) if zone else None
        # Messages of one commit have the same time, and successive messages are often of the same second:
        # the last text and the last second are cached.
        self._last = self._last_second = -1
        self._last_text = self._second_text = ""

    def format(self, microseconds: int) -> str:
        """Return a text such as ``2025-03-20T08:26:45.391706``.

        :arg microseconds: since 1970 UTC.
        """
        if microseconds != self._last:
            second, fraction = divmod(microseconds, 1_000_000)
            if second != self._last_second:
                local = datetime.fromtimestamp(second, self._zone)
                self._second_text = local.replace(tzinfo=None).isoformat(timespec="seconds")
                self._last_second = second
            self._last, self._last_text = microseconds, f"{self._second_text}.{fraction:06}"
        return self._last_text

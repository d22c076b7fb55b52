"""The times of the wire: ISO 8601, local, without zone, with microseconds (counselling seed)."""

from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo


class LocalTimes:
    """Writes stored times in the zone of ``[server] timezone``; empty is the machine's."""

    def __init__(self, zone: str = "") -> None:
        self._zone: tzinfo | None = ZoneInfo(zone) if zone else None
        # What is stored together has one time, and what is said one after the other is from one second.
        self._last = self._last_second = -1
        self._last_text = self._second_text = ""

    def text(self, microseconds: int) -> str:
        """``2025-03-20T08:26:45.391706``. :arg microseconds: since 1970 UTC."""
        if microseconds != self._last:
            second, fraction = divmod(microseconds, 1_000_000)
            if second != self._last_second:
                local = datetime.fromtimestamp(second, self._zone)
                self._second_text = local.replace(tzinfo=None).isoformat(timespec="seconds")
                self._last_second = second
            self._last, self._last_text = microseconds, f"{self._second_text}.{fraction:06}"
        return self._last_text

"""The times of the wire: ISO 8601, local, without zone, with microseconds (counselling seed)."""

from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo


class LocalTimes:
    """Writes stored times in the zone of ``[server] timezone``; empty is the machine's."""

    def __init__(self, zone: str = "") -> None:
        self._zone: tzinfo | None = ZoneInfo(zone) if zone else None
        # What was stored together has one time, and is written one after the other.
        self._last = -1
        self._last_text = ""

    def text(self, microseconds: int) -> str:
        """``2025-03-20T08:26:45.391706``. :arg microseconds: since 1970 UTC."""
        if microseconds != self._last:
            seconds, fraction = divmod(microseconds, 1_000_000)
            local = datetime.fromtimestamp(seconds, self._zone)
            text = local.replace(microsecond=fraction, tzinfo=None).isoformat(timespec="microseconds")
            self._last, self._last_text = microseconds, text
        return self._last_text

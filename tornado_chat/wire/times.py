"""The times of the wire: ISO 8601, local, without zone, with microseconds (counselling seed)."""

from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo


class LocalTimes:
    """Writes stored times in the zone of ``[server] timezone``; empty is the machine's."""

    def __init__(self, zone: str = "") -> None:
        self._zone: tzinfo | None = ZoneInfo(zone) if zone else None

    def text(self, microseconds: int) -> str:
        """``2025-03-20T08:26:45.391706``. :arg microseconds: since 1970 UTC."""
        seconds, fraction = divmod(microseconds, 1_000_000)
        local = datetime.fromtimestamp(seconds, self._zone)
        return local.replace(microsecond=fraction, tzinfo=None).isoformat(timespec="microseconds")

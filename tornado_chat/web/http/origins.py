"""Which pages may talk to the server (RFC 6454)."""


class AllowedOrigins:
    """The origins of ``[web] origins``. A page of the server's own origin never gets asked."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.reconfigure(allowed)

    def reconfigure(self, allowed: tuple[str, ...]) -> None:
        """Go by another list from now on; sockets that are open stay so."""
        self._any = "*" in allowed
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)

    def is_allowed(self, origin: str) -> bool:
        return self._any or origin.lower() in self._allowed

    @property
    def allows_any(self) -> bool:
        return self._any

    @property
    def listed(self) -> tuple[str, ...]:
        """Those that may have pages in their frames and hand them tokens; nobody if anybody may connect."""
        return () if self._any else tuple(sorted(self._allowed))

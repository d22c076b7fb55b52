"""The origins (RFC 6454) whose pages may call the server."""


class AllowedOrigins:
    """The origins of ``[web] origins``.

    The server's own origin need not be listed: Tornado calls ``check_origin`` only for other origins.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.reconfigure(allowed)

    def reconfigure(self, allowed: tuple[str, ...]) -> None:
        """Apply another list to new requests; open sockets are not changed."""
        self._any = "*" in allowed
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)

    def is_allowed(self, origin: str) -> bool:
        return self._any or origin.lower() in self._allowed

    @property
    def allows_any(self) -> bool:
        return self._any

    @property
    def listed(self) -> tuple[str, ...]:
        """The origins that may embed the server's pages and pass tokens to them; empty if all are allowed."""
        return () if self._any else tuple(sorted(self._allowed))

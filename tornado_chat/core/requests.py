"""The request of a client, as plugins get it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class Headers(Mapping[str, str]):
    """The headers of a request; upper and lower case of names are the same (RFC 9110 section 5.1).

    :arg items: names and values; the values of one name are joined by a comma.
    """

    __slots__ = ("_values",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in items:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"<headers {', '.join(self._values)}>"  # without values, which may be secrets


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """The HTTP request of a client: of an API call, or the handshake of a WebSocket.

    `path` is without the query; `query` has the last value of each parameter. `headers` is a mapping in which
    upper and lower case of names are the same, `cookies` is the header `Cookie`, taken apart. `address` is
    the client's, as the trusted proxies state it. In a log a request shows its method and path only.
    """

    path: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    address: str = ""

    def __post_init__(self) -> None:
        set_frozen = object.__setattr__
        set_frozen(self, "headers", Headers(self.headers.items()))
        set_frozen(self, "query", MappingProxyType(dict(self.query)))
        set_frozen(self, "cookies", MappingProxyType(dict(self.cookies)))

    def __repr__(self) -> str:
        return f"<request {self.method} {self.path}>"  # queries, headers and cookies may hold secrets

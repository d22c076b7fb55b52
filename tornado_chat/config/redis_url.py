"""Parser of the URLs of Redis servers.

The forms are ``redis://USER:PASSWORD@HOST:PORT/DB``, ``rediss://`` with TLS, ``unix:///PATH?db=DB``, and
``sentinel://:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DB`` (``sentinels://`` with TLS) for a Redis that Sentinels
monitor. Special characters are percent-encoded.
"""

from dataclasses import dataclass, field
from urllib.parse import unquote

from tornado_chat.config.url_query import check_readable, parse_query

SCHEMES = {
    # scheme: (Sentinels, TLS)
    "redis": (False, False),
    "rediss": (False, True),
    "sentinel": (True, False),
    "redis+sentinel": (True, False),
    "sentinels": (True, True),
    "rediss+sentinel": (True, True),
}
EXAMPLE = "redis://host:6379/0"
SENTINEL_EXAMPLE = "sentinel://host1:26379,host2:26379/mymaster/0"
DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379
TLS_KEYS = ("ssl-ca", "ssl-cert", "ssl-key")


@dataclass(frozen=True)
class RedisUrl:
    """The address of Redis, the database and the user.

    The address is either ``path`` (a unix socket) or ``hosts``: the host of Redis itself or, with a
    ``service``, the hosts of its Sentinels.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""

    @property
    def server(self) -> str:
        """The name of the server for log lines and error messages."""
        if self.path:
            return self.path
        return f"{self.service} of the Sentinels {self.addresses}" if self.service else self.addresses

    @property
    def addresses(self) -> str:
        """The addresses of the servers, or of the Sentinels, separated by commas."""
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse(url: str) -> RedisUrl:
    """Parse ``url``.

    :raises ValueError: ``url`` is wrong; the text describes the mistake and does not contain the password.
    """
    scheme, colon, rest = url.partition("://")
    scheme = scheme.lower()
    if not colon or scheme not in (*SCHEMES, "unix"):
        raise ValueError(
            f"it has to look like {EXAMPLE}, rediss://… with TLS, unix:///run/redis/redis.sock "
            f"or {SENTINEL_EXAMPLE}"
        )
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    if fragment:
        raise ValueError("the part after its # is ignored; write a # that belongs to a password as %23")
    credentials, at, location = rest.rpartition("@")
    if "/" in credentials:
        raise ValueError(f"a / in a password has to be written as %2F; it looks like {EXAMPLE}")
    user, _, password = credentials.partition(":")
    if at and not password:
        raise ValueError("it has a user without a password; it looks like redis://user:password@host:6379/0")
    user, password = unquote(user), unquote(password)
    if scheme == "unix":
        options = parse_query(query, ("db",))
        path = unquote(location)
        if not path.startswith("/") or path == "/":
            raise ValueError("it has no path; it looks like unix:///run/redis/redis.sock")
        return RedisUrl(path=path, db=_parse_db(options.get("db", "")), user=user, password=password)
    sentinels, tls = SCHEMES[scheme]
    options = parse_query(query, TLS_KEYS)
    for key, name in options.items():
        check_readable(key, name)
    if options and not tls:
        raise ValueError(f"{next(iter(options))} is for TLS; begin the URL with {_tls_scheme(scheme)}://")
    if ("ssl-cert" in options) != ("ssl-key" in options):
        raise ValueError("ssl-cert and ssl-key belong together; set both or neither")
    hosts, _, path = location.partition("/")
    service = ""
    if sentinels:
        service, _, path = path.partition("/")
        if not service:
            raise ValueError(
                f"it does not name the service of the Sentinels; it looks like {SENTINEL_EXAMPLE}"
            )
    elif "," in hosts:
        raise ValueError(f"it has several hosts; a URL of Sentinels looks like {SENTINEL_EXAMPLE}")
    return RedisUrl(
        hosts=tuple(
            _parse_host(each, DEFAULT_SENTINEL_PORT if sentinels else DEFAULT_PORT)
            for each in hosts.split(",")
        ),
        service=unquote(service),
        db=_parse_db(path),
        user=user,
        password=password,
        tls=tls,
        ca=options.get("ssl-ca", ""),
        cert=options.get("ssl-cert", ""),
        key=options.get("ssl-key", ""),
    )


def _tls_scheme(scheme: str) -> str:
    return "sentinels" if SCHEMES[scheme][0] else "rediss"


def _parse_host(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, _, number = text[1:].partition("]")
        number = number.removeprefix(":")
    else:
        host, _, number = text.partition(":")
    if not host:
        raise ValueError(f"it has no host; it looks like {EXAMPLE}")
    if number and not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise ValueError(f'its port "{number}" is no number from 1 to 65535; write an IPv6 address in [ ]')
    return unquote(host), int(number or port)


def _parse_db(text: str) -> int:
    text = text.strip("/")
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError(f'"{text}" is no number of a database; most servers have the numbers 0 to 15')
    return int(text or 0)

"""Parser of the URLs of MySQL and MariaDB databases.

The form is ``mysql://USER@HOST:PORT/NAME?KEY=VALUE``; a URL without a host means the unix socket of the
server. Special characters are percent-encoded. A password is not allowed in the URL, because URLs appear in
logs.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tornado_chat.config.url_query import check_readable, parse_query

SCHEMES = ("mysql", "mariadb", "mysql+unix")
DEFAULT_SOCKET = "/run/mysqld/mysqld.sock"
"""The unix socket of the server packages of Debian."""

DEFAULT_PORT = 3306
MAX_NAME_CHARS = 64

TlsMode = Literal["disabled", "required", "verify-ca", "verify-identity"]
QUERY_KEYS = ("socket", "ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "option-file")


@dataclass(frozen=True)
class MysqlUrl:
    """The address of the database server, the database and the user.

    ``host`` is empty with a unix socket. With an ``option_file``, ``host``, ``socket`` and ``user`` may all
    be empty, as the file can contain them.
    """

    name: str
    user: str = ""
    host: str = ""
    port: int = DEFAULT_PORT
    socket: str = ""
    tls: TlsMode = "disabled"
    ca: str = ""
    cert: str = ""
    key: str = ""
    option_file: str = ""

    @property
    def server(self) -> str:
        """The name of the server for log lines and error messages."""
        if self.host:
            return f"{self.host}:{self.port}"
        return self.socket or f"the server of {self.option_file}"


def is_mysql(url: str) -> bool:
    return url.partition(":")[0].lower() in SCHEMES


def parse(url: str) -> MysqlUrl:
    """Parse ``url``.

    :raises ValueError: ``url`` is wrong; the text describes the mistake and contains no password.
    """
    if not url.partition(":")[2].startswith("//"):
        raise ValueError("it has to begin with mysql:// and look like mysql://user@host:3306/name")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(
            "its host or port cannot be read; it looks like mysql://user@host:3306/name"
        ) from error
    if parts.password is not None:
        raise ValueError(
            "a password in it would be seen in logs and process lists: remove the password, write it to a "
            "file, and set password_file to the name of the file"
        )
    if parts.fragment:
        raise ValueError("the part after its # is ignored; write a # that belongs to a name as %23")
    query = _parse_query(parts.query)
    option_file = _check_file(query, "option-file")
    user = unquote(parts.username or "")
    if not (user or option_file):
        raise ValueError("it has no user; it looks like mysql://user@host:3306/name")
    host, socket = _parse_server(parts, query, option_file)
    return MysqlUrl(
        name=_parse_name(parts.path),
        user=user,
        host=host,
        port=port or DEFAULT_PORT,
        socket=socket,
        tls=_parse_tls(query, host),
        ca=_check_file(query, "ssl-ca"),
        cert=_check_file(query, "ssl-cert"),
        key=_check_file(query, "ssl-key"),
        option_file=option_file,
    )


def _parse_name(path: str) -> str:
    name = unquote(path.removeprefix("/"))
    if not name or "/" in name:
        raise ValueError("it has to end with the name of a database, as mysql://user@host:3306/name does")
    if len(name) > MAX_NAME_CHARS or name != name.strip() or not name.isprintable() or "`" in name:
        raise ValueError(f'"{name}" cannot be the name of a database')
    return name


def _parse_server(parts: SplitResult, query: Mapping[str, str], option_file: str) -> tuple[str, str]:
    """Return the host and the unix socket, one of which is empty."""
    host, socket = parts.hostname or "", query.get("socket", "")
    if host and (socket or parts.scheme == "mysql+unix"):
        raise ValueError("it has a host and a unix socket; remove one of the two")
    if socket and not socket.startswith("/"):
        raise ValueError(f'socket has to be a path from /, as {DEFAULT_SOCKET}; "{socket}" is not')
    if not (host or socket or option_file):
        socket = DEFAULT_SOCKET
    return unquote(host), socket


def _parse_query(text: str) -> dict[str, str]:
    if any(key.lower() in ("password", "passwd") for key, _ in parse_qsl(text)):
        raise ValueError("a password in it would be seen in logs: write it to a file, named in password_file")
    return parse_query(text, QUERY_KEYS)


def _check_file(query: Mapping[str, str], key: str) -> str:
    name = query.get(key, "")
    if name:
        check_readable(key, name)
    return name


def _parse_tls(query: Mapping[str, str], host: str) -> TlsMode:
    modes = get_args(TlsMode)
    mode = query.get("ssl-mode", "").replace("_", "-").lower()
    files = [key for key in ("ssl-ca", "ssl-cert", "ssl-key") if key in query]
    if "ssl-mode" not in query:
        if files:
            mode = "verify-identity"
        elif host and not _is_local_host(host):
            raise ValueError(
                f"{host} is another machine, and messages would pass the network unencrypted: add "
                "?ssl-mode=verify-identity&ssl-ca=/path/to/ca.pem, or ?ssl-mode=disabled if the network is "
                "private"
            )
        else:
            mode = "disabled"
    elif mode not in modes:
        raise ValueError(f'ssl-mode has to be one of {", ".join(modes)}; "{query["ssl-mode"]}" is not')
    elif mode == "disabled" and files:
        raise ValueError(f"ssl-mode is disabled, so {files[0]} would be ignored; remove one of the two")
    if mode != "disabled" and not host:
        raise ValueError("TLS needs a host; data of a unix socket does not leave this machine")
    if ("ssl-cert" in query) != ("ssl-key" in query):
        raise ValueError("ssl-cert and ssl-key belong together; set both or neither")
    return cast(TlsMode, mode)


def _is_local_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Client of the status endpoint: finds the running server, and explains why it does not answer."""

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from tornado_chat import config as configuration
from tornado_chat.core.status import Status
from tornado_chat.server import status_file

TIMEOUT_SECONDS = 5.0
PATH = "/api/v1/status"
TOKEN_VARIABLE = "TORNADO_CHAT_TOKEN"  # noqa: S105 - the name of a variable
WILDCARD_HOSTS = ("", "0.0.0.0", "::")  # noqa: S104 - a server binds to them, a client cannot connect to them


class StatusUnavailable(Exception):
    """The status cannot be fetched. The text gives the reason and the remedy."""


@dataclass(frozen=True)
class ServerAddress:
    """The address of a server: a URL, and a Unix socket if it listens on one."""

    url: str
    unix_socket: str = ""

    def __str__(self) -> str:
        return self.unix_socket or self.url


def fetch_status(config: configuration.Config, url: str | None) -> tuple[ServerAddress, bytes, Status]:
    """Fetch the server's status. Returns the address, the JSON body and the decoded status.

    :arg url: the server's URL; None: the addresses of the configuration.
    :raises StatusUnavailable: no server answered with a status.
    """
    recorded = None if url else status_file.read(config.state_dir)
    failure: OSError | None = None
    address = ServerAddress(url or "")
    for address in [ServerAddress(url.rstrip("/"))] if url else _candidate_addresses(config, recorded):
        try:
            return address, *_parse_response(address, *_fetch(address))
        except TimeoutError as error:
            raise StatusUnavailable(
                f"the server at {address} accepts the connection, but does not answer within "
                f"{TIMEOUT_SECONDS:.0f} s: it is still starting, its event loop is blocked, it has too few "
                "file descriptors, or the machine is overloaded; its log may say more"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            failure = error if isinstance(error, OSError) else OSError(str(error))
    raise StatusUnavailable(
        _explain_failure(address, failure, recorded, config, has_url=url is not None)
    ) from failure


def _candidate_addresses(
    config: configuration.Config, recorded: status_file.ServerStatus | None
) -> Iterator[ServerAddress]:
    """Yield the configured addresses: the Unix socket first, which is local whatever the port is bound to."""
    server = config.server
    if server.unix_socket:
        yield ServerAddress("http://localhost", server.unix_socket)
    host = "127.0.0.1" if server.host in WILDCARD_HOSTS else server.host
    host = f"[{host}]" if ":" in host else host
    if server.port:
        yield ServerAddress(f"http://{host}:{server.port}")
    elif recorded is not None and recorded.url:
        yield ServerAddress(recorded.url)


def _fetch(address: ServerAddress) -> tuple[int, str, bytes]:
    """Send the request. Returns the status code, the media type and the body."""
    parts = urlsplit(address.url)
    headers = {"Accept": "application/json", "User-Agent": "tornado-chat status"}
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if address.unix_socket:
        connection: http.client.HTTPConnection = _UnixConnection(address.unix_socket)
    elif parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path + PATH, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers.get_content_type(), response.read()
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _parse_response(address: ServerAddress, code: int, media_type: str, body: bytes) -> tuple[bytes, Status]:
    if code == 200 and media_type == "application/json":
        try:
            return body, msgspec.json.decode(body, type=Status)
        except msgspec.DecodeError as error:
            raise StatusUnavailable(
                f"the server at {address} has another version than this command: {error}"
            ) from error
    if media_type == "application/problem+json":
        problem = json.loads(body)
        if code in (401, 403):
            raise StatusUnavailable(
                f"the server at {address} requires a token: {problem.get('detail')}. Put an admin's token "
                f"into ${TOKEN_VARIABLE} (`tornado-chat token --role admin --id NAME` makes one), "
                "or connect directly from a network of [web] ops_networks"
            )
        if code == 404:
            raise StatusUnavailable(f"the server at {address} is an older version without a status")
        raise StatusUnavailable(
            f"the server at {address} answers {code}: {problem.get('detail') or problem.get('title')}"
        )
    raise StatusUnavailable(
        f"another program answers at {address} ({code}, {media_type}): check the port and the path of --url; "
        "[server] port is the server's port"
    )


def _explain_failure(
    address: ServerAddress,
    failure: OSError | None,
    recorded: status_file.ServerStatus | None,
    config: configuration.Config,
    *,
    has_url: bool,
) -> str:
    """Explain why no server accepts a connection, by its status file."""
    reason = failure.strerror or str(failure) if failure is not None else "no port is configured"
    failed = f"cannot connect to {address}: {reason}" if address.url else reason
    if has_url:
        return f"{failed}. Check the address, and whether the server is running there"
    if recorded is None:
        return (
            f"{failed}. The server is not running, or it runs with another configuration: {config.state_dir} "
            "has no status file (only the server's user and root can read it). Start the server with "
            "`systemctl start tornado-chat`, or with `tornado-chat serve` if it is not a service; or name "
            "its configuration with --config, or its address with --url"
        )
    seconds = time.time() - recorded.since
    if not recorded.alive:
        return (
            f"{failed}. The server is not running: process {recorded.pid} was killed or crashed. The end of "
            "its log may say why; start it again: acknowledged messages are not lost"
        )
    if recorded.state == status_file.STARTING:
        return (
            f"{failed}. The server (process {recorded.pid}) has been starting for {seconds:.0f} s; try again "
            "soon"
        )
    if recorded.state == status_file.STOPPING:
        return (
            f"{failed}. The server (process {recorded.pid}) has been stopping for {seconds:.0f} s: "
            "it stores the last messages and closes the connections"
        )
    return (
        f"{failed}. The server (process {recorded.pid}) listens at {recorded.url}: the configuration has "
        "changed since its start. Restart it, or use --url"
    )

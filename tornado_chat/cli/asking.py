"""Finding the running server and asking it over HTTP; and saying what is wrong when it does not answer."""

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

TIMEOUT = 5.0  # seconds
PATH = "/api/v1/status"
TOKEN_VARIABLE = "TORNADO_CHAT_TOKEN"  # noqa: S105 - the name of a variable
WILDCARD_HOSTS = ("", "0.0.0.0", "::")  # noqa: S104 - what a server listens on, and no client can call


class StatusUnavailable(Exception):
    """Why there is no status, in a sentence that says what to do."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens."""

    url: str
    unix_socket: str = ""

    def __str__(self) -> str:
        return self.unix_socket or self.url


def fetch_status(config: configuration.Config, url: str | None) -> tuple[ServerAddress, bytes, Status]:
    """The server's status, as it came and as it was understood.

    :arg url: asked instead of the places that the configuration names.
    :raises StatusUnavailable: with the reason.
    """
    note = None if url else status_file.read(config.state_dir)
    refusal: OSError | None = None
    place = ServerAddress(url or "")
    for place in [ServerAddress(url.rstrip("/"))] if url else _candidate_addresses(config, note):
        try:
            return place, *_parse_response(place, *_fetch(place))
        except TimeoutError as error:
            raise StatusUnavailable(
                f"something listens at {place}, but does not answer within {TIMEOUT:.0f} s: the server is still "
                "starting, or its loop is stuck, or the machine has no time for it; the log may say more"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            refusal = error if isinstance(error, OSError) else OSError(str(error))
    raise StatusUnavailable(_failure_text(place, refusal, note, config, given=url is not None)) from refusal


def _candidate_addresses(
    config: configuration.Config, note: status_file.ServerStatus | None
) -> Iterator[ServerAddress]:
    """Where it should be: the socket before the port, as it is local whatever the port is bound to."""
    server = config.server
    if server.unix_socket:
        yield ServerAddress("http://localhost", server.unix_socket)
    host = "127.0.0.1" if server.host in WILDCARD_HOSTS else server.host
    host = f"[{host}]" if ":" in host else host
    if server.port:
        yield ServerAddress(f"http://{host}:{server.port}")
    elif note is not None and note.url:
        yield ServerAddress(note.url)


def _fetch(place: ServerAddress) -> tuple[int, str, bytes]:
    """Status code, media type and body."""
    parts = urlsplit(place.url)
    headers = {"Accept": "application/json", "User-Agent": "tornado-chat status"}
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if place.unix_socket:
        connection: http.client.HTTPConnection = _UnixConnection(place.unix_socket)
    elif parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path + PATH, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _parse_response(place: ServerAddress, code: int, media: str, body: bytes) -> tuple[bytes, Status]:
    if code == 200 and media == "application/json":
        try:
            return body, msgspec.json.decode(body, type=Status)
        except msgspec.DecodeError as error:
            raise StatusUnavailable(
                f"the server at {place} is of another version than this command: {error}"
            ) from error
    if media == "application/problem+json":
        problem = json.loads(body)
        if code in (401, 403):
            raise StatusUnavailable(
                f"the server at {place} wants a token: {problem.get('detail')}. Put one of an admin into "
                f"${TOKEN_VARIABLE} (`tornado-chat token --role admin --id NAME` makes one), "
                "or ask from a network of [web] ops_networks, by its address"
            )
        if code == 404:
            raise StatusUnavailable(f"the server at {place} is of an older version, which has no status")
        raise StatusUnavailable(
            f"the server at {place} answers {code}: {problem.get('detail') or problem.get('title')}"
        )
    raise StatusUnavailable(
        f"another program answers at {place} ({code}, {media}): the port is wrong, or the path of --url. "
        "[server] port is the server's own"
    )


def _failure_text(
    place: ServerAddress,
    refusal: OSError | None,
    note: status_file.ServerStatus | None,
    config: configuration.Config,
    *,
    given: bool,
) -> str:
    """Why nothing listens."""
    words = refusal.strerror or str(refusal) if refusal is not None else "there is no port to ask at"
    failed = f"cannot ask {place}: {words}" if place.url else words
    if given:
        return f"{failed}. Is the address right, and does the server run there?"
    if note is None:
        return (
            f"{failed}. The server is not running, or it runs with another configuration: no note of it is in "
            f"{config.state_dir} (which its own user and root can read). `systemctl start tornado-chat` "
            "starts it, or `tornado-chat serve` where it is no service; --config names its configuration, --url asks "
            "elsewhere"
        )
    seconds = time.time() - note.since
    if not note.alive:
        return (
            f"{failed}. The server is not running: process {note.pid} has ended without saying so, it was killed or "
            "it crashed. The end of its log may say why; starting it again loses nothing that was acknowledged"
        )
    if note.state == status_file.STARTING:
        return (
            f"{failed}. The server (process {note.pid}) has been starting for {seconds:.0f} s; try again soon"
        )
    if note.state == status_file.STOPPING:
        return (
            f"{failed}. The server (process {note.pid}) has been stopping for {seconds:.0f} s: "
            "it stores the last messages and sends everybody away"
        )
    return (
        f"{failed}. The server (process {note.pid}) listens at {note.url}: the configuration has changed "
        "since it started. Restart it, or use --url"
    )

"""The listening sockets: those that the service manager passed, else the server's own."""

import socket
from collections.abc import Sequence
from typing import NamedTuple

from tornado.netutil import bind_sockets, bind_unix_socket

from tornado_chat import config

ACCEPT_BACKLOG_CONNECTIONS = 4096
"""Connections that the kernel keeps until they are accepted."""

PASSED_SOCKETS_MESSAGE = (
    "listening on the sockets of the service manager: [server] host, port, unix_socket do not count"
)


class ListenSockets(NamedTuple):
    """The listening sockets and the URL of the first one.

    :ivar url: of the first TCP socket, else of the unix socket (``http+unix://``).
    """

    sockets: list[socket.socket]
    url: str


def open_listen_sockets(settings: config.Server, passed_sockets: Sequence[socket.socket]) -> ListenSockets:
    """Take over ``passed_sockets``; if there are none, open the port and the unix socket of ``settings``.

    :raises ValueError: a socket cannot be opened or does not listen; the message says what to do.
    """
    sockets = _check_passed(passed_sockets) if passed_sockets else _bind(settings)
    return ListenSockets(sockets, _url(sockets))


def _check_passed(passed_sockets: Sequence[socket.socket]) -> list[socket.socket]:
    for each in passed_sockets:
        if each.type != socket.SOCK_STREAM or not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(
                f"the service manager passed a socket that does not listen ({each.getsockname()}): "
                "the .socket unit needs ListenStream= and Accept=no"
            )
    return list(passed_sockets)


def _bind(settings: config.Server) -> list[socket.socket]:
    try:
        sockets = bind_sockets(settings.port, settings.host or None, backlog=ACCEPT_BACKLOG_CONNECTIONS)
    except OSError as error:
        raise ValueError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}. Is it in use? Choose "
            "another port with --set server.port=9000 (0 takes a free port)"
        ) from error
    if settings.unix_socket:
        try:
            sockets.append(
                bind_unix_socket(settings.unix_socket, mode=0o660, backlog=ACCEPT_BACKLOG_CONNECTIONS)
            )
        except (OSError, ValueError) as error:
            for each in sockets:
                each.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise ValueError(
                f"cannot listen on the unix socket {settings.unix_socket}: {reason}; "
                "[server] unix_socket has to name a file in a folder that this user may write to"
            ) from error
    return sockets


def _url(sockets: Sequence[socket.socket]) -> str:
    for each in sockets:
        if each.family in (socket.AF_INET, socket.AF_INET6):
            host, port = each.getsockname()[:2]
            host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104 - not bound here
            return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"http+unix://{sockets[0].getsockname()}"

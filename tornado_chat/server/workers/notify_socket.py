"""The socket at which children tell how they are, as systemd's: the kernel says who it was."""

import contextlib
import socket
import struct
from collections.abc import Iterator

CREDENTIALS = struct.Struct("3i")
"""``struct ucred``: process, user, group (unix(7))."""

MAX_DATAGRAM_BYTES = 65536  # bytes of a datagram


class NotifySocket:
    """:ivar address: for ``$NOTIFY_SOCKET``; abstract, so it is in no folder and goes away by itself."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("")  # a free address
        self.address = "@" + self._socket.getsockname()[1:].decode()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> Iterator[tuple[int, dict[str, str]]]:
        """What has come: the process, and its assignments."""
        space = socket.CMSG_SPACE(CREDENTIALS.size)
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(MAX_DATAGRAM_BYTES, space)
            except BlockingIOError:
                return
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    with contextlib.suppress(ValueError):  # no assignments, or no text: of none of ours
                        lines = data.decode().splitlines()
                        yield CREDENTIALS.unpack(content)[0], dict(line.split("=", 1) for line in lines)

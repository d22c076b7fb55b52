"""The socket at which workers report their state by sd_notify(3). The kernel names the sending process."""

import contextlib
import socket
import struct
from collections.abc import Iterator

CREDENTIALS = struct.Struct("3i")
"""``struct ucred``: process, user, group (unix(7))."""

MAX_DATAGRAM_BYTES = 65536


class NotifySocket:
    """The receiving side of sd_notify(3).

    :ivar address: for ``$NOTIFY_SOCKET``; abstract, so it is no file and disappears with the socket.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("")  # the kernel chooses a free address
        self.address = "@" + self._socket.getsockname()[1:].decode()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the process id and the assignments of each datagram that has arrived. Does not wait."""
        space = socket.CMSG_SPACE(CREDENTIALS.size)
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(MAX_DATAGRAM_BYTES, space)
            except BlockingIOError:
                return
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    with contextlib.suppress(ValueError):  # a datagram that no worker sent
                        lines = data.decode().splitlines()
                        yield CREDENTIALS.unpack(content)[0], dict(line.split("=", 1) for line in lines)

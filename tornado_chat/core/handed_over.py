"""The state of open sockets that a process hands over to its successor, see ``server/handover.py``.

The structs are stored as MessagePack. ``FORMAT`` changes whenever a process of the version before could not
read them, or would read something else: then the sockets are closed as at any other restart.
"""

import msgspec

from tornado_chat.core.types import Identity, Thread

FORMAT = 1
"""The version of the structs in this module."""


class WireState(msgspec.Struct, frozen=True):
    """The bytes of one WebSocket that are on their way.

    :ivar unparsed: bytes of the client that were read and not handled.
    :ivar fragments: the payload so far of an unfinished message; None: there is none.
    :ivar fragment_opcode: the opcode of its first frame, and ``fragment_count`` the number of its fragments.
    :ivar unsent: bytes for the client that the kernel has not taken; they may begin within a frame.
    """

    unparsed: bytes = b""
    fragments: bytes | None = None
    fragment_opcode: int = 0
    fragment_count: int = 0
    unsent: bytes = b""


class ReceiptState(msgspec.Struct, frozen=True):
    """The items of one socket whose arrival is not proved, as in ``domain.receipts.ReceiptTracker``."""

    unpinged: list[tuple[Thread, int]]
    covered: list[tuple[Thread, int]]
    last_seq: int
    payload: bytes
    is_outstanding: bool


class StreamState(msgspec.Struct, frozen=True):
    """The outgoing side of one socket.

    :ivar positions: the threads that the socket follows, with the last ``seq`` that was written to it.
    """

    positions: list[tuple[Thread, int]]
    receipts: ReceiptState


class GrantState(msgspec.Struct, frozen=True):
    """What the token of the socket has granted, as in ``core.types.Grant``.

    :ivar opened: the time at which the socket was opened, in seconds since 1970.
    """

    identity: Identity
    expires: float
    issued: float | None
    key: bytes | None
    opened: float


class ThreadDetails(msgspec.Struct, frozen=True, tag="thread"):
    """What a socket of the counselling dialect is for: its room, the observed thread, or the inbox."""

    thread: Thread


class SupportDetails(msgspec.Struct, frozen=True, tag="support"):
    """The state of a socket of the support dialect.

    :ivar address: the address of the socket.
    :ivar shown: the conversations that the client knows, with the address of the other side.
    :ivar is_connected: the user has connected to a conversation; the waiter has said whether it is ready.
    :ivar is_ready: the waiter takes users.
    :ivar position: the position in the queue that was shown last; 0: none.
    :ivar serving: the number of serving waiters that was shown with it.
    """

    address: str
    shown: dict[int, str]
    is_connected: bool
    is_ready: bool = False
    position: int = 0
    serving: int | None = None


class SocketState(msgspec.Struct, frozen=True):
    """One open socket.

    :ivar conn: the name of the socket in the log.
    :ivar opened_at: the time at which it was opened, in microseconds since 1970.
    :ivar client_address: the address of the client, as a proxy has named it.
    """

    endpoint: str
    conn: str
    opened_at: int
    client_address: str
    language: str | None
    features: list[str]
    grant: GrantState
    stream: StreamState
    wire: WireState
    details: ThreadDetails | SupportDetails

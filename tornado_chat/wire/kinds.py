"""Types for the catalogues of the dialects: endpoints, kinds of frame and close codes.

The catalogues are the source of the AsyncAPI document and the protocol page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True)
class FrameKind:
    """One kind of frame.

    :ivar name: unique among the kinds with the same direction on the same endpoint.
    :ivar struct: the struct that parses or encodes this frame.
    :ivar keys: the struct's keys that this kind has; empty: all of them.
    :ivar required: the keys that this kind requires, beside those that the struct requires.
    :ivar constant_keys: keys whose fixed value distinguishes this kind from others of the same struct.
    :ivar types: keys that have a narrower type here than in the struct; None: null.
    :ivar feature: the feature that the client must request to send or get this frame; empty: none.
    """

    name: str
    summary: str
    struct: type[msgspec.Struct]
    examples: Sequence[Mapping[str, Any]]
    keys: Sequence[str] = ()
    required: Sequence[str] = ()
    constant_keys: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, type[msgspec.Struct] | None] = field(default_factory=dict)
    feature: str = ""


@dataclass(frozen=True)
class Endpoint:
    """One WebSocket endpoint.

    :ivar access: the people that may connect, in words.
    :ivar query: the struct of the query parameters; None: the endpoint has none.
    :ivar features: the opt-in features, and the effect of each.
    :ivar close_codes: the codes of ``CLOSE_CODES`` that the server uses here.
    :ivar client_close_codes: codes that the client may close the socket with, and the effect of each.
    """

    name: str
    path: str
    summary: str
    description: str
    access: str
    query: type[msgspec.Struct] | None
    from_client: Sequence[FrameKind]
    to_client: Sequence[FrameKind]
    features: Mapping[str, str]
    close_codes: Sequence[int]
    client_close_codes: Mapping[int, str] = field(default_factory=dict)


CLOSE_CODES: Mapping[int, str] = {
    1000: "The session has ended. Do not reconnect.",
    1009: "A frame was larger than `[limits] frame_bytes`, or a message had more than 1024 fragments. Send "
    "smaller frames.",
    1011: "The server has a fault. Reconnect later.",
    1012: "The server restarts. Reconnect at once; no message is lost.",
    1013: "The server is overloaded or waits for the database. Reconnect later.",
    4400: "The URL is malformed, or ten frames within a minute were. Correct the client.",
    4401: "The token is missing, invalid or expired, or did not arrive in time. Reconnect with a new token.",
    4403: "The token does not give access to this endpoint or session. Do not reconnect.",
    4404: "The session does not exist. Do not reconnect.",
    4408: "The client left more than `[limits] outgoing_bytes` unread, or did not answer pings. Reconnect; "
    "the missed frames follow.",
    4409: "The session is finished, or the same person signed in elsewhere. Do not reconnect.",
    4429: "Too many frames (fragments, pings and unasked pongs count), or too many sockets of one person. "
    "Reconnect later.",
}
"""Why the server closes a socket, and how the client reacts. The close frame has an English reason, too."""

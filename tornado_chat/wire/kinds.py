"""The words in which the catalogues of the dialects tell what goes over a socket, for the published description."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True)
class FrameKind:
    """One kind of frame.

    :ivar name: unique among those that go the same way on the same endpoint.
    :ivar struct: the struct that such a frame is parsed or encoded by.
    :ivar keys: which of the struct's keys this kind has; empty: all of them.
    :ivar required: the keys without which it is not of this kind, beside those that the struct requires.
    :ivar constant_keys: keys with one value that tells this kind from others of the same struct.
    :ivar types: keys that hold something narrower here than in the struct; None: null.
    :ivar feature: the opt-in without which nobody sends or gets it.
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
    """One address of WebSockets.

    :ivar who: who gets in.
    :ivar query: the struct of the address' parameters; None: it has none.
    :ivar features: the opt-ins, and what each of them changes.
    :ivar close_codes: with which of ``CLOSE_CODES`` the server closes it.
    :ivar client_close_codes: what closing it means, by the code that the client closes it with.
    """

    name: str
    path: str
    summary: str
    description: str
    who: str
    query: type[msgspec.Struct] | None
    from_client: Sequence[FrameKind]
    to_client: Sequence[FrameKind]
    features: Mapping[str, str]
    close_codes: Sequence[int]
    client_close_codes: Mapping[int, str] = field(default_factory=dict)


CLOSE_CODES: Mapping[int, str] = {
    1000: "It is over: the session has ended, or somebody took the place. Do not connect again.",
    1009: "A frame was bigger than `[limits] frame_bytes`. Send less at once.",
    1012: "The server restarts. Connect again at once; nothing is lost.",
    1013: "The server cannot serve now: it is overloaded, or waits for the database. Connect again, later.",
    4400: "The address is malformed, or ten frames within a minute were. Mend the client.",
    4401: "The token is missing, invalid or expired, or did not come in time. Connect again with a new one.",
    4403: "The token does not open this door. Do not connect again.",
    4404: "There is no such session. Do not connect again.",
    4408: "The client was too slow, or did not answer pings. Connect again; what is missing comes then.",
    4409: "The session is finished, or the same person signed in elsewhere. Do not connect again.",
    4429: "Too many frames, or too many sockets of one person. Connect again, later.",
}
"""Why the server closes a socket, and what a client does then. The close frame has a reason too, in English."""

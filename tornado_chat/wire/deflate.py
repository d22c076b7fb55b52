"""Compressed messages, server side, as RFC 7692 has them (permessage-deflate).

Sans-IO, and without memory: every agreement is one without context takeover in either direction,
so that no state of zlib lives between two messages, and an idle socket that compresses costs what
any other does. A ``Compression`` negotiates and makes the frames of a whole process, an ``Inflater``
reads one message.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from tornado_chat.wire.websocket import COMPRESSED, frame, payload_of

LEAST: Final = 1024
"""Frames up to this many bytes are sent as they are: they fit into one packet either way."""

LEVEL: Final = 3  # 4 % longer than by zlib's 6, in half the time
MEMORY: Final = 5  # zlib's 8 is no shorter, and three times as slow for 1 KiB: it has more to clear
REMEMBERED: Final = 4  # frames that go to many: as the sender sees it and as others do, in two dialects

_NARROWEST: Final = 9  # zlib does not compress for the window of 8 that the RFC allows
_WIDEST: Final = 15
_CUT_OFF: Final = b"\x00\x00\xff\xff"  # from the end of each message, section 7.2.1
_END: Final = _CUT_OFF + b"\x03\x00"  # and an empty last block, which shows that nothing was missing

_ANSWER: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
_OFFERS = re.compile(r'(?:"(?:[^"\\]|\\.)*"?|[^",])+')
_PARTS = re.compile(r'(?:"(?:[^"\\]|\\.)*"?|[^";])+')
_PARAMETER = re.compile(
    r"""
    (?P<name> (?:server|client)_no_context_takeover | client_max_window_bits )
    | (?P<window> (?:server|client)_max_window_bits ) [ \t]* = [ \t]* (?P<quote>"?) (?P<bits>[89]|1[0-5]) (?P=quote)
    """,
    re.VERBOSE,
)


class Agreement(NamedTuple):
    """What was negotiated for a socket.

    :ivar answer: the header ``Sec-WebSocket-Extensions`` of the response.
    :ivar deflate: makes the compressed frame of a plain one.
    """

    answer: str
    deflate: Callable[[bytes], bytes]


class Compression:
    """Compresses for all sockets of a process; a frame that goes to many of them, once.

    :ivar options: the same for Tornado's own class.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {"compression_level": LEVEL, "mem_level": MEMORY}
        once = lru_cache(maxsize=REMEMBERED)
        self._by_window: Mapping[int, Callable[[bytes], bytes]] = {
            bits: once(partial(deflated, bits=bits)) for bits in range(_NARROWEST, _WIDEST + 1)
        }

    def agree(self, offers: str) -> Agreement | None:
        """Take the first of a client's offers that can be accepted, section 7.1.

        What the client says of its own window and context is no condition: any window can be read,
        and it may always be asked to keep no context.

        :arg offers: the header ``Sec-WebSocket-Extensions`` of the request.
        """
        for offer in _OFFERS.findall(offers):
            bits = _bits([part.strip(" \t") for part in _PARTS.findall(offer)])
            if bits is not None:
                window = f"; server_max_window_bits={bits}" if "server_max_window_bits" in offer else ""
                return Agreement(_ANSWER + window, self._by_window[bits])
        return None


def _bits(offer: list[str]) -> int | None:
    """The window that an offer asks for; None if it is to be declined."""
    if offer[:1] != ["permessage-deflate"]:
        return None
    windows: dict[str, int] = {}
    for parameter in offer[1:]:
        found = _PARAMETER.fullmatch(parameter)
        if found is None:
            return None
        name = found["name"] or found["window"]
        if name in windows:
            return None
        windows[name] = int(found["bits"] or 0)
    bits = windows.get("server_max_window_bits", _WIDEST)
    return bits if bits >= _NARROWEST else None


class Inflater:
    """Reads one message, in as many parts as it comes in."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-_WIDEST)

    def part(self, data: bytes, most: int, last: bool) -> bytes:
        """What a fragment says, or its first ``most + 1`` bytes: then it says too much, and is over.

        :raises ValueError: this is not deflated, or ends too soon, or goes on after its end.
        """
        stream = self._stream
        try:
            text = stream.decompress(data + _END if last else data, most + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(text) > most:
            return text
        # Who ends by a block that is marked as the last one adds an empty octet, section 7.2.3.4.
        ends = (b"", _END, b"\0" + _END) if last else (b"", b"\0")
        if stream.unused_data not in ends or (last and not stream.eof):
            raise ValueError("the compressed data does not end where the message does")
        return text


def deflated(plain: bytes, bits: int) -> bytes:
    """A frame of ``wire.websocket``, compressed; as it is, if that does not make it shorter."""
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -bits, MEMORY)
    data = stream.compress(payload_of(plain)) + stream.flush(zlib.Z_SYNC_FLUSH)
    short = frame(plain[0] & 0x0F | COMPRESSED, data.removesuffix(_CUT_OFF))
    return short if len(short) < len(plain) else plain

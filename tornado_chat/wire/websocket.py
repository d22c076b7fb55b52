"""WebSocket framing (RFC 6455), server side.

Sans-IO: the parser turns bytes into messages, ``encode_frame`` turns payloads into frames.
``Parser.feed`` takes bytes as they arrive. ``Parser.next`` takes at most one frame and returns the
message, the control frame or the fragment that it was, so that the caller can count each frame and
pause after it. The first protocol violation ends parsing: ``next`` first returns all frames before the
violation, then ``Parser.failure`` has the close code.

A length that could have been encoded in fewer bytes is accepted, as other servers do: the RFC
forbids sending it, but not accepting it.

No extension is negotiated, so a reserved bit is a violation.
"""

import codecs
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from tornado_chat.core.handed_over import WireState

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MAX_CONTROL_PAYLOAD_BYTES: Final = 125  # section 5.5
MAX_FRAGMENTS: Final = 1024  # fragments of one message; a browser makes fragments of at least 16 KiB

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_WHOLE_TEXT: Final = _FINAL | TEXT
_WHOLE_BINARY: Final = _FINAL | BINARY
_WHOLE: Final = (_WHOLE_TEXT, _WHOLE_BINARY)

_short = struct.Struct("!BB").pack
_medium = struct.Struct("!BBH").pack
_long = struct.Struct("!BBQ").pack
_utf8 = codecs.getincrementaldecoder("utf-8")

Event = tuple[int, str | bytes]
"""An opcode and its payload: ``str`` for TEXT, else ``bytes``.

CONTINUATION stands for a fragment after which its message is still incomplete, also for the first. The last
fragment returns the message, with the payload of all fragments.
"""


class Failure(NamedTuple):
    """A protocol violation: the close code, and a reason for humans."""

    code: int
    reason: str


class Parser:
    """Parses the bytes that one client sends.

    :ivar failure: the violation that ended parsing, set when ``next`` reaches it.

    :arg unmask: takes the four bytes of the mask and the masked bytes, returns the plain bytes. A
        parameter because the fast function is not pure Python.
    :arg max_message_bytes: the longest accepted message.
    """

    __slots__ = (
        "_at",
        "_data",
        "_decoder",
        "_fragment_count",
        "_fragments",
        "_is_ended",
        "_max_message_bytes",
        "_message_opcode",
        "_need",
        "_unjoined",
        "_unmask",
        "failure",
    )

    def __init__(
        self,
        unmask: Callable[[bytes, bytes], bytes],
        max_message_bytes: int,
    ) -> None:
        self.failure: Failure | None = None
        self._unmask = unmask
        self._max_message_bytes = max_message_bytes
        self._data = b""  # the bytes being parsed, from _at on
        self._at = 0
        self._unjoined = bytearray()  # bytes that arrived since; joined only when the parser can go on
        self._need = 2  # number of bytes that the next step of parsing takes
        self._fragments: bytearray | None = None  # payload so far of a fragmented message
        self._fragment_count = 0  # of the fragmented message
        self._message_opcode = CONTINUATION  # of the fragmented message
        self._decoder: codecs.IncrementalDecoder | None = None  # checks the UTF-8 of the fragmented message
        self._is_ended = False

    @property
    def buffered_bytes(self) -> int:
        """The number of bytes fed and not yet returned, without the fragments of an unfinished message."""
        return len(self._data) - self._at + len(self._unjoined)

    def feed(self, data: bytes) -> None:
        """Add received bytes. After a close frame or a violation they are dropped."""
        if self._is_ended:
            return
        if self._data or self._unjoined:
            self._unjoined += data
        else:
            self._data = data

    def hand_over(self) -> WireState:
        """Return the state of the parser, for ``take_over`` of another one."""
        return WireState(
            bytes(self._data[self._at :] + self._unjoined),
            None if self._fragments is None else bytes(self._fragments),
            self._message_opcode,
            self._fragment_count,
        )

    def take_over(self, state: WireState) -> None:
        """Continue as the parser with this state would; nothing was fed to this one."""
        self.feed(state.unparsed)
        if state.fragments is not None:
            self._message_opcode = state.fragment_opcode
            self._fragments = bytearray(state.fragments)
            self._fragment_count = state.fragment_count
            if state.fragment_opcode == TEXT:
                self._decoder = _utf8()
                self._decoder.decode(state.fragments)

    def next(self) -> Event | None:
        """Return the next frame, see ``Event``; None: more bytes are needed, or parsing has ended.

        A close frame is returned only if its payload is valid, see ``parse_close``.
        """
        while True:
            data = self._data
            at = self._at
            end = len(data)
            if end - at < self._need:
                if end - at + len(self._unjoined) < self._need:
                    break
                data = self._data = data[at:] + self._unjoined
                self._unjoined = bytearray()
                at = self._at = 0
                end = len(data)
            first = data[at]
            second = data[at + 1]
            size = second & _LENGTH
            body = at + 6
            plain = first in _WHOLE
            if (
                not plain
                or size > MAX_CONTROL_PAYLOAD_BYTES
                or second < _MASKED
                or self._fragments is not None
            ):
                if self._is_forbidden_header(first, second):
                    return self._fail(1002, "protocol error")
                if size == 126:
                    if self._needs_more(end - at, 4):
                        continue
                    size = data[at + 2] << 8 | data[at + 3]
                    body = at + 8
                elif size == 127:
                    if self._needs_more(end - at, 10):
                        continue
                    size = int.from_bytes(data[at + 2 : at + 10], "big")
                    body = at + 14
                    if size >> 63:
                        return self._fail(1002, "protocol error")
            gathered = len(self._fragments or b"")
            if not first & 8 and size + gathered > self._max_message_bytes:
                return self._fail(1009, "message too big")
            after = body + size
            if self._needs_more(end - at, after - at):
                continue
            payload = self._unmask(data[body - 4 : body], data[body:after])
            self._need = 2
            if after == end and not self._unjoined:
                self._data = b""
                self._at = 0
            else:
                self._at = after
            if first == _WHOLE_TEXT:
                try:
                    return TEXT, str(payload, "utf-8")
                except UnicodeDecodeError:
                    return self._fail(1007, "invalid UTF-8")
            if first == _WHOLE_BINARY:
                return BINARY, payload
            return self._on_fragment_or_control(first, payload)
        if at:  # free the bytes that are parsed
            self._data = data[at:]
            self._at = 0
        return None

    def _is_forbidden_header(self, first: int, second: int) -> bool:
        """Return True if a frame must not begin with these two bytes (close code 1002)."""
        opcode = first & _OPCODE
        if first & _RESERVED or not second & _MASKED:
            return True
        if opcode & 8:
            return opcode > PONG or not first & _FINAL or second & _LENGTH > MAX_CONTROL_PAYLOAD_BYTES
        if opcode == CONTINUATION:
            return self._fragments is None
        return opcode > BINARY or self._fragments is not None

    def _needs_more(self, have: int, need: int) -> bool:
        if have >= need:
            return False
        self._need = need
        return True

    def _on_fragment_or_control(self, first: int, payload: bytes) -> Event | None:
        """Handle a fragment or a control frame and return its event; None after a violation."""
        opcode = first & _OPCODE
        if opcode == CLOSE:
            try:
                parse_close(payload)
            except UnicodeDecodeError:
                return self._fail(1007, "invalid UTF-8")
            except ValueError:
                return self._fail(1002, "invalid close frame")
            self._end()
            return CLOSE, payload
        if opcode & 8:
            return opcode, payload
        if opcode != CONTINUATION:
            self._message_opcode = opcode
            self._fragments = bytearray()
            self._fragment_count = 0
            self._decoder = _utf8() if opcode == TEXT else None
        assert self._fragments is not None
        self._fragment_count += 1
        if self._fragment_count > MAX_FRAGMENTS:
            return self._fail(1009, "too many fragments")
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, bool(first & _FINAL))
            except UnicodeDecodeError:
                return self._fail(1007, "invalid UTF-8")
        self._fragments += payload
        if not first & _FINAL:
            return CONTINUATION, payload
        parts, self._fragments, self._decoder = self._fragments, None, None
        return (TEXT, str(parts, "utf-8")) if self._message_opcode == TEXT else (BINARY, bytes(parts))

    def _fail(self, code: int, reason: str) -> Event | None:
        """Record the violation and end parsing. Return None, as the result of ``next``."""
        self.failure = Failure(code, reason)
        self._end()
        return None

    def _end(self) -> None:
        self._is_ended = True
        self._data = b""
        self._at = 0
        self._need = 2
        self._unjoined = bytearray()
        self._fragments = self._decoder = None


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole frame as a server sends it: unfragmented and unmasked.

    :raises ValueError: the payload is too long for a control frame.
    """
    size = len(payload)
    if size <= MAX_CONTROL_PAYLOAD_BYTES:
        return _short(_FINAL | opcode, size) + payload
    if opcode & 8:
        raise ValueError("control frame payloads may not exceed 125 bytes")
    if size < 65536:
        return _medium(_FINAL | opcode, 126, size) + payload
    return _long(_FINAL | opcode, 127, size) + payload


def is_valid_close_code(code: int) -> bool:
    """Return True if a close frame may have this code (section 7.4; IANA registry for 1012 to 1014)."""
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


def close_payload(code: int | None = None, reason: str | None = None) -> bytes:
    """Return the payload of a close frame. A reason without a code gets code 1000.

    :raises ValueError: a close frame may not have this code.
    """
    if code is None:
        if reason is None:
            return b""
        code = 1000
    if not is_valid_close_code(code):
        raise ValueError(f"a close frame may not have the code {code}")
    return code.to_bytes(2, "big") + (reason or "").encode()


def parse_close(payload: bytes) -> tuple[int | None, str | None]:
    """Return the code and the reason of a close frame, None for each that is absent.

    :raises ValueError: the payload is a single byte, or the code is not allowed.
    :raises UnicodeDecodeError: the reason is not UTF-8.
    """
    if not payload:
        return None, None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not is_valid_close_code(code):
        raise ValueError("invalid close frame")
    return code, str(payload[2:], "utf-8") or None

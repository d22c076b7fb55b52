"""The frame parser and encoder of ``wire.websocket``, without sockets."""

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.frames import payload_of
from tornado_chat.core.handed_over import WireState
from tornado_chat.wire.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_FRAGMENTS,
    PING,
    PONG,
    TEXT,
    Event,
    Failure,
    Parser,
    close_payload,
    encode_frame,
    is_valid_close_code,
    parse_close,
)


def xor(mask: bytes, data: bytes) -> bytes:
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def client_frame(
    opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = b"\x12\xf4\x56\x00"
) -> bytes:
    size = len(payload)
    first = opcode | (0x80 if fin else 0)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + mask + xor(mask, payload)


def parser(max_message_bytes: int = 1 << 20) -> Parser:
    return Parser(xor, max_message_bytes)


def drained(one: Parser) -> list[Event]:
    """Return the messages and control frames, without the fragments of unfinished messages."""
    found = []
    while (event := one.next()) is not None:
        if event[0] != CONTINUATION:
            found.append(event)
    return found


def parsed(data: bytes, max_message_bytes: int = 1 << 20) -> tuple[list[Event], Failure | None]:
    one = parser(max_message_bytes)
    one.feed(data)
    return drained(one), one.failure


def code(data: bytes, **options: Any) -> int | None:
    failure = parsed(data, **options)[1]
    return None if failure is None else failure.code


# --- any messages, in chunks of any size ---

messages = st.lists(
    st.one_of(
        st.tuples(st.just(TEXT), st.text(max_size=300)),
        st.tuples(st.just(BINARY), st.binary(max_size=300)),
        st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
    ),
    max_size=8,
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Event], bytes]:
    """Draw events and the bytes that encode them, with fragments and control frames between them."""
    expected: list[Event] = []
    data = b""
    for opcode, payload in draw(messages):
        mask = draw(st.binary(min_size=4, max_size=4))
        raw = payload.encode() if isinstance(payload, str) else payload
        if opcode in (TEXT, BINARY):
            cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=4)))
            parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
            for i, part in enumerate(parts):
                if i and draw(st.booleans()):
                    ping = draw(st.binary(max_size=5))
                    data += client_frame(PING, ping, mask=mask)
                    expected.append((PING, ping))
                last = i == len(parts) - 1
                data += client_frame(CONTINUATION if i else opcode, part, fin=last, mask=mask)
        else:
            data += client_frame(opcode, raw, mask=mask)
        expected.append((opcode, payload))
    return expected, data


@given(conversations(), st.data())
def test_any_chunking_gives_the_same_messages(said: tuple[list[Event], bytes], choose: st.DataObject) -> None:
    expected, data = said
    cuts = sorted(choose.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    one, found = parser(), []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        one.feed(data[start:end])
        if choose.draw(st.booleans()):  # a busy caller reads only after several chunks have arrived
            found += drained(one)
        if choose.draw(st.booleans()):  # another process continues
            state = msgspec.msgpack.encode(one.hand_over())
            one = parser()
            one.take_over(msgspec.msgpack.decode(state, type=WireState))
    found += drained(one)
    assert found == expected
    assert one.failure is None
    assert one.buffered_bytes == 0


@given(conversations())
def test_single_bytes_give_the_same_messages(said: tuple[list[Event], bytes]) -> None:
    expected, data = said
    one, found = parser(), []
    for i in range(len(data)):
        one.feed(data[i : i + 1])
        found += drained(one)
    assert found == expected


def test_each_call_takes_one_frame_and_returns_fragments_of_unfinished_messages() -> None:
    one = parser()
    one.feed(client_frame(TEXT, b"a", fin=False))
    one.feed(client_frame(CONTINUATION, b"", fin=False) + client_frame(PING, b"p"))
    one.feed(client_frame(CONTINUATION, b"b") + client_frame(BINARY, b"c"))
    assert [one.next() for _ in range(6)] == [
        (CONTINUATION, b"a"),
        (CONTINUATION, b""),
        (PING, b"p"),
        (TEXT, "ab"),
        (BINARY, b"c"),
        None,
    ]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_has_a_maximum_number_of_fragments(opcode: int) -> None:
    for count in (MAX_FRAGMENTS, MAX_FRAGMENTS + 1):
        frames = client_frame(opcode, b"a", fin=False)
        frames += client_frame(CONTINUATION, b"", fin=False) * (count - 2) + client_frame(CONTINUATION, b"z")
        found, failure = parsed(frames * 2)
        if count == MAX_FRAGMENTS:
            assert found == [(opcode, "az" if opcode == TEXT else b"az")] * 2
            assert failure is None
        else:
            assert found == []
            assert failure == Failure(1009, "too many fragments")


@given(st.binary(max_size=200))
def test_random_bytes_never_raise(data: bytes) -> None:
    whole = parsed(data)
    one, found = parser(), []
    for i in range(len(data)):
        one.feed(data[i : i + 1])
        found += drained(one)
    assert found == whole[0]
    assert one.failure == whole[1]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_lengths_at_the_limits_of_each_encoding(size: int, opcode: int) -> None:
    payload = b"x" * size
    answer = payload.decode() if opcode == TEXT else payload
    assert parsed(client_frame(opcode, payload)) == ([(opcode, answer)], None)
    head = {True: 2, False: 4}[size < 126] if size < 65536 else 10
    encoded = encode_frame(opcode, payload)
    assert payload_of(encoded) == payload
    assert len(encoded) == head + size
    assert encoded[0] == 0x80 | opcode
    # A client would send the same frame with a mask.
    masked = bytes((encoded[0], encoded[1] | 0x80)) + encoded[2:head] + bytes(4) + payload
    assert parsed(masked) == ([(opcode, answer)], None)


def test_every_mask_byte_is_used() -> None:
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
        assert parsed(client_frame(TEXT, b"Hello, world", mask=mask)) == ([(TEXT, "Hello, world")], None)


def test_an_overlong_length_is_accepted() -> None:
    assert parsed(b"\x81\xfe\x00\x01\0\0\0\0a") == ([(TEXT, "a")], None)
    assert parsed(b"\x81\xff" + bytes(7) + b"\x01\0\0\0\0a") == ([(TEXT, "a")], None)


# --- violations ---


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x81\x01a", 1002),  # no mask
        (b"\x81\x00", 1002),
        (b"\xc1\x80", 1002),  # reserved bits, first the one of compression
        (b"\xa1\x80", 1002),
        (b"\x91\x80", 1002),
        *((bytes((0x80 | opcode, 0x80)), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        *((bytes((opcode, 0x80)), 1002) for opcode in (3, 7, 11, 15)),
        (b"\x09\x80", 1002),  # a fragmented control frame
        (b"\x08\x80", 1002),
        (b"\x89\xfe", 1002),  # a control frame that is too long; two bytes suffice to detect it
        (b"\x8a\xff", 1002),
        (b"\x88\xfe", 1002),
        (b"\x80\x80", 1002),  # a continuation without a first fragment
        (b"\x00\x80", 1002),
        (client_frame(TEXT, b"a", fin=False) + b"\x81\x80", 1002),  # a new message between fragments
        (client_frame(TEXT, b"a", fin=False) + b"\x02\x80", 1002),
        (client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b") + b"\x80\x80", 1002),
        (b"\x82\xff\x80" + bytes(7), 1002),  # 64 bits with the highest set
        (b"\x82\xff\xff" + b"\xff" * 7, 1002),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(TEXT, b"\xed\xa0\x80"), 1007),  # a surrogate
        (client_frame(TEXT, b"\xc0\xaf"), 1007),  # an overlong encoding
        (client_frame(TEXT, b"\xf4\x90\x80\x80"), 1007),  # beyond U+10FFFF
        (client_frame(TEXT, b"\xe2\x82"), 1007),  # an incomplete character
        (client_frame(TEXT, b"\xe2\x82", fin=False) + client_frame(CONTINUATION, b""), 1007),
        (client_frame(TEXT, b"ok\xff", fin=False), 1007),  # detected before the last fragment
        (client_frame(CLOSE, b"\x03"), 1002),
        (client_frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (client_frame(CLOSE, b"\x03\xed"), 1002),
    ],
)
def test_violations(data: bytes, expected: int) -> None:
    assert code(data) == expected
    assert code(client_frame(TEXT, b"before") + data + client_frame(TEXT, b"after")) in (expected, 1002)


def test_messages_before_a_violation_are_returned() -> None:
    found, failure = parsed(client_frame(TEXT, b"one") + client_frame(PING, b"two") + b"\x83\x80")
    assert found == [(TEXT, "one"), (PING, b"two")]
    assert failure == Failure(1002, "protocol error")


def test_nothing_follows_a_violation_or_a_close_frame() -> None:
    for end in (b"\x83\x80", client_frame(CLOSE, b"")):
        one = parser()
        one.feed(end + client_frame(TEXT, b"late"))
        drained(one)
        one.feed(client_frame(TEXT, b"later"))
        assert one.next() is None
        assert one.buffered_bytes == 0


def test_fragments_may_split_characters() -> None:
    raw = "κόσμε 🙂".encode()
    data = client_frame(TEXT, raw[:1], fin=False)
    for i in range(1, len(raw)):
        data += client_frame(CONTINUATION, raw[i : i + 1], fin=False)
    assert parsed(data + client_frame(CONTINUATION, b"")) == ([(TEXT, "κόσμε 🙂")], None)


def test_a_too_long_message_is_refused_by_its_header() -> None:
    assert code(client_frame(BINARY, b"x" * 100), max_message_bytes=100) is None
    assert code(b"\x82\xe5", max_message_bytes=100) == 1009
    assert code(b"\x82\xfe\x01\x00", max_message_bytes=255) == 1009
    assert code(b"\x82\xff" + (1 << 40).to_bytes(8, "big")) == 1009


def test_the_message_limit_counts_all_fragments() -> None:
    first = client_frame(BINARY, b"x" * 60, fin=False)
    assert code(first + client_frame(CONTINUATION, b"x" * 40), max_message_bytes=100) is None
    assert code(first + b"\x80" + bytes((0x80 | 41,)), max_message_bytes=100) == 1009
    assert code(first + client_frame(PING, b"x" * 125), max_message_bytes=100) is None


def test_buffered_bytes_counts_unreturned_bytes() -> None:
    one = parser()
    whole = client_frame(TEXT, b"abc")
    one.feed(whole + whole)
    one.feed(whole[:4])
    assert one.buffered_bytes == 2 * len(whole) + 4
    assert one.next() == (TEXT, "abc")
    assert one.buffered_bytes == len(whole) + 4
    assert drained(one) == [(TEXT, "abc")]
    assert one.buffered_bytes == 4
    one.feed(whole[4:])
    assert drained(one) == [(TEXT, "abc")]
    assert one.buffered_bytes == 0


# --- closing ---


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        *((good, True) for good in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014)),
        *((good, True) for good in (3000, 3999, 4000, 4999)),
        *((bad, False) for bad in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)),
    ],
)
def test_close_codes(number: int, valid: bool) -> None:
    assert is_valid_close_code(number) is valid
    payload = number.to_bytes(2, "big") + b"why"
    if valid:
        assert close_payload(number, "why") == payload
        assert parse_close(payload) == (number, "why")
        assert parsed(client_frame(CLOSE, payload)) == ([(CLOSE, payload)], None)
    else:
        with pytest.raises(ValueError):
            close_payload(number)
        assert code(client_frame(CLOSE, payload)) == 1002


def test_close_payloads() -> None:
    assert close_payload() == b""
    assert close_payload(None, "bye") == b"\x03\xe8bye"
    assert parse_close(b"") == (None, None)
    assert parse_close(b"\x03\xe8") == (1000, None)


def test_control_frames_have_at_most_125_bytes() -> None:
    assert len(encode_frame(PING, b"x" * 125)) == 127
    with pytest.raises(ValueError):
        encode_frame(PING, b"x" * 126)

"""Negotiating compression, and compressing, without any socket."""

import random
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.wire.deflate import LEAST, Compression, Inflater
from tornado_chat.wire.websocket import PING, TEXT, frame, payload_of

YES = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("", None),
        ("permessage-deflate", YES),
        (" permessage-deflate ;client_max_window_bits ", YES),  # Chrome
        ("permessage-deflate; client_max_window_bits=10", YES),
        ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", YES),
        *(
            (
                f"permessage-deflate; server_max_window_bits={bits}",
                f"{YES}; server_max_window_bits={bits}",
            )
            for bits in range(9, 16)
        ),
        ('permessage-deflate; server_max_window_bits="10"', f"{YES}; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits = 10", f"{YES}; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=8", None),  # zlib cannot
        *(
            (f"permessage-deflate; server_max_window_bits={bad}", None)
            for bad in ("7", "16", "09", "x", "", "-9")
        ),
        *(
            (f"permessage-deflate; client_max_window_bits={bad}", None)
            for bad in ("7", "16", "010", "1O", '"', '""')
        ),
        ("permessage-deflate; server_max_window_bits", None),  # it needs a value
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover=true", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; unknown=9", None),
        ("permessage-deflate; Server_No_Context_Takeover", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=9", None),
        ("permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", None),
        ("permessage-deflate;", YES),
        ("permessage-bzip2, x-webkit-deflate-frame", None),
        ("permessage-deflated", None),
        ("permessage-bzip2; x=1, permessage-deflate", YES),
        ("permessage-deflate; unknown, permessage-deflate", YES),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12",
            f"{YES}; server_max_window_bits=12",
        ),
        ("permessage-deflate, permessage-deflate; server_max_window_bits=9", YES),  # the first one wins
        ('other; x="a, permessage-deflate, b"', None),  # a text, not an offer
        ('other; x="\\", permessage-deflate, "', None),
        ('other; x="1; y", permessage-deflate', YES),
        ('"' + '\\"' * 20_000, None),
        (";" * 20_000 + "," * 20_000, None),
    ],
)
def test_offers(offers: str, answer: str | None) -> None:
    agreement = Compression().agree(offers)
    assert (None if agreement is None else agreement.answer) == answer


@given(st.text(st.sampled_from('permessage-deflate;,="\\ _019')))
def test_nonsense_is_declined_without_an_error(offers: str) -> None:
    Compression().agree(offers)


def inflated(short: bytes, bits: int = 15) -> bytes:
    assert short[0] == 0x40 | 0x80 | TEXT
    return zlib.decompressobj(-bits).decompress(payload_of(short) + b"\0\0\xff\xff")


@pytest.mark.parametrize("bits", range(9, 16))
def test_what_is_made_fits_the_window(bits: int) -> None:
    agreement = Compression().agree(f"permessage-deflate; server_max_window_bits={bits}")
    assert agreement is not None
    text = b"".join(b'{"n": %d, "text": "%x"}' % (n, n * 7919) for n in range(3000))
    short = agreement.deflate(frame(TEXT, text))
    assert len(short) < len(text) / 2
    assert inflated(short, bits) == text


def test_what_goes_to_many_is_made_once() -> None:
    compression = Compression()
    first, second, narrow = (
        compression.agree(offer)
        for offer in (
            "permessage-deflate",
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=9",
        )
    )
    assert first
    assert second
    assert narrow
    plain = frame(TEXT, b"said to all " * 200)
    assert first.deflate(plain) is second.deflate(plain)
    assert inflated(narrow.deflate(plain), 9) == inflated(first.deflate(plain))


def test_each_message_can_be_read_without_those_before() -> None:
    agreement = Compression().agree("permessage-deflate")
    assert agreement is not None
    for n in range(3):
        text = b"the same words again and again %d " % n * 100
        assert inflated(agreement.deflate(frame(TEXT, text))) == text


def test_what_gets_no_shorter_stays_as_it_is() -> None:
    agreement = Compression().agree("permessage-deflate")
    assert agreement is not None
    plain = frame(TEXT, random.Random(1).randbytes(2000))
    assert agreement.deflate(plain) is plain
    assert len(frame(PING, b"x" * 125)) < LEAST  # so that no control frame is ever compressed


@given(st.binary(max_size=5000), st.integers(1, 100), st.integers(9, 15))
def test_inflating_in_any_parts(text: bytes, size: int, bits: int) -> None:
    stream = zlib.compressobj(wbits=-bits)
    data = (stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    inflater, found = Inflater(), b""
    for i, part in enumerate(parts):
        found += inflater.part(part, len(text) - len(found), i == len(parts) - 1)
    assert found == text


@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_a_message(data: bytes) -> None:
    with suppress(ValueError):
        assert len(Inflater().part(data, 1000, last=True)) <= 1001


@given(st.binary(min_size=1, max_size=2000), st.data())
def test_a_message_that_was_cut_short_is_an_error(text: bytes, choose: st.DataObject) -> None:
    stream = zlib.compressobj(wbits=-15)
    data = (stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
    cut = data[: choose.draw(st.integers(0, len(data) - 1))]
    with pytest.raises(ValueError):
        Inflater().part(cut, 10_000, last=True)


def test_no_more_than_allowed_is_inflated() -> None:
    bomb = zlib.compressobj(wbits=-15)
    data = bomb.compress(bytes(50_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    assert len(Inflater().part(data[:-4], 1000, last=True)) == 1001
    assert len(Inflater().part(data[:-4], 0, last=False)) == 1

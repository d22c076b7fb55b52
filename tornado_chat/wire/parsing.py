"""Turning bytes into typed values, and failures into errors that say where."""

from typing import TypeVar

import msgspec

from tornado_chat.errors import Malformed

T = TypeVar("T")


def parse(decoder: msgspec.json.Decoder[T], data: str | bytes) -> T:
    """Decode and validate JSON.

    :raises Malformed: ``not_json`` or ``bad_shape``, with the place that is wrong.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise Malformed("bad_shape", reason=str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("not_json", reason=str(error)) from None


def features(text: str, known: frozenset[str]) -> frozenset[str]:
    """The opt-ins of ``features=ack,history``; unknown names are ignored."""
    return known.intersection(name.strip() for name in text.split(","))

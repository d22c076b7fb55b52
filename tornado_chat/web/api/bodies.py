"""Parse request bodies; a key that the operation does not have is an error that names the nearest key.

Strategy: without this, a misspelt optional key (``appointmentId`` for ``appointment_id``) is dropped in
silence. msgspec refuses unknown keys of the structs that forbid them. The body is searched only after it was
refused, so that a correct request costs nothing, and the search does not depend on the words of msgspec.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from tornado_chat.core.errors import Malformed, UnknownKey
from tornado_chat.core.plain_text import escape_controls
from tornado_chat.wire.parsing import parse

T = TypeVar("T")

MAX_SHOWN_CHARS = 64
"""Longer keys are cut off in the error."""


class _FoundKey(NamedTuple):
    """An unknown key.

    :ivar place: the path of its object, such as ``items[2].``.
    :ivar known: the keys that the object may have.
    """

    place: str
    key: str
    known: Sequence[str]


def parse_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode and validate the body of a request.

    :raises UnknownKey: the body has a key that a struct of the decoder's type forbids.
    :raises Malformed: as ``wire.parsing.parse``.
    """
    try:
        return parse(decoder, body)
    except Malformed as error:
        unknown = find_unknown_key(decoder.type, body) if error.code == "bad_shape" else None
        raise (unknown or error) from None


def find_unknown_key(type: Any, body: bytes) -> UnknownKey | None:
    """Return the error for the first unknown key of ``body``; None: it has none that ``type`` forbids.

    :arg body: JSON.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # msgspec has refused the body for an earlier part of it
    found = next(_unknown_keys(inspect.type_info(type), value, ""), None)
    return None if found is None else _error(found)


def find_misspelt_key(type: type[msgspec.Struct], value: object, place: str) -> UnknownKey | None:
    """Return the error for the first unknown key of an object that resembles a key that the object lacks.

    For objects that may have further keys, such as ``data`` of a notification.

    :arg place: the key of the object in the body.
    """
    if not isinstance(value, dict):
        return None
    known = type.__struct_encode_fields__
    missing = [key for key in known if key not in value]
    for key in value:
        if key not in known and _nearest(key, missing) is not None:
            return _error(_FoundKey(f"{place}.", key, missing))
    return None


def _error(found: _FoundKey) -> UnknownKey:
    nearest = _nearest(found.key, found.known)
    shown = escape_controls(found.key[:MAX_SHOWN_CHARS])
    return UnknownKey.of(
        key=f"`{found.place}{shown}`",
        nearest=None if nearest is None else f"`{found.place}{nearest}`",
        known=[f"`{key}`" for key in found.known],
    )


def _nearest(key: str, known: Sequence[str]) -> str | None:
    """Return the key that resembles ``key`` most, without regard to case; None: no key resembles it."""
    by_folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(key[:MAX_SHOWN_CHARS].casefold(), by_folded, 1)
    return by_folded[near[0]] if near else None


def _unknown_keys(info: inspect.Type, value: Any, place: str) -> Iterator[_FoundKey]:
    """Yield the unknown keys of ``value`` and of the objects inside it. :arg place: the path of ``value``."""
    match info:
        case inspect.Metadata(type=inner):
            yield from _unknown_keys(inner, value, place)
        case inspect.UnionType(types=several):
            for each in several:
                yield from _unknown_keys(each, value, place)
        case inspect.ListType(item_type=inner) if isinstance(value, list):
            for position, item in enumerate(value):
                yield from _unknown_keys(inner, item, f"{place}[{position}]")
        case inspect.StructType() if isinstance(value, dict):
            before = f"{place}." if place else ""
            fields = {field.encode_name: field.type for field in info.fields}
            for key, item in value.items():
                if key in fields:
                    yield from _unknown_keys(fields[key], item, before + key)
                elif info.forbid_unknown_fields:
                    yield _FoundKey(before, key, list(fields))

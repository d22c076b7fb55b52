"""Parse JSON and query parameters into typed values; errors name the key or parameter that is wrong."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import inspect

from tornado_chat.core.errors import Malformed

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


def parse(decoder: msgspec.json.Decoder[T], data: str | bytes) -> T:
    """Decode and validate JSON.

    :raises Malformed: ``not_json``, or ``bad_shape`` with the path of the wrong key.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise Malformed("bad_shape", reason=str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("not_json", reason=str(error)) from None


def parse_query(type: type[S], given: Mapping[str, str]) -> S:
    """Convert query parameters to ``type``. An empty parameter counts as missing.

    :raises Malformed: ``bad_parameter``, with the name of the first wrong parameter and the expected value.
    """
    values = {name: text for name, text in given.items() if text}
    try:
        return msgspec.convert(values, type, strict=False)
    except msgspec.ValidationError:
        raise _wrong_parameter(type, values) from None


def _wrong_parameter(type: type[msgspec.Struct], values: Mapping[str, str]) -> Malformed:
    """Return the error for the first parameter that is missing or has a wrong value."""
    hints = get_type_hints(type, include_extras=True)
    for field in msgspec.structs.fields(type):
        text, hint = values.get(field.encode_name), hints[field.name]
        if field.required if text is None else not _reads_as(text, hint):
            return Malformed("bad_parameter", name=field.encode_name, reason=_expected(hint))
    return Malformed("bad_parameter", name="query", reason="something else is expected")


def _reads_as(text: str, hint: Any) -> bool:
    try:
        msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError:
        return False
    return True


def _expected(hint: Any) -> str:
    """Return a phrase that describes the values of this type."""
    info = inspect.type_info(hint)
    if isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.IntType):
        return f"a whole number from {info.ge} to {info.le} is expected"
    if isinstance(info, inspect.LiteralType):  # its own ``values`` are sorted
        bare = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        return f"{' or '.join(map(str, get_args(bare)))} is expected"
    return "a text is expected"


@lru_cache(256)  # all sockets of one client page send the same text
def parse_features(text: str, known: frozenset[str]) -> frozenset[str]:
    """Return the known names of a list such as ``ack,history``; unknown names are ignored."""
    return known.intersection(name.strip() for name in text.split(","))

"""Parse JSON and query parameters into typed values; errors name the key or parameter that is wrong."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import inspect

from tornado_chat.core.errors import Malformed
from tornado_chat.core.plain_text import is_well_formed
from tornado_chat.core.texts import Language

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


def parse(decoder: msgspec.json.Decoder[T], data: str | bytes) -> T:
    """Decode and validate JSON.

    :raises Malformed: ``not_json``; ``half_character``, if a text has a lone surrogate; or ``bad_shape`` with
        the path of the wrong key.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise Malformed("bad_shape", reason=str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _has_half_character(data):
            raise Malformed("half_character") from None
        raise Malformed("not_json", reason=str(error)) from None


def _has_half_character(data: str | bytes) -> bool:
    """Return True if ``data`` is JSON except for a lone surrogate: half an emoji, ``"\\ud83d"``."""
    try:
        return not is_well_formed(json.dumps(json.loads(data), ensure_ascii=False))
    except (ValueError, RecursionError):
        return False


def peek_id(data: str | bytes) -> str | None:
    """Return the id of a refused frame, or None, so that the error frame can name the id.

    The decoder of ``parse`` refuses a frame with half of a character as a whole. The sender has to learn
    which message it was: otherwise it sends the message again on each connect.
    """
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        return None
    id = frame.get("id") if isinstance(frame, dict) else None
    return id if isinstance(id, str) and is_well_formed(id) else None


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


def bare_token(text: str) -> str:
    """Return a token without the scheme ``Bearer`` (RFC 6750), which deployed clients send before it."""
    scheme, space, token = text.partition(" ")
    return token.strip() if space and scheme.lower() == "bearer" else text


@lru_cache(256)  # all sockets of one client page send the same text
def parse_features(text: str, known: frozenset[str]) -> frozenset[str]:
    """Return the known names of a list such as ``ack,history``; unknown names are ignored."""
    return known.intersection(name.strip() for name in text.split(","))


def parse_language(text: str) -> Language | None:
    """Return the language that a client asks for by a tag such as ``en`` or ``zh-CN`` (BCP 47).

    None: it asks for another language, or for none.
    """
    return {"zh": "zh_CN", "en": "en"}.get(re.split("[-_]", text.strip().lower())[0])

"""Parsing of query parameters, for HTTP and WebSocket handlers."""

from typing import TypeVar

import msgspec
from tornado.web import HTTPError, RequestHandler

from tornado_chat.core.errors import Malformed
from tornado_chat.wire.parsing import parse_query

S = TypeVar("S", bound=msgspec.Struct)


def query_parameters(handler: RequestHandler, type: type[S]) -> S:
    """Parse the query of the request into the struct ``type``.

    :raises Malformed: a parameter is missing, has a wrong value, or is not UTF-8.
    """
    texts = {}
    for name in type.__struct_encode_fields__:
        try:
            texts[name] = handler.get_query_argument(name, "")
        except HTTPError:
            raise Malformed("bad_parameter", name=name, reason="UTF-8 is expected") from None
    return parse_query(type, texts)

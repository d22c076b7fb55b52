"""The parameters of an address, for handlers of every kind."""

from typing import TypeVar

import msgspec
from tornado.web import HTTPError, RequestHandler

from tornado_chat.core.errors import Malformed
from tornado_chat.wire.parsing import parse_query

S = TypeVar("S", bound=msgspec.Struct)


def parameters(handler: RequestHandler, type: type[S]) -> S:
    """The query of the request, by the struct that describes it.

    :raises Malformed: a parameter is missing, is something else than it should be, or is not UTF-8.
    """
    given = {}
    for name in type.__struct_encode_fields__:
        try:
            given[name] = handler.get_query_argument(name, "")
        except HTTPError:
            raise Malformed("bad_parameter", name=name, reason="UTF-8 is expected") from None
    return parse_query(type, given)

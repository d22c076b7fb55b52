"""The decorator ``operation``, which describes a method of an API handler for the OpenAPI document.

``/api/v1/openapi.json`` and ``/docs/http`` are made from these descriptions. A route of the HTTP API is
described where it is implemented, by ``operation`` on the method of its verb::

    @operation(
        "end_session",
        "End a session",
        access="The session's participants, and the roles `service` and `admin`.",
        responses=[ApiResponse(HTTPStatus.OK, schemas.Session)],
        errors=[NotFound("no_such_session", id=4)],
    )
    async def post(self, session_id: str) -> None:
        '''Details that the summary does not state.'''

The rest is derived: the path with its parameters (named like the method's arguments), the description (the
docstring), and the errors that follow from a token, a body or a query. ``Meta`` of the structs describes
each field. ``access`` as a tuple of roles is also enforced, by ``ApiHandler.authenticate``.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from tornado.web import RequestHandler

from tornado_chat.plugins.handler import PluginHandler
from tornado_chat.wire.operations import ApiResponse, Operation, operation

__all__ = [
    "ApiResponse",
    "Operation",
    "RouteOperation",
    "Routes",
    "allow_header",
    "find_operations",
    "operation",
]

VERBS = ("get", "post", "put", "patch", "delete")

Routes = Iterable[tuple[Any, ...]]
"""Tornado's routes: each a pattern, the handler class, and the arguments of its ``initialize``."""


def allow_header(handler: RequestHandler) -> str:
    """Return the value of the header ``Allow`` (RFC 9110): the verbs that the resource supports."""
    verbs = [verb for verb in (*VERBS, "head", "options") if _supports(type(handler), verb)]
    return ", ".join(verb.upper() for verb in verbs)


class RouteOperation(NamedTuple):
    """An operation with its verb and path, such as ``get`` and ``/api/v1/sessions/{session_id}``.

    :ivar is_plugins: True if a plugin has the route.
    """

    verb: str
    path: str
    operation: Operation
    is_plugins: bool = False


def requested_operation(handler: RequestHandler) -> Operation | None:
    """Return the operation of the current request, or None if its method is not described."""
    method = getattr(handler, (handler.request.method or "").lower(), None)
    return getattr(method, "operation", None)


def find_operations(routes: Routes) -> Iterator[RouteOperation]:
    """Yield the operations of ``routes``, in their order.

    An operation without a docstring gets the docstring of its handler class.
    """
    for pattern, handler, *_ in routes:
        for verb in VERBS:
            method = getattr(handler, verb)
            if isinstance(getattr(method, "operation", None), Operation):
                described = method.operation
                if not described.description and "__doc__" in vars(handler):
                    described = replace(described, description=inspect.getdoc(handler) or "")
                path, is_plugins = _path_template(pattern, method), issubclass(handler, PluginHandler)
                yield RouteOperation(verb, path, described, is_plugins)


def _supports(handler: type[RequestHandler], verb: str) -> bool:
    return getattr(handler, verb) is not getattr(RequestHandler, verb)


def _path_template(pattern: str, method: Callable[..., Any]) -> str:
    """Return ``/sessions/{session_id}/end`` for ``/sessions/(\\d+)/end`` and a method with this argument."""
    names = iter(list(inspect.signature(method).parameters)[1:])
    return re.sub(r"\([^)]*\)", lambda _: f"{{{next(names)}}}", pattern).replace("\\.", ".")

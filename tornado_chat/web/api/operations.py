"""How a handler tells what it does, for ``/api/v1/openapi.json``, for ``/docs/http`` and for itself.

A route of the HTTP API is described where it is written, by ``operation`` on the method of its verb::

    @operation(
        "end_session",
        "End a session",
        who="Its two people, and hosts.",
        answers=[Answer(HTTPStatus.OK, values.Session)],
        errors=[NotFound("no_such_session", id=4)],
    )
    async def post(self, session_id: str) -> None:
        '''What the summary does not say.'''

The path, the names in it (those of the method's arguments), the docstring, and the errors that follow from
a token, a body or a query are found by themselves; ``Meta`` of the structs says what each field is. Who is
allowed in by role alone is a tuple of roles: ``ApiHandler.authenticate`` then lets in nobody else.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import msgspec
from tornado.web import RequestHandler

from tornado_chat.core.errors import ChatError, Forbidden, Malformed, Unauthenticated, Unavailable
from tornado_chat.core.types import Role
from tornado_chat.wire.parsing import parse_query

F = TypeVar("F", bound=Callable[..., Any])

VERBS = ("get", "post", "put", "patch", "delete")

Routes = Iterable[tuple[Any, ...]]
"""Tornado's: a pattern, the handler, and what it is made with."""


class ApiResponse(NamedTuple):
    """An answer that is no error.

    :ivar content: the struct of its JSON; or by media type the struct of what it may be, None for a text.
    :ivar text: when it comes, if not always.
    """

    status: HTTPStatus
    content: type[msgspec.Struct] | Mapping[str, type[msgspec.Struct] | None]
    text: str = ""

    @property
    def by_media(self) -> Mapping[str, type[msgspec.Struct] | None]:
        return {"application/json": self.content} if isinstance(self.content, type) else self.content


@dataclass(frozen=True)
class Operation:
    """What one verb of one resource does.

    :ivar id: unique in the API; clients that are generated name a function after it.
    :ivar who: a sentence, or the only roles that get in; None: anybody, without a token.
    :ivar token_optional: whether it also does something for who has no token.
    :ivar errors: what it may raise beyond what follows from token, body and query, with made-up details.
    """

    id: str
    summary: str
    who: str | tuple[Role, ...] | None
    responses: Sequence[ApiResponse]
    description: str = ""
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    errors: Sequence[ChatError] = ()
    token_optional: bool = False

    @property
    def roles(self) -> tuple[Role, ...]:
        """The only roles that get in; empty if it takes more than a role to tell."""
        return self.who if isinstance(self.who, tuple) else ()

    @property
    def who_text(self) -> str:
        if self.who is None:
            return "Anybody, without a token."
        return self.who if isinstance(self.who, str) else f"The roles {_listed(self.who)}."

    def all_errors(self) -> Iterator[ChatError]:
        """Everything that it may answer but ``responses``, and internal errors."""
        if self.body is not None:
            yield Malformed("not_json", reason="JSON is malformed: expected ',' or '}' (byte 17)")
            first = msgspec.structs.fields(self.body)[0].encode_name
            yield Malformed("bad_shape", reason=f"Object missing required field `{first}`")
        if self.query is not None:
            yield _wrong_parameter(self.query)
        if self.who is not None:
            yield Unauthenticated("token_missing")
            yield Unauthenticated("token_expired")
            yield Unauthenticated("token_invalid", reason="the signature does not match")
        if self.roles:
            yield Forbidden(
                "role_not_allowed", role=next(role for role in Role if role not in self.roles).value
            )
        yield from self.errors
        if self.who is not None:
            yield Unavailable("database_away")
            yield Unavailable("keys_unavailable")


def operation(
    id: str,
    summary: str,
    *,
    who: str | tuple[Role, ...] | None,
    responses: Sequence[ApiResponse],
    body: type[msgspec.Struct] | None = None,
    query: type[msgspec.Struct] | None = None,
    errors: Sequence[ChatError] = (),
    token_optional: bool = False,
) -> Callable[[F], F]:
    """Describe the method of a verb. See the module's text, and ``Operation``."""

    def describe(method: F) -> F:
        description = inspect.getdoc(method) or ""
        method.operation = Operation(  # type: ignore[attr-defined]
            id, summary, who, responses, description, body, query, errors, token_optional
        )
        return method

    return describe


def allow_header(handler: RequestHandler) -> str:
    """The header ``Allow`` (RFC 9110): what the resource can do."""
    verbs = [verb for verb in (*VERBS, "head", "options") if _can(type(handler), verb)]
    return ", ".join(verb.upper() for verb in verbs)


class RouteOperation(NamedTuple):
    """An operation where it is found: ``get``, ``/api/v1/sessions/{session_id}``."""

    verb: str
    path: str
    operation: Operation


def requested_operation(handler: RequestHandler) -> Operation | None:
    """What the handler is being asked to do, if that is described."""
    method = getattr(handler, (handler.request.method or "").lower(), None)
    return getattr(method, "operation", None)


def find_operations(routes: Routes) -> Iterator[RouteOperation]:
    """The operations of ``routes``, in their order."""
    for pattern, handler, *_ in routes:
        for verb in VERBS:
            method = getattr(handler, verb)
            if isinstance(getattr(method, "operation", None), Operation):
                about = method.operation
                if not about.description and "__doc__" in vars(handler):
                    about = replace(about, description=inspect.getdoc(handler) or "")
                yield RouteOperation(verb, _template(pattern, method), about)


def _can(handler: type[RequestHandler], verb: str) -> bool:
    return getattr(handler, verb) is not getattr(RequestHandler, verb)


def _template(pattern: str, method: Callable[..., Any]) -> str:
    """``/sessions/(\\d+)/end`` with the names of the method's arguments: ``/sessions/{session_id}/end``."""
    names = iter(list(inspect.signature(method).parameters)[1:])
    return re.sub(r"\([^)]*\)", lambda _: f"{{{next(names)}}}", pattern).replace("\\.", ".")


def _wrong_parameter(query: type[msgspec.Struct]) -> ChatError:
    name = msgspec.structs.fields(query)[-1].encode_name
    try:
        parse_query(query, {name: "?"})
    except Malformed as error:
        return error
    return Malformed("bad_parameter", name=name, reason="UTF-8 is expected")


def _listed(roles: Sequence[Role]) -> str:
    return " and ".join(f"`{role.value}`" for role in roles)

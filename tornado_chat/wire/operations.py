"""The description of a call of the HTTP API, for the OpenAPI document: ``operation`` and its values."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import msgspec

from tornado_chat.core.errors import (
    ChatError,
    Forbidden,
    Malformed,
    Unauthenticated,
    Unavailable,
    UnknownKey,
)
from tornado_chat.core.types import Role
from tornado_chat.wire.parsing import parse_query

F = TypeVar("F", bound=Callable[..., Any])


class ApiResponse(NamedTuple):
    """A response that is not an error.

    :ivar content: the struct of the JSON; or a struct by media type, None for a text.
    :ivar text: the condition for this response, if the operation has several; else empty.
    """

    status: HTTPStatus
    content: type[msgspec.Struct] | Mapping[str, type[msgspec.Struct] | None]
    text: str = ""

    @property
    def by_media(self) -> Mapping[str, type[msgspec.Struct] | None]:
        return {"application/json": self.content} if isinstance(self.content, type) else self.content


@dataclass(frozen=True)
class Operation:
    """The description of one verb of one resource.

    :ivar id: unique in the API; generated clients name a function after it.
    :ivar access: the callers that have access: a sentence, or the only roles; None: all callers, without a
        token.
    :ivar token_optional: whether the operation also accepts callers without a token.
    :ivar errors: errors that do not follow from token, body and query, with example details.
    """

    id: str
    summary: str
    access: str | tuple[Role, ...] | None
    responses: Sequence[ApiResponse]
    description: str = ""
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    errors: Sequence[ChatError] = ()
    token_optional: bool = False

    @property
    def roles(self) -> tuple[Role, ...]:
        """The only roles that have access; empty if access depends on more than the role."""
        return self.access if isinstance(self.access, tuple) else ()

    @property
    def access_text(self) -> str:
        if self.access is None:
            return "All callers, without a token."
        return self.access if isinstance(self.access, str) else f"The roles {_join_roles(self.access)}."

    def all_errors(self) -> Iterator[ChatError]:
        """Yield every error that the operation may answer, except internal errors."""
        if self.body is not None:
            yield Malformed("not_json", reason="JSON is malformed: expected ',' or '}' (byte 17)")
            keys = self.body.__struct_encode_fields__
            yield Malformed("bad_shape", reason=f"Object missing required field `{keys[0]}`")
            known = [f"`{key}`" for key in keys]
            yield UnknownKey.of(key=f"`{keys[0]}s`", nearest=known[0], known=known)
        if self.query is not None:
            yield _wrong_parameter(self.query)
        if self.access is not None:
            yield Unauthenticated("token_missing")
            yield Unauthenticated("token_expired")
            yield Unauthenticated("token_invalid", reason="the signature does not match")
        if self.roles:
            yield Forbidden(
                "role_not_allowed", role=next(role for role in Role if role not in self.roles).value
            )
        yield from self.errors
        if self.access is not None:
            yield Unavailable("database_away")
            yield Unavailable("keys_unavailable")


def operation(
    id: str,
    summary: str,
    *,
    access: str | tuple[Role, ...] | None,
    responses: Sequence[ApiResponse],
    body: type[msgspec.Struct] | None = None,
    query: type[msgspec.Struct] | None = None,
    errors: Sequence[ChatError] = (),
    token_optional: bool = False,
) -> Callable[[F], F]:
    """Describe the method of a verb; see the module's docstring and ``Operation``."""

    def describe(method: F) -> F:
        description = inspect.getdoc(method) or ""
        method.operation = Operation(  # type: ignore[attr-defined]
            id, summary, access, responses, description, body, query, errors, token_optional
        )
        return method

    return describe


def _wrong_parameter(query: type[msgspec.Struct]) -> ChatError:
    name = msgspec.structs.fields(query)[-1].encode_name
    try:
        parse_query(query, {name: "?"})
    except Malformed as error:
        return error
    return Malformed("bad_parameter", name=name, reason="UTF-8 is expected")


def _join_roles(roles: Sequence[Role]) -> str:
    return " and ".join(f"`{role.value}`" for role in roles)

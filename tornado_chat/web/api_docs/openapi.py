"""The HTTP API as an OpenAPI 3.1 document, made from the routes' operations and their structs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat import config
from tornado_chat.core.errors import ChatError, MethodNotAllowed, NotFound, Refused, TooFast, UnknownKey
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.texts import ERROR_TEXTS
from tornado_chat.core.types import TOKEN_ROLES
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.web.api.operations import ApiResponse, Operation, RouteOperation, Routes, find_operations
from tornado_chat.web.api.schemas import Problem
from tornado_chat.web.api_docs import schemas
from tornado_chat.web.api_docs.schemas import Schema
from tornado_chat.wire.counselling_frames import AppointmentChanged, NewConversation

JSON, PROBLEM = "application/json", "application/problem+json"
OTHER_PROBLEM = "OtherProblem"
"""The public name of the response for errors that do not belong to one operation."""

INTRODUCTION = """
A host system opens sessions and issues tokens. Its users then hold their conversations over WebSockets:
[/asyncapi.json](/asyncapi.json) describes these.

Every error response of `/api/v1` has a body of `application/problem+json` (RFC 9457): `code` is stable, for
programs, and `detail` is a sentence for people. Only a request that is not valid HTTP gets 400 without a
body. Every operation answers 413 (`too_big`) to a body larger than `[limits] frame_bytes`. A key of a
request's body that the operation does not have is an error, which names the nearest key. Lists are
`{"items", "next"}`: the value of `next` is the `after` of the request for the following page. Times are
ISO 8601 in the server's zone, with its offset. A page of another origin may call the API if the origin is in
`[web] origins`.

Ids (of people, sessions, records, appointments, conversations, notifications) are texts in the answers,
because JavaScript rounds numbers above 2^53. Only callers with the role `service`, the back ends of hosts,
get an id as a number where it has the form of one. Requests take both.

Pages for people, with `[web] pages`: [/docs/http](/docs/http) and [/docs/sockets](/docs/sockets).
"""

TAGS = {
    "Sessions": "Counselling sessions: conversations of a visitor and a consultant.",
    "Supervisions": "Supervision records: conversations of a consultant and a supervisor.",
    "Notifications": "Pop-ups, delivered at `/notify`, and the inbox.",
    "Support": "Support conversations of users and waiters.",
    "Approvals": "Messages of trainees that wait for a supervisor.",
    "Guest": "Tokens for anonymous users.",
    "Service": "For service managers, load balancers and Prometheus.",
    "Plugins": "Calls of the plugins of this server.",
    "Descriptions": "This document, and the one of the WebSocket endpoints.",
}
"""The descriptions of the tags, in the order of the document; tags without a description follow."""


def document(routes: Routes, auth: config.Auth, version: str, base_path: str = "") -> dict[str, Any]:
    """Return the document for all operations of ``routes``.

    :arg auth: the settings that describe tokens.
    :arg base_path: as ``[web] base_path``.
    """
    operations = list(find_operations(routes))
    bodies: list[type[msgspec.Struct]] = [AppointmentChanged, NewConversation]
    answers: list[type[msgspec.Struct]] = [Problem]
    for each in operations:
        bodies += [each.operation.body] if each.operation.body else []
        answers += [
            struct for answer in each.operation.responses for struct in answer.by_media.values() if struct
        ]
    components = {
        **schemas.components_of(dict.fromkeys(answers), is_answer=True),
        **schemas.components_of(dict.fromkeys(bodies)),
    }
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.verb] = _operation(each, components)
    groups = [verb["tags"][0] for path in paths.values() for verb in path.values()]
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "tornado_chat: HTTP API",
            "version": version,
            "description": schemas.docstring_text(INTRODUCTION),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": f"{base_path}/"}],
        "tags": [{"name": name, "description": TAGS.get(name, "")} for name in _in_order(groups)],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {OTHER_PROBLEM: _other_problem()},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": token_description(auth),
                }
            },
        },
    }


def token_description(auth: config.Auth) -> str:
    """Return a text that states the claims and the signature that this server requires of a token."""
    parts = [
        f"A JWT (RFC 7519), signed by the host with {' or '.join(auth.algorithms)}.",
        f"Claims: `{auth.id_claim}` (the person's id, an integer or a string),",
        f"`{auth.role_claim}` (the role: {', '.join(f'`{role.value}`' for role in TOKEN_ROLES)}),",
        "`exp`," if auth.require_exp else "optionally `exp`,",
        f"optionally `{auth.name_claim}` (the name that other participants see).",
    ]
    for claim, value in (("iss", auth.issuer), ("aud", auth.audience)):
        if value:
            parts.append(f"`{claim}` must be `{value}`.")
    parts.append("The role `service` is the host's back end.")
    return " ".join(parts)


def _operation(each: RouteOperation, components: Mapping[str, Schema]) -> dict[str, Any]:
    operation = each.operation
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [_group(each)],
        "summary": operation.summary,
        "description": (
            f"{schemas.docstring_text(operation.description)}\n\nAccess: {operation.access_text}".strip()
        ),
        "x-who": operation.access_text,
        **({"x-roles": [role.value for role in operation.roles]} if operation.roles else {}),
        "security": _security(operation),
    }
    parameters = [*_path_parameters(each), *_query_parameters(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        schema = schemas.reference(operation.body)
        content = {"schema": schema, "example": schemas.example_value(schema, components)}
        described["requestBody"] = {"required": True, "content": {JSON: content}}
    described["responses"] = {
        **{str(int(answer.status)): _answer(answer, components) for answer in operation.responses},
        **_errors(each),
    }
    if _group(each) != "Service":  # those answer errors as text
        described["responses"]["default"] = {"$ref": f"#/components/responses/{OTHER_PROBLEM}"}
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.access is None:
        return []
    return [{}, {"bearer": []}] if operation.token_optional else [{"bearer": []}]


def _answer(answer: ApiResponse, components: Mapping[str, Schema]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for media, struct in answer.by_media.items():
        if struct is not None:
            schema = schemas.reference(struct)
            content[media] = {"schema": schema, "example": schemas.example_value(schema, components)}
        else:
            content[media] = {"schema": {"type": "object" if media == JSON else "string"}}
    return {"description": answer.text or answer.status.phrase, "content": content}


def _errors(each: RouteOperation) -> dict[str, Any]:
    """Return the error responses of an operation, by status.

    Requests with a token, and those that write, have a rate limit, except those of hosts.
    """
    by_status: dict[int, list[ChatError]] = {}
    errors = list(each.operation.all_errors())
    is_of_hosts = bool(each.operation.roles) and set(each.operation.roles) <= set(HOST_ROLES)
    is_limited = (each.verb != "get" or each.operation.access is not None) and not is_of_hosts
    if is_limited and all(error.code != "too_fast" for error in errors):
        errors.append(TooFast("too_fast"))
    for error in errors:
        by_status.setdefault(error.http_status, []).append(error)
    return {str(status): _problems(status, by_status[status]) for status in sorted(by_status)}


def _other_problem() -> dict[str, Any]:
    """Return the response for the errors that any request may get, whatever its operation."""
    unknown_method = MethodNotAllowed("unknown_method", method="PATCH")
    no_page = NotFound("no_such_page")
    return {
        "description": (
            "Every other error: 405 `unknown_method`, with the header `Allow`; 404 `no_such_page`; 500 "
            "`internal`."
        ),
        "content": _problem_content(
            [
                (Problem.of(unknown_method), "The resource does not support the method."),
                (Problem.of(no_page), error_meaning(no_page)),
                (Problem.internal(), "A fault of the server."),
            ]
        ),
    }


def _problem_content(problems: Iterable[tuple[Problem, str]]) -> dict[str, Any]:
    """Return the content of an error response. :arg problems: examples, each with its meaning."""
    examples = {
        problem.code: {"value": msgspec.to_builtins(problem), "summary": meaning}
        for problem, meaning in problems
    }
    return {PROBLEM: {"schema": schemas.reference(Problem), "examples": examples}}


def _problems(status: int, errors: Sequence[ChatError]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{error.code}`' for error in errors)}",
        "content": _problem_content((Problem.of(error), error_meaning(error)) for error in errors),
    }
    if status == HTTPStatus.UNAUTHORIZED:
        described["headers"] = {"WWW-Authenticate": _header("`Bearer`")}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        described["headers"] = {"Retry-After": _header("The time to wait, in seconds.")}
    return described


def error_meaning(error: ChatError) -> str:
    """Return the English text of an error, without the details of one case."""
    if isinstance(error, Refused):
        return "A filter refuses the text."
    if isinstance(error, UnknownKey):
        return "The body has a key that the operation does not have."
    return ERROR_TEXTS[error.code][1].replace(": {reason}", "")


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _path_parameters(each: RouteOperation) -> Iterator[dict[str, Any]]:
    number = {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}
    schema = {"type": "string"} if each.is_plugins else number
    for part in each.path.split("/"):
        if part.startswith("{"):
            yield {"name": part[1:-1], "in": "path", "required": True, "schema": schema}


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.query is None:
        return
    whole = schemas.query_schema(operation.query)
    for name, schema in whole["properties"].items():
        description = schema.pop("description", "")
        yield {
            "name": name,
            "in": "query",
            "required": name in whole.get("required", ()),
            "description": description,
            "schema": schema,
        }


def _group(each: RouteOperation) -> str:
    """Return the tag of an operation, for example Sessions for ``/api/v1/sessions/4``."""
    path = each.path
    if each.is_plugins:
        return "Plugins"
    if path.endswith(".json"):
        return "Descriptions"
    _, api, rest = path.partition("/api/v1/")
    return rest.partition("/")[0].capitalize() if api else "Service"


def _in_order(groups: Iterable[str]) -> list[str]:
    used = dict.fromkeys(groups)
    return [name for name in TAGS if name in used] + [name for name in used if name not in TAGS]

"""The sockets as an AsyncAPI 3.0 document, made of the structs that parse and write their frames.

Seen from the server, as AsyncAPI wants it: an operation that receives is what clients send.
"""

from collections.abc import Sequence
from typing import Any

from tornado_chat import config
from tornado_chat.web.api_docs import schemas
from tornado_chat.web.api_docs.openapi import token_description
from tornado_chat.web.api_docs.schemas import Schema
from tornado_chat.wire import counselling_catalogue, support_catalogue
from tornado_chat.wire.kinds import CLOSE_CODES, Endpoint, FrameKind

DIALECTS: dict[str, Sequence[Endpoint]] = {
    "counselling": counselling_catalogue.ENDPOINTS,
    "support": support_catalogue.ENDPOINTS,
}

INTRODUCTION = """
Two dialects over one server: counselling (`/chat`, `/notify`, `/observe`) and support (`/v1/ws/user/connect`,
`/v1/ws/waiter/connect`). Every frame is a text frame with one JSON object. A client that asks for no feature gets only
the published frames and keys; everything else is opt-in.

Operations are named from the server's side: what it receives, clients send. A socket that may not be is accepted and
then closed with a code and a reason, so that a browser can tell why; only a page of an origin that is not allowed
(`[web] origins`) is refused before, with HTTP 403. What was not confirmed by the pong that follows each batch of frames
comes again after a reconnect. Sessions are opened by HTTP: [/api/v1/openapi.json](/api/v1/openapi.json) describes that.

For people, with `[web] pages`: [/docs/http](/docs/http) and [/docs/sockets](/docs/sockets).
"""


def document(auth: config.Auth, version: str) -> dict[str, Any]:
    """The document for the sockets of both dialects."""
    components: dict[str, Schema] = {}
    channels, operations, messages = {}, {}, {}
    for dialect, endpoints in DIALECTS.items():
        prefix = f"{dialect}."
        every = [kind for endpoint in endpoints for kind in (*endpoint.from_client, *endpoint.to_client)]
        components |= schemas.schemas_of_types(schemas.referenced_structs(every), prefix)
        for endpoint in endpoints:
            channels[endpoint.name] = _channel(endpoint, dialect)
            for action, way, kinds in (
                ("receive", "in", endpoint.from_client),
                ("send", "out", endpoint.to_client),
            ):
                for kind in kinds:
                    messages[f"{endpoint.name}.{way}.{kind.name}"] = _message(kind, prefix)
                if kinds:
                    operations[f"{endpoint.name}.{action}"] = _operation(endpoint, action, way, kinds)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tornado_chat: sockets",
            "version": version,
            "description": schemas.docstring_text(INTRODUCTION),
            "license": {"name": "MIT"},
            "tags": [{"name": dialect} for dialect in DIALECTS],
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "{host}",
                "protocol": "wss",
                "description": "`ws` without TLS.",
                "variables": {
                    "host": {"default": "chat.example.org", "description": "Where this document is from."}
                },
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": components,
            "messages": messages,
            "securitySchemes": {
                "token": {
                    "type": "httpApiKey",
                    "in": "query",
                    "name": "token",
                    "description": token_description(auth),
                }
            },
        },
    }


def _channel(endpoint: Endpoint, dialect: str) -> dict[str, Any]:
    ways = (("in", endpoint.from_client), ("out", endpoint.to_client))
    binding: dict[str, Any] = {"method": "GET", "bindingVersion": "0.1.0"}
    if endpoint.query is not None:
        query = schemas.schemas_of_types([endpoint.query])[endpoint.query.__name__]
        del query["properties"]["token"]["default"]  # without one it is closed with 4401
        binding["query"] = {
            "type": "object",
            "properties": query["properties"],
            "required": ["token", *query.get("required", ())],
        }
    return {
        "address": endpoint.path,
        "title": endpoint.summary,
        "description": _endpoint_description(endpoint),
        "messages": {
            f"{way}.{kind.name}": {"$ref": f"#/components/messages/{endpoint.name}.{way}.{kind.name}"}
            for way, kinds in ways
            for kind in kinds
        },
        "bindings": {"ws": binding},
        "tags": [{"name": dialect}],
        "x-who": endpoint.who,
        "x-about": endpoint.description,
        "x-features": dict(endpoint.features),
        "x-close-codes": {str(code): CLOSE_CODES[code] for code in endpoint.close_codes},
        "x-client-close-codes": {str(code): text for code, text in endpoint.client_close_codes.items()},
    }


def _endpoint_description(endpoint: Endpoint) -> str:
    """Everything about the endpoint in words, for tools that show nothing else."""
    where = "in the address: `features=ack,seq`" if endpoint.query else "in the payload of `auth`"
    parts = [
        endpoint.description,
        f"Who gets in: {endpoint.who}",
        f"Features, asked for {where}:\n"
        + _bullets({f"`{name}`": text for name, text in endpoint.features.items()}),
        "The server closes with:\n"
        + _bullets({str(code): CLOSE_CODES[code] for code in endpoint.close_codes}),
    ]
    if endpoint.client_close_codes:
        codes = {str(code): text for code, text in endpoint.client_close_codes.items()}
        parts.append("The client closes with:\n" + _bullets(codes))
    return "\n\n".join(parts)


def _bullets(texts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in texts.items())


def _operation(endpoint: Endpoint, action: str, way: str, kinds: Sequence[FrameKind]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{endpoint.name}"},
        "summary": "What clients send." if action == "receive" else "What clients get.",
        "messages": [{"$ref": f"#/channels/{endpoint.name}/messages/{way}.{kind.name}"} for kind in kinds],
    }
    if endpoint.query is not None:
        described["security"] = [{"$ref": "#/components/securitySchemes/token"}]
    return described


def _message(kind: FrameKind, prefix: str) -> dict[str, Any]:
    summary = f"Feature `{kind.feature}`: {kind.summary}" if kind.feature else kind.summary
    described: dict[str, Any] = {
        "name": kind.name,
        "title": kind.name,
        "summary": summary,
        "contentType": "application/json",
        "payload": schemas.schema_of_frame_kind(kind, prefix),
        "examples": [{"payload": example} for example in kind.examples],
        "x-about": kind.summary,
    }
    if kind.feature:
        described["x-feature"] = kind.feature
    return described

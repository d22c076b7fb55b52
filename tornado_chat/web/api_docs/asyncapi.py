"""The WebSocket endpoints as an AsyncAPI 3.0 document, made from the catalogues and the frames' structs.

As AsyncAPI requires, operations are described from the server's side: the server receives the frames that
clients send.
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
One server speaks two dialects: counselling (`/chat`, `/notify`, `/observe`) and support
(`/v1/ws/user/connect`, `/v1/ws/waiter/connect`). Every frame is a text frame with one JSON object. A client
that requests no feature gets only the published frames and keys; all other frames and keys are opt-in.

Operations are named from the server's side: the server receives the frames that clients send. If a client
has no access, the server accepts the socket and closes it with a code and a reason, so that scripts in a
browser can read them. Only pages of an origin that is not allowed (`[web] origins`) are refused earlier,
with HTTP 403. The server sends a ping after each batch of frames; frames whose ping the client has not
answered are delivered again after a reconnect. Sessions are opened by HTTP: see
[/api/v1/openapi.json](/api/v1/openapi.json).

Pages for people, with `[web] pages`: [/docs/http](/docs/http) and [/docs/sockets](/docs/sockets).
"""


def document(auth: config.Auth, version: str, base_path: str = "") -> dict[str, Any]:
    """Return the document for the endpoints of both dialects.

    :arg auth: the settings that describe tokens.
    :arg base_path: as ``[web] base_path``.
    """
    components: dict[str, Schema] = {}
    channels, operations, messages = {}, {}, {}
    for dialect, endpoints in DIALECTS.items():
        all_kinds = [kind for endpoint in endpoints for kind in (*endpoint.from_client, *endpoint.to_client)]
        components |= schemas.components_of(schemas.referenced_structs(all_kinds))
        for endpoint in endpoints:
            channels[endpoint.name] = _channel(endpoint, dialect)
            for action, direction, kinds in (
                ("receive", "in", endpoint.from_client),
                ("send", "out", endpoint.to_client),
            ):
                for kind in kinds:
                    payload = _frame_name(endpoint, direction, kind)
                    components[payload] = schemas.schema_of_frame_kind(kind)
                    name = f"{endpoint.name}.{direction}.{kind.name}"
                    messages[name] = _message(name, kind, payload)
                if kinds:
                    operations[f"{endpoint.name}.{action}"] = _operation(endpoint, action, direction, kinds)
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
                **({"pathname": base_path} if base_path else {}),
                "description": "`ws` without TLS.",
                "variables": {
                    "host": {
                        "default": "chat.example.org",
                        "description": "The host that serves this document.",
                    }
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
    directions = (("in", endpoint.from_client), ("out", endpoint.to_client))
    binding: dict[str, Any] = {"method": "GET", "bindingVersion": "0.1.0"}
    if endpoint.query is not None:
        query = schemas.query_schema(endpoint.query)
        del query["properties"]["token"]["default"]  # a socket without a token is closed with 4401
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
            f"{direction}.{kind.name}": {
                "$ref": f"#/components/messages/{endpoint.name}.{direction}.{kind.name}"
            }
            for direction, kinds in directions
            for kind in kinds
        },
        "bindings": {"ws": binding},
        "tags": [{"name": dialect}],
        "x-who": endpoint.access,
        "x-about": endpoint.description,
        "x-features": dict(endpoint.features),
        "x-close-codes": {str(code): CLOSE_CODES[code] for code in endpoint.close_codes},
        "x-client-close-codes": {str(code): text for code, text in endpoint.client_close_codes.items()},
    }


def _endpoint_description(endpoint: Endpoint) -> str:
    """Return access, features and close codes of the endpoint as text, for tools that ignore ``x-`` keys."""
    where = "in the query: `features=ack,seq`" if endpoint.query else "in the payload of `auth`"
    parts = [
        endpoint.description,
        f"Access: {endpoint.access}",
        f"Features, requested {where}:\n"
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


def _operation(endpoint: Endpoint, action: str, direction: str, kinds: Sequence[FrameKind]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{endpoint.name}"},
        "summary": "Frames that clients send." if action == "receive" else "Frames that the server sends.",
        "messages": [
            {"$ref": f"#/channels/{endpoint.name}/messages/{direction}.{kind.name}"} for kind in kinds
        ],
    }
    if endpoint.query is not None:
        described["security"] = [{"$ref": "#/components/securitySchemes/token"}]
    return described


def _frame_name(endpoint: Endpoint, direction: str, kind: FrameKind) -> str:
    """Return the public name of the schema of a frame, such as ``UserInMessageText``.

    It is made of the names in the catalogue, which are public: the address of a channel, the type of a frame.
    """
    words = (endpoint.name, direction, *kind.name.split("_"))
    return "".join(word.capitalize() for word in words)


def _message(name: str, kind: FrameKind, payload: str) -> dict[str, Any]:
    """Return the description of a kind of frame. :arg payload: the name of its schema."""
    summary = f"Feature `{kind.feature}`: {kind.summary}" if kind.feature else kind.summary
    described: dict[str, Any] = {
        "name": name,
        "title": kind.name,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"$ref": f"{schemas.REF}{payload}"},
        "examples": [{"payload": example} for example in kind.examples],
        "x-about": kind.summary,
    }
    if kind.feature:
        described["x-feature"] = kind.feature
    return described

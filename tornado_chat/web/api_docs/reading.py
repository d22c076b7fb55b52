"""Functions of the page templates: schemas as table rows, examples as text, commands to copy."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tornado_chat.web.api_docs.schemas import REF, Schema, example_value

Schemas = Mapping[str, Schema]

PROBLEM = "application/problem+json"

MAX_ONE_LINE_CHARS = 72  # longer examples are printed on several lines


class Row(NamedTuple):
    """One field of a schema as a row of a table; ``name`` is a path such as ``items[].seq``."""

    name: str
    type: str
    required: bool
    text: str
    default: str


def rows(schema: Schema, components: Schemas, prefix: str = "") -> Iterator[Row]:
    """Yield the fields of an object; the fields of a nested object follow its own row."""
    schema = resolve(schema, components)
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield row(prefix + name, inner, name in required, components)
        resolved = resolve(inner, components)
        if resolved.get("type") == "array":
            yield from rows(resolved["items"], components, f"{prefix}{name}[].")
        else:
            yield from rows(resolved, components, f"{prefix}{name}.")


def row(name: str, schema: Schema, required: bool, components: Schemas) -> Row:
    resolved = resolve(schema, components)
    text = schema.get("description") or resolved.get("description", "")
    default = "" if schema.get("default") in (None, "", []) else _json(schema["default"])
    return Row(name, type_words(schema, components), required, text, default)


def resolve(schema: Schema, components: Schemas) -> Schema:
    """Return the component that ``schema`` refers to, or ``schema`` itself if it is not a reference."""
    return components[schema["$ref"].removeprefix(REF)] if "$ref" in schema else schema


def problems(responses: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """Return the status, the code and the meaning of each error among described responses.

    References to responses that all operations share are left out.
    """
    return [
        (example["value"]["status"], code, example["summary"])
        for response in responses.values()
        for code, example in response.get("content", {}).get(PROBLEM, {}).get("examples", {}).items()
    ]


def name(schema: Schema) -> str:
    """Return the name of the component that ``schema`` refers to, such as ``Session``."""
    return str(schema["$ref"].removeprefix(REF))


def type_words(schema: Schema, components: Schemas) -> str:
    """Return the type in words, such as ``integer (1 or more) or null`` or ``"ready" or "active"``."""
    schema = resolve(schema, components)
    if "const" in schema:
        return _json(schema["const"])
    if "enum" in schema:
        return " or ".join(_json(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(type_words(each, components) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {type_words(schema['items'], components)}s"
    limit = _limit(schema)
    return str(schema.get("type", "anything")) + (f" ({limit})" if limit else "")


def shown(value: Any) -> str:
    """Return ``value`` as JSON for people: on one line if it is short, else indented."""
    line = _json(value)
    return line if len(line) <= MAX_ONE_LINE_CHARS else json.dumps(value, ensure_ascii=False, indent=2)


def curl(verb: str, path: str, described: Schema, components: Schemas) -> str:
    """Return a curl command that calls an operation; it uses the shell variables ``CHAT`` and ``TOKEN``."""
    parts = ["curl"] if verb == "get" else [f"curl -X {verb.upper()}"]
    required = [
        each for each in described.get("parameters", ()) if each["in"] == "query" and each.get("required")
    ]
    query = urlencode({each["name"]: example_value(each["schema"], components) for each in required})
    parts[0] += f' "$CHAT{re.sub(r"{[^}]*}", "1", path)}{"?" if query else ""}{query}"'
    if described["security"] and {} not in described["security"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in described:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        parts.append('-H "Content-Type: application/json"')
        body = example_value(schema, components, optional=False) or example_value(schema, components)
        parts.append(f"-d {shlex.quote(_json(body))}")
    return " \\\n  ".join(parts)


def connect(address: str, query: Schema | None) -> str:
    """Return JavaScript that opens a socket, as HTML; the page's script fills in ``data-ws-origin``."""
    origin = "<span data-ws-origin>wss://chat.example.org</span>"
    if query is None:
        return f'const socket = new WebSocket("{origin}{address}");'
    required = [name for name in query["required"] if name != "token"]
    parameters = "".join(f"&amp;{name}=${{{name}}}" for name in required)
    return f"const socket = new WebSocket(`{origin}{address}?token=${{token}}{parameters}`);"


def inline(text: str) -> str:
    """Return a description as HTML; it may have `code`, and [links](/path) within the site.

    The links are relative to the pages, ``/docs/http`` and ``/docs/sockets``.
    """
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\[([^\]]+)\]\((/[^)\s\"]*)\)", r'<a href="..\2">\1</a>', html)


def breakable(name: str) -> str:
    """Return a name as HTML that may break between its words."""
    return re.sub(r"([_.\]])", r"\1<wbr>", escape(name))


def paragraphs(text: str) -> list[str]:
    return [part for part in text.split("\n\n") if part]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _limit(schema: Schema) -> str:
    minimum, maximum = schema.get("minimum"), schema.get("maximum")
    min_length, max_length = schema.get("minLength"), schema.get("maxLength")
    if maximum is not None and maximum < 2**31:
        return f"{minimum} to {maximum}" if minimum is not None else f"at most {maximum}"
    if minimum is not None:
        return f"{minimum} or more"
    if max_length is not None:
        return (
            f"{min_length} to {max_length} characters" if min_length else f"at most {max_length} characters"
        )
    return ""

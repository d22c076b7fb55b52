"""The documents prepared for readers: schemas as rows, examples as text, commands to copy."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tornado_chat.web.api_docs.schemas import REF, Schema, example_value

Schemas = Mapping[str, Schema]

ONE_LINE = 72  # characters that an example may have to stand in one line


class Row(NamedTuple):
    """A field: ``items[].seq``, what it may be, and what it means."""

    name: str
    type: str
    required: bool
    text: str
    default: str


def rows(schema: Schema, components: Schemas, prefix: str = "") -> Iterator[Row]:
    """The fields of an object, those of objects in it after it."""
    schema = resolve(schema, components)
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield row(prefix + name, inner, name in required, components)
        whole = resolve(inner, components)
        if whole.get("type") == "array":
            yield from rows(whole["items"], components, f"{prefix}{name}[].")
        else:
            yield from rows(whole, components, f"{prefix}{name}.")


def row(name: str, schema: Schema, required: bool, components: Schemas) -> Row:
    whole = resolve(schema, components)
    text = schema.get("description") or whole.get("description", "")
    default = "" if schema.get("default") in (None, "", []) else _json(schema["default"])
    return Row(name, type_words(schema, components), required, text, default)


def resolve(schema: Schema, components: Schemas) -> Schema:
    """What ``schema`` refers to, if it refers to something."""
    return components[schema["$ref"].removeprefix(REF)] if "$ref" in schema else schema


def name(schema: Schema) -> str:
    """Of a component: ``Session``."""
    return str(schema["$ref"].removeprefix(REF))


def type_words(schema: Schema, components: Schemas) -> str:
    """``integer (1 or more) or null``, ``array of objects``, ``"ready" or "active"``."""
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
    """JSON for people: in one line if it is short."""
    line = _json(value)
    return line if len(line) <= ONE_LINE else json.dumps(value, ensure_ascii=False, indent=2)


def curl(verb: str, path: str, described: Schema, components: Schemas) -> str:
    """A command that calls an operation, with ``$CHAT`` and ``$TOKEN`` to be set."""
    parts = ["curl"] if verb == "get" else [f"curl -X {verb.upper()}"]
    needed = [
        each for each in described.get("parameters", ()) if each["in"] == "query" and each.get("required")
    ]
    query = urlencode({each["name"]: example_value(each["schema"], components) for each in needed})
    parts[0] += f' "$CHAT{re.sub(r"{[^}]*}", "1", path)}{"?" if query else ""}{query}"'
    if described["security"] and {} not in described["security"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in described:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        parts.append('-H "Content-Type: application/json"')
        parts.append(f"-d {shlex.quote(_json(example_value(schema, components, optional=False)))}")
    return " \\\n  ".join(parts)


def connect(address: str, query: Schema | None) -> str:
    """JavaScript that opens a socket, as HTML: the page puts its own origin where ``data-ws-origin`` is."""
    origin = "<span data-ws-origin>wss://chat.example.org</span>"
    if query is None:
        return f'const socket = new WebSocket("{origin}{address}");'
    needed = [name for name in query["required"] if name != "token"]
    parameters = "".join(f"&amp;{name}=${{{name}}}" for name in needed)
    return f"const socket = new WebSocket(`{origin}{address}?token=${{token}}{parameters}`);"


def inline(text: str) -> str:
    """A line of a description as HTML: `code`, and [links](/somewhere) within the site."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\[([^\]]+)\]\((/[^)\s\"]*)\)", r'<a href="\2">\1</a>', html)


def breakable(name: str) -> str:
    """A name as HTML that breaks between its words."""
    return re.sub(r"([_.\]])", r"\1<wbr>", escape(name))


def paragraphs(text: str) -> list[str]:
    return [part for part in text.split("\n\n") if part]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _limit(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if most is not None and most < 2**31:
        return f"{least} to {most}" if least is not None else f"at most {most}"
    if least is not None:
        return f"{least} or more"
    if longest is not None:
        return f"{shortest} to {longest} characters" if shortest else f"at most {longest} characters"
    return ""

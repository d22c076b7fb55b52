"""JSON schemas and examples from the structs of HTTP bodies, query parameters and frames."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tornado_chat.wire.kinds import FrameKind

Schema = dict[str, Any]

REF = "#/components/schemas/"


def schemas_of_types(types: Iterable[Any], prefix: str = "") -> dict[str, Schema]:
    """Return the schemas of ``types`` and of all nested types by name; references are to components.

    :arg prefix: put before each name, for documents with several sets of types.
    """
    _, components = msgspec.json.schema_components(types, ref_template=f"{REF}{prefix}{{name}}")
    return {f"{prefix}{name}": _plain(schema) for name, schema in components.items()}


def reference(type: type[msgspec.Struct], prefix: str = "") -> Schema:
    return {"$ref": f"{REF}{prefix}{type.__name__}"}


def schema_of_frame_kind(kind: FrameKind, prefix: str = "") -> Schema:
    """Return the schema of one kind of frame: the schema of its struct, narrowed to the keys of the kind."""
    struct_schema = schemas_of_types([kind.struct], prefix)[f"{prefix}{kind.struct.__name__}"]
    properties = {
        key: schema
        for key, schema in struct_schema["properties"].items()
        if not kind.keys or key in kind.keys
    }
    for key, type in kind.types.items():
        properties[key] = {"type": "null"} if type is None else reference(type, prefix)
    for key, value in kind.constant_keys.items():
        properties[key] = {**properties[key], "const": value}
        properties[key].pop("examples", None)
    required = {*struct_schema.get("required", ()), *kind.required, *kind.constant_keys}
    return {
        "type": "object",
        "properties": properties,
        "required": [key for key in properties if key in required],
    }


def referenced_structs(kinds: Iterable[FrameKind]) -> list[type[msgspec.Struct]]:
    """Return the structs that the schemas of ``kinds`` refer to, each once."""
    found: list[type[msgspec.Struct]] = []
    for kind in kinds:
        found += [payload for payload in kind.types.values() if payload is not None]
        for field in msgspec.structs.fields(kind.struct):
            found += _structs_in(field.type)
    return list(dict.fromkeys(found))


def example_value(schema: Schema, components: Mapping[str, Schema], *, optional: bool = True) -> Any:
    """Return a value that matches ``schema``, made from the examples in the schema.

    :arg optional: whether to include optional keys that have an example.
    """
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example_value(components[schema["$ref"].removeprefix(REF)], components, optional=optional)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example_value(schema["anyOf"][0], components, optional=optional)
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            return {
                key: example_value(inner, components, optional=optional)
                for key, inner in schema.get("properties", {}).items()
                if key in required or (optional and "examples" in inner)
            }
        case "array":
            return [example_value(schema["items"], components, optional=optional)]
        case "string":
            return "…"
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return None


def docstring_text(text: str) -> str:
    """Convert a docstring to a description.

    The lines of each paragraph are joined, code gets single backticks, and fields such as ``:raises …:`` are
    left out.
    """
    prose, _, _ = f"\n{inspect.cleandoc(text)}".partition("\n:")
    paragraphs = prose.strip().replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    match msgspec.inspect.type_info(hint) if not isinstance(hint, msgspec.inspect.Type) else hint:
        case msgspec.inspect.StructType(cls=cls):
            return [cls]
        case msgspec.inspect.Metadata(type=inner) | msgspec.inspect.ListType(item_type=inner):
            return _structs_in(inner)
        case msgspec.inspect.UnionType(types=several):
            return [found for inner in several for found in _structs_in(inner)]
    return []


def _plain(schema: Any) -> Any:
    """Return ``schema`` with plain descriptions, and without the titles, which only repeat names.

    In ``X | None``, the description and examples of ``X`` move to the union.
    """
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        key: docstring_text(value) if key == "description" and isinstance(value, str) else _plain(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
    members = result.get("anyOf")
    if isinstance(members, list) and len(members) == 2 and members[1] == {"type": "null"}:
        for key in ("description", "examples"):
            if key in members[0]:
                value = members[0].pop(key)
                result.setdefault(key, value)
    return result

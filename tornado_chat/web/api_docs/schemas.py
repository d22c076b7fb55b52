"""JSON schemas and examples from the structs of HTTP bodies, query parameters and frames."""

import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tornado_chat.web.api.ids import ID_SCHEMA, Id
from tornado_chat.web.api_docs.names import public_name
from tornado_chat.wire.kinds import FrameKind

Schema = dict[str, Any]

REF = "#/components/schemas/"


def components_of(types: Iterable[type[msgspec.Struct]], *, is_answer: bool = False) -> dict[str, Schema]:
    """Return the schemas of ``types`` and of all types inside them by their public names.

    A schema has no ``default``, because generators make a key with a default a required one; the description
    states the default.

    :arg is_answer: whether the server writes these types: then all keys that it always writes are required.
    """
    made = {}
    for type, schema in _schemas_of(types).items():
        for property in schema.get("properties", {}).values():
            _describe_default(property)
        if is_answer and issubclass(type, msgspec.Struct):
            written = _written_keys(type)
            schema["required"] = [key for key in schema["properties"] if key in written]
        made[public_name(type)] = schema
    return made


def query_schema(query: type[msgspec.Struct]) -> Schema:
    """Return the schema of query parameters. A parameter is never null: it is left out."""
    schema = _schemas_of([query])[query]
    for name, parameter in schema["properties"].items():
        members = [each for each in parameter.get("anyOf", ()) if each != {"type": "null"}]
        if len(members) == 1:
            del parameter["anyOf"]
            schema["properties"][name] = {**members[0], **parameter}
    return schema


def reference(type: type[msgspec.Struct]) -> Schema:
    return {"$ref": f"{REF}{public_name(type)}"}


def schema_of_frame_kind(kind: FrameKind) -> Schema:
    """Return the schema of one kind of frame: the schema of its struct, narrowed to the keys of the kind."""
    struct_schema = _schemas_of([kind.struct])[kind.struct]
    properties = {
        key: schema
        for key, schema in struct_schema["properties"].items()
        if not kind.keys or key in kind.keys
    }
    for key, type in kind.types.items():
        properties[key] = {"type": "null"} if type is None else reference(type)
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
    found: dict[type[msgspec.Struct], None] = {}
    for kind in kinds:
        found |= dict.fromkeys(payload for payload in kind.types.values() if payload is not None)
        hints = [field.type for field in msgspec.structs.fields(kind.struct)]
        found |= dict.fromkeys(_types_in(msgspec.inspect.multi_type_info(hints)))
    return list(found)


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


def _schemas_of(types: Iterable[type[msgspec.Struct]]) -> dict[type, Schema]:
    """Return the schemas of ``types`` and of all structs and enumerations inside them, by type.

    msgspec names the components by their classes, and by their modules where two have the same name. The
    references to all types show these names, which are replaced by the public ones.
    """
    found = _types_in(msgspec.inspect.multi_type_info(types))
    references, components = msgspec.json.schema_components(
        found, schema_hook=_schema_of_class, ref_template=f"{REF}{{name}}"
    )
    by_reference = {each["$ref"]: type for each, type in zip(references, found, strict=True)}
    return {
        type: _plain(components[reference.removeprefix(REF)], by_reference)
        for reference, type in by_reference.items()
    }


def _types_in(types: Iterable[msgspec.inspect.Type]) -> list[type]:
    """Return the structs and enumerations among ``types`` and inside them, each once."""
    found: dict[type, None] = {}
    waiting = list(types)
    for each in waiting:
        match each:
            case msgspec.inspect.StructType(cls=cls, fields=fields):
                if cls not in found:
                    waiting += [field.type for field in fields]
                found[cls] = None
            case msgspec.inspect.EnumType(cls=cls):
                found[cls] = None
            case msgspec.inspect.Metadata(type=inner) | msgspec.inspect.ListType(item_type=inner):
                waiting.append(inner)
            case msgspec.inspect.DictType(value_type=inner):
                waiting.append(inner)
            case msgspec.inspect.UnionType(types=several):
                waiting += several
    return list(found)


def _written_keys(struct: type[msgspec.Struct]) -> set[str]:
    """Return the keys that are always written for a struct: all that are never ``UNSET`` or omitted."""
    if struct.__struct_config__.omit_defaults:
        return {field.encode_name for field in msgspec.structs.fields(struct) if field.required}
    return {
        field.encode_name for field in msgspec.structs.fields(struct) if field.default is not msgspec.UNSET
    }


def _describe_default(schema: Schema) -> None:
    """Move the default of a property into its description."""
    default = schema.pop("default", None)
    if default not in (None, "", []):
        shown = json.dumps(default, ensure_ascii=False)
        schema["description"] = f"{schema.get('description', '')} Default: `{shown}`.".strip()


def _schema_of_class(cls: type) -> Schema:
    if cls is Id:
        return dict(ID_SCHEMA)
    raise NotImplementedError(cls.__name__)


def _plain(schema: Any, by_reference: Mapping[str, type]) -> Any:
    """Return ``schema`` with plain descriptions and public names.

    It has no titles, which only repeat names, and no default null, which says no more than that the key is
    optional. In ``X | None``, the description and examples of ``X`` move to the union.

    :arg by_reference: the types by the references to them.
    """
    if isinstance(schema, list):
        return [_plain(item, by_reference) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result: Schema = {}
    for key, value in schema.items():
        if key == "$ref" and value in by_reference:
            result[key] = f"{REF}{public_name(by_reference[value])}"
        elif key == "description" and isinstance(value, str):
            result[key] = docstring_text(value)
        elif not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None):
            result[key] = _plain(value, by_reference)
    members = result.get("anyOf")
    if isinstance(members, list) and len(members) == 2 and members[1] == {"type": "null"}:
        for key in ("description", "examples"):
            if key in members[0]:
                value = members[0].pop(key)
                result.setdefault(key, value)
    return result

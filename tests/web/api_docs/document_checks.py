"""Comparison of the server's answers with its own documents."""

import copy
from typing import Any

from jsonschema import Draft202012Validator


def problems(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Return the differences between ``value`` and ``schema``, in both directions."""
    components = document["components"]
    whole = {**closed(schema), "components": {"schemas": closed(components["schemas"])}}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)]


def closed(schema: Any) -> Any:
    """Return the schema with every object closed to additional keys."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in copy.copy(schema).items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made["additionalProperties"] = False
    return made

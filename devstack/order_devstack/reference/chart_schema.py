"""values.schema.json of a chart, from its values.yaml: editors show it, and Helm refuses what does not fit."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from order_devstack.reference.chart_values import Value, values_of
from order_devstack.reference.schema_parts import PARTS

_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}

_OF_A_PARENT = {
    "global": {"type": "object", "description": "What a chart above hands to all of its parts."},
    "enabled": {
        "type": "boolean",
        "description": "Read by a chart above, in whose Chart.yaml it is the condition of this part.",
    },
}
"""Helm gives these to a chart that is part of another, whether or not it knows them."""


def text(chart: Path) -> str:
    """The file as it should be."""
    values = values_of(chart)
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_block(values, partial=False)}
    schema["properties"] = {**_OF_A_PARENT, **schema["properties"]}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _block(values: Iterable[Value], *, partial: bool) -> dict[str, Any]:
    properties = {value.name: _schema(value, partial=partial) for value in values}
    required = [value.name for value in values if not partial and not _may_be_null(properties[value.name])]
    made: dict[str, Any] = {"type": "object", "additionalProperties": False}
    return {**made, **({"required": required} if required else {}), "properties": properties}


def _schema(value: Value, *, partial: bool) -> dict[str, Any]:
    said = dict(value.schema)
    partial = said.pop("partial", False) or partial
    part = said.pop("is", None)
    if part is not None:
        made = dict(PARTS[part])
    elif value.children:
        made = _block(value.children, partial=partial)
    elif isinstance(value.default, dict):
        made = {"type": "object"}
    elif value.default is None:
        made = {}
    else:
        made = {"type": _TYPES[type(value.default)]}
    if "enum" in said:
        made.pop("type", None)
    if "additionalProperties" in said and not said.get("required"):
        made.pop("required", None)
    described = {"description": value.meaning.replace("`", "")} if value.meaning else {}
    return {**described, **made, **said}


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    """Helm takes a key away whose value is null."""
    kind = schema.get("type")
    return "null" in kind if isinstance(kind, list) else kind is None and "enum" not in schema

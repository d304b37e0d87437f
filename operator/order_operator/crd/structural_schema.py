"""From a pydantic model to the structural schema that a CustomResourceDefinition demands.

Whatever has no structural form is refused, so that a model cannot promise what the API server would not hold: unions,
tuples, free-form objects, unbounded strings and lists, durations, recursion. A field that may be None becomes an
optional field that is not `nullable`: in a create or update the API server drops an explicit null there, which is what
None means. A server-side apply with a null is refused, so whoever applies leaves None out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from order_operator.crd.text_rules import TEXT_RULES

Schema = dict[str, Any]

_KEPT = frozenset(
    "type description default enum minLength maxLength pattern minimum maximum minItems maxItems required".split()
)
_HANDLED = frozenset(
    "title $ref anyOf const format exclusiveMinimum exclusiveMaximum uniqueItems "
    "items properties additionalProperties propertyNames".split()
)
_SCALARS = frozenset({"string", "integer", "boolean"})


class NotStructuralError(ValueError):
    """The model says something that a structural schema cannot say."""


@dataclass(frozen=True, kw_only=True)
class Leniency:
    """What the converter fills in instead of refusing. The schema of what users write needs none."""

    max_length: int | None = None
    """For strings without a bound of their own, in characters."""
    defaults: bool = True
    """False leaves defaults out, so that the server stores exactly what was written."""
    forms: bool = True
    """False leaves out what a text must look like: an order that an earlier release accepted has a status, too."""


def structural_schema(model: type[BaseModel], leniency: Leniency | None = None) -> Schema:
    """The structural schema of `model` as it reads JSON. Raises NotStructuralError."""
    document = model.model_json_schema(mode="validation")
    converter = _Converter(document.pop("$defs", {}), leniency or Leniency())
    return converter.convert(document, model.__name__, ())


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema], leniency: Leniency) -> None:
        self._definitions = definitions
        self._leniency = leniency

    def convert(self, source: Schema, path: str, inside: tuple[str, ...]) -> Schema:
        source, inside = self._resolve(source, path, inside)
        if unknown := source.keys() - _KEPT - _HANDLED:
            raise NotStructuralError(f"{path}: no structural form for {', '.join(sorted(unknown))}")
        kind = source.get("type")
        node = {key: value for key, value in source.items() if key in _KEPT}
        if "default" in node:
            node["default"] = _without_nulls(node["default"])
            if node["default"] is None or not self._leniency.defaults:
                del node["default"]
        if "const" in source:
            node["enum"] = [source["const"]]
        if kind == "object":
            self._object(source, node, path, inside)
        elif kind == "array":
            self._array(source, node, path, inside)
        elif kind in _SCALARS:
            self._scalar(source, node, path)
        else:
            raise NotStructuralError(f"{path}: no structural form for type {kind}")
        return node

    def _resolve(self, source: Schema, path: str, inside: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Inlines references and unwraps `X | None`; what stands beside a reference wins over what it refers to."""
        while "$ref" in source or "anyOf" in source:
            source = dict(source)
            if "anyOf" in source:
                variants = [variant for variant in source.pop("anyOf") if variant != {"type": "null"}]
                if len(variants) != 1:
                    raise NotStructuralError(f"{path}: a union of {len(variants)} types has no structural form")
                source = variants[0] | source
            else:
                name = source.pop("$ref").removeprefix("#/$defs/")
                if name in inside:
                    raise NotStructuralError(f"{path}: {name} contains itself")
                inside = (*inside, name)
                source = self._definitions[name] | source
        return source, inside

    def _object(self, source: Schema, node: Schema, path: str, inside: tuple[str, ...]) -> None:
        properties, extra = source.get("properties"), source.get("additionalProperties")
        if properties and extra is None:
            node["properties"] = {
                name: self.convert(value, f"{path}.{name}", inside) for name, value in properties.items()
            }
        elif isinstance(extra, dict) and not properties:
            names = self._resolve(source.get("propertyNames", {}), path, inside)[0].get("enum")
            if not names:
                raise NotStructuralError(f"{path}: a mapping needs an enumeration as its key type, which bounds it")
            node["additionalProperties"] = self.convert(extra, f"{path}.*", inside)
            node["maxProperties"] = len(names)
            node["x-kubernetes-validations"] = [
                {"rule": f"self.all(key, key in {names})", "message": f"unknown key: use {', '.join(names)}"}
            ]
        else:
            raise NotStructuralError(f"{path}: an object has either named fields or values of one type")

    def _array(self, source: Schema, node: Schema, path: str, inside: tuple[str, ...]) -> None:
        if "items" not in source:
            raise NotStructuralError(f"{path}: the list does not say of what")
        if "maxItems" not in source:
            raise NotStructuralError(f"{path}: the list has no upper bound")
        node["items"] = self.convert(source["items"], f"{path}[]", inside)
        if source.get("uniqueItems"):
            node["x-kubernetes-list-type"] = "set"

    def _scalar(self, source: Schema, node: Schema, path: str) -> None:
        if source["type"] == "integer":
            node["format"] = "int64"
            if "exclusiveMinimum" in source:
                node["minimum"] = source["exclusiveMinimum"] + 1
            if "exclusiveMaximum" in source:
                node["maximum"] = source["exclusiveMaximum"] - 1
        elif source.get("format") == "date-time":
            node["format"] = "date-time"
        elif source.get("format") in TEXT_RULES:
            if self._leniency.forms:
                rules = TEXT_RULES[source["format"]]
                node["x-kubernetes-validations"] = [{"rule": each.rule, "message": each.message} for each in rules]
        elif "format" in source:
            raise NotStructuralError(f"{path}: the API server reads format {source['format']} in its own way")
        elif source["type"] == "string" and "enum" not in node and "maxLength" not in source:
            if self._leniency.max_length is None:
                raise NotStructuralError(f"{path}: the string has no upper bound")
            node["maxLength"] = self._leniency.max_length


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value

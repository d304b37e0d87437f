"""The resource kinds, as generated from the models: `python -m order_operator.crd [--check]`.

Types, bounds and descriptions come from the pydantic models. What a type cannot say stands here as data: CEL rules
(a message always says what to do), list keys, printer columns, selectable fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from order_operator.cluster.api_names import GROUP, VERSION
from order_operator.crd.structural_schema import Leniency, Schema, structural_schema

CATEGORY = "order-platform"

MAX_STATUS_STRING = 1024
"""Bound of status strings without one of their own; with the bounded lists it keeps a status below 256 KiB."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One CEL rule (`x-kubernetes-validations`)."""

    at: str
    """Path of the schema node that is `self`, for example `spec.approval`; empty for the whole resource, `*` for every
    value of a mapping, `[]` for every entry of a list."""
    rule: str
    message: str
    """What is wrong and what to do, for a person."""
    field: str | None = None
    """Path below `at` that the error names, when it is not `at` itself."""
    reason: Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"] = "FieldValueInvalid"

    def render(self) -> Schema:
        """The rule as the API spells it."""
        path = {"fieldPath": f".{self.field}"} if self.field else {}
        return {"rule": self.rule, "message": self.message, **path, "reason": self.reason}


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False
    """True shows it with `-o wide` only."""

    def render(self) -> Schema:
        """The column as the API spells it."""
        return {"name": self.name, "type": self.type, "jsonPath": self.path} | ({"priority": 1} if self.wide else {})


def fixed(
    field: str,
    once: str = "once the order exists: cancel or delete this order and create another",
    *,
    optional: bool = False,
) -> Rule:
    message = f"{field} is fixed {once}"
    if optional:
        rule = same(field, optional=True)
        return Rule(at="spec", rule=rule, message=message, field=field, reason="FieldValueForbidden")
    return Rule(at=f"spec.{field}", rule="self == oldSelf", message=message, reason="FieldValueForbidden")


def same(field: str, *, optional: bool = False) -> str:
    """CEL for: `field` is as it was."""
    if not optional:
        return f"self.{field} == oldSelf.{field}"
    # Added and removed counts as changed too, which a rule on the field itself would not see.
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


def status_schema(model: type[BaseModel]) -> Schema:
    status = structural_schema(model, Leniency(max_length=MAX_STATUS_STRING, defaults=False, forms=False))
    # One writer replaces the whole: as atoms they cost one entry in managedFields instead of one per field or key.
    for name, node in status["properties"].items():
        if node["type"] == "object":
            status["properties"][name] = node | {"x-kubernetes-map-type": "atomic"}
    status["properties"]["conditions"] |= {"x-kubernetes-list-type": "atomic"}
    return status


def resource(description: str, *, spec: Schema, status: Schema | None = None) -> Schema:
    parts = {"spec": spec} | ({"status": status} if status else {})
    return {"description": description, "type": "object", "required": ["spec"], "properties": parts}


def definition(
    *,
    kind: str,
    plural: str,
    short_name: str,
    scope: Literal["Namespaced", "Cluster"],
    schema: Schema,
    columns: Sequence[Column],
    selectable: Sequence[str] = (),
) -> Schema:
    version: Schema = {"name": VERSION, "served": True, "storage": True}
    if "status" in schema["properties"]:
        version["subresources"] = {"status": {}}
    version["additionalPrinterColumns"] = [column.render() for column in columns]
    if selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    version["schema"] = {"openAPIV3Schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def _node(schema: Schema, path: str) -> Schema:
    for name in path.split(".") if path else ():
        if name == "*":
            schema = schema["additionalProperties"]
        elif name == "[]":
            schema = schema["items"]
        else:
            schema = schema["properties"][name]
    return schema


def list_map(schema: Schema, path: str, key: str) -> None:
    _node(schema, path).update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})


def with_rules(schema: Schema, rules: Sequence[Rule]) -> Schema:
    for rule in rules:
        _node(schema, rule.at).setdefault("x-kubernetes-validations", []).append(rule.render())
    return schema

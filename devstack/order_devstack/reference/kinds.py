"""The reference of the three kinds: every field of their CRDs with type, bounds and meaning."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from order_devstack.reference.markdown import page, plain, table
from order_operator.crd.order import order_crd
from order_operator.crd.order_class import order_class_crd
from order_operator.crd.stock_item import stock_item_crd

Node = Mapping[str, Any]

_SHORT = 60
"""Characters of a pattern, or values of an enum, up to which it is shown. The CRD has the others."""


def text() -> str:
    """The page as it should be."""
    return page("Kinds", _lines())


def _lines() -> Iterator[str]:
    yield "`kubectl explain ord`, `kubectl explain oclass` and `kubectl explain stock` say the same of the fields. A"
    yield "field in bold is required. In a path `[]` stands for each entry of a list and `*` for each key.\n"
    for crd in (order_crd(), order_class_crd(), stock_item_crd()):
        yield from _kind(crd)


def _kind(crd: Node) -> Iterator[str]:
    names, [version] = crd["spec"]["names"], crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    yield f"## {names['kind']}\n"
    yield f"{plain(schema['description'])}\n"
    scope = "namespaced" if crd["spec"]["scope"] == "Namespaced" else "cluster-scoped"
    yield f"`{crd['spec']['group']}/{version['name']}`, {scope}, short name `{names['shortNames'][0]}`.\n"
    if selectable := version.get("selectableFields"):
        fields = ", ".join(f"`{field['jsonPath'].removeprefix('.')}`" for field in selectable)
        yield f"`kubectl get {names['shortNames'][0]} --field-selector` takes {fields}.\n"
    for part in ("spec", "status"):
        if node := schema["properties"].get(part):
            yield f"### {part} of {_article(names['kind'])} {names['kind']}\n"
            yield from table(("field", "type", "bounds", "default", "meaning"), _fields(node, part))
    yield f"### Rules of {_article(names['kind'])} {names['kind']}\n"
    yield "The API server refuses what breaks one of these.\n"
    yield from (f"- {rule}" for rule in sorted(set(_rules(schema))))
    yield ""


def _article(kind: str) -> str:
    return "an" if kind[0] in "AEIOU" else "a"


def _fields(node: Node, path: str) -> Iterator[tuple[str, str, str, str, str]]:
    required = node.get("required", ())
    for name, field in node.get("properties", {}).items():
        below = f"{path}.{name}"
        shown = f"**`{below}`**" if name in required else f"`{below}`"
        default = f"`{_json(field['default'])}`" if "default" in field and not field.get("properties") else ""
        yield shown, _type(field), ", ".join(_bounds(field)), default, plain(field.get("description", ""))
        yield from _fields(field, below)
        yield from _fields(field.get("items", {}), f"{below}[]")
        if isinstance(values := field.get("additionalProperties"), Mapping):
            yield from _fields(values, f"{below}.*")


def _json(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(field: Node) -> str:
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    return "map" if "additionalProperties" in field else str(field["type"])


_RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"),
    ("minProperties", "maxProperties", " keys"),
)


def _bounds(field: Node) -> Iterator[str]:
    for lower, upper, unit in _RANGES:
        least, most = field.get(lower), field.get(upper)
        if least is not None and most is not None:
            yield f"{least}{unit}" if least == most else f"{least} to {most}{unit}"
        elif most is not None:
            yield f"at most {most}{unit}"
        elif least is not None:
            yield f"at least {least}{unit}"
    if field.get("format") == "date-time":
        yield "RFC 3339"
    if values := field.get("enum", field.get("items", {}).get("enum")):
        yield " ".join(f"`{value}`" for value in values) if len(values) < _SHORT else f"one of {len(values)} codes"
    if (pattern := field.get("pattern")) and len(pattern) <= _SHORT:
        yield f"`{pattern}`"


def _rules(node: Node) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield plain(re.sub(r"\s+", " ", rule["message"]))
    for child in node.get("properties", {}).values():
        yield from _rules(child)
    for key in ("items", "additionalProperties"):
        if isinstance(child := node.get(key), Mapping):
            yield from _rules(child)

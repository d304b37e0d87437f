"""Whether the kinds that a cluster serves are recent enough for this release.

Nothing is asked of order, descriptions, defaults, rules and columns, so that whatever the API server adds or a newer
release has beside it is fine. What counts is what would be lost or refused without a word to the user.
"""

from collections.abc import Mapping

from order_operator.crd.structural_schema import Schema

_UPPER_BOUNDS = ("maxLength", "maxItems", "maxProperties", "maximum")


def established(live: Schema) -> bool:
    """Whether the API server already serves the kind of this CustomResourceDefinition."""
    conditions = live.get("status", {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def lacking(live: Schema, wanted: Schema) -> str | None:
    """What the CustomResourceDefinition `live` lacks of `wanted`: the first of it, None if nothing.

    A field that it does not have is dropped from whatever is written. Below `status`, which the operator writes, a
    value that it does not take is refused, and every later status of that object with it.
    """
    versions = {version["name"]: version for version in live["spec"]["versions"] if version["served"]}
    for version in wanted["spec"]["versions"]:
        name = version["name"]
        if name not in versions:
            return f"the served version {name}"
        found = _first(_schema(versions[name]), _schema(version), "", written=False)
        if found is not None:
            return found
    return None


def _schema(version: Schema) -> Schema:
    schema: Schema = version.get("schema", {}).get("openAPIV3Schema", {})
    return schema


def _first(live: Schema, wanted: Schema, path: str, *, written: bool) -> str | None:
    if written and (narrower := _narrower(live, wanted)):
        return f"{path} with {narrower}"
    if live.get("x-kubernetes-preserve-unknown-fields"):
        return None
    for step, node in _below(wanted).items():
        at = f"{path}.{step}" if path and step != "[]" else f"{path}{step}"
        there = _below(live).get(step)
        if there is None:
            return at
        found = _first(there, node, at, written=written or at == "status")
        if found is not None:
            return found
    return None


def _below(node: Schema) -> Mapping[str, Schema]:
    """The nodes below one, by the step that leads to them: a field, `[]` for entries, `*` for values of a mapping."""
    entries = {"[]": node.get("items"), "*": node.get("additionalProperties")}
    return {**node.get("properties", {}), **{step: found for step, found in entries.items() if isinstance(found, dict)}}


def _narrower(live: Schema, wanted: Schema) -> str | None:
    """A value that `wanted` takes and `live` does not."""
    if "enum" in live:
        for value in wanted.get("enum", ()):
            if value not in live["enum"]:
                return f"the value {value}"
    for bound in _UPPER_BOUNDS:
        if bound in live and bound in wanted and live[bound] < wanted[bound]:
            return f"{bound} {wanted[bound]}"
    return None

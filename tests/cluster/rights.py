"""What the operator may do, and what it did: grants and requests as `verb group/resource name`."""

import json
from collections.abc import Iterable
from typing import Any

from installation import NAMESPACE, OPERATOR

from order_devstack.cluster.cluster import Cluster

ASKED_BY_POLICIES = "reflect"
"""No request has this verb: the admission policies ask whether somebody holds it."""


def granted(node: Cluster) -> dict[str, set[str]]:
    """Namespace, or `*` -> what the operator's account may do there."""
    found: dict[str, set[str]] = {}
    for binding in _items(node, "clusterrolebindings,rolebindings"):
        if not any(_is_operator(subject) for subject in binding.get("subjects", [])):
            continue
        where = binding["metadata"].get("namespace", "*")
        reference = binding["roleRef"]
        arguments = ("--namespace", where) if reference["kind"] == "Role" else ()
        role = json.loads(node.kubectl("get", reference["kind"], reference["name"], *arguments, "--output=json"))
        found.setdefault(where, set()).update(right for rule in role["rules"] for right in _rights(rule))
    return found


def used(requests: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    """Namespace of the object, or empty, and `verb group/resource name` of each request of the operator's account."""
    found = set()
    for request in requests:
        reference = request.get("objectRef")
        if not request["user"]["username"].endswith(f":{OPERATOR}") or reference is None:
            continue
        resource = reference["resource"] + (f"/{reference['subresource']}" if "subresource" in reference else "")
        right = f"{request['verb']} {reference.get('apiGroup', '')}/{resource}"
        found.add((reference.get("namespace", ""), f"{right} {reference.get('name', '')}".strip()))
    return found


def refused(requests: Iterable[dict[str, Any]]) -> list[str]:
    """Requests for which the account had no right."""
    return [
        f"{request['user']['username']} {request['verb']} {request['requestURI']}"
        for request in requests
        if request.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
    ]


def _rights(rule: dict[str, Any]) -> Iterable[str]:
    for verb in rule["verbs"]:
        for group in rule.get("apiGroups", []):
            for resource in rule.get("resources", []):
                for name in rule.get("resourceNames", [""]):
                    yield f"{verb} {group}/{resource} {name}".strip()


def _is_operator(subject: dict[str, Any]) -> bool:
    return (subject["kind"], subject.get("namespace"), subject["name"]) == ("ServiceAccount", NAMESPACE, OPERATOR)


def _items(node: Cluster, kinds: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(node.kubectl("get", kinds, "--all-namespaces", "--output=json"))["items"]
    return items

"""Who the caller is, what they may do, and who else may."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from order_cli.kubectl import Json, Kubectl
from order_cli.order import Order, visible
from order_cli.problems import CommandError, NotAllowed
from order_cli.vocabulary import APPROVE, CLASSES, GROUP

ROLES = "rolebindings,roles,clusterrolebindings,clusterroles"
_WHO = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}

Right = tuple[str, str, str]
"""Namespace, verb on orders, and the order; with an empty name of all orders there."""


def me(kubectl: Kubectl) -> str:
    """The name that the API server knows the caller by."""
    return str(kubectl.json("auth", "whoami")["status"]["userInfo"]["username"])


def allowed(kubectl: Kubectl, rights: Iterable[Right]) -> Mapping[Right, bool]:
    """Which of them the caller has: all asked by one call."""
    asked = sorted(set(rights))
    if not asked:
        return {}
    return _allowed(asked, _created(kubectl, [_review(*right) for right in asked]))


def me_and_allowed(kubectl: Kubectl, rights: Iterable[Right]) -> tuple[str, Mapping[Right, bool]]:
    """Both by one call: each is a process that takes longer than the API server's answer."""
    asked = sorted(set(rights))
    who, *answers = _created(kubectl, [_WHO, *(_review(*right) for right in asked)])
    return str(who["status"]["userInfo"]["username"]), _allowed(asked, answers)


def _created(kubectl: Kubectl, reviews: Sequence[Json]) -> list[Json]:
    text = "\n".join(map(json.dumps, reviews))
    return kubectl.objects("create", "--validate=false", "--filename=-", text=text)


def _allowed(asked: Sequence[Right], answers: Sequence[Json]) -> Mapping[Right, bool]:
    return {right: bool(answer.get("status", {}).get("allowed")) for right, answer in zip(asked, answers, strict=True)}


def _review(namespace: str, verb: str, name: str) -> Json:
    resource = {"namespace": namespace, "verb": verb, "group": GROUP, "resource": "orders"}
    resource |= {"name": name} if name else {}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": resource},
    }


def needed(order: Order) -> str:
    """The verb that an approval of the order takes."""
    return str(order.approval.get("requires") or APPROVE)


def holders(kubectl: Kubectl, namespace: str, verb: str) -> list[str] | None:
    """Who may do this in the namespace by a Role or ClusterRole; None where the caller may not look."""
    try:
        found = kubectl.json("get", ROLES, namespace=namespace).get("items", [])
    except CommandError:
        return None
    granting = {(item["kind"], item["metadata"]["name"]) for item in found if _grants(item, verb)}
    names: list[str] = []
    for item in found:
        reference = item.get("roleRef")
        if reference is None or (reference["kind"], reference["name"]) not in granting:
            continue
        names += [_subject(subject) for subject in item.get("subjects") or [] if _is_a_person(subject)]
    return sorted(set(names))


def _grants(role: Mapping[str, Any], verb: str) -> bool:
    return any(
        {GROUP, "*"} & set(rule.get("apiGroups", []))
        and {"orders", "*"} & set(rule.get("resources", []))
        and {verb, "*"} & set(rule.get("verbs", []))
        for rule in role.get("rules") or []
    )


def _is_a_person(subject: Mapping[str, Any]) -> bool:
    return not str(subject.get("name", "")).startswith("system:") and subject.get("kind") != "ServiceAccount"


def _subject(subject: Mapping[str, Any]) -> str:
    name = visible(subject.get("name", ""))
    return f"group {name}" if subject.get("kind") == "Group" else name


def four_eyes(classes: Mapping[str, Json], order: Order) -> bool:
    """Whether who ordered or edited may not decide, as far as the class can be read."""
    return bool(approval_policy(classes, order).get("fourEyes"))


def approval_policy(classes: Mapping[str, Json], order: Order) -> Mapping[str, Any]:
    """`spec.approval` of the order's class; empty where it cannot be read, or was edited since the order began."""
    found = classes.get(order.class_name, {})
    known = order.status.get("classGeneration")
    if known is not None and found.get("metadata", {}).get("generation") != known:
        return {}
    policy: Mapping[str, Any] = found.get("spec", {}).get("approval") or {}
    return policy


def classes_by_name(kubectl: Kubectl) -> dict[str, Json]:
    """All classes; empty where the caller may not read them."""
    try:
        return {item["metadata"]["name"]: item for item in kubectl.json("get", CLASSES).get("items", [])}
    except NotAllowed:
        return {}


def own(order: Order, name: str) -> str | None:
    """`requested`, or `edited`, where the named person did that to the order."""
    if order.requested_by == name:
        return "requested"
    return "edited" if order.edited_by == name else None


def whom_to_ask(kubectl: Kubectl, order: Order, verb: str, but: Sequence[str]) -> str:
    """`Ask bob or carla.`"""
    known = [name for name in holders(kubectl, order.namespace, verb) or [] if name not in but]
    if not known:
        return f"Ask somebody who has the verb {verb} in {order.namespace}."
    return f"Ask {' or '.join(known)}."

"""Who may do what to an order: every kind of caller does everything to orders in every state. The API server's answers
are compared with a table of rules that knows nothing of the policies."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from access import APPLY, MERGE, Answer, APIServer, Body, Caller
from ordering_rights import (
    ADMIN,
    APPROVER,
    CANCELLER,
    CLERK,
    DIRECTOR,
    FOUR_EYES,
    GATEWAY,
    LEAD,
    MANAGER,
    OPERATOR,
    STANDARD,
    TIERED,
    UNGATED,
    VIEWER,
    Shop,
    order,
    spec,
)

EDITS = {"create", "update", "patch", "use"}
DECIDES = {"patch", "approve", "reject"}
HOLDS: Mapping[Caller, set[str]] = {
    VIEWER: set(),
    CLERK: EDITS,
    APPROVER: DECIDES,
    DIRECTOR: {*DECIDES, "approve-high"},
    CANCELLER: {"patch", "cancel", "delete"},
    MANAGER: EDITS | DECIDES,
    LEAD: EDITS | DECIDES | {"approve-high"},
    GATEWAY: {*EDITS, "request-for"},
    ADMIN: {"patch", "retry", "adopt", "reflect"},
    OPERATOR: {"patch", "delete", "reflect", "status"},
}
"""The verbs of each caller; `use` is that of every class but the one without a gate."""

CLASSES = (STANDARD, TIERED, FOUR_EYES)
PHASES = ("new", "waiting", "edited", "finished")


@dataclass(frozen=True)
class Request:
    """What is sent about an order."""

    method: str
    body: Body | None = None
    content: str = MERGE
    under: str = ""


Action = Callable[[Caller, Mapping[str, Any]], Request]
"""Of a caller, and of the order as it is."""


def patch(**changes: Any) -> Request:
    return Request("PATCH", changes)


def decide(decision: str, by: str | None, **others: Any) -> Request:
    approval = {"decision": decision, **({"by": by} if by is not None else {})}
    return patch(spec={"approval": approval, **others})


def put_address(_: Caller, found: Mapping[str, Any]) -> Request:
    address = {**found["spec"]["shippingAddress"], "city": "Boston"}
    body = {**found, "spec": {**found["spec"], "shippingAddress": address}}
    return Request("PUT", body, content="application/json")


def apply_address(_: Caller, found: Mapping[str, Any]) -> Request:
    address = {**found["spec"]["shippingAddress"], "city": "Boston"}
    body = order(found["metadata"]["name"], {"shippingAddress": address})
    return Request("PATCH", body, content=APPLY, under="?fieldManager=gitops&force=true")


def put_status(_: Caller, found: Mapping[str, Any]) -> Request:
    return Request("PUT", {**found, "status": {"phase": "Completed"}}, content="application/json", under="/status")


BOSTON = {"city": "Boston"}
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "6b1f8b2c-0000-4000-8000-000000000000"}

ON_ORDERS: Mapping[str, Action] = {
    "approve": lambda me, _: decide("Approved", me.name),
    "approve without a name": lambda _, __: decide("Approved", None),
    "approve in another name": lambda _, __: decide("Approved", "the-ceo"),
    "reject": lambda me, _: decide("Rejected", me.name),
    "cancel": lambda _, __: patch(spec={"cancellation": {"reason": "changed my mind"}}),
    "cancel in another name": lambda _, __: patch(spec={"cancellation": {"by": "the-ceo"}}),
    "retry": lambda _, __: patch(spec={"retry": 1}),
    "take a workflow over": lambda _, __: patch(spec={"adoptFrom": "another-cluster"}),
    "change the address": lambda _, __: patch(spec={"shippingAddress": BOSTON}),
    "suspend": lambda _, __: patch(spec={"suspend": True}),
    "edit in another name": lambda _, __: patch(spec={"shippingAddress": BOSTON, "editedBy": "the-ceo"}),
    "edit and approve": lambda me, _: decide("Approved", me.name, shippingAddress=BOSTON, editedBy=me.name),
    "change the requester": lambda me, _: patch(spec={"requestedBy": me.name + "-other"}),
    "label": lambda _, __: patch(metadata={"labels": {"team": "blue"}}),
    "annotate": lambda _, __: patch(metadata={"annotations": {"team": "blue"}}),
    "own": lambda _, __: patch(metadata={"ownerReferences": [OWNER]}),
    "hold by a finalizer": lambda _, __: patch(metadata={"finalizers": ["example.org/other"]}),
    "hold by the operator's finalizer": lambda _, __: patch(
        metadata={"finalizers": ["order-platform.dev/compensation"]}
    ),
    "replace": put_address,
    "apply by force": apply_address,
    "write the status": put_status,
    "delete": lambda _, __: Request("DELETE"),
}

CREATIONS: Mapping[str, Callable[[Caller, str], dict[str, Any]]] = {
    "order": lambda me, name: spec(name, requestedBy=me.name),
    "order without a name": lambda _, name: spec(name),
    "order in another name": lambda _, name: spec(name, requestedBy="the-ceo"),
    "order and approve": lambda me, name: spec(
        name, requestedBy=me.name, approval={"decision": "Approved", "by": me.name}
    ),
    "order and take a workflow over": lambda me, name: spec(name, requestedBy=me.name, adoptFrom="another-cluster"),
    "order without a gate": lambda me, _: spec(UNGATED, requestedBy=me.name),
}

EDITING = {"change the address", "edit in another name", "edit and approve", "replace", "apply by force"}
"""Actions that change what is ordered: the schema refuses them once an order is finished."""


def expected(me: Caller, action: str, order_class: str, phase: str, *, policies: bool) -> int:
    """The HTTP status that the rules of docs/security.md want."""
    holds = HOLDS[me]
    if not by_rbac(action) <= holds:
        return 403
    if action == "change the requester" or (phase == "finished" and action in EDITING):
        return 422
    if not policies:
        return 422 if action == "approve without a name" else 200
    return 200 if wanted(me, action, order_class, phase) <= holds else 403


def by_rbac(action: str) -> set[str]:
    """The verb that the API server asks for, whatever the policies say."""
    special = {"delete": "delete", "replace": "update", "write the status": "status"}
    return {"create" if action in CREATIONS else special.get(action, "patch")}


NOBODY = {"a verb that nobody holds"}

WANTED: Mapping[str, set[str]] = {
    "approve in another name": NOBODY,
    "cancel": {"cancel"},
    "cancel in another name": NOBODY,
    "retry": {"retry"},
    "take a workflow over": {"adopt"},
    "change the address": {"update"},
    "suspend": {"update"},
    "edit in another name": {"update", "request-for"},
    "edit and approve": {"update", "approve-high"},
    "label": {"update"},
    "annotate": {"update"},
    "own": {"update", "delete"},
    "hold by a finalizer": {"update"},
    "hold by the operator's finalizer": {"reflect"},
    "replace": {"update"},
    "apply by force": {"update"},
    "write the status": {"reflect"},
    "delete": set(),
    "order": {"use"},
    "order without a name": {"use"},
    "order in another name": {"use", "request-for"},
    "order and approve": {"use", "approve-high"},
    "order and take a workflow over": {"use", "adopt"},
    "order without a gate": NOBODY,
    "reject": {"reject"},
}
"""The verbs that a policy wants for it."""

NEVER_WITH_FOUR_EYES = {"order without a name", "order and approve", "edit and approve"}


def wanted(me: Caller, action: str, order_class: str, phase: str) -> set[str]:
    """The same, where it is not always the same."""
    if order_class == FOUR_EYES and action in NEVER_WITH_FOUR_EYES:
        return NOBODY
    if action in ("approve", "approve without a name", "reject"):
        its_own = me == MANAGER or (me == LEAD and phase == "edited")
        if order_class == FOUR_EYES and its_own:
            return NOBODY
    if action in ("approve", "approve without a name"):
        # What a decision needs is known while the order waits, but neither before nor after an edit not yet seen.
        known = phase in ("waiting", "finished") and order_class != TIERED
        return {"approve"} if known else {"approve-high"}
    return WANTED[action]


@pytest.fixture(scope="module")
def shops(api_server: APIServer) -> Mapping[bool, Shop]:
    """One with policies, one without; in each an order of every class in every phase."""
    labels = {True: {"order-platform.dev/policies": "enforced"}, False: {}}
    shops = {policies: Shop(api_server, f"who-may-{policies}".lower(), labels[policies]) for policies in labels}
    for shop, order_class, phase in itertools.product(shops.values(), CLASSES, PHASES):
        name = f"{order_class}-{phase}"
        shop.place(name, order_class, edited_by=LEAD.name if phase == "edited" else None)
        requires = "approve-high" if order_class == TIERED else "approve"
        if phase == "finished":
            finished = {"type": "Finished", "status": "True", "reason": "Completed"}
            condition = {**finished, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            shop.show(name, requires=requires, phase="Completed", conditions=[condition])
        elif phase != "new":
            shop.show(name, requires=requires)
    return shops


@pytest.mark.parametrize("policies", [True, False], ids=["policies", "no policies"])
@pytest.mark.parametrize("me", HOLDS, ids=lambda caller: caller.name.rsplit(":", 1)[-1])
def test_everybody_may_do_what_their_verbs_say_and_nothing_else(
    shops: Mapping[bool, Shop], me: Caller, policies: bool
) -> None:
    shop = shops[policies]
    wrong = []

    def compare(action: str, order_class: str, phase: str, answer: Answer) -> None:
        code = expected(me, action, order_class, phase, policies=policies)
        if (200 if answer.code == 201 else answer.code) != code:
            wrong.append(f"{action}, {order_class}, {phase}: wanted {code}, was {answer}")

    for order_class, (action, creation) in itertools.product(CLASSES, CREATIONS.items()):
        body = order("tried", creation(me, order_class))
        compare(action, order_class, "", shop.server.send(me, "POST", shop.path(), body, dry_run=True))
    # Without policies nothing but the schema looks at the state of an order.
    phases = PHASES if policies else ("waiting", "finished")
    for order_class, phase in itertools.product(CLASSES, phases):
        found = shop.read(f"{order_class}-{phase}")
        path = shop.path(found["metadata"]["name"])
        for action, asks in ON_ORDERS.items():
            it = asks(me, found)
            answer = shop.server.send(me, it.method, path + it.under, it.body, content=it.content, dry_run=True)
            compare(action, order_class, phase, answer)

    assert wrong == []

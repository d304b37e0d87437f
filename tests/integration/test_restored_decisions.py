"""A backup tool brings back orders that people had decided about, under the admission policies."""

from collections.abc import Mapping
from typing import Any

import pytest
from access import MERGE, Answer, APIServer, Caller
from ordering_rights import CLERK, FOUR_EYES, LEAD, MANAGER, STANDARD, Shop, bind, order, role, spec

RESTORER = Caller.service_account("velero", "velero")
VELERO, ANY_TOOL = {"velero.io/restore-name": "today"}, {"order-platform.dev/restored": "true"}
APPROVED = {"decision": "Approved", "by": "director", "totalMinor": 150_000}
DECIDED: Mapping[str, Mapping[str, Any]] = {
    "approved": {"approval": APPROVED},
    "rejected": {"approval": {"decision": "Rejected", "by": "director"}},
    "cancelled": {"cancellation": {"by": "ana", "reason": "changed my mind"}},
    "tried again": {"retry": 2},
    "edited": {"editedBy": "bob"},
}


@pytest.fixture(scope="module")
def shop(api_server: APIServer) -> Shop:
    rules = [
        {"resources": ["orders"], "verbs": ["create", "restore"]},
        {"resources": ["orderclasses"], "verbs": ["use"]},
    ]
    role(api_server, "restorer", rules)
    bind(api_server, "restorer", RESTORER)
    return Shop(api_server, "restored-decisions", {"order-platform.dev/policies": "enforced"})


def restored(
    shop: Shop,
    me: Caller = RESTORER,
    order_class: str = STANDARD,
    labels: Mapping[str, str] = VELERO,
    **fields: Any,
) -> Answer:
    """What the API server says to an order that somebody else has ordered, and that has these fields."""
    body = spec(order_class, **{"requestedBy": MANAGER.name, **fields})
    made = order("restored", body, labels=dict(labels), finalizers=["order-platform.dev/compensation"])
    return shop.server.send(me, "POST", shop.path(), made, dry_run=True)


@pytest.mark.parametrize("labels", [VELERO, ANY_TOOL], ids=["velero", "any tool"])
@pytest.mark.parametrize("order_class", [STANDARD, FOUR_EYES])
@pytest.mark.parametrize("state", DECIDED)
def test_a_backup_tool_brings_back_what_others_have_decided(
    shop: Shop, state: str, order_class: str, labels: Mapping[str, str]
) -> None:
    """A restore left out exactly the orders that had been decided about, whatever the rights of the tool."""
    answer = restored(shop, order_class=order_class, labels=labels, **DECIDED[state])

    assert answer.code == 201, answer
    assert {key: answer.body["spec"][key] for key in DECIDED[state]} == dict(DECIDED[state])


@pytest.mark.parametrize("state", DECIDED)
def test_the_verb_alone_makes_no_decision_of_others(shop: Shop, state: str) -> None:
    assert restored(shop, labels={}, **DECIDED[state]).code in {403, 422}


@pytest.mark.parametrize("me", [CLERK, LEAD], ids=lambda caller: caller.name)
def test_the_label_alone_makes_no_decision_of_others(shop: Shop, me: Caller) -> None:
    body = spec(STANDARD, requestedBy=me.name, approval=APPROVED)
    made = order("restored", body, labels=dict(VELERO))

    assert shop.server.send(me, "POST", shop.path(), made, dry_run=True).code == 403


def test_a_restored_decision_has_the_name_of_its_decider(shop: Shop) -> None:
    """The schema holds it."""
    assert restored(shop, approval={"decision": "Approved"}).code == 422


def test_nobody_who_restores_decides_about_an_order_that_is_there(shop: Shop, api_server: APIServer) -> None:
    role(api_server, "restoring-patcher", [{"resources": ["orders"], "verbs": ["patch", "update", "restore"]}])
    patcher = Caller("restoring-patcher")
    bind(api_server, "restoring-patcher", patcher)
    shop.place("waiting", STANDARD, labels=VELERO)
    approval = {"spec": {"approval": APPROVED}}

    assert shop.server.send(patcher, "PATCH", shop.path("waiting"), approval, content=MERGE, dry_run=True).code == 403


def test_the_label_comes_off_once_the_restored_decision_is_taken_back(shop: Shop) -> None:
    """As where proof is required, which such a decision has not."""
    shop.place("decided", STANDARD, labels=VELERO, approval=APPROVED)
    refused = {"type": "SpecApplied", "status": "False", "reason": "ProofRequired", "message": ""}
    shop.show("decided", conditions=[{**refused, "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    off = {"metadata": {"labels": dict.fromkeys(VELERO)}}

    def tried(**approval: Any) -> int:
        body = {**off, "spec": approval}
        return shop.server.send(LEAD, "PATCH", shop.path("decided"), body, content=MERGE, dry_run=True).code

    assert tried() == 403
    assert tried(approval=None) == 200

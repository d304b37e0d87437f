"""The operator's specification of decisions: whether the name of who decides is proven."""

from dataclasses import replace
from typing import Any

import pytest
from builders import UID, a_line, a_snapshot, an_observation, an_order_resource
from order_facts import known, shown

from order_domain.order import Proof, digest
from order_domain.status import OrderStatus
from order_operator.cluster.policies import Evidence
from order_operator.cluster.policy_watch import LOOK_SECONDS
from order_operator.orders.actions import (
    Send,
    Wait,
)
from order_operator.orders.amendment import Group, Refusal
from order_operator.orders.decision import LOOK_GRACE_SECONDS, next_action
from order_operator.orders.edit_plan import plan
from order_operator.orders.edit_state import EditState
from order_operator.orders.known import Known
from order_operator.orders.resource import ParsedSpec
from order_workflows.contract import Decision

UNDECIDED = an_observation(
    snapshot=a_snapshot(
        status=OrderStatus.AWAIT_APPROVAL,
        current_step="Approval",
        approval={"required": True, "requires": "approve"},
        lines_digest=digest([a_line()]),
    )
)
PROVEN = Evidence(Proof.POLICY)
CLAIMED = Evidence(Proof.CLAIMED, "the admission policy order-platform-orders is not installed")


def decided(**facts: Any) -> Known:
    """An order that waits, in whose spec somebody has decided."""
    spec = an_order_resource().spec | {"approval": {"decision": "Approved", "by": "bob"}}
    return known(an_order_resource(spec=spec), observation=UNDECIDED, **facts)


def test_a_decision_waits_for_the_first_look_at_the_policies() -> None:
    assert next_action(decided(evidence=None)) == Wait(LOOK_GRACE_SECONDS)


def test_an_order_without_a_decision_waits_for_no_look() -> None:
    assert next_action(known(observation=UNDECIDED, evidence=None)) == next_action(known(observation=UNDECIDED))


@pytest.mark.parametrize("evidence", [PROVEN, CLAIMED], ids=["proven", "claimed"])
def test_a_decision_is_sent_with_what_is_proven(evidence: Evidence) -> None:
    action = next_action(decided(evidence=evidence))

    assert isinstance(action, Send)
    [change] = action.changes
    assert isinstance(change.argument, Decision)
    assert change.argument.proof is evidence.proof


def test_where_proof_is_required_a_proven_decision_is_sent() -> None:
    action = next_action(decided(evidence=PROVEN, require_proof=True))

    assert isinstance(action, Send)


def test_where_proof_is_required_a_claimed_decision_is_not_sent_and_the_order_says_why() -> None:
    facts = decided(evidence=CLAIMED, require_proof=True)

    facts = shown(facts)

    applied = next(each for each in facts.order.status["conditions"] if each["type"] == "SpecApplied")
    assert (applied["status"], applied["reason"]) == ("False", "ProofRequired")
    assert (
        "nothing proves that bob decided: the admission policy order-platform-orders is not installed"
        in (applied["message"])
    )
    assert next_action(facts) == Wait(LOOK_SECONDS)
    assert facts.order.status["observedGeneration"] == facts.order.generation


def refused_for_bob(**facts: Any) -> Known:
    """The same, and the workflow has refused the decision, since bob had edited the order last."""
    first = decided(evidence=PROVEN)
    assert isinstance(first.order.decoded, ParsedSpec)
    [change] = plan(first.order.decoded, 1, UID, first.observation.snapshot if first.observation else a_snapshot())
    refused = {change.update_id: Refusal(Group.APPROVAL, "OwnEdit", "bob edited this last")}
    return replace(first, edits=EditState(refused=refused), **facts)


def since_edited(facts: Known, generation: int, **changes: Any) -> Known:
    """Somebody else has edited the order since."""
    spec = {**facts.order.spec, "editedBy": "carol", **changes}
    return replace(facts, order=replace(facts.order, spec=spec, generation=generation))


def applied(facts: Known) -> tuple[str, str]:
    [condition] = [each for each in facts.order.status["conditions"] if each["type"] == "SpecApplied"]
    return condition["reason"], condition.get("message", "")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_decision_that_was_refused_for_its_decider_stays_refused_when_somebody_else_edits_the_order(
    restarted: bool,
) -> None:
    """It came into force with that person's edit, though its author had never seen it."""
    facts = shown(refused_for_bob())
    facts = since_edited(facts, 2)

    facts = shown(replace(facts, edits=EditState()) if restarted else facts)

    assert applied(facts) == ("OwnEdit", "spec.approval: bob edited this last")
    assert facts.order.status["observedGeneration"] == 2


def test_a_decision_whose_refusal_is_not_shown_yet_stays_refused_too() -> None:
    facts = shown(since_edited(refused_for_bob(), 2))

    assert applied(facts)[0] == "OwnEdit"


def test_a_decision_that_was_taken_back_and_written_again_is_sent() -> None:
    facts = shown(refused_for_bob())
    taken_back = shown(since_edited(facts, 2, approval=None))
    assert applied(taken_back)[0] == "Applied"

    assert isinstance(next_action(since_edited(taken_back, 3, approval={"decision": "Approved", "by": "bob"})), Send)


def test_a_decision_of_somebody_else_is_sent_though_one_was_refused() -> None:
    facts = shown(refused_for_bob())

    assert isinstance(next_action(since_edited(facts, 2, approval={"decision": "Approved", "by": "dan"})), Send)


def test_where_proof_is_required_an_order_that_is_decided_shows_no_refusal() -> None:
    snapshot = a_snapshot(approval={"required": True, "decision": "Approved", "by": "bob"})
    spec = an_order_resource().spec | {"approval": {"decision": "Approved", "by": "bob"}}
    facts = known(
        an_order_resource(spec=spec), observation=an_observation(snapshot=snapshot), evidence=None, require_proof=True
    )

    applied = next(each for each in shown(facts).order.status["conditions"] if each["type"] == "SpecApplied")
    assert applied["status"] == "True"

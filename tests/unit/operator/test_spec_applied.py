"""observedGeneration and SpecApplied: what an order shows of its edits."""

from typing import Any

import pytest
from builders import a_line, an_address, an_observation, an_order_resource, an_order_spec
from reflected_orders import NOW, at, condition, edited_spec, reflected, said

from order_domain.order import digest
from order_domain.status import OrderStatus
from order_operator.cluster.conditions import Reason
from order_operator.orders.amendment import Group, Refusal


def test_the_generation_is_observed_once_it_is_dealt_with() -> None:
    status = reflected(an_observation(), an_order_resource(generation=5, status={"observedGeneration": 4}))

    assert status["observedGeneration"] == 5
    assert {item["observedGeneration"] for item in status["conditions"]} == {5}


@pytest.mark.parametrize(("before", "shown"), [({"observedGeneration": 4}, 4), ({}, None)])
def test_the_generation_is_not_observed_while_an_edit_has_no_answer(before: dict[str, int], shown: int | None) -> None:
    status = reflected(an_observation(), an_order_resource(generation=5, status=before), applying=True)

    assert (status.get("observedGeneration") or None) == shown
    assert said(status, "SpecApplied") == ("Unknown", Reason.APPLYING)


def test_a_refused_edit_is_told_with_its_reason_and_field() -> None:
    refusal = Refusal(Group.ADDRESS, "AlreadyShipped", "the parcel left")

    status = reflected(an_observation(), refusals=[refusal])

    assert said(status, "SpecApplied") == ("False", "AlreadyShipped")
    assert condition(status, "SpecApplied")["message"] == "spec.shippingAddress: the parcel left"


def test_an_applied_spec_says_so() -> None:
    assert said(reflected(an_observation()), "SpecApplied") == ("True", Reason.APPLIED)


@pytest.mark.parametrize(
    "edit",
    [
        {"shipping_address": an_address(city="Shelbyville")},
        {"approval": {"decision": "Rejected", "by": "eve"}},
        {"cancellation": {"by": "ana"}},
        {"lines": [a_line(quantity=2)]},
        {"suspend": True},
    ],
)
def test_an_edit_after_the_end_is_told_as_too_late(edit: dict[str, Any]) -> None:
    approval = {"required": True, "decision": "Approved", "by": "bob"}
    ended = at(OrderStatus.ORDER_COMPLETED, approval=approval, lines_digest=digest(an_order_spec().lines))

    status = reflected(ended, an_order_resource(spec=edited_spec(**edit)))

    assert said(status, "SpecApplied") == ("False", Reason.ORDER_FINISHED)


def test_a_rejection_that_an_order_without_approval_ignored_is_told() -> None:
    """It looked as if somebody had rejected the order, and it was shipped."""
    ended = at(OrderStatus.ORDER_COMPLETED)

    rejected = reflected(ended, an_order_resource(spec=edited_spec(approval={"decision": "Rejected", "by": "eve"})))
    approved = reflected(ended, an_order_resource(spec=edited_spec(approval={"decision": "Approved", "by": "eve"})))

    assert said(rejected, "SpecApplied") == ("False", Reason.ORDER_FINISHED)
    assert "spec.approval" in condition(rejected, "SpecApplied")["message"]
    assert said(approved, "SpecApplied") == ("True", Reason.APPLIED)


def test_an_approval_that_was_not_heard_before_the_deadline_is_too_late_and_says_how_to_order_again() -> None:
    approval = {"required": True, "decision": "Expired", "deadline": NOW}
    expired = at(OrderStatus.ORDER_EXPIRED, approval=approval)

    status = reflected(expired, an_order_resource(spec=edited_spec(approval={"decision": "Approved", "by": "eve"})))

    assert said(status, "SpecApplied") == ("False", "TooLate")
    message = condition(status, "SpecApplied")["message"]
    assert "until 4 Mar 05:06 UTC" in message
    assert "delete it and apply it again" in message


def test_refusals_too_long_for_one_message_are_still_shown() -> None:
    refused = [Refusal(group, "Refused", "x" * 1000) for group in Group]

    assert said(reflected(an_observation(), refusals=refused), "SpecApplied") == ("False", "Refused")


def test_a_decision_without_proof_is_shown_as_refused() -> None:
    refusal = Refusal(Group.APPROVAL, Reason.PROOF_REQUIRED, "not sent, since nothing proves that bob decided")

    applied = condition(reflected(at(OrderStatus.AWAIT_APPROVAL), refusals=[refusal]), "SpecApplied")

    assert (applied["status"], applied["reason"]) == ("False", "ProofRequired")
    assert applied["message"] == "spec.approval: not sent, since nothing proves that bob decided"

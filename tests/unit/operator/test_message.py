"""What `status.message` says in each situation: what the order does, why, until when, and what can be done."""

from datetime import UTC, datetime
from typing import Any

import pytest
from builders import a_snapshot, an_observation, an_order_resource
from hypothesis import given
from hypothesis import strategies as st
from temporalio.client import WorkflowExecutionStatus

from order_domain.pipeline import StepName
from order_domain.snapshot import MAX_TEXT
from order_domain.status import OrderStatus
from order_operator.cluster.conditions import Reason
from order_operator.orders.message import DOING
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import PendingWork, Retry
from order_operator.orders.reflection import reflect
from order_operator.problem import Problem

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = datetime(2026, 11, 28, 19, 13, 8, tzinfo=UTC)


def message(observation: Observation | None, **more: Any) -> str:
    status = reflect(an_order_resource(), observation, now=NOW, temporal_namespace="default", **more)
    return str(status["message"])


def at(status: OrderStatus, **changes: object) -> Observation:
    run = WorkflowExecutionStatus.COMPLETED if status.terminal else WorkflowExecutionStatus.RUNNING
    return an_observation(status=run, snapshot=a_snapshot(status=status, **changes))


PAID = {"captured_minor": 50_000}
PAID_BACK = {"captured_minor": 50_000, "refunded_minor": 50_000}
DECLINED = {"type": "PaymentDeclined", "message": "the card was declined: insufficient funds"}


def a_parcel(line: str, **changes: object) -> dict[str, object]:
    return {"line_id": line, "state": "Dispatched", **changes}


@pytest.mark.parametrize(
    ("status", "changes", "words"),
    [
        ("Check Fraud", {}, "checking for fraud"),
        ("Charge Customer", {}, "charging the customer"),
        (
            "Charge Customer",
            {
                "steps": [
                    {
                        "name": "ChargePayment",
                        "state": "Running",
                        "attempts": 4,
                        "last_error": "the provider is away",
                        "next_attempt_at": LATER,
                    }
                ]
            },
            "charging the customer, attempt 4 failed: the provider is away; next try at 28 Nov 19:13:08 UTC",
        ),
        ("Charge Customer", {"suspended": True}, "suspended before its next step: set spec.suspend to false"),
        (
            "Await Approval",
            {"pending_action": {"kind": "Approve", "message": "waits for approval of 1500.00 USD until …"}},
            "waits for approval of 1500.00 USD until …",
        ),
        ("Order Completed", {}, "completed"),
        (
            "Order Completed",
            {"shipments": [a_parcel("1", estimated_delivery=LATER)], "shipment_count": 1},
            "completed: 1 parcel, due 28 Nov",
        ),
        (
            "Order Completed",
            {
                "shipments": [a_parcel("1", estimated_delivery=LATER), a_parcel("2", estimated_delivery=NOW)],
                "shipment_count": 2,
            },
            "completed: 2 parcels, first due 4 Mar",
        ),
        (
            "Order Completed",
            {
                "last_error": {"type": "CancelledInPart", "message": "one line is sold"},
                "payment": {"captured_minor": 50_000, "refunded_minor": 20_000},
            },
            "completed: one line is sold; 200.00 USD was refunded",
        ),
        (
            "Order Failed",
            {"last_error": DECLINED},
            "failed: the card was declined: insufficient funds; nothing was charged; to order again, delete it and",
        ),
        ("Order Failed", {"last_error": DECLINED, "payment": PAID_BACK}, "500.00 USD was refunded"),
        (
            "Order Rejected",
            {"last_error": {"type": "Rejected", "message": "rejected by ana: too dear"}},
            "rejected by ana: too dear; nothing was charged",
        ),
        (
            "Order Expired",
            {
                "last_error": {"type": "ApprovalExpired", "message": "no decision within 0:03:00"},
                "approval": {"required": True, "deadline": LATER},
            },
            "expired: no decision within 0:03:00, which was until 28 Nov 19:13 UTC; nothing was charged; to order",
        ),
        (
            "Order Duplicate",
            {"last_error": {"type": "DuplicateOrder", "message": "order number 1 is taken by other/order"}},
            "duplicate: order number 1 is taken by other/order",
        ),
        (
            "Order Invalid",
            {"last_error": {"type": "InvalidOrder", "message": "lines[0].sku: no such article"}},
            "invalid: lines[0].sku: no such article; nothing was charged; correct the order",
        ),
        (
            "Compensate Order",
            {"last_error": DECLINED, "compensation": "Running"},
            "undoing what was done (the card was declined: insufficient funds)",
        ),
        (
            "Manual Review",
            {"pending_action": {"kind": "Resume", "message": "…: repair the cause, then raise spec.retry by one"}},
            "repair the cause, then raise spec.retry by one",
        ),
    ],
)
def test_the_message_says_where_the_order_is(status: str, changes: dict[str, Any], words: str) -> None:
    assert words in message(at(OrderStatus(status), **changes))


def test_what_temporal_itself_tries_again_is_in_the_message() -> None:
    retry = Retry("charge_payment", StepName.CHARGE_PAYMENT, 3, "connection refused", None)

    said = message(at(OrderStatus.CHARGE_CUSTOMER), work=PendingWork((retry,)))

    assert said == "charging the customer, attempt 3 failed: connection refused; being tried again"


def test_an_undo_that_is_tried_again_says_so() -> None:
    retry = Retry("refund_payment", None, 2, "connection refused", LATER)

    said = message(at(OrderStatus.COMPENSATE_ORDER, last_error=DECLINED), work=PendingWork((retry,)))

    assert said.startswith("undoing what was done (the card was declined: insufficient funds), attempt 2 failed: ")


def test_an_order_that_was_just_applied_says_so() -> None:
    assert message(None) == "about to be handed to Temporal"


@pytest.mark.parametrize("observation", [None, an_observation(), an_observation(snapshot=None)])
def test_what_holds_an_order_up_is_its_message(observation: Observation | None) -> None:
    why = "Temporal does not answer: orders wait"

    assert message(observation, problem=Problem(Reason.TEMPORAL_UNAVAILABLE, why)) == why


@pytest.mark.parametrize("status", OrderStatus)
def test_every_status_has_a_message_of_words(status: OrderStatus) -> None:
    said = message(at(status))

    assert said
    assert status.phase in {"Waiting", "ManualReview"} or status.terminal or said == DOING[status]


@given(st.text(), st.integers(0))
def test_the_message_is_never_empty_nor_longer_than_the_schema_allows(text: str, parcels: int) -> None:
    changes = {"last_error": {"type": "X", "message": text}, "shipment_count": parcels}
    for status in OrderStatus:
        assert 0 < len(message(at(status, **changes))) <= MAX_TEXT


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("Await Approval", "Approve", "waits for approval of 1500.00 USD until 28 Nov 19:13 UTC, then expires"),
        ("Await Address", "ChangeAddress", "waits for another shipping address until 28 Nov 19:13 UTC, then fails"),
        ("Await Stock", "Restock", "waits for stock until 28 Nov 19:13 UTC, then expires (1 of PROD-001 is missing)"),
    ],
)
def test_an_order_that_is_held_while_it_waits_tells_the_deadline_that_goes_on(
    status: str, kind: str, words: str
) -> None:
    """It said that it was suspended, and expired all the same."""
    pending = {"kind": kind, "deadline": LATER, "message": words}

    said = message(at(OrderStatus(status), suspended=True, pending_action=pending))

    assert said == f"suspended before its next step: set spec.suspend to false to let it go on; meanwhile it {words}"

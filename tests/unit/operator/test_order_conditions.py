"""The conditions of an order: which there are, what they say, and since when."""

from typing import Any

import pytest
from builders import a_snapshot, an_observation, an_order_resource
from reflected_orders import AWAY, LATER, TOLD, at, condition, edited_spec, reflected, said

from order_domain.errors import DuplicateOrder
from order_domain.pipeline import StepName
from order_domain.snapshot import CompensationState, StepState
from order_domain.status import OrderStatus
from order_operator.cluster.conditions import MAX_CONDITIONS, Reason
from order_operator.orders.observation import Observation
from order_operator.problem import Problem


def test_a_charge_whose_refund_fails_is_still_one() -> None:
    """Charged was False while the customer's money was kept."""
    kept = {"captured_minor": 50_000}
    steps = [{"name": "ChargePayment", "state": "CompensationFailed"}]

    status = reflected(at(OrderStatus.MANUAL_REVIEW, payment=kept, steps=steps))
    undone = reflected(at(OrderStatus.COMPENSATE_ORDER, payment={**kept, "refunded_minor": 50_000}, steps=steps))

    assert said(status, "Charged") == ("True", Reason.NOT_UNDONE)
    assert said(undone, "Charged")[0] == "False"


def test_a_parcel_that_could_not_be_called_back_is_still_shipped() -> None:
    parcels = [{"line_id": "1", "state": "Cancelled"}, {"line_id": "2", "state": "Dispatched"}]
    steps = [{"name": "Ship", "state": "Failed"}]

    status = reflected(at(OrderStatus.COMPENSATE_ORDER, shipments=parcels, steps=steps))

    assert said(status, "Shipped") == ("True", Reason.NOT_UNDONE)


@pytest.mark.parametrize("end", ["CancelledInPart", "AlreadyShipped"])
def test_a_cancelled_order_whose_parcels_could_not_all_be_called_back_completes_and_says_so(end: str) -> None:
    kept = at(OrderStatus.ORDER_COMPLETED, last_error={"type": end, "message": "line 1 was delivered"})

    status = reflected(kept, an_order_resource(spec=edited_spec(cancellation={"by": "ana"})))

    assert status["phase"] == "Completed"
    assert said(status, "Complete") == said(status, "Finished") == ("True", end)
    assert condition(status, "Complete")["message"] == "line 1 was delivered"
    assert said(status, "SpecApplied") == ("True", Reason.APPLIED)


def test_a_duplicate_says_which_order_has_the_number() -> None:
    message = str(DuplicateOrder("ORDER-1", "shop/first", OrderStatus.ORDER_COMPLETED))

    status = reflected(at(OrderStatus.ORDER_DUPLICATE, last_error={"type": "DuplicateOrder", "message": message}))

    for kind in ("Finished", "Ready"):
        assert condition(status, kind)["message"] == message
    assert said(status, "Finished") == ("True", "Duplicate")


def test_conditions_keep_their_time_while_their_status_stays() -> None:
    first = reflected(at(OrderStatus.CHARGE_CUSTOMER))

    second = reflected(at(OrderStatus.SHIP_ORDER), an_order_resource(status=first), now=LATER)

    assert condition(second, "Ready") == condition(first, "Ready")


def test_a_condition_whose_status_changes_gets_the_time_of_the_change() -> None:
    first = reflected(at(OrderStatus.SHIP_ORDER))

    second = reflected(at(OrderStatus.ORDER_COMPLETED), an_order_resource(status=first), now=LATER)

    assert condition(first, "Finished")["lastTransitionTime"] == "2026-03-04T05:06:07Z"
    assert condition(second, "Finished")["lastTransitionTime"] == "2026-03-04T06:06:07Z"


@pytest.mark.parametrize(
    "observation", [None, an_observation(), at(OrderStatus.ORDER_COMPLETED), at(OrderStatus.MANUAL_REVIEW)]
)
def test_what_is_shown_already_is_shown_unchanged_however_late(observation: Observation | None) -> None:
    shown = reflected(observation)

    assert reflected(observation, an_order_resource(status=shown), now=LATER) == shown


def test_a_wiped_status_is_restored() -> None:
    shown = reflected(at(OrderStatus.ORDER_COMPLETED))

    assert reflected(at(OrderStatus.ORDER_COMPLETED), an_order_resource(status={})) == shown


def test_a_forged_condition_does_not_survive() -> None:
    forged = {"type": "Paid", "status": "True", "lastTransitionTime": "yesterday"}

    status = reflected(an_observation(), an_order_resource(status={"conditions": [forged]}))

    assert "Paid" not in {item["type"] for item in status["conditions"]}


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (StepName.RESERVE_STOCK, "Reserved"),
        (StepName.CHARGE_PAYMENT, "Charged"),
        (StepName.SHIP, "Shipped"),
        (StepName.NOTIFY, "Notified"),
    ],
)
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (StepState.RUNNING, ("False", Reason.PENDING)),
        (StepState.SUCCEEDED, ("True", Reason.DONE)),
        (StepState.SKIPPED, ("False", Reason.NOT_REQUIRED)),
        (StepState.FAILED, ("False", Reason.FAILED)),
        (StepState.COMPENSATED, ("False", Reason.UNDONE)),
    ],
)
def test_a_milestone_is_reached_when_its_step_succeeded_and_lost_when_it_is_undone(
    step: StepName, kind: str, state: StepState, expected: tuple[str, str]
) -> None:
    status = reflected(an_observation(snapshot=a_snapshot(steps=[{"name": step, "state": state}])))

    assert said(status, kind) == expected


def test_a_mail_that_could_not_be_sent_is_shown() -> None:
    sent = {"name": StepName.NOTIFY, "state": StepState.SUCCEEDED}

    status = reflected(at(OrderStatus.ORDER_COMPLETED, steps=[sent], notified=False))

    assert said(status, "Notified") == ("False", Reason.FAILED)
    assert said(status, "Complete") == ("True", "Completed")


@pytest.mark.parametrize(
    ("approval", "expected"),
    [
        ({}, ("True", Reason.NOT_REQUIRED)),
        ({"required": True}, ("Unknown", Reason.PENDING)),
        ({"required": True, "decision": "Approved", "by": "bob"}, ("True", "Approved")),
        ({"required": True, "decision": "Rejected", "by": "bob"}, ("False", "Rejected")),
        ({"required": True, "decision": "Expired"}, ("False", "Expired")),
    ],
)
def test_approved_tells_whether_a_decision_is_needed_and_which_it_was(
    approval: dict[str, Any], expected: tuple[str, str]
) -> None:
    reached = {"name": StepName.APPROVAL, "state": StepState.RUNNING}

    status = reflected(an_observation(snapshot=a_snapshot(approval=approval, steps=[reached])))

    assert said(status, "Approved") == expected


def test_a_step_that_is_still_to_come_has_no_condition() -> None:
    kinds = {item["type"] for item in reflected(an_observation())["conditions"]}

    assert not kinds & {"Approved", "Reserved", "Charged", "Shipped", "Notified"}


@pytest.mark.parametrize(
    ("state", "compensated", "failed"),
    [
        (CompensationState.RUNNING, ("False", Reason.PENDING), ("False", Reason.PENDING)),
        (CompensationState.DONE, ("True", Reason.DONE), ("False", Reason.DONE)),
        (CompensationState.FAILED, ("False", Reason.PENDING), ("True", Reason.MANUAL_REVIEW)),
    ],
)
def test_compensation_is_shown_with_its_failure(
    state: CompensationState, compensated: tuple[str, str], failed: tuple[str, str]
) -> None:
    error = {"type": "CompensationFailed", "message": "could not undo ChargePayment"}

    status = reflected(an_observation(snapshot=a_snapshot(compensation=state, last_error=error)))

    assert said(status, "Compensated") == compensated
    assert said(status, "CompensationFailed") == failed


def test_an_order_that_nothing_was_undone_of_does_not_speak_of_compensation() -> None:
    kinds = {item["type"] for item in reflected(at(OrderStatus.ORDER_COMPLETED))["conditions"]}

    assert not kinds & {"Compensated", "CompensationFailed"}


def test_an_error_type_that_kubernetes_does_not_take_as_a_reason_is_still_shown() -> None:
    error = {"type": "java.lang.Exception", "message": "from a worker in another language"}

    status = reflected(at(OrderStatus.ORDER_FAILED, last_error=error))

    assert status["lastError"]["type"] == "java.lang.Exception"
    assert condition(status, "Stalled")["message"] == "from a worker in another language"


def test_a_problem_too_long_for_a_message_is_still_shown() -> None:
    problem = Problem(Reason.CLASS_INVALID, "x" * 2000, stalled=True)

    assert said(reflected(None, problem=problem), "Stalled") == ("True", Reason.CLASS_INVALID)


def test_beside_twenty_conditions_of_others_there_is_room_to_say_what_holds_an_order_up() -> None:
    """The status had 23 then, which the API server refused for ever."""
    foreign = [{**TOLD["conditions"][0], "type": f"Other{number}"} for number in range(MAX_CONDITIONS - 1)]  # type: ignore[index]
    order = an_order_resource(status={**TOLD, "conditions": [*foreign, *TOLD["conditions"][1:]]})  # type: ignore[index]

    status = reflected(None, order, problem=AWAY)

    assert [item["type"] for item in status["conditions"]] == ["Charged", "Ready", "Reconciling", "Stalled"]

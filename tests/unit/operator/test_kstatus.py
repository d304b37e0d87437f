"""How Helm, Flux and Argo CD read an order: by the rules of kstatus."""

from dataclasses import replace

import pytest
from builders import an_observation, an_order_resource
from reflected_orders import LATER, at, condition, kstatus, reflected, said

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_operator.cluster.conditions import Reason
from order_operator.orders.amendment import Group, Refusal
from order_operator.orders.pending_work import PendingWork, Retry
from order_operator.problem import Problem


def test_an_order_that_is_being_submitted_is_in_progress() -> None:
    order = an_order_resource()

    assert kstatus(order, reflected(None, order)) == "InProgress"


def test_an_order_that_waits_for_temporal_is_in_progress() -> None:
    order = an_order_resource()
    problem = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal cannot be reached")

    status = reflected(None, order, problem=problem)

    assert kstatus(order, status) == "InProgress"
    assert said(status, "Accepted") == ("Unknown", Reason.TEMPORAL_UNAVAILABLE)


@pytest.mark.parametrize(
    "order_status",
    [
        OrderStatus.CHARGE_CUSTOMER,
        OrderStatus.AWAIT_APPROVAL,
        OrderStatus.COMPENSATE_ORDER,
        OrderStatus.ORDER_COMPLETED,
        OrderStatus.ORDER_REJECTED,
        OrderStatus.ORDER_CANCELLED,
    ],
)
def test_an_accepted_order_that_goes_its_way_is_current(order_status: OrderStatus) -> None:
    order = an_order_resource()

    assert kstatus(order, reflected(at(order_status), order)) == "Current"


@pytest.mark.parametrize("order_status", [OrderStatus.ORDER_FAILED, OrderStatus.MANUAL_REVIEW])
def test_an_order_that_needs_a_person_is_failed(order_status: OrderStatus) -> None:
    order = an_order_resource()
    observation = at(order_status, last_error={"type": "PaymentDeclined", "message": "no funds"})

    status = reflected(observation, order)

    assert kstatus(order, status) == "Failed"
    assert said(status, "Stalled") == ("True", "PaymentDeclined")
    assert condition(status, "Stalled")["message"] == "no funds"


@pytest.mark.parametrize("order_status", [OrderStatus.ORDER_INVALID, OrderStatus.ORDER_DUPLICATE])
def test_an_order_that_was_never_carried_out_is_failed(order_status: OrderStatus) -> None:
    """Helm, Argo CD and Flux took an invalid order for one that is ready."""
    order = an_order_resource()

    assert kstatus(order, reflected(at(order_status), order)) == "Failed"


RETRYING = PendingWork((Retry("charge_payment", StepName.CHARGE_PAYMENT, 3, "connection refused", LATER),))


def test_an_order_whose_step_is_tried_again_is_in_progress_and_says_why() -> None:
    order = an_order_resource()
    steps = [{"name": "ChargePayment", "state": "Running"}]

    status = reflected(at(OrderStatus.CHARGE_CUSTOMER, steps=steps), order, work=RETRYING)

    assert kstatus(order, status) == "InProgress"
    assert said(status, "Reconciling") == ("True", Reason.STEP_RETRYING)
    assert said(status, "Ready") == ("Unknown", Reason.STEP_RETRYING)
    assert condition(status, "Reconciling")["message"] == "connection refused"
    assert status["steps"][0]["attempts"] == 3
    assert status["steps"][0]["lastError"] == "connection refused"
    assert status["steps"][0]["nextAttemptAt"].startswith("2026-03-04T06:06:07")


def test_a_step_that_the_workflow_itself_tries_again_says_the_same() -> None:
    trouble = {"attempts": 2, "last_error": "the ledger is away", "next_attempt_at": LATER}
    steps = [{"name": "CheckFraud", "state": "Running", **trouble}]

    status = reflected(at(OrderStatus.CHECK_FRAUD, steps=steps))

    assert said(status, "Reconciling") == ("True", Reason.STEP_RETRYING)


def test_an_order_that_waits_is_not_retrying_whatever_was_known_of_its_work() -> None:
    assert said(reflected(at(OrderStatus.AWAIT_APPROVAL), work=RETRYING), "Ready") == ("True", Reason.WAITING)


def test_an_order_that_cannot_be_submitted_is_failed() -> None:
    order = an_order_resource()
    problem = Problem(Reason.CLASS_NOT_FOUND, "there is no OrderClass express", stalled=True)

    status = reflected(None, order, problem=problem)

    assert kstatus(order, status) == "Failed"
    assert said(status, "Accepted") == ("False", Reason.CLASS_NOT_FOUND)


FAILING = ("category=WorkflowTaskFailed", "cause=WorkflowTaskFailedCauseWorkflowWorkerUnhandledFailure")


@pytest.mark.parametrize("order_status", [OrderStatus.CHARGE_CUSTOMER, OrderStatus.AWAIT_APPROVAL])
def test_an_order_whose_workflows_code_fails_is_stalled_where_it_stands(order_status: OrderStatus) -> None:
    order = an_order_resource()

    status = reflected(replace(at(order_status), task_problems=FAILING), order)

    assert said(status, "Stalled") == ("True", Reason.WORKFLOW_TASK_FAILED)
    assert said(status, "Ready") == ("False", Reason.WORKFLOW_TASK_FAILED)
    assert "UnhandledFailure" in condition(status, "Stalled")["message"]
    assert (status["phase"], status["orderStatus"]) == (order_status.phase, order_status)
    assert kstatus(order, status) == "Failed"


def test_an_order_whose_workflows_code_is_mended_is_stalled_no_more() -> None:
    failing = replace(at(OrderStatus.CHARGE_CUSTOMER), task_problems=FAILING)
    before = an_order_resource(status=reflected(failing))

    status = reflected(at(OrderStatus.CHARGE_CUSTOMER), before, now=LATER)

    assert said(status, "Stalled") == ("False", Reason.PROGRESSING)
    assert said(status, "Ready") == ("True", Reason.PROGRESSING)


def test_an_edit_without_an_answer_is_in_progress() -> None:
    order = an_order_resource(generation=2, status={"observedGeneration": 1})

    assert kstatus(order, reflected(an_observation(), order, applying=True)) == "InProgress"


def test_an_edit_that_was_refused_is_dealt_with() -> None:
    order = an_order_resource(generation=2, status={"observedGeneration": 1})
    refusal = Refusal(Group.ADDRESS, "AlreadyShipped", "the parcel left")

    assert kstatus(order, reflected(an_observation(), order, refusals=[refusal])) == "Current"

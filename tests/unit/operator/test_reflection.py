from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import a_line, a_snapshot, an_address, an_observation, an_order_resource, an_order_spec
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.client import WorkflowExecutionStatus

from order_domain.errors import DuplicateOrder
from order_domain.order import digest
from order_domain.pipeline import StepName
from order_domain.snapshot import CompensationState, DecisionOutcome, OrderSnapshot, StepState
from order_domain.status import TERMINAL_PHASES, OrderStatus, Phase
from order_operator.cluster.conditions import MAX_CONDITIONS, Reason
from order_operator.orders.amendment import Group, Refusal
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import PendingWork, Retry
from order_operator.orders.reflection import reflect
from order_operator.orders.resource import OrderResource
from order_operator.problem import Problem

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
Status = Mapping[str, Any]


def reflected(
    observation: Observation | None, order: OrderResource | None = None, *, now: datetime = NOW, **more: Any
) -> dict[str, Any]:
    return reflect(order or an_order_resource(), observation, now=now, temporal_namespace="default", **more)


def at(status: OrderStatus, **changes: object) -> Observation:
    """Running, or closed if `status` is an end."""
    failed = status is OrderStatus.ORDER_FAILED
    closed = WorkflowExecutionStatus.FAILED if failed else WorkflowExecutionStatus.COMPLETED
    run = closed if status.terminal else WorkflowExecutionStatus.RUNNING
    return an_observation(status=run, snapshot=a_snapshot(status=status, **changes))


def condition(status: Status, kind: str) -> dict[str, Any]:
    (found,) = [item for item in status["conditions"] if item["type"] == kind]
    return found


def said(status: Status, kind: str) -> tuple[str, str]:
    """Status and reason of one condition."""
    found = condition(status, kind)
    return found["status"], found["reason"]


def kstatus(order: OrderResource, status: Status) -> str:
    """How kstatus reads it, and with it `helm --wait`, Flux and Argo CD (sigs.k8s.io/cli-utils: generic rules)."""
    holds = {item["type"]: item["status"] for item in status["conditions"]}
    if status["observedGeneration"] != order.generation or holds.get("Reconciling") == "True":
        return "InProgress"
    if holds.get("Stalled") == "True":
        return "Failed"
    return "Current" if holds.get("Ready", "True") == "True" else "InProgress"


# Phase and status


def test_an_order_without_a_workflow_is_pending() -> None:
    status = reflected(None)

    assert status["phase"] == Phase.PENDING
    assert "orderStatus" not in status
    assert "workflow" not in status


@pytest.mark.parametrize("order_status", OrderStatus)
def test_a_workflows_status_gives_phase_and_order_status(order_status: OrderStatus) -> None:
    status = reflected(at(order_status))

    assert status["phase"] == order_status.phase
    assert status["orderStatus"] == order_status


def test_a_workflow_that_has_not_published_yet_was_received() -> None:
    status = reflected(an_observation(snapshot=None))

    assert (status["phase"], status["orderStatus"], status["progress"]) == ("Running", "Order Received", 0)


@pytest.mark.parametrize("order_status", [OrderStatus.CHARGE_CUSTOMER, OrderStatus.AWAIT_APPROVAL])
def test_a_held_order_is_suspended_wherever_it_stands(order_status: OrderStatus) -> None:
    status = reflected(at(order_status, suspended=True))

    assert status["phase"] == Phase.SUSPENDED
    assert status["orderStatus"] == order_status
    assert said(status, "Ready") == ("True", Reason.SUSPENDED)


@pytest.mark.parametrize("order_status", [OrderStatus.COMPENSATE_ORDER, OrderStatus.MANUAL_REVIEW])
def test_undoing_is_shown_even_of_a_held_order(order_status: OrderStatus) -> None:
    assert reflected(at(order_status, suspended=True))["phase"] == order_status.phase


STOPPED = [
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
]


@pytest.mark.parametrize("run", STOPPED)
def test_a_run_that_stopped_half_way_is_no_end_of_its_order(run: WorkflowExecutionStatus) -> None:
    stopped = an_observation(status=run, snapshot=a_snapshot(status="Charge Customer"))

    status = reflected(stopped)

    assert (status["phase"], status["orderStatus"]) == ("Running", "Charge Customer")
    assert status["lastError"]["type"] == Reason.WORKFLOW_TERMINATED
    assert "Charge Customer" in status["lastError"]["message"]


def test_a_run_that_ended_with_a_terminal_status_keeps_it() -> None:
    ended = an_observation(status=WorkflowExecutionStatus.TERMINATED, snapshot=a_snapshot(status="Order Completed"))

    assert reflected(ended)["phase"] == Phase.COMPLETED


def test_a_completed_run_whose_snapshot_is_not_understood_is_not_called_failed() -> None:
    newer = an_observation(status=WorkflowExecutionStatus.COMPLETED, snapshot=None)

    assert reflected(newer)["phase"] != Phase.FAILED


# What is shown of the workflow


def test_the_status_leads_to_the_workflows_page_where_the_address_is_known() -> None:
    url = reflected(an_observation(), temporal_ui="https://temporal.example.com/")["workflow"]["url"]

    assert url.startswith("https://temporal.example.com/namespaces/default/workflows/order%2F")
    assert url.endswith("/run-1/history")


def test_the_status_names_the_workflow() -> None:
    assert reflected(an_observation())["workflow"] == {
        "id": an_observation().workflow_id,
        "runID": "run-1",
        "namespace": "default",
        "taskQueue": "orders",
    }


def test_the_total_is_shown_for_people_and_for_programs() -> None:
    status = reflected(an_observation(snapshot=a_snapshot(total_minor=75_000)))

    assert (status["total"], status["totalMinor"]) == ("750.00 USD", 75_000)


def test_the_address_shown_is_the_one_in_force_not_the_wanted_one() -> None:
    order = an_order_resource(spec=_edited(shipping_address=an_address(city="Shelbyville")))

    status = reflected(an_observation(), order)

    assert status["shippingAddress"]["city"] == "Springfield"


def test_start_and_end_are_those_of_the_run() -> None:
    ended = at(OrderStatus.ORDER_COMPLETED)

    status = reflected(an_observation(status=ended.status, snapshot=ended.snapshot, close_time=NOW))

    assert status["startTime"] == "2026-01-02T03:04:00Z"
    assert datetime.fromisoformat(status["completionTime"]) == NOW


def test_of_a_run_that_has_published_nothing_the_time_of_its_start_is_no_news() -> None:
    started = an_observation(snapshot=None, start_time=None)
    shown = an_order_resource(status=reflected(started))

    assert reflected(an_observation(snapshot=None), shown) == shown.status


def test_a_run_that_no_worker_takes_tells_when_it_started() -> None:
    nobody = Problem(Reason.NO_WORKER, "no worker polls the task queue orders")

    assert reflected(an_observation(snapshot=None), problem=nobody)["startTime"] == "2026-01-02T03:04:00Z"


def test_everything_money_and_parcels_left_behind_is_shown() -> None:
    status = reflected(
        at(
            OrderStatus.ORDER_COMPLETED,
            progress=100,
            reservation_id="RES-1",
            payment={"transaction_id": "TXN-1", "captured_minor": 50_000},
            shipments=[{"line_id": "1", "state": "Dispatched", "tracking_number": "TRACK-1", "carrier": "fake"}],
            shipment_count=1,
        )
    )

    assert status["progress"] == 100
    assert status["reservationID"] == "RES-1"
    assert status["payment"] == {"transactionID": "TXN-1", "capturedMinor": 50_000}
    assert status["shipments"][0]["trackingNumber"] == "TRACK-1"
    assert status["shipmentCount"] == 1


# kstatus: three fixtures


def test_what_the_shop_knows_of_articles_and_customer_is_shown() -> None:
    item = {"line_id": "1", "sku": "654300", "quantity": 1, "description": "Table Top"}
    known = at(OrderStatus.CHECK_FRAUD, items=[item], enrichment={"tier": "Gold", "recommendations": ["Lamp"]})

    status = reflected(known)

    assert status["items"] == [{"lineID": "1", "sku": "654300", "quantity": 1, "description": "Table Top"}]
    assert status["enrichment"] == {"tier": "Gold", "recommendations": ["Lamp"]}


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


def test_all_steps_are_shown_from_the_first_snapshot_on() -> None:
    begun = replace(an_observation(), pipeline=(StepName.RECEIVE, StepName.SHIP))

    assert [(step["name"], step["state"]) for step in reflected(begun)["steps"]] == [
        ("Receive", "Pending"),
        ("Ship", "Pending"),
    ]


def test_a_signal_in_vain_is_shown() -> None:
    refusal = {"what": "approve", "reason": "AlreadyDecided: it is rejected", "at": NOW}

    assert reflected(at(OrderStatus.SHIP_ORDER, last_refusal=refusal))["lastRefusal"]["what"] == "approve"


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


# observedGeneration and SpecApplied


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


def _edited(**changes: object) -> dict[str, Any]:
    return an_order_spec(**changes).model_dump(mode="json", exclude_none=True)


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

    status = reflected(ended, an_order_resource(spec=_edited(**edit)))

    assert said(status, "SpecApplied") == ("False", Reason.ORDER_FINISHED)


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


def test_a_rejection_that_an_order_without_approval_ignored_is_told() -> None:
    """It looked as if somebody had rejected the order, and it was shipped."""
    ended = at(OrderStatus.ORDER_COMPLETED)

    rejected = reflected(ended, an_order_resource(spec=_edited(approval={"decision": "Rejected", "by": "eve"})))
    approved = reflected(ended, an_order_resource(spec=_edited(approval={"decision": "Approved", "by": "eve"})))

    assert said(rejected, "SpecApplied") == ("False", Reason.ORDER_FINISHED)
    assert "spec.approval" in condition(rejected, "SpecApplied")["message"]
    assert said(approved, "SpecApplied") == ("True", Reason.APPLIED)


def test_an_approval_that_was_not_heard_before_the_deadline_is_too_late_and_says_how_to_order_again() -> None:
    approval = {"required": True, "decision": "Expired", "deadline": NOW}
    expired = at(OrderStatus.ORDER_EXPIRED, approval=approval)

    status = reflected(expired, an_order_resource(spec=_edited(approval={"decision": "Approved", "by": "eve"})))

    assert said(status, "SpecApplied") == ("False", "TooLate")
    message = condition(status, "SpecApplied")["message"]
    assert "until 4 Mar 05:06 UTC" in message
    assert "delete it and apply it again" in message


@pytest.mark.parametrize("end", ["CancelledInPart", "AlreadyShipped"])
def test_a_cancelled_order_whose_parcels_could_not_all_be_called_back_completes_and_says_so(end: str) -> None:
    kept = at(OrderStatus.ORDER_COMPLETED, last_error={"type": end, "message": "line 1 was delivered"})

    status = reflected(kept, an_order_resource(spec=_edited(cancellation={"by": "ana"})))

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


# Conditions


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


# Every input


words = st.text(max_size=80)
errors = st.none() | st.fixed_dictionaries({"type": words, "message": st.text(max_size=1024)})
steps = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(StepName), "state": st.sampled_from(StepState)}),
    max_size=8,
    unique_by=lambda step: step["name"],
)
snapshots = st.builds(
    a_snapshot,
    status=st.sampled_from(OrderStatus),
    suspended=st.booleans(),
    class_name=st.none() | st.just("standard"),
    total_minor=st.integers(min_value=0, max_value=2**53 - 1),
    progress=st.integers(min_value=0, max_value=100),
    steps=steps,
    approval=st.fixed_dictionaries(
        {
            "required": st.booleans(),
            "decision": st.none() | st.sampled_from(DecisionOutcome),
            "by": st.none() | words,
        }
    ),
    compensation=st.none() | st.sampled_from(CompensationState),
    notified=st.none() | st.booleans(),
    shipping_address=st.none() | st.just(an_address()),
    last_error=errors,
)
observations = st.none() | st.builds(
    an_observation, status=st.sampled_from(WorkflowExecutionStatus), snapshot=st.none() | snapshots
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
specs = st.just(_edited()) | st.dictionaries(
    st.sampled_from(["currency", "lines", "shippingAddress", "approval", "cancellation"]), json_values, min_size=1
)
problems = st.none() | st.builds(Problem, st.sampled_from(Reason), st.text(max_size=1024), st.booleans())
refusals = st.lists(st.builds(Refusal, st.sampled_from(Group), words, st.text(max_size=1024)), max_size=4)


@settings(max_examples=200, deadline=None)
@given(observations, specs, problems, refusals, st.booleans(), st.integers(min_value=1, max_value=10))
def test_every_input_has_a_status_and_finished_means_a_terminal_phase(
    observation: Observation | None,
    spec: dict[str, Any],
    problem: Problem | None,
    refused: list[Refusal],
    applying: bool,
    observed: int,
) -> None:
    order = an_order_resource(spec=spec, generation=7, status={"observedGeneration": observed})

    status = reflected(observation, order, problem=problem, refusals=refused, applying=applying)

    assert (condition(status, "Finished")["status"] == "True") == (Phase(status["phase"]) in TERMINAL_PHASES)
    assert (condition(status, "Complete")["status"] == "True") == (status["phase"] == Phase.COMPLETED)


def test_an_error_type_that_kubernetes_does_not_take_as_a_reason_is_still_shown() -> None:
    error = {"type": "java.lang.Exception", "message": "from a worker in another language"}

    status = reflected(at(OrderStatus.ORDER_FAILED, last_error=error))

    assert status["lastError"]["type"] == "java.lang.Exception"
    assert condition(status, "Stalled")["message"] == "from a worker in another language"


def test_refusals_too_long_for_one_message_are_still_shown() -> None:
    refused = [Refusal(group, "Refused", "x" * 1000) for group in Group]

    assert said(reflected(an_observation(), refusals=refused), "SpecApplied") == ("False", "Refused")


def test_a_problem_too_long_for_a_message_is_still_shown() -> None:
    problem = Problem(Reason.CLASS_INVALID, "x" * 2000, stalled=True)

    assert said(reflected(None, problem=problem), "Stalled") == ("True", Reason.CLASS_INVALID)


def test_a_snapshot_that_was_not_understood_leaves_a_running_order_running() -> None:
    status = reflected(an_observation(snapshot=None))

    assert status["phase"] == Phase.RUNNING
    assert said(status, "Ready") == ("True", Reason.PROGRESSING)
    assert OrderSnapshot().seq == 0


# What is known of an order is not replaced by what is not

AWAY = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal cannot be reached")
TOLD = {
    "observedGeneration": 1,
    "phase": "Waiting",
    "orderStatus": "Await Approval",
    "progress": 33,
    "payment": {"capturedMinor": 50_000},
    "workflow": {"id": "order/shop/order-1/u1", "runID": "run-0", "namespace": "default", "taskQueue": "orders"},
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Waiting", "lastTransitionTime": "2026-01-02T03:04:05Z"},
        {"type": "Charged", "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-02T03:04:05Z"},
    ],
}


@pytest.mark.parametrize(
    "observation",
    [
        None,
        an_observation(snapshot=None),
        an_observation(snapshot=None, unreadable=True),
    ],
    ids=["no run seen", "a new run that has published nothing", "a snapshot that cannot be read"],
)
def test_a_status_without_knowledge_keeps_what_was_shown(observation: Observation | None) -> None:
    order = an_order_resource(status=TOLD, generation=2)

    status = reflected(observation, order, problem=AWAY)

    assert {key: status[key] for key in TOLD if key != "conditions"} == {
        key: value for key, value in TOLD.items() if key != "conditions"
    }
    assert said(status, "Charged") == ("True", "Done")
    assert said(status, "Ready") == ("Unknown", Reason.TEMPORAL_UNAVAILABLE)
    assert said(status, "Reconciling") == ("True", Reason.TEMPORAL_UNAVAILABLE)


def test_beside_twenty_conditions_of_others_there_is_room_to_say_what_holds_an_order_up() -> None:
    """The status had 23 then, which the API server refused for ever."""
    foreign = [{**TOLD["conditions"][0], "type": f"Other{number}"} for number in range(MAX_CONDITIONS - 1)]  # type: ignore[index]
    order = an_order_resource(status={**TOLD, "conditions": [*foreign, *TOLD["conditions"][1:]]})  # type: ignore[index]

    status = reflected(None, order, problem=AWAY)

    assert [item["type"] for item in status["conditions"]] == ["Charged", "Ready", "Reconciling", "Stalled"]


def test_a_run_that_goes_on_before_it_publishes_is_shown() -> None:
    order = an_order_resource(status={**TOLD, "workflow": {**TOLD["workflow"], "runID": "run-1"}})  # type: ignore[dict-item]

    assert reflected(an_observation(snapshot=None), order)["orderStatus"] == "Order Received"


def test_a_status_says_who_may_decide_and_what_became_of_it() -> None:
    asked = {"required": True, "requires": "approve-high", "requested_by": "ana", "edited_by": "eve", "deadline": NOW}
    decided = {"decision": "Approved", "by": "bob", "proof": "Policy", "via": "kubernetes", "at": NOW, "generation": 2}
    run = at(OrderStatus.CHARGE_CUSTOMER, approval={**asked, **decided, "total_minor": 50_000, "currency": "USD"})

    approval = reflected(run)["approval"]

    assert {key: approval[key] for key in ("requires", "requestedBy", "editedBy")} == {
        "requires": "approve-high",
        "requestedBy": "ana",
        "editedBy": "eve",
    }
    assert (approval["by"], approval["proof"], approval["via"]) == ("bob", "Policy", "kubernetes")
    assert (approval["totalMinor"], approval["generation"], approval["deadline"]) == (50_000, 2, approval["at"])


def test_a_decision_without_proof_is_shown_as_refused() -> None:
    refusal = Refusal(Group.APPROVAL, Reason.PROOF_REQUIRED, "not sent, since nothing proves that bob decided")

    applied = condition(reflected(at(OrderStatus.AWAIT_APPROVAL), refusals=[refusal]), "SpecApplied")

    assert (applied["status"], applied["reason"]) == ("False", "ProofRequired")
    assert applied["message"] == "spec.approval: not sent, since nothing proves that bob decided"

"""The status of an order, as its workflow has it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from builders import a_snapshot, an_address, an_observation, an_order_resource
from hypothesis import given, settings
from hypothesis import strategies as st
from reflected_orders import AWAY, NOW, TOLD, at, condition, edited_spec, reflected, said
from temporalio.client import WorkflowExecutionStatus

from order_domain.pipeline import StepName
from order_domain.snapshot import CompensationState, DecisionOutcome, OrderSnapshot, StepState
from order_domain.status import TERMINAL_PHASES, OrderStatus, Phase
from order_operator.cluster.conditions import Reason
from order_operator.orders.amendment import Group, Refusal
from order_operator.orders.observation import Observation
from order_operator.problem import Problem

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


def test_a_snapshot_that_was_not_understood_leaves_a_running_order_running() -> None:
    status = reflected(an_observation(snapshot=None))

    assert status["phase"] == Phase.RUNNING
    assert said(status, "Ready") == ("True", Reason.PROGRESSING)
    assert OrderSnapshot().seq == 0


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
    order = an_order_resource(spec=edited_spec(shipping_address=an_address(city="Shelbyville")))

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


def test_what_the_shop_knows_of_articles_and_customer_is_shown() -> None:
    item = {"line_id": "1", "sku": "654300", "quantity": 1, "description": "Table Top"}
    known = at(OrderStatus.CHECK_FRAUD, items=[item], enrichment={"tier": "Gold", "recommendations": ["Lamp"]})

    status = reflected(known)

    assert status["items"] == [{"lineID": "1", "sku": "654300", "quantity": 1, "description": "Table Top"}]
    assert status["enrichment"] == {"tier": "Gold", "recommendations": ["Lamp"]}


def test_all_steps_are_shown_from_the_first_snapshot_on() -> None:
    begun = replace(an_observation(), pipeline=(StepName.RECEIVE, StepName.SHIP))

    assert [(step["name"], step["state"]) for step in reflected(begun)["steps"]] == [
        ("Receive", "Pending"),
        ("Ship", "Pending"),
    ]


def test_a_signal_in_vain_is_shown() -> None:
    refusal = {"what": "approve", "reason": "AlreadyDecided: it is rejected", "at": NOW}

    assert reflected(at(OrderStatus.SHIP_ORDER, last_refusal=refusal))["lastRefusal"]["what"] == "approve"


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


# What is known of an order is not replaced by what is not


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


def test_a_run_that_goes_on_before_it_publishes_is_shown() -> None:
    order = an_order_resource(status={**TOLD, "workflow": {**TOLD["workflow"], "runID": "run-1"}})  # type: ignore[dict-item]

    assert reflected(an_observation(snapshot=None), order)["orderStatus"] == "Order Received"


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
specs = st.just(edited_spec()) | st.dictionaries(
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

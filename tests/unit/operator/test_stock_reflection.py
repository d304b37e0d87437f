from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from order_domain.snapshot import ErrorRecord
from order_domain.stock_item import StockSnapshot, SupplierOrderRecord
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.stock_items.reflection import reflect_stock
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import StockRun
from order_operator.stock_items.status import StockItemStatus

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
Status = Mapping[str, Any]

PLANNED = SupplierOrderRecord(id="PROD-001/1", quantity=9_999)
ORDERED = PLANNED.model_copy(update={"placed_at": NOW, "expected_at": NOW + timedelta(hours=1)})
REFUSED = ErrorRecord(type="ProviderUnavailable", message="the supplier does not answer")


def an_item(*, generation: int = 1, status: Status | None = None) -> StockItemResource:
    metadata = {"namespace": "shop", "name": "prod", "uid": "u1", "generation": generation, "resourceVersion": "7"}
    metadata["creationTimestamp"] = "2026-01-02T03:04:00Z"
    spec = {"sku": "PROD-001", "minimum": 5_000, "target": 10_000}
    return StockItemResource.from_body({"metadata": metadata, "spec": spec, "status": status or {}})


def a_run(snapshot: StockSnapshot | None, **changes: Any) -> StockRun:
    fields: dict[str, Any] = {
        "sku": "PROD-001",
        "owner": "u1",
        "item": "shop/prod",
        "workflow_id": "stock/PROD-001",
        "run_id": "run-1",
        "status": WorkflowExecutionStatus.RUNNING,
        "task_queue": "orders",
        "snapshot": snapshot,
    }
    return StockRun(**{**fields, **changes})


def counted(**changes: Any) -> StockRun:
    """Of a workflow that has published these counts."""
    return a_run(StockSnapshot(**{"seq": 1, "generation": 1, "on_hand": 1, "reserved": 2, "sold": 997, **changes}))


def reflected(run: StockRun | None, item: StockItemResource | None = None, **more: Any) -> dict[str, Any]:
    return reflect_stock(item or an_item(), run, **{"now": NOW, "temporal_namespace": "default", **more})


def said(status: Status, kind: str) -> tuple[str, str]:
    """Status and reason of one condition."""
    (found,) = [item for item in status["conditions"] if item["type"] == kind]
    return found["status"], found["reason"]


def message(status: Status, kind: str) -> str | None:
    (found,) = [item for item in status["conditions"] if item["type"] == kind]
    text: str | None = found.get("message")
    return text


def test_the_counts_are_shown_even_where_they_are_nothing() -> None:
    status = reflected(counted(on_hand=0, reserved=0, sold=0))

    assert [status[name] for name in ("onHand", "reserved", "sold", "onOrder")] == [0, 0, 0, 0]


def test_an_item_that_nobody_has_counted_shows_no_counts() -> None:
    status = reflected(a_run(None))

    assert status.keys() == {"observedGeneration", "conditions", "workflow"}
    assert said(status, "Ready") == ("Unknown", Reason.SUBMITTING)
    assert said(status, "Reconciling") == ("True", Reason.SUBMITTING)


def test_the_order_at_the_supplier_is_shown_whole_and_as_its_pieces() -> None:
    status = reflected(counted(supplier_order=ORDERED))

    assert status["onOrder"] == 9_999
    assert status["supplierOrder"] == {
        "id": "PROD-001/1",
        "quantity": 9_999,
        "placedAt": "2026-03-04T05:06:07.890000Z",
        "expectedAt": "2026-03-04T06:06:07.890000Z",
    }


@pytest.mark.parametrize(
    ("order", "error", "shown"),
    [
        (None, None, ("False", Reason.NOTHING_ON_ORDER)),
        (PLANNED, None, ("True", Reason.PLANNED)),
        (ORDERED, None, ("True", Reason.ORDERED)),
        (PLANNED, REFUSED, ("True", Reason.SUPPLIER_FAILED)),
    ],
)
def test_replenishing_tells_how_the_order_at_the_supplier_stands(
    order: SupplierOrderRecord | None, error: ErrorRecord | None, shown: tuple[str, str]
) -> None:
    assert said(reflected(counted(supplier_order=order, last_error=error)), "Replenishing") == shown


def test_a_supplier_that_fails_is_seen_and_stalls_nothing() -> None:
    status = reflected(counted(supplier_order=PLANNED, last_error=REFUSED))

    assert said(status, "Ready") == ("True", Reason.SUPPLIER_FAILED)
    assert said(status, "Stalled")[0] == said(status, "Reconciling")[0] == "False"
    assert message(status, "Ready") == message(status, "Replenishing") == REFUSED.message
    assert status["lastError"] == {"type": "ProviderUnavailable", "message": REFUSED.message}


def test_a_counted_item_is_ready() -> None:
    status = reflected(counted())

    assert said(status, "Ready") == ("True", Reason.KEPT)
    assert said(status, "Stalled")[0] == said(status, "Reconciling")[0] == "False"


@pytest.mark.parametrize("stalled", [True, False])
def test_a_problem_is_told_and_whether_it_takes_a_person(stalled: bool) -> None:
    problem = Problem(Reason.SKU_TAKEN, "another one", stalled=stalled)

    status = reflected(None, problem=problem)

    assert said(status, "Ready") == ("False" if stalled else "Unknown", Reason.SKU_TAKEN)
    assert said(status, "Stalled")[0] == str(stalled)
    assert said(status, "Reconciling")[0] == str(not stalled)
    assert message(status, "Ready") == "another one"


def test_a_passing_problem_leaves_the_last_counts() -> None:
    problem = Problem(Reason.TEMPORAL_UNAVAILABLE, "away")

    status = reflected(counted(), problem=problem)

    assert status["onHand"] == 1
    assert said(status, "Ready")[0] == said(status, "Reconciling")[0] == "True"


def test_a_workflow_whose_code_fails_is_stalled() -> None:
    run = a_run(StockSnapshot(generation=1), task_problems=("cause=WorkflowTaskFailedCauseUnhandledFailure",))

    assert said(reflected(run), "Stalled") == ("True", Reason.WORKFLOW_TASK_FAILED)


def test_an_edit_counts_as_observed_once_its_settings_are_in_force() -> None:
    before = reflected(counted(generation=1), an_item(generation=2))
    after = reflected(counted(generation=2), an_item(generation=2))

    assert (before["observedGeneration"], after["observedGeneration"]) == (1, 2)
    assert said(before, "Reconciling") == ("True", Reason.APPLYING)
    assert said(after, "Reconciling")[0] == "False"


def test_a_refused_edit_counts_as_observed() -> None:
    problem = Problem(Reason.INVALID_SPEC, "spec.target: too small", stalled=True)

    status = reflected(counted(generation=1), an_item(generation=2), problem=problem)

    assert status["observedGeneration"] == 2
    assert said(status, "Stalled") == ("True", Reason.INVALID_SPEC)


def test_a_refused_edit_of_an_item_whose_workflow_is_not_seen_forgets_nothing_of_it() -> None:
    """Where that is in another Temporal namespace, the next valid edit began a second one."""
    workflow = {"id": "stock/PROD-001", "namespace": "elsewhere"}
    item = an_item(generation=2, status={"observedGeneration": 1, "onHand": 7, "workflow": workflow})
    problem = Problem(Reason.INVALID_SPEC, "spec.target: too small", stalled=True)

    status = reflected(None, item, problem=problem)

    assert (status["workflow"], status["onHand"], status["observedGeneration"]) == (workflow, 7, 2)
    assert said(status, "Stalled") == ("True", Reason.INVALID_SPEC)


@pytest.mark.parametrize("run", [None, a_run(None), counted(supplier_order=ORDERED, last_error=REFUSED)])
def test_a_status_is_what_its_model_says_and_stays_as_it_is(run: StockRun | None) -> None:
    first = reflected(run)

    again = reflected(run, an_item(status=first), now=NOW + timedelta(hours=1))

    assert again == first
    assert StockItemStatus.model_validate(first).model_dump(mode="json", exclude_unset=True).keys() == first.keys()


def test_a_forged_condition_is_replaced() -> None:
    forged = {"type": "Ready", "status": "False", "reason": "Forged", "lastTransitionTime": "2020-01-01T00:00:00Z"}

    status = reflected(counted(), an_item(status={"conditions": [forged], "onHand": 7}))

    assert (status["onHand"], said(status, "Ready")) == (1, ("True", Reason.KEPT))


def test_the_status_tells_where_to_look_further() -> None:
    assert reflected(counted())["workflow"] == {
        "id": "stock/PROD-001",
        "runID": "run-1",
        "namespace": "default",
        "taskQueue": "orders",
    }


def test_an_item_whose_run_is_not_seen_while_temporal_is_away_keeps_its_counts() -> None:
    """B2: they were lost at each start of an operator with Temporal away."""
    before = reflected(counted(on_hand=7))
    away = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal cannot be reached")

    status = reflected(None, an_item(status=before), problem=away)

    assert (status["onHand"], status["workflow"]) == (7, before["workflow"])
    assert said(status, "Ready") == ("Unknown", Reason.TEMPORAL_UNAVAILABLE)

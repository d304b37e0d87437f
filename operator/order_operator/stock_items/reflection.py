"""From what is known of a stock item to the status that shows it: a pure function of its arguments."""

from datetime import datetime
from typing import Any

from order_domain.stock_item import StockSnapshot
from order_operator.cluster.conditions import ConditionSet, ConditionType, Reason, held_up
from order_operator.problem import Problem
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import StockRun
from order_operator.stock_items.status import StockItemStatus
from order_operator.temporal.runs import failing, workflow_ref

APPLYING = Problem(Reason.APPLYING, "no worker has taken over the edited settings yet")

RELEASED = Problem(
    Reason.SUBMITTING,
    "the workflow was told that this item is gone: it ends once what is on order has come, and is then begun again",
)

UNSEEN = frozenset(
    {Reason.TASK_QUEUE_TAKEN, Reason.ENCRYPTION_KEY_MISSING, Reason.TEMPORAL_REFUSED, Reason.WORKFLOW_ELSEWHERE}
)
"""What takes a person, and tells nothing of whether the item's workflow runs."""


def reflect_stock(
    item: StockItemResource,
    run: StockRun | None,
    *,
    now: datetime,
    temporal_namespace: str,
    problem: Problem | None = None,
) -> dict[str, Any]:
    """The `.status` that `item` should have, as JSON.

    `run` is the item's own, None while another item keeps the article; `problem` is what keeps the item from being
    followed. `now` (UTC) dates the conditions that change.
    """
    unseen = run is None and problem is not None and (not problem.stalled or problem.reason in UNSEEN)
    if unseen and item.status.get("workflow"):
        return held_up(item.status, problem, now)  # what is not seen is no reason to forget what is shown
    refused = run is None and problem is not None and problem.reason is Reason.INVALID_SPEC
    if refused and item.status.get("workflow"):  # nor is an edit that is refused
        return held_up({**item.status, "observedGeneration": item.generation}, problem, now)
    snapshot = run.snapshot if run else None
    # Greater than the item's where etcd was restored.
    awaited = snapshot is not None and snapshot.generation != item.generation and not (problem and problem.stalled)
    generation = min(snapshot.generation, item.generation - 1) if snapshot and awaited else item.generation
    if snapshot is not None and snapshot.kept_by is not None:
        problem = problem or taken(item.sku, f"workflow {snapshot.kept_by}, of another installation")
    if snapshot is not None and snapshot.released:
        problem = problem or RELEASED
    problem = problem or failing(run, "stock item") or (APPLYING if awaited else None)
    conditions = ConditionSet(item.status.get("conditions") or [], generation, now)
    _set_kstatus(conditions, snapshot, problem)
    if snapshot is not None:
        _set_replenishing(conditions, snapshot)
    status = StockItemStatus(observed_generation=generation, workflow=workflow_ref(run, temporal_namespace))
    if snapshot is not None:
        order = snapshot.supplier_order
        status = status.model_copy(
            update={
                "on_hand": snapshot.on_hand,
                "reserved": snapshot.reserved,
                "sold": snapshot.sold,
                "on_order": order.quantity if order else 0,
                "supplier_order": order,
                "last_error": snapshot.last_error,
            }
        )
    return {**status.model_dump(mode="json", exclude_defaults=True), "conditions": conditions.build()}


def taken(sku: str, keeper: str) -> Problem:
    """Another keeps the article."""
    why = f"article {sku} is kept by {keeper}: this item takes over once that one is deleted and has received its order"
    return Problem(Reason.SKU_TAKEN, why, stalled=True)


def former_keeps(sku: str) -> Problem:
    """The item that had this name before still has something on order."""
    keeper = "the StockItem that had this name before"
    why = f"article {sku} is kept for {keeper}: this item takes over once what that one has ordered has come"
    return Problem(Reason.SKU_TAKEN, why, stalled=True)


def _set_kstatus(conditions: ConditionSet, snapshot: StockSnapshot | None, problem: Problem | None) -> None:
    """Ready, Reconciling and Stalled. A supplier that fails is asked again by itself: shown, but no reason to wait."""
    followed = snapshot is not None and snapshot.kept_by is None and not snapshot.released
    if problem is not None:
        reason, message = problem.reason, problem.message
    elif snapshot is None:
        reason, message = Reason.SUBMITTING, ""
    elif snapshot.last_error is not None:
        reason, message = Reason.SUPPLIER_FAILED, snapshot.last_error.message
    else:
        reason, message = Reason.KEPT, ""
    stalled = problem is not None and problem.stalled
    conditions.set(ConditionType.READY, False if stalled else True if followed else None, reason, message)
    conditions.set(ConditionType.RECONCILING, not stalled and (problem is not None or not followed), reason, message)
    conditions.set(ConditionType.STALLED, stalled, reason, message)


def _set_replenishing(conditions: ConditionSet, snapshot: StockSnapshot) -> None:
    order, error = snapshot.supplier_order, snapshot.last_error
    if order is None:
        conditions.set(ConditionType.REPLENISHING, False, Reason.NOTHING_ON_ORDER)
    elif error is not None:
        conditions.set(ConditionType.REPLENISHING, True, Reason.SUPPLIER_FAILED, error.message)
    else:
        reason = Reason.ORDERED if order.placed_at else Reason.PLANNED
        conditions.set(ConditionType.REPLENISHING, True, reason)

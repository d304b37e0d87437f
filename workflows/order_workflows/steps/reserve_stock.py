"""Hold the ordered units; they are sold when the order passes its pivot and freed when it ends otherwise."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from order_domain import moments
from order_domain.errors import OperationReversed, OutOfStock
from order_domain.pipeline import StepName
from order_domain.policy import ShortagePolicy
from order_domain.refusals import EndType
from order_domain.snapshot import ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows import lines_change, local_activities, timing
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect
from order_workflows.activities.stock import CommitStock, ReleaseStock, Reserved, ReserveStock, StockActivities
from order_workflows.activity_failures import reason_of
from order_workflows.kept_lines import kept_suffix
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.step import Step
from order_workflows.waiting import stop_if_cancelled_meanwhile


async def run(order: OrderRun) -> None:
    """Raises OutOfStock through the activity, or, with backorders allowed, OrderEnded when the units do not come in
    time."""
    if order.pivot_passed:
        # The ledger has sold the units; this run has only forgotten it.
        return
    inventory = order.input.policy.inventory
    deadline = workflow.now() + timedelta(seconds=inventory.backorder_seconds)
    while True:
        # Before the attempt: units that come in while it is being refused are news all the same.
        order.restocked = False
        try:
            reserved = await _reserve(order)
        except FailureError as failure:
            reason = reason_of(failure)
            if reason.type == OperationReversed.__name__:
                # An earlier run gave these units back for other lines, or was refused when there were too few of them;
                # the next attempt is an operation of its own.
                continue
            if inventory.on_shortage is ShortagePolicy.FAIL or reason.type != OutOfStock.__name__:
                raise
            shortage = reason.message
        else:
            order.attempted(reserved)
            order.reservation_id = reserved.reservation_id
            return
        await _await_stock(order, deadline, shortage)


async def _reserve(order: OrderRun) -> Reserved:
    # A refusal is final for its operation, so that each try after a shortage is one of its own.
    attempt = len(order.reservations) + 1
    step = f"reserve/{order.lines_digest}"
    operation_id = order.operation(step if attempt == 1 else f"{step}/{attempt}")
    order.reservations.append(operation_id)
    order.begins(BegunEffect(kind=EffectKind.RESERVE, operation_id=operation_id))
    return await local_activities.as_class_says(
        StockActivities.reserve,
        ReserveStock(
            order=order.input.identity,
            operation_id=operation_id,
            lines=order.lines,
            lines_digest=order.lines_digest,
            backorder=order.input.policy.inventory.on_shortage is ShortagePolicy.BACKORDER,
        ),
        order.retry(StepName.RESERVE_STOCK),
        failed=order.show_retry,
    )


async def _await_stock(order: OrderRun, deadline: datetime, shortage: str) -> None:
    """Until units came in, the lines changed or it is time to look again. Raises OrderEnded at the deadline."""
    stop_if_cancelled_meanwhile()
    left = deadline - workflow.now()
    if left <= timedelta(0):
        error = ErrorRecord(type=EndType.BACKORDER_EXPIRED, message="the missing units did not come in time")
        raise OrderEnded(OrderStatus.ORDER_EXPIRED, error)
    message = f"waits for stock until {moments.minute(deadline)}, then expires ({shortage})"
    order.waiting(OrderStatus.AWAIT_STOCK, PendingAction(kind="Restock", deadline=deadline, message=message))
    try:
        await workflow.wait_condition(
            lambda: order.restocked or bool(order.wanted_lines),
            timeout=min(left, timing.look_again(len(order.reservations))),
            timeout_summary="out of stock",
        )
    except TimeoutError:
        return
    await lines_change.apply_wanted(order)


async def release(order: OrderRun, reservation: BegunEffect, kept: Collection[str]) -> None:
    """Free the units that the reservation holds, except those of the lines `kept`; or make sure that it never holds
    any."""
    units: Counter[str] = Counter()
    for line in order.lines:
        if line.line_id in kept:
            units[line.sku] += line.quantity
    request = ReleaseStock(
        order=order.input.identity,
        operation_id=f"{reservation.operation_id}/release{kept_suffix(sorted(kept))}",
        reserve_operation_id=reservation.operation_id,
        kept=dict(units),
    )
    await local_activities.until_done(StockActivities.release, request, failed=order.show_ledger_away)


def must_commit(order: OrderRun) -> bool:
    """Whether the ledger has to learn that the order passed its pivot. Since revision 3 also where nothing is held."""
    return bool(order.reservations) or order.input.revision > 2


async def commit(order: OrderRun) -> None:
    """Book the held units as sold: from here on the order only goes forward."""
    request = CommitStock(
        order=order.input.identity,
        operation_id=order.operation("commit"),
        reserve_operation_id=order.reservations[-1] if order.reservations else None,
        lines_digest=order.lines_digest,
    )
    await local_activities.until_done(StockActivities.commit, request, failed=order.show_retry)


STEP = Step(
    name=StepName.RESERVE_STOCK,
    run=run,
    status=OrderStatus.RESERVE_STOCK,
    activities=("reserve_stock",),
    effect=EffectKind.RESERVE,
    undo=release,
)

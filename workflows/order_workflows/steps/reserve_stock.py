"""Hold the ordered pieces; they are sold when the order passes its pivot and freed when it ends otherwise."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from order_domain.errors import OutOfStock
from order_domain.pipeline import StepName
from order_domain.policy import ShortagePolicy
from order_domain.refusals import EndType
from order_domain.snapshot import ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows import lines_change, timing
from order_workflows.activities.stock import CommitStock, ReleaseStock, Reserved, ReserveStock, StockActivities
from order_workflows.activity_failures import reason_of
from order_workflows.order_run import OrderEnded, OrderRun


async def run(order: OrderRun) -> None:
    """Raises OutOfStock through the activity, or, with backorders allowed, OrderEnded when the pieces do not come in
    time."""
    order.on_failure(StepName.RESERVE_STOCK, lambda: _release_all(order))
    inventory = order.input.policy.inventory
    deadline = workflow.now() + timedelta(seconds=inventory.backorder_seconds)
    while True:
        # Before the attempt: pieces that come in while it is being refused are news all the same.
        order.restocked = False
        try:
            reserved = await _reserve(order)
        except FailureError as failure:
            if inventory.on_shortage is ShortagePolicy.FAIL or reason_of(failure).type != OutOfStock.__name__:
                raise
        else:
            order.attempted(reserved)
            order.reservation_id = reserved.reservation_id
            return
        await _await_stock(order, deadline)


async def _reserve(order: OrderRun) -> Reserved:
    # A refusal is final for its operation, so that each try after a shortage is one of its own.
    attempt = len(order.reservations) + 1
    operation_id = order.operation("reserve" if attempt == 1 else f"reserve/{attempt}")
    order.reservations.append(operation_id)
    return await workflow.execute_local_activity_method(
        StockActivities.reserve,
        ReserveStock(order=order.input.identity, operation_id=operation_id, lines=order.lines),
        **timing.local(order.retry(StepName.RESERVE_STOCK)),
    )


async def _await_stock(order: OrderRun, deadline: datetime) -> None:
    """Until pieces came in, the lines changed or it is time to look again. Raises OrderEnded at the deadline."""
    left = deadline - workflow.now()
    if left <= timedelta(0):
        error = ErrorRecord(type=EndType.BACKORDER_EXPIRED, message="the missing pieces did not come in time")
        raise OrderEnded(OrderStatus.ORDER_EXPIRED, error)
    order.waiting(
        OrderStatus.AWAIT_STOCK,
        PendingAction(kind="Restock", deadline=deadline, message="waiting for pieces that are out of stock"),
    )
    try:
        await workflow.wait_condition(
            lambda: order.restocked or bool(order.wanted_lines),
            timeout=min(left, timing.look_again(len(order.reservations))),
            timeout_summary="out of stock",
        )
    except TimeoutError:
        return
    await lines_change.apply_wanted(order)


async def _release_all(order: OrderRun) -> None:
    """Of every attempt, since one that seems to have failed may have happened."""
    for attempt, operation_id in enumerate(order.reservations, start=1):
        await release(order, operation_id, order.operation("release" if attempt == 1 else f"release/{attempt}"))


async def release(order: OrderRun, reservation: str, operation_id: str) -> None:
    """Free the pieces that the operation `reservation` holds, or make sure that it never holds any."""
    await workflow.execute_local_activity_method(
        StockActivities.release,
        ReleaseStock(order=order.input.identity, operation_id=operation_id, reserve_operation_id=reservation),
        **timing.LEDGER,
    )


async def commit(order: OrderRun) -> None:
    """Book the held pieces as sold."""
    await workflow.execute_local_activity_method(
        StockActivities.commit,
        CommitStock(
            order=order.input.identity,
            operation_id=order.operation("commit"),
            reserve_operation_id=order.reservations[-1],
        ),
        **timing.LEDGER,
    )

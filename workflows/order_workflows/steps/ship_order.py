"""Hand every line to the carrier, all at once; when the last one is taken, nothing goes backward any more."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.order import OrderLine
from order_domain.policy import StepName
from order_domain.snapshot import ErrorRecord, ShipmentRecord, ShipmentState
from order_domain.status import OrderStatus
from order_workflows import timing
from order_workflows.activities import CancelShipment, CommitStock, Ship, ShippingActivities, StockActivities
from order_workflows.activity_failures import reason_of
from order_workflows.manual_review import wait_for_repair
from order_workflows.order_run import OrderRun
from order_workflows.steps import reserve_stock


async def run(order: OrderRun) -> None:
    """Raises Undeliverable through the activity, after every line's answer is known."""
    order.shipping_started = True
    order.on_failure(StepName.SHIP, lambda: _call_back(order))
    answers = await asyncio.gather(*(_ship(order, line) for line in order.spec.lines), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    order.pivot_passed = True
    while not await _sold(order):
        await wait_for_repair(order, ErrorRecord(type="StockNotCommitted", message="could not book the pieces as sold"))
        order.publish(OrderStatus.SHIP_ORDER)


async def _sold(order: OrderRun) -> bool:
    request = CommitStock(
        order=order.input.identity,
        operation_id=order.operation("commit"),
        reserve_operation_id=order.operation(reserve_stock.OPERATION),
    )
    try:
        await workflow.execute_local_activity_method(StockActivities.commit, request, **timing.LEDGER)
    except FailureError as failure:
        if is_cancelled_exception(failure):
            raise
        workflow.logger.error("stock not committed", extra={"cause": reason_of(failure).type})
        return False
    return True


async def _ship(order: OrderRun, line: OrderLine) -> None:
    shipped = await workflow.execute_activity_method(
        ShippingActivities.ship,
        Ship(
            order=order.input.identity,
            operation_id=_operation(order, line),
            line=line,
            address=order.address,
            requested_at=workflow.now(),
        ),
        **timing.remote(order.retry(StepName.SHIP)),
    )
    order.attempted(shipped)
    order.shipments[line.line_id] = ShipmentRecord(
        line_id=line.line_id,
        state=ShipmentState.DISPATCHED,
        tracking_number=shipped.tracking_number,
        carrier=shipped.carrier,
        estimated_delivery=shipped.estimated_delivery,
    )


async def _call_back(order: OrderRun) -> None:
    """Every line is called back, since one without an answer may have been taken all the same."""
    await asyncio.gather(*(_cancel(order, line) for line in order.spec.lines))


async def _cancel(order: OrderRun, line: OrderLine) -> None:
    await workflow.execute_activity_method(
        ShippingActivities.cancel,
        CancelShipment(
            order=order.input.identity,
            operation_id=f"{_operation(order, line)}/cancel",
            ship_operation_id=_operation(order, line),
        ),
        **timing.UNDO,
    )
    record = order.shipments.get(line.line_id)
    if record is not None:
        order.shipments[line.line_id] = record.model_copy(update={"state": ShipmentState.CANCELLED})


def _operation(order: OrderRun, line: OrderLine) -> str:
    return order.operation(f"ship/{line.line_id}")

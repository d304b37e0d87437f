"""Hold the ordered pieces; they are sold when the parcel leaves and freed when the order ends otherwise."""

from temporalio import workflow

from order_domain.policy import StepName
from order_workflows import timing
from order_workflows.activities import ReleaseStock, ReserveStock, StockActivities
from order_workflows.order_run import OrderRun

OPERATION = "reserve"


async def run(order: OrderRun) -> None:
    """Raises OutOfStock through the activity."""
    request = ReserveStock(order=order.input.identity, operation_id=order.operation(OPERATION), lines=order.spec.lines)

    async def release() -> None:
        await workflow.execute_local_activity_method(
            StockActivities.release,
            ReleaseStock(
                order=order.input.identity,
                operation_id=order.operation("release"),
                reserve_operation_id=request.operation_id,
            ),
            **timing.LEDGER,
        )

    order.on_failure(StepName.RESERVE_STOCK, release)
    reserved = await workflow.execute_local_activity_method(
        StockActivities.reserve, request, **timing.local(order.retry(StepName.RESERVE_STOCK))
    )
    order.attempted(reserved)
    order.reservation_id = reserved.reservation_id

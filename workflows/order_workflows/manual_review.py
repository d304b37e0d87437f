"""Where a person has to repair something before the order can go on."""

from temporalio import workflow

from order_domain.snapshot import ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows.order_run import OrderRun


async def wait_for_repair(order: OrderRun, error: ErrorRecord) -> None:
    """Show `error` and return when somebody sends the Update `resume`."""
    before, order.last_error = order.last_error, error
    order.under_review = True
    order.pending_action = PendingAction(
        kind="Resume", message=f"{error.message}: repair the cause, then send the Update `resume`"[:1024]
    )
    order.publish(OrderStatus.MANUAL_REVIEW)
    await workflow.wait_condition(lambda: not order.under_review)
    order.pending_action = None
    order.last_error = before

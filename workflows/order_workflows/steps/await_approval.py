"""Wait for a person's decision when the order's class asks for one."""

from temporalio import workflow

from order_domain.money import format_amount
from order_domain.snapshot import DecisionOutcome, ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows.order_run import OrderEnded, OrderRun


async def run(order: OrderRun) -> None:
    """Raises OrderEnded when the decision is No, or when there is none in time."""
    if not order.approval_required:
        order.skip()
        return
    if order.approval.decision is None:
        await _wait(order)
    if order.approval.decision is DecisionOutcome.REJECTED:
        reason = f": {order.approval.reason}" if order.approval.reason else ""
        error = ErrorRecord(type="Rejected", message=f"rejected by {order.approval.by}{reason}")
        raise OrderEnded(OrderStatus.ORDER_REJECTED, error)
    if order.approval.decision is DecisionOutcome.EXPIRED:
        error = ErrorRecord(type="ApprovalExpired", message=f"no decision within {order.approval_window}")
        raise OrderEnded(OrderStatus.ORDER_EXPIRED, error)


async def _wait(order: OrderRun) -> None:
    deadline = workflow.now() + order.approval_window
    order.approval = order.approval.model_copy(update={"deadline": deadline})
    amount = format_amount(order.total_minor, order.spec.currency)
    order.waiting(
        OrderStatus.AWAIT_APPROVAL,
        PendingAction(kind="Approve", deadline=deadline, message=f"{amount} needs approval"),
    )
    try:
        await workflow.wait_condition(
            lambda: order.approval.decision is not None,
            timeout=order.approval_window,
            timeout_summary="approval window",
        )
    except TimeoutError:
        # A decision that arrived in the very task in which the timer fired was accepted and therefore counts.
        if order.approval.decision is None:
            order.approval = order.approval.model_copy(
                update={"decision": DecisionOutcome.EXPIRED, "at": workflow.now()}
            )

"""Wait for a person's decision when the order's class asks for one."""

from datetime import datetime, timedelta

from temporalio import workflow

from order_domain.money import format_amount
from order_domain.order import DecisionKind
from order_domain.policy import ApprovalExpiry
from order_domain.refusals import EndType
from order_domain.snapshot import DecisionOutcome, ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows import lines_change
from order_workflows.contract import Decision
from order_workflows.order_run import OrderEnded, OrderRun

AUTO_APPROVER = "auto-approver"
ON_EXPIRY = "approval window"
"""Names that stand for a decision that no person made."""


async def run(order: OrderRun) -> None:
    """Raises OrderEnded when the decision is No, or when there is none in time. Lines that change meanwhile change
    what is decided about, and whether anybody needs to."""
    if order.approval_required and order.approval.decision is None:
        await _wait(order)
    if order.approval.decision is DecisionOutcome.REJECTED:
        reason = f": {order.approval.reason}" if order.approval.reason else ""
        error = ErrorRecord(type=EndType.REJECTED, message=f"rejected by {order.approval.by}{reason}")
        raise OrderEnded(OrderStatus.ORDER_REJECTED, error)
    if order.approval.decision is DecisionOutcome.EXPIRED:
        error = ErrorRecord(type=EndType.APPROVAL_EXPIRED, message=f"no decision within {order.approval_window}")
        raise OrderEnded(OrderStatus.ORDER_EXPIRED, error)
    if not order.approval_required:
        order.skip()


async def _wait(order: OrderRun) -> None:
    policy = order.input.policy.approval
    opened = workflow.now()
    deadline = opened + order.approval_window
    automatic = policy.auto_approve_after_seconds
    timer_ends = deadline if automatic is None else opened + timedelta(seconds=automatic)
    order.approval = order.approval.model_copy(update={"deadline": deadline})
    while order.approval_required and order.approval.decision is None:
        _ask(order, deadline)
        try:
            await workflow.wait_condition(
                lambda: order.approval.decision is not None or bool(order.wanted_lines),
                timeout=max(timer_ends - workflow.now(), timedelta(0)),
                timeout_summary="approval window" if automatic is None else "automatic approval",
            )
        except TimeoutError:
            # A decision that arrived in the very task in which the timer fired was accepted and therefore counts.
            if order.approval.decision is None:
                _decide_by_policy(order)
        await lines_change.apply_wanted(order)


def _ask(order: OrderRun, deadline: datetime) -> None:
    amount = format_amount(order.total_minor, order.spec.currency)
    order.waiting(
        OrderStatus.AWAIT_APPROVAL,
        PendingAction(kind="Approve", deadline=deadline, message=f"{amount} needs approval"),
    )


def _decide_by_policy(order: OrderRun) -> None:
    policy = order.input.policy.approval
    if policy.auto_approve_after_seconds is not None:
        order.decide(DecisionKind.APPROVED, Decision(by=AUTO_APPROVER))
    elif policy.on_expiry is ApprovalExpiry.APPROVE:
        order.decide(DecisionKind.APPROVED, Decision(by=ON_EXPIRY, reason="nobody decided in time"))
    else:
        order.approval = order.approval.model_copy(update={"decision": DecisionOutcome.EXPIRED, "at": workflow.now()})

"""Wait for a person's decision when the order's class asks for one."""

from datetime import datetime, timedelta
from typing import NamedTuple

from temporalio import workflow

from order_domain import moments
from order_domain.money import format_amount
from order_domain.order import DecisionKind
from order_domain.pipeline import StepName
from order_domain.policy import ApprovalExpiry, DecisionVerb
from order_domain.refusals import EndType
from order_domain.snapshot import DecisionOutcome, ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows import lines_change
from order_workflows.contract import POLICY, Decision
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.step import Step
from order_workflows.waiting import stop_if_cancelled_meanwhile

AUTO_APPROVER = "auto-approver"
ON_EXPIRY = "approval window"
"""Names that stand for a decision that no person made."""


async def run(order: OrderRun) -> None:
    """Raises OrderEnded when the decision is No, or when there is none in time. Lines that change meanwhile change
    what is decided about, and whether anybody needs to. Past the pivot nobody is asked any more."""
    if order.pivot_passed:
        order.skip()
        return
    if order.approval_required and order.approval.decision is None:
        await _wait(order)
    if order.approval.decision is DecisionOutcome.REJECTED:
        raise rejected(order)
    if order.approval.decision is DecisionOutcome.EXPIRED:
        error = ErrorRecord(type=EndType.APPROVAL_EXPIRED, message=f"no decision within {order.approval_window}")
        raise OrderEnded(OrderStatus.ORDER_EXPIRED, error)
    if not order.approval_required:
        order.skip()


def rejected(order: OrderRun) -> OrderEnded:
    """The end of an order whose approval was refused."""
    reason = f": {order.approval.reason}" if order.approval.reason else ""
    error = ErrorRecord(type=EndType.REJECTED, message=f"rejected by {order.approval.by}{reason}")
    return OrderEnded(OrderStatus.ORDER_REJECTED, error)


async def _wait(order: OrderRun) -> None:
    window = _open_window(order)
    while order.approval_required and order.approval.decision is None:
        stop_if_cancelled_meanwhile()
        _ask(order, window)
        try:
            await workflow.wait_condition(
                lambda: order.approval.decision is not None or bool(order.wanted_lines),
                timeout=max(window.timer_ends - workflow.now(), timedelta(0)),
                timeout_summary="approval window" if window.automatic is None else "automatic approval",
            )
        except TimeoutError:
            # A decision that arrived in the very task in which the timer fired was accepted and therefore counts.
            if order.approval.decision is None:
                _decide_by_policy(order)
        before = order.lines_digest
        await lines_change.apply_wanted(order)
        if order.lines_digest != before and order.input.revision > 2:
            # Nobody has seen the order as it is now: the whole window is left for it, and silence is no consent.
            order.changed_while_waiting = True
            window = _open_window(order)


class _Window(NamedTuple):
    deadline: datetime
    timer_ends: datetime
    automatic: int | None
    """Seconds after which the order approves itself."""


def _open_window(order: OrderRun) -> _Window:
    opened = workflow.now()
    deadline = opened + order.approval_window
    automatic = None if order.changed_while_waiting else order.input.policy.approval.auto_approve_after_seconds
    order.approval = order.approval.model_copy(update={"deadline": deadline})
    return _Window(deadline, deadline if automatic is None else opened + timedelta(seconds=automatic), automatic)


def _ask(order: OrderRun, window: _Window) -> None:
    amount = format_amount(order.total_minor, order.spec.currency)
    until = moments.minute(window.timer_ends)
    message = f"waits for approval of {amount}{_by_whom(order)} until {until}, then {_without_decision(order)}"
    order.waiting(OrderStatus.AWAIT_APPROVAL, PendingAction(kind="Approve", deadline=window.deadline, message=message))


def _by_whom(order: OrderRun) -> str:
    """What an approver needs beyond the verb `approve`."""
    verb, approval = order.approval.requires, order.input.policy.approval
    needs = f" by a holder of the verb {verb}" if verb == DecisionVerb.APPROVE_HIGH else ""
    if not approval.four_eyes:
        return needs
    if not order.approval.requested_by:
        return f"{needs}, once spec.requestedBy says who ordered,"
    authors = {order.approval.requested_by, order.approval.edited_by} - {None}
    return f"{needs}, not by {' or '.join(sorted(map(str, authors)))},"


def _without_decision(order: OrderRun) -> str:
    policy = order.input.policy.approval
    by_policy = policy.auto_approve_after_seconds is not None or policy.on_expiry is ApprovalExpiry.APPROVE
    return "is approved by its class" if by_policy and not order.changed_while_waiting else "expires"


def _decide_by_policy(order: OrderRun) -> None:
    policy = order.input.policy.approval
    if policy.auto_approve_after_seconds is not None and not order.changed_while_waiting:
        order.decide(DecisionKind.APPROVED, Decision(by=AUTO_APPROVER, channel=POLICY))
    elif policy.on_expiry is ApprovalExpiry.APPROVE and not order.changed_while_waiting:
        order.decide(DecisionKind.APPROVED, Decision(by=ON_EXPIRY, reason="nobody decided in time", channel=POLICY))
    else:
        order.expire()


STEP = Step(name=StepName.APPROVAL, run=run)

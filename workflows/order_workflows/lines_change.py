"""Letting an order have other lines: asked for at any time, made where the order waits or between two steps."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.pipeline import StepName
from order_domain.refusals import RefusalType
from order_domain.snapshot import MAX_LISTED_ITEMS, ErrorRecord
from order_workflows import questions, timing
from order_workflows.activities.order import ChangeLines, OrderActivities
from order_workflows.activity_failures import reason_of
from order_workflows.contract import LinesChange
from order_workflows.order_run import OrderRun

ENDING = ErrorRecord(type=RefusalType.ORDER_ENDING, message="the order ends and takes no more changes")


async def apply_wanted(order: OrderRun) -> None:
    """Make every change that was asked for, or refuse it with the reason; a refused one leaves everything as it was."""
    while order.wanted_lines:
        wanted = order.wanted_lines[0]
        refusal: ErrorRecord | None = ENDING
        try:
            await _apply(order, wanted.change)
            refusal = None
        except FailureError as failure:
            if is_cancelled_exception(failure):
                raise
            refusal = reason_of(failure)
        finally:
            wanted.settle(refusal)
            # Not before: nobody may decide about an order whose lines are changing.
            order.wanted_lines.popleft()


def refuse_wanted(order: OrderRun) -> None:
    """No change is made any more."""
    while order.wanted_lines:
        order.wanted_lines.popleft().settle(ENDING)


async def _apply(order: OrderRun, change: LinesChange) -> None:
    if not order.has_done(StepName.RECEIVE):
        order.replace_lines(change)
        order.publish()
        return
    order.lines_revision += 1
    total_minor = sum(line.amount_minor for line in change.lines)
    if order.has_done(StepName.CHECK_FRAUD):
        await questions.fraud_verdict(order, total_minor, f"fraud/{order.lines_revision}")
    items = await questions.items_of(order, change.lines) if order.items else None
    request = ChangeLines(
        order=order.input.identity,
        operation_id=order.operation(f"change_lines/{order.lines_revision}"),
        lines=change.lines,
        total_minor=total_minor,
        replaces=order.reservations[-1] if order.reservation_id else None,
    )
    if request.replaces:
        # Known to the undo before it happens, like every effect.
        order.reservations.append(request.operation_id)
    try:
        changed = await workflow.execute_local_activity_method(OrderActivities.change_lines, request, **timing.LEDGER)
    except FailureError as failure:
        if request.replaces and not is_cancelled_exception(failure):
            order.reservations.remove(request.operation_id)
        raise
    order.replace_lines(change)
    if request.replaces:
        order.reservation_id = changed.reservation_id
    if items is not None:
        order.items = items.items[:MAX_LISTED_ITEMS]
    order.publish()

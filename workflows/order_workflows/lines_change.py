"""Letting an order have other lines: asked for at any time, made where the order waits or between two steps."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.errors import OperationReversed
from order_domain.order import lines_digest, sum_minor
from order_domain.pipeline import StepName
from order_domain.refusals import RefusalType
from order_domain.retry import StepRetry
from order_domain.snapshot import MAX_LISTED_ITEMS, ErrorRecord
from order_workflows import local_activities, questions, timing
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect, ChangeLines, OrderActivities
from order_workflows.activity_failures import reason_of
from order_workflows.contract import LinesChange
from order_workflows.order_run import OrderRun
from order_workflows.patches import OVERTAKES_LINES, REPEATS_LINES
from order_workflows.wanted_lines import WantedLines

MAX_WAITING = 8
"""Changes that wait at a time. Temporal takes no Update of a run while ten are not answered
(`history.maxInFlightUpdates`): a decision and a cancellation have the rest."""

ENDING = ErrorRecord(type=RefusalType.ORDER_ENDING, message="the order ends and takes no more changes")


OVERTAKEN = ErrorRecord(
    type=RefusalType.OVERTAKEN, message=f"{MAX_WAITING} later changes of lines wait for the step under way"
)


def want(order: OrderRun, change: LinesChange) -> WantedLines:
    """Ask for the change. It names all lines, so that of those that wait the oldest can be left out; charges that only
    this one named are named by the next."""
    wanted = WantedLines(change)
    order.wanted_lines.append(wanted)
    if len(order.wanted_lines) > MAX_WAITING and workflow.patched(OVERTAKES_LINES):
        oldest = next(each for each in order.wanted_lines if not each.under_way)
        following = order.wanted_lines[order.wanted_lines.index(oldest) + 1]
        if following.change.charges is None:
            following.change = following.change.model_copy(update={"charges": oldest.change.charges})
        order.wanted_lines.remove(oldest)
        oldest.settle(OVERTAKEN)
    return wanted


async def apply_wanted(order: OrderRun) -> None:
    """Make every change that was asked for, or refuse it with the reason; a refused one leaves everything as it was."""
    while order.wanted_lines:
        wanted = order.wanted_lines[0]
        wanted.under_way = True
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
    if order.has_done(StepName.CHECK_FRAUD):
        charges = order.charges_after(change)
        await questions.fraud_verdict(order, change.lines, charges, retry=_briefly(order, StepName.CHECK_FRAUD))
    items = None
    if order.items:
        items = await questions.items_of(order, change.lines, retry=_briefly(order, StepName.GET_ITEMS))
    await _change_in_ledger(order, change)
    order.replace_lines(change)
    if items is not None:
        order.items = items.items[:MAX_LISTED_ITEMS]
    order.publish()


def _briefly(order: OrderRun, step: StepName) -> StepRetry:
    """No decision is heard while the lines change, so that a question may not take long."""
    retry = order.retry(step)
    seconds = max(timing.EDIT_QUESTION_SECONDS, retry.start_to_close_seconds)
    return retry.model_copy(update={"total_seconds": min(seconds, retry.total_seconds or seconds)})


async def restate(order: OrderRun) -> None:
    """Let the ledger have the lines that the order is for. It has others if this run was reset to a moment before a
    change of lines, or if the workflow task that made such a change was lost."""
    await _change_in_ledger(order, LinesChange(lines=order.lines, charges=order.charges))


async def _change_in_ledger(order: OrderRun, change: LinesChange) -> None:
    while True:
        order.lines_revision += 1
        try:
            return await _ask_ledger(order, change)
        except FailureError as failure:
            # A run before a reset made this change, and other lines came in force since. It is made once more, as an
            # operation of its own.
            reversed_since = reason_of(failure).type == OperationReversed.__name__
            if not (reversed_since and workflow.patched(REPEATS_LINES)):
                raise


async def _ask_ledger(order: OrderRun, change: LinesChange) -> None:
    charges = order.charges_after(change)
    digest = lines_digest(change.lines, charges)
    request = ChangeLines(
        order=order.input.identity,
        operation_id=order.operation(f"change_lines/{order.lines_revision}/{digest}"),
        lines=change.lines,
        charges=charges,
        total_minor=sum_minor(change.lines, charges),
        replaces=order.reservations[-1] if order.reservation_id else None,
    )
    if request.replaces:
        # Known to the undo before it happens, like every effect.
        order.reservations.append(request.operation_id)
        order.begins(BegunEffect(kind=EffectKind.RESERVE, operation_id=request.operation_id))
    try:
        changed = await local_activities.until_done(OrderActivities.change_lines, request, failed=order.show_retry)
    except FailureError as failure:
        if request.replaces and not is_cancelled_exception(failure):
            order.reservations.remove(request.operation_id)
            order.begun = [effect for effect in order.begun if effect.operation_id != request.operation_id]
        raise
    if request.replaces:
        order.reservation_id = changed.reservation_id

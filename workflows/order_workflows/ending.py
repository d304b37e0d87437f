"""How an order ends that is not carried out: halted in the ledger, undone by the ledger's list, closed by its books."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import FailureError

from order_domain.errors import PaymentDeclined
from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import CompensationState, ErrorRecord, PaymentRecord
from order_domain.status import OrderStatus
from order_workflows import local_activities
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import (
    BegunEffect,
    CloseOrder,
    Halted,
    HaltOrder,
    KnownEffects,
    OrderActivities,
    SellLines,
)
from order_workflows.activity_failures import reason_of
from order_workflows.compensation import compensate, step_of
from order_workflows.manual_review import wait_for_repair
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.patches import ASKS_BEFORE_A_REFUSED_END, LEDGER_DECIDES, REPEATS_WHAT_WAS_LOST
from order_workflows.steps import charge_payment, receive_order, reserve_stock

TERMINATED = ErrorRecord(
    type=EndType.WORKFLOW_TERMINATED, message="the workflow was terminated, and what it had done is undone"
)


async def settle(order: OrderRun, end: OrderEnded) -> OrderEnded | None:
    """Undo the order, and tell how it ends: as the first run of this order wanted that came so far, or as the ledger
    has on record. None for an order that is past its pivot, which goes on with the steps that are left."""
    order.undone = True
    halted = await _halt(order, end)
    if halted.pivot_passed:
        _go_forward(order, halted)
        return None
    end = OrderEnded(OrderStatus(halted.ended or halted.status), _error(halted, end))
    order.last_error = end.error
    _take_over(order, halted)
    assert end.error is not None
    order.steps.stop_short([step_of(order, effect) for effect in halted.begun], end.error.message, workflow.now())
    if halted.ended is not None:
        order.nothing_is_left_to_undo()
        return end

    async def look_again(_: Sequence[BegunEffect]) -> Sequence[BegunEffect]:
        again = await _halt(order, end)
        _take_over_books(order, again)
        return again.begun

    sold = await compensate(order, halted.begun, look_again)
    return await _sell(order, sold) if sold else end


async def as_recorded(order: OrderRun, end: OrderEnded) -> OrderEnded:
    """How an order ended that an earlier run carried out, with the figures that the ledger holds. Nothing is done."""
    halted = await _halt(order, end)
    order.pass_pivot()
    order.ending = True
    _take_over(order, halted)
    if halted.ended is None:
        return OrderEnded(end.status)
    end = OrderEnded(OrderStatus(halted.ended), _error(halted, end))
    order.last_error = end.error
    return end


async def settle_as_remembered(order: OrderRun, end: OrderEnded) -> OrderEnded:
    """The same for a run of an earlier release that came to its end before it could ask the ledger."""
    if order.pivot_passed:
        return end
    order.undone = True

    async def look_again(left: Sequence[BegunEffect]) -> Sequence[BegunEffect]:
        return left

    await compensate(order, order.begun, look_again, all_at_once=order.input.policy.compensation.parallel)
    return end


def _error(halted: Halted, end: OrderEnded) -> ErrorRecord:
    if halted.message is None and end.error is not None:
        return end.error
    return ErrorRecord(type=halted.error_type, message=halted.message or TERMINATED.message)


async def _halt(order: OrderRun, end: OrderEnded) -> Halted:
    error = end.error or TERMINATED
    request = HaltOrder(
        order=order.input.identity,
        operation_id=order.operation("halt"),
        received=receive_order.request(order),
        pivot_passed=order.pivot_passed,
        status=end.status,
        error_type=error.type,
        message=error.message,
        known=KnownEffects(
            received=order.has_done(StepName.RECEIVE),
            transaction_id=order.payment.transaction_id,
            captured_minor=order.payment.captured_minor,
            refunded_minor=order.payment.refunded_minor,
            reservation_id=order.reservation_id,
            packed=order.packed,
            shipped_lines=[] if order.pivot_passed else sorted(order.shipments),
            unanswered=_unanswered(order, error),
        ),
        notes=order.notes.pending,
    )
    while True:
        try:
            halted = await local_activities.until_done(OrderActivities.halt, request, failed=order.show_ledger_away)
        except FailureError as refused:
            order.compensation = CompensationState.FAILED
            await wait_for_repair(order, reason_of(refused))
            request = request.model_copy(update={"notes": order.notes.pending})
            order.compensation = CompensationState.RUNNING
            order.publish(OrderStatus.COMPENSATE_ORDER)
        else:
            order.notes.recorded(request.notes)
            return halted


def _unanswered(order: OrderRun, error: ErrorRecord) -> list[BegunEffect]:
    """What was asked for without an answer. That the charge was declined is one."""
    if order.pivot_passed:
        return []
    declined = error.type == PaymentDeclined.__name__
    return [effect for effect in order.unanswered if not (declined and effect.kind is EffectKind.CHARGE)]


def _take_over(order: OrderRun, halted: Halted) -> None:
    """What the ledger knows of the order, whatever this run remembers."""
    _take_over_books(order, halted)
    _take_over_lines(order, halted)


def _take_over_lines(order: OrderRun, halted: Halted) -> None:
    if halted.in_force is not None:
        order.take_over_lines(halted.in_force)


def _take_over_books(order: OrderRun, halted: Halted) -> None:
    """What the ledger knows of the money, also where this run never heard the answer."""
    books = halted.books
    if books.captured_minor or books.transaction_id:
        order.payment = PaymentRecord(
            transaction_id=books.transaction_id,
            refund_id=books.refund_id,
            captured_minor=books.captured_minor,
            refunded_minor=books.refunded_minor,
        )


def _go_forward(order: OrderRun, halted: Halted) -> None:
    """The units are sold, or are about to be: no wish to end the order counts any more."""
    order.pass_pivot()
    _take_over_lines(order, halted)
    order.take_over_shipments(halted.begun)
    order.reservations = [
        effect.operation_id for effect in halted.begun if effect.kind is EffectKind.RESERVE and not effect.reversed
    ]


async def _sell(order: OrderRun, sold: set[str]) -> OrderEnded:
    """The parcels of these lines were too far to be called back: the order was carried out as far as they go."""
    everything = {line.line_id for line in order.lines}
    lines = [line for line in order.lines if line.line_id in sold]
    request = SellLines(
        order=order.input.identity, operation_id=order.operation("sell"), line_ids=[line.line_id for line in lines]
    )
    while True:
        try:
            sale = await local_activities.until_done(OrderActivities.sell_lines, request, failed=order.show_ledger_away)
        except FailureError as refused:
            await wait_for_repair(order, reason_of(refused))
        else:
            break
    order.keep_only(lines, sale.total_minor)
    names = ", ".join(sorted(sold))
    if sold == everything:
        error = ErrorRecord(
            type=EndType.ALREADY_SHIPPED, message=f"too late to end the order: line {names} was shipped"
        )
    else:
        message = f"line {names} was shipped already; all other lines are undone"
        error = ErrorRecord(type=EndType.CANCELLED_IN_PART, message=message)
    order.last_error = error
    return OrderEnded(OrderStatus.ORDER_COMPLETED, error)


async def close(order: OrderRun, end: OrderEnded) -> None:
    """Record the end. While the ledger says that its books do not fit this end, the order is in Manual Review."""
    asked = repeats = False
    compensation = order.compensation
    while True:
        shown, request = order.last_error, _closing(order, end)
        try:
            await local_activities.until_done(OrderActivities.close, request, failed=order.show_ledger_away)
        except FailureError as refused:
            order.last_error, cause = shown, reason_of(refused)
            if asked or workflow.patched(LEDGER_DECIDES):
                order.compensation = CompensationState.FAILED
                await wait_for_repair(order, cause)
                # By round: of one that a run has gone through without it, the answer stays for the whole run.
                repeats = repeats or workflow.patched(f"{REPEATS_WHAT_WAS_LOST}/{order.reviews}")
                if repeats:
                    order.compensation = compensation
                    end = await _ask_again(order, end)
                    compensation = order.compensation
            elif end.status is not OrderStatus.ORDER_COMPLETED and workflow.patched(ASKS_BEFORE_A_REFUSED_END):
                asked = True
                end = await settle(order, end) or end
                compensation = order.compensation
            else:
                # Another end is on record, of a run that was reset. What was done stays as it is, and is shown.
                workflow.logger.error("the ledger keeps another end", extra={"cause": cause.type})
                break
        else:
            order.last_error, order.compensation = shown, compensation
            break
    order.suspended = False
    order.publish(end.status)


async def _ask_again(order: OrderRun, end: OrderEnded) -> OrderEnded:
    """For what the ledger has answered before, and may have lost since: a standby took over, or it was restored. None
    of it happens twice. What fails is told by the next refusal of the end."""
    in_whole = end.status is OrderStatus.ORDER_COMPLETED and end.error is None
    if not in_whole:
        return await settle(order, end) or end
    try:
        if order.payment.transaction_id is not None:
            await charge_payment.ask_again(order)
        if reserve_stock.must_commit(order):
            await reserve_stock.commit(order)
    except FailureError as failed:
        workflow.logger.warning("not repeated", extra={"cause": reason_of(failed).type})
    return end


def _closing(order: OrderRun, end: OrderEnded) -> CloseOrder:
    return CloseOrder(
        order=order.input.identity,
        operation_id=order.operation("close"),
        status=end.status,
        error_type=end.error.type if end.error else None,
        message=order.last_error.message if order.last_error else None,
        received=order.has_done(StepName.RECEIVE),
        notes=order.notes.pending,
    )

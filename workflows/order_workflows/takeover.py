"""Bringing an order whose run was terminated to an end: before its pivot by undoing, past it by going on.

What is undone is what the ledger says that the terminated run had begun, not what that run had come to know; and
nothing that it may still be doing gets past the ledger.
"""

from collections.abc import Sequence
from functools import partial

from temporalio import workflow

from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import ErrorRecord
from order_domain.status import OrderStatus
from order_workflows import packing, timing
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect, Halted, HaltOrder, OrderActivities
from order_workflows.activity_failures import failures_of, raise_first
from order_workflows.order_run import OrderEnded, OrderRun
from order_workflows.steps import charge_payment, receive_order, reserve_stock, ship_order

UNDOING = ErrorRecord(
    type=EndType.WORKFLOW_TERMINATED, message="the workflow was terminated, and what it had done is undone"
)


async def take_over(order: OrderRun) -> OrderEnded | None:
    """Halts the order in the ledger and tells how it ends; what is to be undone is registered. None for an order that
    is past its pivot, and goes on with the steps that are left."""
    halted = await workflow.execute_local_activity_method(
        OrderActivities.halt,
        HaltOrder(
            order=order.input.identity,
            operation_id=order.operation("halt"),
            received=receive_order.request(order),
            pivot_passed=order.pivot_passed,
        ),
        **timing.LEDGER,
    )
    if halted.pivot_passed:
        await _pass_pivot(order, halted.begun)
        return None
    end = _end(order, halted)
    order.last_error = end.error
    return end


def _end(order: OrderRun, halted: Halted) -> OrderEnded:
    """What the terminated run undid itself is undone once more, which changes nothing but what is known of it here."""
    error = UNDOING
    if halted.ended is not None:
        error = ErrorRecord(
            type=EndType.WORKFLOW_TERMINATED, message=halted.message or "the workflow was terminated at its end"
        )
    steps: dict[StepName, list[BegunEffect]] = {}
    for effect in halted.begun:
        steps.setdefault(_step_of(order, effect), []).append(effect)
    order.steps.stop_short(steps, error.message, workflow.now())
    for step, effects in steps.items():
        order.on_failure(step, partial(_undo, order, effects))
    return OrderEnded(OrderStatus(halted.ended or OrderStatus.ORDER_CANCELLED), error)


async def _pass_pivot(order: OrderRun, begun: Sequence[BegunEffect]) -> None:
    """As the terminated run did, or was about to."""
    order.pivot_passed, order.cancellation = True, None
    order.reservations = [effect.operation_id for effect in begun if effect.kind is EffectKind.RESERVE]
    if order.reservations:
        await reserve_stock.commit(order)


def _step_of(order: OrderRun, effect: BegunEffect) -> StepName:
    match effect.kind:
        case EffectKind.RESERVE:
            return StepName.RESERVE_STOCK
        case EffectKind.CHARGE:
            return StepName.CHARGE_PAYMENT
        case EffectKind.PACK if packing.scope_of(effect.operation_id) == order.input.identity.uid:
            return StepName.PREPARE_SHIPMENT
        case EffectKind.PACK | EffectKind.SHIP:
            return StepName.SHIP


async def _undo(order: OrderRun, effects: Sequence[BegunEffect]) -> None:
    """Of one step: all at once, and none stopped by another's failure."""
    raise_first(await failures_of(_undo_one(order, effect) for effect in effects))


async def _undo_one(order: OrderRun, effect: BegunEffect) -> None:
    match effect.kind:
        case EffectKind.RESERVE:
            await reserve_stock.release(order, effect.operation_id, f"{effect.operation_id}/release")
        case EffectKind.PACK:
            await packing.unpack(order.input.identity, packing.scope_of(effect.operation_id))
        case EffectKind.CHARGE:
            await charge_payment.refund(order, effect.operation_id)
        case EffectKind.SHIP:
            await ship_order.call_back(order, effect.line_id or "", effect.operation_id)

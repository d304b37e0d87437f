"""Undoing what an order did: in reverse, each step whether or not it happened, none stopped by another's failure."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import FailureError

from order_domain.refusals import EndType
from order_domain.snapshot import CompensationState, ErrorRecord, StepState
from order_domain.status import OrderStatus
from order_workflows.activity_failures import reason_of
from order_workflows.manual_review import wait_for_repair
from order_workflows.order_run import OrderRun, Undo


async def compensate(order: OrderRun) -> None:
    """Return when everything is undone. While an undo keeps failing, the order stays in Manual Review: every Update
    `resume` tries the failed ones again."""
    open_undos = list(reversed(order.undos))
    if not open_undos:
        return
    while open_undos:
        order.compensation = CompensationState.RUNNING
        order.publish(OrderStatus.COMPENSATE_ORDER)
        if order.input.policy.compensation.parallel:
            succeeded = await asyncio.gather(*(_succeeds(order, undo) for undo in open_undos))
        else:
            succeeded = [await _succeeds(order, undo) for undo in open_undos]
        failed = [undo for undo, success in zip(open_undos, succeeded, strict=True) if not success]
        if failed:
            order.compensation = CompensationState.FAILED
            names = ", ".join(undo.step for undo in failed)
            await wait_for_repair(
                order, ErrorRecord(type=EndType.COMPENSATION_FAILED, message=f"could not undo {names}")
            )
        open_undos = failed
    order.compensation = CompensationState.DONE


async def _succeeds(order: OrderRun, undo: Undo) -> bool:
    try:
        await undo.action()
    except FailureError as failure:
        workflow.logger.error("undo failed", extra={"step": undo.step, "cause": reason_of(failure).type})
        order.steps.undone(undo.step, StepState.COMPENSATION_FAILED)
        return False
    order.steps.undone(undo.step, StepState.COMPENSATED)
    return True

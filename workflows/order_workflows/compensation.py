"""Undoing an order: all that the ledger says had begun, each effect after those that it depends on.

    parcels     all are called back at once; the carrier may answer that it is too late, then the line is sold
    money       one refund a round, when every call-back has its answer or its bound: all that the order does not owe
                for lines that are sold or whose parcel has not answered yet
    packing     taken apart, except for those lines
    stock       given back, except the units of those lines

A line without an answer keeps its money and its units until its parcel has answered. The rest is not held up by it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from temporalio import workflow
from temporalio.exceptions import FailureError

from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import CompensationState, ErrorRecord, StepState
from order_domain.status import OrderStatus
from order_workflows import packing
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect
from order_workflows.activity_failures import reason_of
from order_workflows.manual_review import wait_for_repair
from order_workflows.order_run import OrderRun
from order_workflows.pipeline import STEP_OF_EFFECT
from order_workflows.steps import ship_order


class Failure(NamedTuple):
    """What could not be undone in a round."""

    step: StepName
    effect: BegunEffect
    error: ErrorRecord


def step_of(order: OrderRun, effect: BegunEffect) -> StepName:
    """The step that the undoing of `effect` belongs to. What a shipment packed for itself belongs to Ship."""
    if effect.kind is EffectKind.PACK and packing.scope_of(effect.operation_id) != order.input.identity.uid:
        return StepName.SHIP
    return STEP_OF_EFFECT[effect.kind].name


LookAgain = Callable[[Sequence[BegunEffect]], Awaitable[Sequence[BegunEffect]]]
"""Given the effects that could not be undone, all that are left to be undone."""


async def compensate(
    order: OrderRun, effects: Sequence[BegunEffect], look_again: LookAgain, *, all_at_once: bool = False
) -> set[str]:
    """Returns when all is undone that can be: the ids of the lines that are sold, since their parcels were too far.
    While something cannot be undone, the order is in Manual Review, and from time to time it is tried again.
    `all_at_once`: nothing waits for the parcels, as in runs of earlier releases."""
    if not effects:
        order.nothing_is_left_to_undo()
        return set()
    while True:
        order.compensation = CompensationState.RUNNING
        order.publish(OrderStatus.COMPENSATE_ORDER)
        undoing = _Round(order, effects)
        failures = await undoing.run(all_at_once=all_at_once)
        if not failures:
            order.nothing_is_left_to_undo()
            return undoing.sold
        order.compensation = CompensationState.FAILED
        await wait_for_repair(order, _summary(failures))
        effects = await look_again([failure.effect for failure in failures])


def _summary(failures: Sequence[Failure]) -> ErrorRecord:
    causes = "; ".join(f"{failure.step}: {failure.error.message}" for failure in failures)
    return ErrorRecord(type=EndType.COMPENSATION_FAILED, message=f"could not undo {causes}")


class _Round:
    """One attempt at everything that is left."""

    def __init__(self, order: OrderRun, effects: Sequence[BegunEffect]) -> None:
        self._order = order
        self._effects = [effect for effect in effects if not effect.reversed]
        self.sold = {effect.line_id or "" for effect in self._effects if effect.sold}
        self._failures: list[Failure] = []

    async def run(self, *, all_at_once: bool) -> list[Failure]:
        """What failed."""
        steps: dict[StepName, list[BegunEffect]] = {}
        for effect in self._effects:
            steps.setdefault(step_of(self._order, effect), []).append(effect)
        shipped = steps.pop(StepName.SHIP, [])
        if all_at_once:
            await asyncio.gather(
                self._call_back(shipped), *(self._undo(step, steps[step], set()) for step in reversed(steps))
            )
            return self._failures
        unanswered = await self._call_back(shipped)
        kept = self.sold | unanswered
        if self._order.input.policy.compensation.parallel:
            await asyncio.gather(*(self._undo(step, steps[step], kept) for step in reversed(steps)))
        else:
            for step in reversed(steps):
                await self._undo(step, steps[step], kept)
        return self._failures

    async def _call_back(self, effects: Sequence[BegunEffect]) -> set[str]:
        """All parcels at once, each before what it packed for itself is taken apart. The lines without an answer."""
        if not effects:
            return set()
        packs = {packing.scope_of(effect.operation_id): effect for effect in effects if effect.kind is EffectKind.PACK}
        parcels = [effect for effect in effects if effect.kind is EffectKind.SHIP]
        shipped = {parcel.operation_id for parcel in parcels}
        answers = await asyncio.gather(
            *(self._call_one_back(parcel, packs.get(parcel.operation_id)) for parcel in parcels if not parcel.sold),
            *(self._unpack(pack) for scope, pack in packs.items() if scope not in shipped),
        )
        unanswered = {line for line in answers if line is not None}
        self._note(StepName.SHIP)
        return unanswered

    async def _call_one_back(self, parcel: BegunEffect, pack: BegunEffect | None) -> str | None:
        """The line's id if its parcel gave no answer."""
        line_id = parcel.line_id or ""
        try:
            if await ship_order.call_back(self._order, parcel):
                self.sold.add(line_id)
                return None
        except FailureError as failure:
            self._failed(StepName.SHIP, parcel, failure)
            return line_id
        if pack is not None:
            await self._unpack(pack)
        return None

    async def _unpack(self, pack: BegunEffect) -> None:
        """Of a shipment that packed for itself. It undoes that itself, too, but may be terminated or have no worker."""
        try:
            await packing.unpack(self._order.input.identity, packing.scope_of(pack.operation_id))
        except FailureError as failure:
            self._failed(StepName.SHIP, pack, failure)

    async def _undo(self, step: StepName, effects: Sequence[BegunEffect], kept: set[str]) -> None:
        undo = STEP_OF_EFFECT[effects[0].kind].undo
        assert undo is not None
        for effect in effects:
            try:
                await undo(self._order, effect, kept)
            except FailureError as failure:
                self._failed(step, effect, failure)
        self._note(step)

    def _note(self, step: StepName) -> None:
        failed = any(failure.step is step for failure in self._failures)
        if not failed:
            workflow.logger.info("undone", extra={"step": step})
        self._order.steps.undone(step, StepState.COMPENSATION_FAILED if failed else StepState.COMPENSATED)

    def _failed(self, step: StepName, effect: BegunEffect, failure: FailureError) -> None:
        error = reason_of(failure)
        workflow.logger.error("undo failed", extra={"step": step, "cause": error.type, "error": error.message})
        self._failures.append(Failure(step, effect, error))

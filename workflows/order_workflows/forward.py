"""The way forward of an order: the steps of its class in order, up to the end of the pipeline or what stops it."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.errors import BooksDisagree, LinesDiffer, OperationConflict, end_of
from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import DecisionOutcome, ErrorRecord, StepState
from order_domain.status import OrderStatus
from order_workflows import lines_change
from order_workflows.activity_failures import attempts_of, reason_of
from order_workflows.contract import CancelRequest
from order_workflows.manual_review import wait_for_repair
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.patches import FOLLOWS_EARLY_DECISIONS, LEDGER_DECIDES
from order_workflows.pipeline import STEPS
from order_workflows.steps import await_approval, reserve_stock
from order_workflows.waiting import cancelled_meanwhile

FOR_A_PERSON = frozenset({OperationConflict.__name__, BooksDisagree.__name__})
"""Errors that neither another attempt nor undoing puts right: somebody has to look before money moves."""

RESTATEMENTS = 3
"""How often a step states the lines to the ledger again before its error counts."""


class Forward:
    """Runs the steps that are left."""

    def __init__(self, order: OrderRun) -> None:
        self._order = order
        self._task: asyncio.Task[None] | None = None
        self._rejected = False
        """Before the order came to ask for it."""

    async def run(self) -> OrderEnded:
        """How the order ends; whatever was begun is still to be undone. From here on it accepts no message that would
        change it."""
        order = self._order
        self._task = asyncio.create_task(self._steps())
        try:
            await self._until_done(self._task)
        except OrderEnded as ended:
            end = ended
            if ended.on_record:
                order.finish()
                return ended
        except FailureError as failure:
            end = self._end_of(failure)
        except asyncio.CancelledError:
            end = self._cancelled()
        else:
            return OrderEnded(OrderStatus.ORDER_COMPLETED)
        order.last_error = end.error
        order.finish(StepState.FAILED, end.error, end.attempts)
        return end

    def cancel(self, request: CancelRequest) -> None:
        """Stop before the next effect. A second request changes nothing."""
        if self._order.cancellation is None:
            self._order.cancelled_by(request)
            if self._task is not None:
                self._task.cancel()

    def decided(self) -> None:
        """A decision may come before the order asks for it. A No is followed at once, and a Yes is shown where the
        order waits for something else."""
        order = self._order
        rejected = order.approval.decision is DecisionOutcome.REJECTED
        waits = order.suspended or order.pending_action is not None
        if order.steps.current is StepName.APPROVAL or order.pivot_passed or not (rejected or waits):
            return
        if not workflow.patched(FOLLOWS_EARLY_DECISIONS):
            return
        if rejected:
            self._rejected = order.ending = True
            if self._task is not None:
                self._task.cancel()
        else:
            order.publish()

    async def _until_done(self, task: asyncio.Task[None]) -> None:
        """A cancellation by Temporal is treated as the Update `cancel`; past the pivot both are ignored."""
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                if not task.done() and not self._order.pivot_passed:
                    self.cancel(CancelRequest(reason="the workflow was cancelled"))
        await task

    async def _steps(self) -> None:
        order = self._order
        try:
            if order.pivot_passed and order.reservations:
                # An earlier run passed the pivot; whether it came to book the sale, only the ledger knows.
                await self._carry_out(reserve_stock.commit, None)
            for name in order.steps_ahead:
                while order.suspended or order.wanted_lines:
                    order.publish()
                    # Cancelled or rejected in the first workflow task: before there were steps to interrupt.
                    if self._rejected or (order.cancellation is not None and workflow.patched(LEDGER_DECIDES)):
                        self._stop_if_cancelled()
                    await workflow.wait_condition(lambda: not order.suspended or bool(order.wanted_lines))
                    await lines_change.apply_wanted(order)
                self._stop_if_cancelled()
                step = STEPS[name]
                order.begin(name, step.status)
                await self._simulated_pause(name, step.status)
                await self._carry_out(step.run, step.status)
                self._stop_if_cancelled()
                if name is order.input.policy.pivot:
                    order.pivot_passed = True
                    if reserve_stock.must_commit(order):
                        await self._carry_out(reserve_stock.commit, step.status)
                order.finish()
            self._stop_if_cancelled()
        finally:
            # In the same moment in which the steps end: a message that comes later would be accepted in vain.
            order.ending = True
            lines_change.refuse_wanted(order)

    async def _simulated_pause(self, step: StepName, status: OrderStatus | None) -> None:
        seconds = self._order.input.policy.simulation.of(step).pause_before_seconds
        # None before Receive, where it is found out whether the worker allows any simulation.
        if seconds and step is not StepName.RECEIVE:
            self._order.publish(status)
            await workflow.sleep(seconds, summary=f"simulated pause before {step}")

    async def _carry_out(self, work: Callable[[OrderRun], Awaitable[None]], status: OrderStatus | None) -> None:
        """Past the pivot nothing is undone: what fails there for good is tried again, at a slow pace or once somebody
        has repaired it. Before the pivot, so is what only a person can decide about."""
        order, restated = self._order, 0
        while True:
            try:
                return await work(order)
            except FailureError as failure:
                if is_cancelled_exception(failure) or cancelled_meanwhile():
                    raise
                error = reason_of(failure)
                if error.type == LinesDiffer.__name__ and restated < RESTATEMENTS:
                    restated += 1
                    await lines_change.restate(order)
                    continue
                waits = error.type in FOR_A_PERSON and workflow.patched(LEDGER_DECIDES)
                if not (order.pivot_passed or waits):
                    raise
                await wait_for_repair(order, error)
                order.publish(status)

    @property
    def _is_to_stop(self) -> bool:
        return (self._rejected or self._order.cancellation is not None) and not self._order.pivot_passed

    def _stop_if_cancelled(self) -> None:
        if self._is_to_stop:
            raise self._cancelled()

    def _end_of(self, failure: FailureError) -> OrderEnded:
        error = reason_of(failure)
        if self._is_to_stop:
            # The attempt that was under way failed, after the order had been cancelled.
            cancelled = self._cancelled()
            return cancelled if is_cancelled_exception(failure) else cancelled.after(error, attempts_of(failure))
        if is_cancelled_exception(failure):
            return self._cancelled()
        return OrderEnded(end_of(error.type), error, attempts_of(failure))

    def _cancelled(self) -> OrderEnded:
        if self._rejected:
            return await_approval.rejected(self._order)
        request = self._order.cancellation or CancelRequest(reason="the workflow was cancelled")
        by = f" by {request.by}" if request.by else ""
        why = f": {request.reason}" if request.reason else ""
        return OrderEnded(
            OrderStatus.ORDER_CANCELLED, ErrorRecord(type=EndType.CANCELLED, message=f"cancelled{by}{why}")
        )

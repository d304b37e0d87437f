"""One order, from receipt to its end: the steps of its class in order, the messages people send, the undoing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from order_domain import errors
from order_domain.order import Address, DecisionKind, OrderLine, digest
from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import ErrorRecord, OrderSnapshot, StepState
from order_domain.status import OrderStatus
from order_workflows import acceptance, contract, lines_change, timing
from order_workflows.acceptance import Refusal
from order_workflows.activities.order import CloseOrder, OrderActivities
from order_workflows.activity_failures import attempts_of, reason_of
from order_workflows.compensation import compensate
from order_workflows.contract import AddressChange, CancelRequest, Decision, LinesChange, OrderInput, OrderResult
from order_workflows.manual_review import wait_for_repair
from order_workflows.order_run import OrderEnded, OrderRun, WantedLines
from order_workflows.steps import (
    await_address,
    await_approval,
    charge_payment,
    check_fraud,
    enrich_order,
    get_items,
    notify_customer,
    prepare_shipment,
    receive_order,
    reserve_stock,
    ship_order,
    update_order_status,
    validate_order,
)
from order_workflows.takeover import take_over

T = TypeVar("T")


class Step(NamedTuple):
    """How a step runs, and what is shown meanwhile; None for a step that shows itself only if it waits."""

    status: OrderStatus | None
    run: Callable[[OrderRun], Awaitable[None]]


STEPS = {
    StepName.RECEIVE: Step(OrderStatus.ORDER_RECEIVED, receive_order.run),
    StepName.VALIDATE: Step(OrderStatus.VALIDATE_ORDER, validate_order.run),
    StepName.GET_ITEMS: Step(None, get_items.run),
    StepName.ENRICH: Step(OrderStatus.ENRICH_ORDER, enrich_order.run),
    StepName.CHECK_FRAUD: Step(OrderStatus.CHECK_FRAUD, check_fraud.run),
    StepName.RESERVE_STOCK: Step(OrderStatus.RESERVE_STOCK, reserve_stock.run),
    StepName.APPROVAL: Step(None, await_approval.run),
    StepName.PREPARE_SHIPMENT: Step(OrderStatus.PREPARE_SHIPMENT, prepare_shipment.run),
    StepName.CHARGE_PAYMENT: Step(OrderStatus.CHARGE_CUSTOMER, charge_payment.run),
    StepName.ADDRESS_WINDOW: Step(None, await_address.run),
    StepName.SHIP: Step(OrderStatus.SHIP_ORDER, ship_order.run),
    StepName.UPDATE_ORDER_STATUS: Step(OrderStatus.UPDATE_ORDER_STATUS, update_order_status.run),
    StepName.NOTIFY: Step(OrderStatus.NOTIFY_CUSTOMER, notify_customer.run),
}

ENDS_BY_ERROR = {
    errors.DuplicateOrder.__name__: OrderStatus.ORDER_DUPLICATE,
    errors.InvalidOrder.__name__: OrderStatus.ORDER_INVALID,
    errors.FraudSuspected.__name__: OrderStatus.ORDER_REJECTED,
}
"""Errors of activities that are an answer of business; every other one fails the order."""

TOLD_OF_THE_END = frozenset({OrderStatus.ORDER_CANCELLED, OrderStatus.ORDER_EXPIRED, OrderStatus.ORDER_REJECTED})
"""Ends of which the customer is told by mail, where the class's pipeline has the step Notify."""


@workflow.defn(name=contract.WORKFLOW_TYPE)
class OrderWorkflow:
    """Carries one order. Its id is `contract.workflow_id`, its progress the memo `order` and the search attributes."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        self._order = OrderRun(order)
        self._forward: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, order: OrderInput) -> OrderResult:
        """Returns the result of a completed order or of an end of business; raises ApplicationError, with the undoing
        done, when a step failed for good."""
        end = None if order.abandoned is None else await _shielded(take_over(self._order))
        if end is None:
            end = await self._pipeline()
        lines_change.refuse_wanted(self._order)
        if end.status is not OrderStatus.ORDER_COMPLETED and not self._order.pivot_passed:
            await _shielded(compensate(self._order))
        if end.status in TOLD_OF_THE_END and order.revision > 1:
            await _shielded(notify_customer.tell_of_the_end(self._order, end.status))
        await _shielded(self._close(end.status))
        await workflow.wait_condition(workflow.all_handlers_finished)
        if end.status is OrderStatus.ORDER_FAILED:
            assert end.error is not None
            raise ApplicationError(end.error.message, type=end.error.type, non_retryable=True)
        return self._order.result()

    async def _pipeline(self) -> OrderEnded:
        """Runs the steps and tells how the order ends; whatever was begun is still to be undone."""
        order = self._order
        self._forward = asyncio.create_task(self._steps())
        try:
            await self._until_done(self._forward)
        except OrderEnded as ended:
            end = ended
        except FailureError as failure:
            end = self._end_of(failure)
        except asyncio.CancelledError:
            end = self._cancelled()
        else:
            return OrderEnded(OrderStatus.ORDER_COMPLETED)
        order.last_error = end.error
        order.finish(StepState.FAILED, end.error, end.attempts)
        return end

    async def _until_done(self, forward: asyncio.Task[None]) -> None:
        """Temporal's own Cancel is one more way to ask for the Update `cancel`, and as late as that one ignored."""
        while not forward.done():
            try:
                await asyncio.shield(forward)
            except asyncio.CancelledError:
                if not forward.done() and not self._order.pivot_passed:
                    self._request_cancel(CancelRequest(reason="the workflow was cancelled"))
        await forward

    async def _steps(self) -> None:
        order = self._order
        for name in order.steps_ahead:
            while order.suspended or order.wanted_lines:
                order.publish()
                await workflow.wait_condition(lambda: not order.suspended or bool(order.wanted_lines))
                await lines_change.apply_wanted(order)
            self._stop_if_cancelled()
            step = STEPS[name]
            order.begin(name, step.status)
            await self._simulated_pause(name, step.status)
            await self._forward_only(step.run, step.status)
            self._stop_if_cancelled()
            if name is order.input.policy.pivot:
                order.pivot_passed = True
                if order.reservations:
                    await self._forward_only(reserve_stock.commit, step.status)
            order.finish()
        self._stop_if_cancelled()

    async def _simulated_pause(self, step: StepName, status: OrderStatus | None) -> None:
        seconds = self._order.input.policy.simulation.of(step).pause_before_seconds
        # None before Receive, where it is found out whether the worker allows any simulation.
        if seconds and step is not StepName.RECEIVE:
            self._order.publish(status)
            await workflow.sleep(seconds, summary=f"simulated pause before {step}")

    async def _forward_only(self, work: Callable[[OrderRun], Awaitable[None]], status: OrderStatus | None) -> None:
        """Past the pivot nothing is undone: what fails there for good is tried again once somebody has repaired it."""
        order = self._order
        while True:
            try:
                return await work(order)
            except FailureError as failure:
                if not order.pivot_passed or is_cancelled_exception(failure):
                    raise
                await wait_for_repair(order, reason_of(failure))
                order.publish(status)

    def _stop_if_cancelled(self) -> None:
        if self._order.cancellation is not None and not self._order.pivot_passed:
            raise self._cancelled()

    async def _close(self, status: OrderStatus) -> None:
        order = self._order
        order.ended = True
        close = CloseOrder(
            order=order.input.identity,
            operation_id=order.operation("close"),
            status=status,
            message=order.last_error.message if order.last_error else None,
        )
        try:
            await workflow.execute_local_activity_method(OrderActivities.close, close, **timing.LEDGER)
        except FailureError as refused:
            # Another end is on record, of a run that was reset. What was done stays as it is, and is shown.
            workflow.logger.error("the ledger keeps another end", extra={"cause": reason_of(refused).type})
        order.suspended = False
        order.publish(status)

    def _end_of(self, failure: FailureError) -> OrderEnded:
        if is_cancelled_exception(failure):
            return self._cancelled()
        error = reason_of(failure)
        return OrderEnded(ENDS_BY_ERROR.get(error.type, OrderStatus.ORDER_FAILED), error, attempts_of(failure))

    def _cancelled(self) -> OrderEnded:
        request = self._order.cancellation or CancelRequest(reason="the workflow was cancelled")
        by = f" by {request.by}" if request.by else ""
        why = f": {request.reason}" if request.reason else ""
        return OrderEnded(
            OrderStatus.ORDER_CANCELLED, ErrorRecord(type=EndType.CANCELLED, message=f"cancelled{by}{why}")
        )

    @workflow.update(name=contract.UPDATE_APPROVE)
    def approve(self, decision: Decision) -> None:
        """Let the order go on."""
        self._order.decide(DecisionKind.APPROVED, decision)

    @workflow.update(name=contract.UPDATE_REJECT)
    def reject(self, decision: Decision) -> None:
        """End the order as Rejected."""
        self._order.decide(DecisionKind.REJECTED, decision)

    @approve.validator
    def _validate_approve(self, decision: Decision) -> None:
        _raise(acceptance.refusal_of_decision(self._order, decision.generation))

    @reject.validator
    def _validate_reject(self, decision: Decision) -> None:
        _raise(acceptance.refusal_of_decision(self._order, decision.generation))

    @workflow.update(name=contract.UPDATE_CHANGE_ADDRESS)
    def change_address(self, change: AddressChange) -> None:
        """Ship to another address."""
        if change.generation:
            self._order.address_digest = digest(change.address)
        self._change_address(change.address)

    @change_address.validator
    def _validate_change_address(self, change: AddressChange) -> None:
        _raise(acceptance.refusal_of_address(self._order, change.address))

    def _change_address(self, address: Address) -> None:
        self._order.address = address
        self._order.address_changed = True
        self._order.publish()

    @workflow.update(name=contract.UPDATE_CHANGE_LINES)
    async def change_lines(self, change: LinesChange) -> None:
        """Order other lines. Answers when they are in force; raises the reason for which they are not."""
        wanted = WantedLines(change)
        self._order.wanted_lines.append(wanted)
        await workflow.wait_condition(lambda: wanted.settled)
        if wanted.refusal is not None:
            raise _refused(wanted.refusal.type, wanted.refusal.message)

    @change_lines.validator
    def _validate_change_lines(self, change: LinesChange) -> None:
        _raise(acceptance.refusal_of_lines(self._order, change))

    @workflow.update(name=contract.UPDATE_CANCEL)
    def cancel(self, request: CancelRequest) -> None:
        """Stop the order and undo what it did."""
        self._request_cancel(request)

    @cancel.validator
    def _validate_cancel(self, request: CancelRequest) -> None:
        _raise(acceptance.refusal_of_cancel(self._order))

    def _request_cancel(self, request: CancelRequest) -> None:
        if self._order.cancellation is None:
            self._order.cancellation = request
            if self._forward is not None:
                self._forward.cancel()

    @workflow.update(name=contract.UPDATE_SUSPEND)
    def suspend(self) -> None:
        """Hold the order before its next step."""
        self._order.suspended = True
        self._order.publish()

    @suspend.validator
    def _validate_suspend(self) -> None:
        _raise(acceptance.refusal_of_any_change(self._order))

    @workflow.update(name=contract.UPDATE_RESUME)
    def resume(self) -> None:
        """Go on after `suspend`, or try failed undos again in Manual Review."""
        self._order.suspended = False
        self._order.under_review = False
        self._order.publish()

    @workflow.signal(name=contract.SIGNAL_APPROVE_ORDER)
    def approve_order(self, approved: bool) -> None:
        """The decision in the reference systems' form. A signal cannot be refused: too late, it is logged, no more."""
        kind = DecisionKind.APPROVED if approved else DecisionKind.REJECTED
        if _accepts(acceptance.refusal_of_decision(self._order)):
            self._order.decide(kind, Decision(by="signal"))

    @workflow.signal(name=contract.SIGNAL_APPROVE)
    def approve_signal(self) -> None:
        """The same without an argument."""
        self.approve_order(True)

    @workflow.signal(name=contract.SIGNAL_CANCEL_ORDER)
    def cancel_order(self, request: CancelRequest | None = None) -> None:
        """Cancellation in the reference systems' form."""
        if _accepts(acceptance.refusal_of_cancel(self._order)):
            self._request_cancel(request or CancelRequest(by="signal"))

    @workflow.signal(name=contract.SIGNAL_UPDATE_ADDRESS)
    def update_address(self, address: Address) -> None:
        """A change of address in the reference systems' form."""
        if _accepts(acceptance.refusal_of_address(self._order, address)):
            self._change_address(address)

    @workflow.signal(name=contract.SIGNAL_STOCK_ARRIVED)
    def stock_arrived(self) -> None:
        """Pieces came in: a backorder looks again."""
        self._order.restocked = True

    @workflow.signal(name=contract.SIGNAL_ORPHAN)
    def orphan(self) -> None:
        """The resource is gone on purpose (deletionPolicy Orphan): mark the run so that no sweep cancels it."""
        workflow.upsert_memo({contract.MEMO_ORPHANED: True})

    @workflow.query(name=contract.QUERY_STATUS)
    def get_status(self) -> OrderSnapshot:
        """The whole state."""
        return self._order.snapshot()

    @workflow.query(name=contract.QUERY_PROGRESS)
    def get_progress(self) -> int:
        """Percent."""
        return self._order.snapshot().progress

    @workflow.query(name=contract.QUERY_ITEMS)
    def get_items(self) -> list[OrderLine]:
        """The lines, sorted by line id."""
        return sorted(self._order.lines, key=lambda line: line.line_id)

    @workflow.query(name=contract.QUERY_REQUIRES_APPROVAL)
    def requires_approval(self) -> bool:
        """True only while a decision is awaited."""
        return self._order.status is OrderStatus.AWAIT_APPROVAL


def _refused(kind: str, message: str) -> ApplicationError:
    return ApplicationError(message, type=kind, non_retryable=True)


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise _refused(refusal.type.value, refusal.message)


def _accepts(refusal: Refusal | None) -> bool:
    if refusal is not None:
        workflow.logger.warning("signal dropped", extra={"reason": refusal.type.value})
    return refusal is None


async def _shielded(work: Awaitable[T]) -> T:
    """Awaits `work` to its end whatever cancels the workflow meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            workflow.logger.warning("cancellation ignored: the order is already ending")
    return task.result()

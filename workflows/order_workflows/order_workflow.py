"""One order, from receipt to its end: the steps of its class in order, the messages people send, the undoing."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from order_domain.order import Address, DecisionKind, OrderLine, digest
from order_domain.refusals import RefusalType
from order_domain.snapshot import OrderSnapshot, shortened
from order_domain.status import OrderStatus
from order_domain.visible_text import is_visible
from order_workflows import acceptance, contract, ending, lines_change
from order_workflows.answers import accepts, accepts_edit, drop, raise_if, refused
from order_workflows.contract import (
    AddressChange,
    Adoption,
    CancelRequest,
    Decision,
    LinesChange,
    OrderInput,
    OrderResult,
)
from order_workflows.forward import Forward
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.other_names import OtherNames
from order_workflows.patches import LEDGER_DECIDES, TELLS_REQUESTS
from order_workflows.signals import signal
from order_workflows.steps import notify_customer
from order_workflows.waiting import until

T = TypeVar("T")

MAX_BY = 100
"""Characters of who cancels by signal."""


@workflow.defn(name=contract.WORKFLOW_TYPE)
class OrderWorkflow(OtherNames):
    """Carries one order. Its id is `contract.workflow_id`, its progress the memo `order` and the search attributes."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        self._order = OrderRun(order)
        self._forward = Forward(self._order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderResult:
        """Returns the result of a completed order or of an end of business; raises ApplicationError, with the undoing
        done, when a step failed for good."""
        end = None
        if order.abandoned is None:
            workflow.logger.info("started")
        else:
            workflow.logger.info("taken over from an earlier run")
            self._order.ending = True
            end = await _shielded(
                ending.settle(self._order, OrderEnded(OrderStatus.ORDER_CANCELLED, ending.TERMINATED))
            )
        while end is None:
            end = await self._forward.run()
            if end.on_record:
                end = await _shielded(ending.as_recorded(self._order, end))
            if end.status is not OrderStatus.ORDER_COMPLETED:
                end = await _shielded(self._settle(end))
        if order.revision > 1:
            await _shielded(notify_customer.tell_of_the_end(self._order, end))
        await _shielded(ending.close(self._order, end))
        await _shielded(until(workflow.all_handlers_finished))
        cause = end.error.type if end.error else None
        workflow.logger.info("ended", extra={"status": end.status.value, "cause": cause})
        if end.status is OrderStatus.ORDER_FAILED:
            assert end.error is not None
            raise ApplicationError(end.error.message, type=end.error.type, non_retryable=True)
        return self._order.result()

    async def _settle(self, end: OrderEnded) -> OrderEnded | None:
        if workflow.patched(LEDGER_DECIDES):
            return await ending.settle(self._order, end)
        return await ending.settle_as_remembered(self._order, end)

    @workflow.update(name=contract.UPDATE_APPROVE)
    def approve(self, decision: Decision) -> None:
        """Let the order go on."""
        self._decide(DecisionKind.APPROVED, self._as_it_came(decision))

    @workflow.update(name=contract.UPDATE_REJECT)
    def reject(self, decision: Decision) -> None:
        """End the order as Rejected."""
        self._decide(DecisionKind.REJECTED, self._as_it_came(decision))

    def _decide(self, kind: DecisionKind, decision: Decision) -> None:
        self._order.decide(kind, decision)
        self._forward.decided()

    @approve.validator
    def _validate_approve(self, decision: Decision) -> None:
        raise_if(acceptance.flaw_of_decision(decision))
        raise_if(acceptance.refusal_of_approval(self._order, self._as_it_came(decision)))

    @reject.validator
    def _validate_reject(self, decision: Decision) -> None:
        raise_if(acceptance.flaw_of_decision(decision))
        raise_if(acceptance.refusal_of_decision(self._order, self._as_it_came(decision)))

    def _as_it_came(self, decision: Decision) -> Decision:
        """Only the operator speaks for the resource, whatever the message says of itself."""
        of_client = decision.channel == contract.KUBERNETES and not self._is_of_resource()
        return decision.model_copy(update={"channel": contract.TEMPORAL}) if of_client else decision

    def _is_of_resource(self) -> bool:
        """Whether the operator has sent the present Update."""
        info = workflow.current_update_info()
        return info is not None and contract.is_of_resource(info.id, self._order.owner.uid)

    @workflow.update(name=contract.UPDATE_CHANGE_ADDRESS)
    def change_address(self, change: AddressChange) -> None:
        """Ship to another address."""
        self._order.edits += 1
        self._order.note_address(change)
        if change.generation:
            self._order.address_digest = digest(change.address)
        self._order.ship_to(change.address)

    @change_address.validator
    def _validate_change_address(self, change: AddressChange) -> None:
        raise_if(acceptance.refusal_of_address_update(self._order, change))
        raise_if(acceptance.refusal_of_edit_in_long_history(self._order))

    @workflow.update(name=contract.UPDATE_CHANGE_LINES)
    async def change_lines(self, change: LinesChange) -> None:
        """Order other lines. Answers when they are in force; raises the reason for which they are not."""
        self._order.edits += 1
        self._order.tells_requests = workflow.patched(TELLS_REQUESTS)
        wanted = lines_change.want(self._order, change)
        await workflow.wait_condition(lambda: wanted.settled)
        if wanted.refusal is not None:
            raise refused(wanted.refusal.type, wanted.refusal.message)

    @change_lines.validator
    def _validate_change_lines(self, change: LinesChange) -> None:
        raise_if(acceptance.refusal_of_lines(self._order, change))
        raise_if(acceptance.refusal_of_edit_in_long_history(self._order))

    @workflow.update(name=contract.UPDATE_CANCEL)
    def cancel(self, request: CancelRequest) -> None:
        """Stop the order and undo what it did."""
        self._forward.cancel(request)

    @cancel.validator
    def _validate_cancel(self, request: CancelRequest) -> None:
        raise_if(acceptance.refusal_of_cancel_update(self._order, request))

    @workflow.update(name=contract.UPDATE_SUSPEND)
    def suspend(self) -> None:
        """Hold the order before its next step."""
        self._suspend(True)

    @suspend.validator
    def _validate_suspend(self) -> None:
        raise_if(acceptance.refusal_of_any_edit(self._order) or self._refusal_of_earlier_suspension())
        raise_if(acceptance.refusal_of_edit_in_long_history(self._order))

    @workflow.update(name=contract.UPDATE_RESUME)
    def resume(self) -> None:
        """Go on after `suspend`, or try failed undos again in Manual Review."""
        self._order.try_again(by_resource=self._is_of_resource())
        self._suspend(False)

    @resume.validator
    def _validate_resume(self) -> None:
        raise_if(self._refusal_of_earlier_suspension())

    def _refusal_of_earlier_suspension(self) -> acceptance.Refusal | None:
        return acceptance.refusal_of_earlier_edit(self._order.suspend_generation, self._generation())

    def _generation(self) -> int:
        """Of the resource that the present Update was sent for; 0 where it was sent for none."""
        info = workflow.current_update_info()
        return contract.generation_of(info.id) if info is not None and self._is_of_resource() else 0

    def _suspend(self, wanted: bool) -> None:
        self._order.edits += 1
        self._order.suspend_generation = max(self._order.suspend_generation, self._generation())
        if workflow.patched(TELLS_REQUESTS):
            self._order.suspend(wanted, by_resource=self._is_of_resource())
        else:
            self._order.suspended = wanted
        self._order.publish()

    @workflow.update(name=contract.UPDATE_RETRY)
    def retry(self) -> None:
        """Try again now what waits in Manual Review. Without effect on an order that does not."""
        self._order.try_again(by_resource=self._is_of_resource())

    @workflow.update(name=contract.UPDATE_ADOPT)
    def adopt(self, adoption: Adoption) -> None:
        """The order belongs to a restored resource from now on."""
        self._order.adopt(adoption)
        workflow.upsert_memo({contract.MEMO_ORPHANED: False})

    @adopt.validator
    def _validate_adopt(self, adoption: Adoption) -> None:
        raise_if(acceptance.refusal_of_adoption(adoption))

    @signal(name=contract.SIGNAL_APPROVE_ORDER)
    def approve_order(self, approved: bool) -> None:
        """The decision in the reference systems' form. A signal cannot be refused: too late, it is logged, no more."""
        kind = DecisionKind.APPROVED if approved else DecisionKind.REJECTED
        decision = Decision(by=acceptance.NAMELESS, channel=contract.SIGNAL)
        refusal_of = acceptance.refusal_of_approval if approved else acceptance.refusal_of_decision
        if accepts(self._order, contract.SIGNAL_APPROVE_ORDER, refusal_of(self._order, decision)):
            self._decide(kind, decision)

    @signal(name=contract.SIGNAL_APPROVE)
    def approve_signal(self) -> None:
        """The same without an argument."""
        self.approve_order(True)

    @signal(name=contract.SIGNAL_CANCEL_ORDER)
    def cancel_order(self, request: CancelRequest | None = None) -> None:
        """Cancellation in the reference systems' form. Its text is cut rather than refused: earlier releases bounded
        none of `by`, and an order that was cancelled so goes through its history again."""
        request = (request or CancelRequest(by="signal")).model_copy(update={"channel": contract.SIGNAL})
        nameless = request.model_copy(update={"by": None})
        content = acceptance.refusal_of_content(nameless, CancelRequest, RefusalType.INVALID_MESSAGE)
        if accepts(self._order, contract.SIGNAL_CANCEL_ORDER, content or acceptance.refusal_of_cancel(self._order)):
            by = request.by and shortened(request.by, MAX_BY)
            if by is not None and self._order.input.revision > 3 and not is_visible(by):
                by = "signal"
            self._forward.cancel(request.model_copy(update={"by": by}))

    @signal(name=contract.SIGNAL_UPDATE_ADDRESS)
    def update_address(self, address: Address) -> None:
        """A change of address in the reference systems' form."""
        content = acceptance.flaw_of_signalled_address(self._order, address)
        if accepts_edit(
            self._order, contract.SIGNAL_UPDATE_ADDRESS, content or acceptance.refusal_of_address(self._order, address)
        ):
            workflow.logger.info("address_changed", extra={"channel": contract.SIGNAL})
            self._order.edited_by(None, contract.SIGNAL)
            self._order.ship_to(address)

    @signal(name=contract.SIGNAL_STOCK_ARRIVED)
    def stock_arrived(self) -> None:
        """Pieces came in: a backorder looks again."""
        self._order.restocked = True

    @signal(name=contract.SIGNAL_ORPHAN)
    def orphan(self) -> None:
        """The resource is gone on purpose (deletionPolicy Orphan): mark the run so that no sweep cancels it."""
        workflow.upsert_memo({contract.MEMO_ORPHANED: True})

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, _arguments: Sequence[RawValue]) -> None:
        """No signal of an order: the SDK would keep it for a handler that never comes."""
        self.dropped(name, "unknown")

    def dropped(self, name: str, reason: str) -> None:
        """A signal is not followed."""
        drop(self._order, name, reason)

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
        return self._order.sorted_lines

    @workflow.query(name=contract.QUERY_REQUIRES_APPROVAL)
    def requires_approval(self) -> bool:
        """True only while a decision is awaited."""
        return self._order.status is OrderStatus.AWAIT_APPROVAL


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

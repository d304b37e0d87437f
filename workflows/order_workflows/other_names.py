"""The signals, Updates and queries of an order under the names that the reference systems gave them.

docs/coming-from.md says which system has which. Their arguments are theirs, too. An order that began before
`contract.REVISION` 4 drops these signals, since its history may hold some that nobody heard.
"""

from temporalio import workflow

from order_domain.order import DecisionKind, OrderLine
from order_domain.refusals import RefusalType
from order_domain.snapshot import OrderSnapshot
from order_workflows import acceptance, lines_change
from order_workflows.answers import accepts, accepts_edit, drop, raise_if
from order_workflows.contract import SIGNAL, CancelRequest, Decision, LinesChange
from order_workflows.forward import Forward
from order_workflows.order_run import OrderRun
from order_workflows.reference_messages import (
    ADD_LINE_ITEM,
    APPROVE_PAYMENT,
    CANCEL_ORDER,
    UPDATE_ORDER,
    CancelOrder,
    LineItem,
    NewAddress,
    PaymentApproval,
)
from order_workflows.signals import signal


class OtherNames:
    """What an order's workflow answers to besides its own names."""

    _order: OrderRun
    _forward: Forward

    @workflow.update(name=UPDATE_ORDER)
    def update_order(self, wanted: NewAddress) -> str:
        """Ship to another street; answers with it."""
        self._order.edits += 1
        self._change_address(wanted)
        return wanted.address

    @update_order.validator
    def _validate_update_order(self, wanted: NewAddress) -> None:
        refusal = acceptance.refusal_of_content(wanted, NewAddress, RefusalType.INVALID_ADDRESS)
        raise_if(refusal or self._refusal_of_address(wanted))
        raise_if(acceptance.refusal_of_edit_in_long_history(self._order))

    @signal(name=UPDATE_ORDER)
    def update_order_signal(self, wanted: NewAddress) -> None:
        """The same by signal."""
        content = acceptance.refusal_of_content(wanted, NewAddress, RefusalType.INVALID_ADDRESS)
        if self._heard(UPDATE_ORDER) and accepts_edit(
            self._order, UPDATE_ORDER, content or self._refusal_of_address(wanted)
        ):
            self._change_address(wanted)

    def _refusal_of_address(self, wanted: NewAddress) -> acceptance.Refusal | None:
        return acceptance.refusal_of_address_update(self._order, wanted.change(self._order.address))

    def _change_address(self, wanted: NewAddress) -> None:
        change = wanted.change(self._order.address)
        self._order.note_address(change)
        self._order.ship_to(change.address)

    @signal(name=APPROVE_PAYMENT)
    def approve_payment(self, wanted: PaymentApproval) -> None:
        """Let the order go on."""
        content = acceptance.refusal_of_content(wanted, PaymentApproval, RefusalType.INVALID_MESSAGE)
        if not self._heard(APPROVE_PAYMENT) or not accepts(self._order, APPROVE_PAYMENT, content):
            return
        decision = Decision(by=wanted.approved_by, channel=SIGNAL)
        if accepts(self._order, APPROVE_PAYMENT, acceptance.refusal_of_approval(self._order, decision)):
            self._order.decide(DecisionKind.APPROVED, decision)
            self._forward.decided()

    @signal(name=CANCEL_ORDER)
    def cancel_order_of_003(self, wanted: CancelOrder) -> None:
        """Stop the order and undo what it did."""
        content = acceptance.refusal_of_content(wanted, CancelOrder, RefusalType.INVALID_MESSAGE)
        if self._heard(CANCEL_ORDER) and accepts(
            self._order, CANCEL_ORDER, content or acceptance.refusal_of_cancel(self._order)
        ):
            self._forward.cancel(CancelRequest(by="signal", reason=wanted.reason, channel=SIGNAL))

    @signal(name=ADD_LINE_ITEM)
    def add_line_item(self, wanted: LineItem) -> None:
        """Order more of an article that the order has, at its price: a signal of system 003 names none."""
        content = acceptance.refusal_of_content(wanted, LineItem, RefusalType.INVALID_ORDER)
        if not self._heard(ADD_LINE_ITEM) or not accepts(self._order, ADD_LINE_ITEM, content):
            return
        lines = wanted.added_to(self._order.lines_to_come)
        if lines is None:
            drop(
                self._order,
                ADD_LINE_ITEM,
                "the order has no line with this SKU, so that no price is known: change spec.lines",
            )
            return
        change = LinesChange(lines=lines)
        if accepts_edit(self._order, ADD_LINE_ITEM, acceptance.refusal_of_lines(self._order, change)):
            self._order.tells_requests = True
            lines_change.want(self._order, change)

    def _heard(self, name: str) -> bool:
        if self._order.input.revision < 4:
            drop(self._order, name, "unknown")
            return False
        return True

    @workflow.query(name="getProgress")
    def get_progress_of_000(self) -> int:
        """Percent, as `get_progress`."""
        return self._order.snapshot().progress

    @workflow.query(name="progress")
    def progress_of_000(self) -> int:
        """The same under the name of that system's page."""
        return self._order.snapshot().progress

    @workflow.query(name="getItems")
    def get_items_of_000(self) -> list[OrderLine]:
        """As `get_items`."""
        return self._order.sorted_lines

    @workflow.query(name="get-items")
    def get_items_of_003(self) -> list[OrderLine]:
        """As `get_items`."""
        return self._order.sorted_lines

    @workflow.query(name="get-status")
    def get_status_of_003(self) -> OrderSnapshot:
        """As `get_status`."""
        return self._order.snapshot()

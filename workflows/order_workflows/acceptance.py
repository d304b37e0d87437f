"""Which Updates and signals an order accepts. Pure: each function reads the order and returns a refusal or None."""

from typing import NamedTuple

from order_domain.money import MAX_MINOR
from order_domain.order import Address
from order_domain.policy import AddressMessage
from order_domain.refusals import RefusalType
from order_workflows.contract import LinesChange
from order_workflows.order_run import OrderRun


class Refusal(NamedTuple):
    """Why a message is not accepted."""

    type: RefusalType
    message: str


def refusal_of_any_change(order: OrderRun) -> Refusal | None:
    """An order that ends takes no more changes."""
    if order.ended or order.compensation is not None or order.cancellation is not None:
        message = f"the order is at '{order.status}' and takes no more changes"
        return Refusal(RefusalType.ORDER_ENDING, message)
    return None


def refusal_of_decision(order: OrderRun, generation: int = 0) -> Refusal | None:
    """A decision is about the lines that its author has seen. `generation` is that of the spec; 0 if not known."""
    if refusal := refusal_of_any_change(order):
        return refusal
    approval = order.approval
    if approval.decision is not None:
        message = f"{approval.decision.lower()} by {approval.by}; the first decision is final"
        return Refusal(RefusalType.ALREADY_DECIDED, message)
    if order.wanted_lines or 0 < generation < order.lines_generation:
        message = "the lines have changed since: look at the order again, then decide"
        return Refusal(RefusalType.STALE_DECISION, message)
    if not order.approval_required:
        return Refusal(RefusalType.APPROVAL_NOT_REQUIRED, "this order needs no approval")
    return None


def refusal_of_address(order: OrderRun, address: Address) -> Refusal | None:
    """An address counts until the first parcel leaves, and has to keep the rule of the order's class."""
    if refusal := refusal_of_any_change(order):
        return refusal
    if order.shipping_started:
        message = "the parcel was handed to the carrier with the earlier address"
        return Refusal(RefusalType.ALREADY_SHIPPED, message)
    window = order.input.policy.address_window
    checked = window.via is AddressMessage.UPDATE and window.house_number_first
    if checked and not address.line1[0].isdecimal():
        message = f"line1 must start with the house number, a digit, not {address.line1[0]!r}"
        return Refusal(RefusalType.INVALID_ADDRESS, message)
    return None


def refusal_of_lines(order: OrderRun, change: LinesChange) -> Refusal | None:
    """What can be told without asking the ledger."""
    if refusal := refusal_of_any_change(order):
        return refusal
    if order.lines_fixed:
        message = "the order has been decided about, prepared or charged with the earlier lines"
        return Refusal(RefusalType.LINES_FIXED, message)
    if len({line.line_id for line in change.lines}) != len(change.lines):
        return Refusal(RefusalType.INVALID_ORDER, "lines: a lineID may occur only once")
    if sum(line.amount_minor for line in change.lines) > MAX_MINOR:
        return Refusal(RefusalType.INVALID_ORDER, f"lines: the sum is beyond the largest amount {MAX_MINOR}")
    return None


def refusal_of_cancel(order: OrderRun) -> Refusal | None:
    """Past the pivot nothing is undone."""
    if refusal := refusal_of_any_change(order):
        return refusal
    if order.pivot_passed:
        return Refusal(RefusalType.ALREADY_SHIPPED, "the order has shipped and can no longer be cancelled")
    return None

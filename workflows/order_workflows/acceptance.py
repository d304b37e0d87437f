"""Which Updates and signals an order accepts. Pure: each function reads the order and returns a refusal or None."""

from typing import NamedTuple

from order_domain import moments
from order_domain.judgement import flaws
from order_domain.money import MAX_MINOR, format_amount
from order_domain.order import MAX_DESCRIPTIONS, Address, sum_minor
from order_domain.policy import AddressMessage, TemporalClients
from order_domain.refusals import RefusalType
from order_domain.snapshot import DecisionOutcome, shortened
from order_domain.value import Value
from order_workflows.contract import (
    KUBERNETES,
    POLICY,
    SIGNAL,
    AddressChange,
    Adoption,
    CancelRequest,
    Decision,
    LinesChange,
    Message,
)
from order_workflows.earlier_rules import EarlierAddress
from order_workflows.order_run import OrderRun


class Refusal(NamedTuple):
    """Why a message is not accepted."""

    type: RefusalType
    message: str


NAMELESS = "signal"
"""The decider of a signal that has no place for a name."""
MAX_EDITS = 1_000
"""Changes of lines, address and suspension that one run takes. Temporal refuses a run's 2,001st Update, whatever it is
(`history.maxTotalUpdates`): without a bound for edits a decision or a cancellation would not be heard any more."""
EDIT_EVENTS, EDIT_BYTES = 25_000, 25 * 1024 * 1024
"""Half of what a history may have before Temporal ends its run. An order of many lines comes to these bytes with some
hundred edits; the rest is for its steps, and for its undoing."""
OF_NO_CLIENT = frozenset({POLICY, SIGNAL})
"""Channels that only the workflow itself names."""


def refusal_of_content(message: object, kind: type[Value], refusal: RefusalType) -> Refusal | None:
    """What is wrong with the message by itself, whatever the order. A payload without a type arrives as it is."""
    if not isinstance(message, kind):
        return Refusal(refusal, f"a {kind.__name__} is needed, not a {type(message).__name__}")
    if isinstance(message, Message) and message.unreadable is not None:
        return Refusal(refusal, message.unreadable)
    if found := flaws(message, under=""):
        return Refusal(refusal, shortened("; ".join(found)))
    return None


def _refusal_of_channel(message: Decision | CancelRequest | AddressChange | LinesChange | Adoption) -> Refusal | None:
    if message.channel in OF_NO_CLIENT:
        return Refusal(RefusalType.INVALID_MESSAGE, f"channel: {message.channel} is kept for the workflow itself")
    return None


def refusal_of_any_change(order: OrderRun) -> Refusal | None:
    """An order that ends takes no more changes."""
    if order.ending or order.compensation is not None or order.cancellation is not None:
        message = f"the order is at '{order.status}' and takes no more changes"
        return Refusal(RefusalType.ORDER_ENDING, message)
    return None


def refusal_of_any_edit(order: OrderRun) -> Refusal | None:
    """Edits can come again and again, where two programs each set what they want, for instance."""
    if refusal := refusal_of_any_change(order):
        return refusal
    if order.edits >= MAX_EDITS:
        message = (
            f"the order was changed {order.edits} times, and takes no more edits: set lines, charges, address and "
            "suspend back to what is in force; a decision or a cancellation is still heard"
        )
        return Refusal(RefusalType.TOO_MANY_EDITS, message)
    return None


def refusal_of_edit_in_long_history(order: OrderRun) -> Refusal | None:
    """Edits are what an order can do without."""
    if not order.has_history(events=EDIT_EVENTS, size=EDIT_BYTES):
        return None
    message = (
        "the history of the order's workflow is too long for more edits: set lines, charges, address and suspend back "
        "to what is in force; a decision or a cancellation is still heard"
    )
    return Refusal(RefusalType.TOO_MANY_EDITS, message)


def refusal_of_earlier_edit(heard: int, generation: int) -> Refusal | None:
    """Edits may arrive in another order than they were made in: one was held up while Temporal or its sender was away.
    Only edits of the resource say of which generation they are, above 0."""
    if 0 < generation < heard:
        message = f"the resource has asked for something else since, in generation {heard} after {generation}"
        return Refusal(RefusalType.SUPERSEDED, message)
    return None


def flaw_of_decision(decision: Decision) -> Refusal | None:
    """What is wrong with the argument of an Update `approve` or `reject` by itself."""
    return refusal_of_content(decision, Decision, RefusalType.INVALID_MESSAGE) or _refusal_of_channel(decision)


def refusal_of_address_update(order: OrderRun, change: AddressChange) -> Refusal | None:
    """A change of address by Update: judged by its content first."""
    return (
        refusal_of_content(change, AddressChange, RefusalType.INVALID_ADDRESS)
        or _refusal_of_channel(change)
        or refusal_of_any_edit(order)
        or refusal_of_earlier_edit(order.address_generation, change.generation)
        or refusal_of_address(order, change.address)
    )


def flaw_of_signalled_address(order: OrderRun, address: Address) -> Refusal | None:
    """What is wrong with the address of a signal by itself, by the rules that the order began with: a replay has to
    come to the same answer."""
    judged = EarlierAddress.model_construct(**dict(address)) if order.input.revision < 4 else address
    return refusal_of_content(judged, Value, RefusalType.INVALID_ADDRESS)


def refusal_of_cancel_update(order: OrderRun, request: CancelRequest) -> Refusal | None:
    """A cancellation by Update: judged by its content first. The one that the order follows already is no new one."""
    flaw = refusal_of_content(request, CancelRequest, RefusalType.INVALID_MESSAGE) or _refusal_of_channel(request)
    return flaw or (None if request == order.cancellation else refusal_of_cancel(order))


def refusal_of_decision(order: OrderRun, decision: Decision) -> Refusal | None:
    """A decision is about the order that its author has seen, as far as it says what that was."""
    approval = order.approval
    if approval.decision is DecisionOutcome.EXPIRED and approval.deadline is not None:
        message = f"no decision was heard until {moments.minute(approval.deadline)}, and the order expired"
        return Refusal(RefusalType.TOO_LATE, message)
    if refusal := refusal_of_any_change(order):
        return refusal
    if approval.decision is not None:
        message = f"{approval.decision.lower()} by {approval.by}; the first decision is final"
        return Refusal(RefusalType.ALREADY_DECIDED, message)
    if order.wanted_lines or 0 < decision.generation < order.lines_generation:
        message = "the lines have changed since: look at the order again, then decide"
        return Refusal(RefusalType.STALE_DECISION, message)
    if not order.approval_required:
        return Refusal(RefusalType.APPROVAL_NOT_REQUIRED, "this order needs no approval")
    return _refusal_of_way(order, decision) or _refusal_of_decider(order, decision)


def _refusal_of_way(order: OrderRun, decision: Decision) -> Refusal | None:
    """A class may hear decisions that come through the resource only."""
    heard = order.input.policy.approval.temporal_clients is TemporalClients.ALLOWED or decision.channel == KUBERNETES
    if heard:
        return None
    message = (
        f"class {order.input.class_name} has approval.temporalClients Refused: decide by spec.approval of the resource"
    )
    return Refusal(RefusalType.TEMPORAL_CLIENT_REFUSED, message)


def _refusal_of_decider(order: OrderRun, decision: Decision) -> Refusal | None:
    """Four eyes: who ordered and who edited last decide neither way."""
    if not order.input.policy.approval.four_eyes:
        return None
    by, why = decision.by, f"class {order.input.class_name} has approval.fourEyes"
    requesters = {order.spec.requested_by, decision.requester} - {None}
    editors = {order.editor, decision.editor} - {None}
    if by == NAMELESS:
        return Refusal(RefusalType.DECIDER_UNKNOWN, f"{why}, and this signal names nobody: decide under your name")
    if not requesters:
        message = f"spec.requestedBy: is missing, and {why}: set it to who ordered, or cancel and order again"
        return Refusal(RefusalType.REQUESTER_UNKNOWN, message)
    if by in requesters:
        return Refusal(RefusalType.OWN_ORDER, f"{by} ordered this and {why}: somebody else has to decide")
    if order.edited_by_stranger:
        message = f"a client of Temporal changed the order without a name, and {why}: edit it by its resource"
        return Refusal(RefusalType.EDITOR_UNKNOWN, message)
    if order.edited and not editors:
        message = f"spec.editedBy: is missing, the order was edited, and {why}: set it to who edited last"
        return Refusal(RefusalType.EDITOR_UNKNOWN, message)
    if by in editors:
        return Refusal(RefusalType.OWN_EDIT, f"{by} edited this last and {why}: somebody else has to decide")
    return None


def refusal_of_approval(order: OrderRun, decision: Decision) -> Refusal | None:
    """A Yes is about the amount that its author has seen. A No holds for any amount."""
    if refusal := refusal_of_decision(order, decision):
        return refusal
    currency, amount = order.spec.currency, format_amount(order.total_minor, order.spec.currency)
    other_amount = decision.total_minor is not None and decision.total_minor != order.total_minor
    other_currency = decision.currency is not None and decision.currency != currency
    other_lines = decision.digest is not None and decision.digest != order.lines_digest
    if other_amount or other_currency or other_lines:
        message = f"the decision is about another amount or other lines; the order is for {amount} now"
        return Refusal(RefusalType.STALE_DECISION, message)
    if order.changed_while_waiting and decision.total_minor is None and decision.digest is None:
        message = (
            f"the order changed while it waited: a decision has to state the amount, totalMinor {order.total_minor}"
        )
        return Refusal(RefusalType.AMOUNT_NOT_STATED, message)
    return None


def refusal_of_address(order: OrderRun, address: Address) -> Refusal | None:
    """An address counts until the first parcel leaves, and has to keep the rule of the order's class."""
    if refusal := refusal_of_any_change(order):
        return refusal
    if order.pivot_passed and order.checked_country not in (None, address.country):
        message = f"the order is paid for and checked for {order.checked_country}; order again for another country"
        return Refusal(RefusalType.COUNTRY_FIXED, message)
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
    if refusal := refusal_of_content(change, LinesChange, RefusalType.INVALID_ORDER) or _refusal_of_channel(change):
        return refusal
    heard = max([order.lines_generation, *(wanted.change.generation for wanted in order.wanted_lines)])
    if refusal := refusal_of_any_edit(order) or refusal_of_earlier_edit(heard, change.generation):
        return refusal
    if order.lines_fixed:
        message = "the order has been decided about, prepared or charged with the earlier lines"
        return Refusal(RefusalType.LINES_FIXED, message)
    charges = order.charges_after(change)
    if len({charge.charge_id for charge in charges}) != len(charges):
        return Refusal(RefusalType.INVALID_ORDER, "charges: a chargeID may occur only once")
    if len({line.line_id for line in change.lines}) != len(change.lines):
        return Refusal(RefusalType.INVALID_ORDER, "lines: a lineID may occur only once")
    texts = [line.description for line in change.lines] + [charge.description for charge in charges]
    descriptions = sum(len(text or "") for text in texts)
    if descriptions > MAX_DESCRIPTIONS:
        message = f"charges: all descriptions together have {descriptions} characters, {MAX_DESCRIPTIONS} at most"
        return Refusal(RefusalType.INVALID_ORDER, message)
    total_minor = sum_minor(change.lines, charges)
    if not 0 <= total_minor <= MAX_MINOR:
        message = f"lines and charges: the sum {total_minor} must be from 0 to {MAX_MINOR}"
        return Refusal(RefusalType.INVALID_ORDER, message)
    return None


def refusal_of_adoption(adoption: Adoption) -> Refusal | None:
    """An order may be adopted as long as its workflow runs, also while it is being undone."""
    return refusal_of_content(adoption, Adoption, RefusalType.INVALID_MESSAGE) or _refusal_of_channel(adoption)


def refusal_of_cancel(order: OrderRun) -> Refusal | None:
    """Past the pivot nothing is undone."""
    if refusal := refusal_of_any_change(order):
        return refusal
    if order.pivot_passed:
        return Refusal(RefusalType.ALREADY_SHIPPED, "the order has shipped and can no longer be cancelled")
    return None

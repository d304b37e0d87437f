"""The sentence `status.message`: what the order does or waits for, why, until when, and what can be done about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from order_domain import moments
from order_domain.money import format_amount
from order_domain.snapshot import ErrorRecord, OrderSnapshot, shortened
from order_domain.status import OrderStatus, Phase
from order_operator.orders.pending_work import Retry
from order_operator.problem import Problem

DOING: Mapping[OrderStatus, str] = MappingProxyType(
    {
        OrderStatus.ORDER_RECEIVED: "received, and about to be checked",
        OrderStatus.VALIDATE_ORDER: "checking articles and amounts",
        OrderStatus.ENRICH_ORDER: "looking up the customer",
        OrderStatus.CHECK_FRAUD: "checking for fraud",
        OrderStatus.RESERVE_STOCK: "reserving stock",
        OrderStatus.PREPARE_SHIPMENT: "preparing the shipment",
        OrderStatus.CHARGE_CUSTOMER: "charging the customer",
        OrderStatus.SHIP_ORDER: "handing the parcels to the carrier",
        OrderStatus.UPDATE_ORDER_STATUS: "writing the result back to the shop",
        OrderStatus.NOTIFY_CUSTOMER: "writing to the customer",
        OrderStatus.COMPENSATE_ORDER: "undoing what was done",
    }
)
"""What an order does at each status at which it neither waits nor has ended."""

AGAIN = "to order again, delete it and apply it again"
SUSPENDED = "suspended before its next step: set spec.suspend to false to let it go on"
SUBMITTING = "about to be handed to Temporal"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the sentence is about."""

    status: OrderStatus
    phase: Phase
    snapshot: OrderSnapshot
    currency: str
    problem: Problem | None = None
    """What keeps the order from being submitted or followed."""
    error: ErrorRecord | None = None
    retry: Retry | None = None
    """Work that failed and is tried again."""


def sentence(situation: Situation) -> str:
    """Never empty. It changes only with what it tells, not with the clock."""
    return shortened(_words(situation))


def _words(situation: Situation) -> str:
    ends = {
        Phase.COMPLETED: _completed,
        Phase.REJECTED: _undone,
        Phase.CANCELLED: _undone,
        Phase.EXPIRED: _expired,
        Phase.DUPLICATE: _told_by_error,
        Phase.INVALID: _invalid,
        Phase.FAILED: _undone,
    }
    end = ends.get(situation.phase)
    if end is not None and (situation.problem is None or not situation.problem.stalled):
        return end(situation)
    if situation.problem is not None:
        return situation.problem.message
    pending = situation.snapshot.pending_action
    if situation.phase is Phase.SUSPENDED:
        # A suspension holds the next step, and no deadline of this one.
        return f"{SUSPENDED}; meanwhile it {pending.message}" if pending is not None else SUSPENDED
    if pending is not None:
        return pending.message
    return _doing(situation)


def _doing(situation: Situation) -> str:
    doing = DOING.get(situation.status, str(situation.status).lower())
    error = situation.error
    if situation.phase is Phase.COMPENSATING and error is not None:
        doing = f"{doing} ({error.message})"
    return f"{doing}, {_tried(situation.retry)}" if situation.retry is not None else doing


def _tried(retry: Retry) -> str:
    at = retry.next_attempt_at
    then = f"next try at {moments.second(at)}" if at is not None else "being tried again"
    return f"attempt {retry.attempts} failed: {retry.error}; {then}"


def _completed(situation: Situation) -> str:
    snapshot, error = situation.snapshot, situation.error
    if error is not None:
        return f"completed: {error.message}{_money(situation)}"
    count = snapshot.shipment_count
    if not count:
        return "completed"
    due = [record.estimated_delivery for record in snapshot.shipments if record.estimated_delivery is not None]
    first = f", {'first ' if count > 1 else ''}due {moments.day(min(due))}" if due else ""
    return f"completed: {count} {'parcels' if count > 1 else 'parcel'}{first}"


def _undone(situation: Situation) -> str:
    why = situation.error.message if situation.error else "no reason was given"
    word = situation.phase.lower()
    told = why if why.startswith(word) else f"{word}: {why}"
    return f"{told}{_money(situation)}; {AGAIN}"


def _expired(situation: Situation) -> str:
    deadline = situation.snapshot.approval.deadline
    why = situation.error.message if situation.error else "nothing happened in time"
    until = f", which was until {moments.minute(deadline)}" if deadline is not None else ""
    return f"expired: {why}{until}{_money(situation)}; {AGAIN}"


def _invalid(situation: Situation) -> str:
    why = situation.error.message if situation.error else "the order breaks a rule"
    return f"invalid: {why}; nothing was charged; correct the order, delete it and apply it again"


def _told_by_error(situation: Situation) -> str:
    return f"duplicate: {situation.error.message if situation.error else 'another order has this number'}"


def _money(situation: Situation) -> str:
    payment = situation.snapshot.payment
    if payment is None or not payment.captured_minor:
        return "; nothing was charged" if situation.phase is not Phase.COMPLETED else ""
    if not payment.refunded_minor:
        return ""
    return f"; {format_amount(payment.refunded_minor, situation.currency)} was refunded"

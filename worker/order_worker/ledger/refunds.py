"""Giving money back: in one or several refunds, each once, and their sum as ledger, provider and workflow agree.

A refund gives back what was taken beyond what the order still owes. One whose answer is not known yet is asked for
again before another one of the same order begins: only then is it known how much is left. The lines that an order keeps
only become fewer, so that of two refunds the one that keeps more is the earlier one, whatever the workers' clocks say.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Row, bindparam, select

from order_domain.allocation import owed_minor
from order_domain.errors import BooksDisagree, OperationConflict
from order_domain.order import OrderCharge, OrderLine
from order_worker.ledger import payments
from order_worker.ledger.database import Ledger
from order_worker.ledger.locked_order import LockedOrder, lock
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, Settled, State, recall, settle
from order_worker.ledger.tables import operations, orders
from order_worker.ledger.tables import payments as payments_table
from order_worker.ledger.undoing import begin_undo, close_target, mark_reversed
from order_workflows.activities.payment import Receipt, Refund, Refunded


@dataclass(frozen=True)
class Wanted:
    """One refund, as the provider is asked for it."""

    operation: Operation
    charge_operation_id: str
    transaction_id: str | None
    """Of the charge, where the ledger or the workflow know it."""
    charged_minor: int
    """What the charge took or, where that is not known, was to take."""
    charge_open: bool
    """Whether the charge took anything is not known."""
    amount_minor: int
    currency: str
    asked_at: datetime
    """When the charge was first asked for."""
    ordered_at: datetime | None
    """When the order began."""


@dataclass(frozen=True)
class Given:
    """The provider's answer."""

    refund_id: str
    receipt: Receipt
    """Of the charge."""


_PAYMENT = select(payments_table).where(payments_table.c.order_uid == bindparam("order"))
_OTHER_REFUNDS = (
    select(operations.c.operation_id, operations.c.params, operations.c.state)
    .where(
        operations.c.order_uid == bindparam("order"),
        operations.c.kind == OperationKind.REFUND.value,
        operations.c.state != State.REFUSED.value,
        operations.c.operation_id != bindparam("operation"),
    )
    .order_by(operations.c.created_at, operations.c.operation_id)
)
_LINES = select(orders.c.lines, orders.c.charges).where(orders.c.uid == bindparam("order"))


async def give_back(
    ledger: Ledger, request: Refund, ask: Callable[[Wanted], Awaitable[Given | None]]
) -> Settled[Refunded]:
    """`ask` puts one refund to the provider, which gives None if the charge never took anything and never will. Raises
    BooksDisagree where that, or an amount, is not what the others know."""
    earlier_minor = 0
    while True:
        begun: Settled[Refunded] | Wanted = await ledger.transaction(
            partial(_begin, request=request, earlier_minor=earlier_minor)
        )
        if isinstance(begun, Settled):
            return begun
        given = await ask(begun)
        _compare(request, begun, given)
        refunded: Refunded = await ledger.transaction(partial(_finish, wanted=begun, given=given))
        if begun.operation.operation_id == request.operation_id:
            return Settled(refunded, replayed=False)
        earlier_minor += refunded.refunded_minor


def _begin(tx: Connection, request: Refund, earlier_minor: int) -> Settled[Refunded] | Wanted:
    """`earlier_minor` was given back in this attempt, by refunds that the workflow had no answer of when it made its
    request. A workflow of this release tells what it knew, so that attempts before this one count as well."""
    operation, charge_id = _operation(request), request.charge_operation_id
    begun = begin_undo(tx, operation, charge_id, Refunded(), _evidence(request))
    if isinstance(begun, Settled):
        return begun
    order = lock(tx, request.order)
    payment = tx.execute(_PAYMENT, {"order": request.order.uid}).one_or_none()
    if payment is None or payment.charge_operation_id != charge_id:
        raise OperationConflict(f"{charge_id} is not the charge of order {request.order.uid}")
    done = begun.state is State.DONE
    if done:
        _agree(request, payment)
    charged = payment.captured_minor if done else payment.total_minor
    if request.refunded_minor is not None:
        wanted_minor = _left_to_give(request.amount_minor, request.refunded_minor, payment)
    else:
        wanted_minor = None if request.amount_minor is None else request.amount_minor - earlier_minor
    earlier = _earlier_open_refund(tx, request, payment)
    if earlier is not None:
        operation, wanted_minor = earlier
    amount = _due(tx, order, charged, payment.refunded_minor, operation, wanted_minor)
    if amount == 0 and done:
        nothing = Refunded(
            transaction_id=payment.transaction_id,
            captured_minor=payment.captured_minor,
            total_refunded_minor=payment.refunded_minor,
        )
        settle(tx, order, operation, recall(tx, operation), nothing)
        return Settled(nothing, replayed=False) if earlier is None else _begin(tx, request, earlier_minor)
    known_as = payment.transaction_id or request.transaction_id
    return Wanted(
        operation,
        charge_id,
        known_as,
        charged,
        not done,
        amount,
        payment.currency,
        begun.created_at,
        order.began(request.ordered_at),
    )


def _left_to_give(asked_minor: int | None, known_minor: int | None, payment: Row[Any]) -> int | None:
    """What a refund of `asked_minor` gives back now, if `known_minor` was known to be given back when it was asked for.
    A ledger that was restored has less than was known: nothing is added for that, and the two do not agree."""
    if asked_minor is None or known_minor is None:
        return None
    return asked_minor - max(0, int(payment.refunded_minor) - known_minor)


def _earlier_open_refund(tx: Connection, request: Refund, payment: Row[Any]) -> tuple[Operation, int | None] | None:
    """The first one of the same order whose answer is not known, and what the workflow came to for it. Raises
    BooksDisagree where a later one than `request` has begun: an attempt that comes so late asks for nothing any more,
    for itself or for the later one, since neither knows of the other's."""
    others = tx.execute(_OTHER_REFUNDS, {"order": request.order.uid, "operation": request.operation_id}).all()
    later = [row.operation_id for row in others if set(_kept(row.params)) < set(request.kept_lines)]
    if later:
        raise BooksDisagree(f"{request.operation_id} comes after {later[0]}, which keeps fewer lines")
    opened = [row for row in others if row.state == State.INTENT.value]
    if not opened:
        return None
    row = max(opened, key=lambda row: len(_kept(row.params)))
    params = {name: value for name, value in row.params.items() if name in _PARAMS}
    wanted_minor = _left_to_give(row.params.get("amountMinor"), row.params.get("refundedMinor"), payment)
    return Operation(request.order, row.operation_id, OperationKind.REFUND, params), wanted_minor


_PARAMS = ("charge", "kept")


def _operation(request: Refund) -> Operation:
    """The same operation whether or not the run knows the amount yet: `_due` compares that with the books."""
    params: dict[str, JsonValue] = {"charge": request.charge_operation_id}
    if request.kept_lines:
        params["kept"] = [*sorted(request.kept_lines)]
    remarks: dict[str, JsonValue] = {"reason": request.reason}
    if request.amount_minor is not None:
        remarks["amountMinor"] = request.amount_minor
    if request.refunded_minor is not None:
        remarks["refundedMinor"] = request.refunded_minor
    return Operation(request.order, request.operation_id, OperationKind.REFUND, params, remarks)


def _evidence(request: Refund) -> str | None:
    if request.transaction_id is None and request.captured_minor == 0:
        return None
    return f"the workflow knows of {request.captured_minor} captured as {request.transaction_id or 'unknown'}"


def _agree(request: Refund, payment: Row[Any]) -> None:
    same_transaction = request.transaction_id in (None, payment.transaction_id)
    if not same_transaction or request.captured_minor not in (0, payment.captured_minor):
        raise BooksDisagree(
            f"{_evidence(request)}, the ledger has {payment.captured_minor} captured as {payment.transaction_id}"
        )


def _due(
    tx: Connection,
    order: LockedOrder,
    charged_minor: int,
    refunded_minor: int,
    operation: Operation,
    wanted_minor: int | None,
) -> int:
    """How much one refund gives back. `wanted_minor` is what the workflow came to. Raises BooksDisagree if it came to
    something else."""
    kept = _kept(operation.params)
    owed = _owed_for(tx, order, kept)
    if owed is None:
        if wanted_minor is None or not 0 <= wanted_minor <= charged_minor - refunded_minor:
            raise BooksDisagree(
                f"the ledger does not know the lines of order {order.identity.uid}, of which {', '.join(kept)} are "
                f"kept: {charged_minor} captured, {refunded_minor} refunded, asked to refund {wanted_minor}"
            )
        return wanted_minor
    due = charged_minor - refunded_minor - owed
    if due < 0 or wanted_minor not in (None, due):
        raise BooksDisagree(
            f"order {order.identity.uid}: {charged_minor} captured, {refunded_minor} refunded and {owed} owed for the "
            f"kept lines leave {due} to refund, the workflow asks for {wanted_minor}"
        )
    return due


def _kept(params: Mapping[str, JsonValue] | None) -> list[str]:
    kept = (params or {}).get("kept", [])
    assert isinstance(kept, list)
    return [str(line_id) for line_id in kept]


def _owed_for(tx: Connection, order: LockedOrder, kept: Sequence[str]) -> int | None:
    """What the order owes if of its lines in force only those are kept; None where the ledger does not know them."""
    if not kept or not payments.is_charged(order):
        return 0
    row = tx.execute(_LINES, {"order": order.identity.uid}).one()
    if row.lines is None:
        return None
    lines = [OrderLine.model_validate(line) for line in row.lines]
    charges = [OrderCharge.model_validate(charge) for charge in row.charges or []]
    return owed_minor(lines, charges, kept, order.currency)


def _compare(request: Refund, wanted: Wanted, given: Given | None) -> None:
    """Raises BooksDisagree where the provider does not know what ledger or workflow know."""
    if given is not None:
        if not wanted.charge_open and given.receipt.captured_minor != wanted.charged_minor:
            raise BooksDisagree(
                f"the ledger has {wanted.charged_minor} captured by {wanted.charge_operation_id}, the provider "
                f"{given.receipt.captured_minor}"
            )
        return
    evidence = _evidence(request)
    if not wanted.charge_open:
        evidence = f"the ledger has {wanted.charged_minor} captured as {wanted.transaction_id}"
    if evidence is not None:
        raise BooksDisagree(f"{evidence}, but the provider knows no such charge")


def _finish(tx: Connection, wanted: Wanted, given: Given | None) -> Refunded:
    order = lock(tx, wanted.operation.order)
    latest = recall(tx, wanted.operation)
    if latest is not None and latest.state is State.DONE:
        return Refunded.model_validate(latest.outcome)
    if given is None:
        close_target(tx, order, wanted.charge_operation_id, None)
        settle(tx, order, wanted.operation, latest, Refunded())
        return Refunded()
    payment = tx.execute(_PAYMENT, {"order": order.identity.uid}).one()
    refunded = Refunded(
        refund_id=given.refund_id,
        refunded_minor=wanted.amount_minor,
        transaction_id=given.receipt.transaction_id,
        captured_minor=given.receipt.captured_minor,
        total_refunded_minor=payment.refunded_minor + wanted.amount_minor,
    )
    close_target(tx, order, wanted.charge_operation_id, given.receipt)
    if refunded.total_refunded_minor == refunded.captured_minor:
        mark_reversed(tx, wanted.charge_operation_id, wanted.operation.operation_id)
    settle(tx, order, wanted.operation, latest, refunded)
    payments.book_refund(tx, order.identity.uid, given.receipt, refunded)
    return refunded

"""Undoing an operation outside, so that it has no effect, now and later. Absence is no answer to that.

The workflow says what it knows of the effect. Where it or the ledger know that the effect happened, and the ledger or
the provider know nothing of it, nobody may decide alone that there is nothing to undo: BooksDisagree goes to a person.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import JsonValue
from sqlalchemy import Connection, bindparam, select, update

from order_domain.errors import BooksDisagree, OperationCancelled, OperationConflict
from order_worker.ledger.database import Ledger
from order_worker.ledger.locked_order import LockedOrder, lock, lock_if_received
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Known, Operation, Settled, State, audit_intent, open_intent, recall, settle
from order_worker.ledger.tables import operations
from order_workflows.activities.effect import Outcome

R = TypeVar("R", bound=Outcome)

_TARGET = select(operations).where(operations.c.operation_id == bindparam("operation"))
_REVERSE = (
    update(operations)
    .where(
        operations.c.operation_id == bindparam("operation"),
        operations.c.state == State.DONE.value,
        operations.c.reversed_by.is_(None),
    )
    .values(reversed_by=bindparam("by"))
)


@dataclass(frozen=True)
class Target:
    """The operation that is to be undone, as the ledger has it."""

    params: Mapping[str, JsonValue]
    state: State
    outcome: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class Reversal(Generic[R]):
    """What the provider says about an undo."""

    outcome: R
    target: Outcome | None = None
    """What the undone operation had brought about; None where the provider does not tell."""
    whole: bool = True
    """Nothing is left of what the operation had brought about."""


async def undo(
    ledger: Ledger,
    operation: Operation,
    target_id: str,
    nothing: R,
    call: Callable[[Target], Awaitable[Reversal[R] | None]],
    *,
    evidence: str | None = None,
) -> Settled[R]:
    """Make sure that the operation `target_id` has no effect. `call` has the provider reverse or void it, and gives
    None if there was nothing to reverse; `nothing` is the outcome then. `evidence` says what the workflow knows of the
    effect."""
    begun: Settled[R] | Target = await ledger.transaction(
        partial(begin_undo, operation=operation, target_id=target_id, nothing=nothing, evidence=evidence)
    )
    if isinstance(begun, Settled):
        return begun
    reversal = await call(begun)
    if reversal is None and (begun.state is State.DONE or evidence is not None):
        known = evidence or f"for the ledger {target_id} is done"
        raise BooksDisagree(f"{known}, but the provider knows nothing of it")
    end = reversal or Reversal(nothing)
    outcome: R = await ledger.transaction(partial(_finish, operation=operation, target_id=target_id, end=end))
    return Settled(outcome, replayed=False)


def begin_undo(
    tx: Connection, operation: Operation, target_id: str, nothing: R, evidence: str | None
) -> Settled[R] | Target:
    """Open the undo and tell what it is about, unless it is settled already, or is now since the target has no
    effect."""
    order = lock_if_received(tx, operation.order)
    if order is None:
        if evidence is not None:
            raise BooksDisagree(f"{evidence}, but the ledger never received order {operation.order.uid}")
        return Settled(nothing, replayed=False)
    known = recall(tx, operation)
    if known is not None and known.state is State.DONE:
        return Settled(type(nothing).model_validate(known.outcome), replayed=True)
    if prevent(tx, order, target_id):
        if evidence is not None:
            raise BooksDisagree(f"{evidence}, but for the ledger {target_id} never happened")
        settle(tx, order, operation, known, nothing)
        return Settled(nothing, replayed=False)
    if known is None:
        open_intent(tx, operation)
        audit_intent(tx, order, operation)
    return target_of(tx, target_id)


def _finish(tx: Connection, operation: Operation, target_id: str, end: Reversal[R]) -> R:
    order = lock(tx, operation.order)
    latest = recall(tx, operation)
    if latest is not None and latest.state is State.DONE:
        return type(end.outcome).model_validate(latest.outcome)
    if end.target is not None or end.whole:
        close_target(tx, order, target_id, end.target)
    if end.whole:
        mark_reversed(tx, target_id, operation.operation_id)
    settle(tx, order, operation, latest, end.outcome)
    return end.outcome


def prevent(tx: Connection, order: LockedOrder, target_id: str) -> bool:
    """True if the operation has no effect and, from now on, never can: it was refused, or it was not begun and is
    refused now. False if it is done or under way. Raises OperationConflict if it belongs to another order."""
    target = tx.execute(_TARGET, {"operation": target_id}).one_or_none()
    if target is None:
        prevented = Operation(order.identity, target_id, OperationKind.PREVENTED, None)
        settle(tx, order, prevented, None, _cancelled(target_id))
        return True
    if target.order_uid != order.identity.uid:
        raise OperationConflict(f"operation {target_id} belongs to order {target.order_uid}")
    return bool(target.state == State.REFUSED)


def target_of(tx: Connection, target_id: str) -> Target:
    """An operation that is known."""
    row = tx.execute(_TARGET, {"operation": target_id}).one()
    return Target(row.params or {}, State(row.state), row.outcome or {}, row.created_at)


def close_target(tx: Connection, order: LockedOrder, target_id: str, outcome: Outcome | None) -> None:
    """Close an intent whose attempt never reported, with what the provider's undo said about it; None: nothing came of
    it, and nothing will."""
    row = tx.execute(_TARGET, {"operation": target_id}).one()
    if row.state == State.INTENT:
        target = Operation(order.identity, target_id, OperationKind(row.kind), row.params)
        settle(tx, order, target, Known(State.INTENT, {}, None), outcome or _cancelled(target_id))


def mark_reversed(tx: Connection, target_id: str, reversed_by: str) -> None:
    """An operation that happened has no effect any more. One that never happened stays as it is."""
    tx.execute(_REVERSE, {"operation": target_id, "by": reversed_by})


def _cancelled(target_id: str) -> OperationCancelled:
    return OperationCancelled(f"operation {target_id} was undone before it happened")

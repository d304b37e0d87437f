"""Operations: what was asked for once must happen once, whatever dies in between.

An operation is named by its operation id, made of the order's uid, the step and the business attempt; the id is also
the idempotency key at the provider. Its row passes `intent` -> `done` | `refused` and never changes afterwards.

An effect inside the ledger is one transaction: its operation row, its audit event and the change itself.
An effect outside (`carry_out`) commits the intent first, then calls, then writes the outcome in one transaction:

    died before the intent     nothing happened, the next attempt starts anew
    died after the intent      the next attempt asks the provider by the operation id; if the provider knows nothing, it
                               calls again with the same id as key
    died after the outcome     the next attempt returns what is written
    answer lost, or unknown    the intent stays open: unknown is never "failed"

Undoing (`undoing.py`) has to win against an attempt that is still somewhere under way. Where the operation has no row
yet, the undo writes one, refused with OperationCancelled, and "no intent, no call" does the rest. Where the intent is
open, only the provider can tell: its undo either reverses the effect or makes sure that the key never has one (a void),
and it decides between the two in one step of its own. A late attempt is then refused by the provider, or finds its
effect recorded and reversed.

What was undone says so: its row names the operation that reversed it (`reversed_by`), and asked for again it raises
OperationReversed. An order that is halted (`halt.py`), or has ended other than completed, refuses every operation that
goes forward, also one that happened before. An order that has completed begins no new one.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import JsonValue
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from order_domain import errors
from order_domain.errors import (
    LinesDiffer,
    OperationCancelled,
    OperationConflict,
    OperationReversed,
    OrderError,
    PermanentError,
)
from order_worker.ledger import audit
from order_worker.ledger.database import Ledger, insert_unless_present
from order_worker.ledger.locked_order import LockedOrder, lock
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.tables import operations
from order_workflows.activities.effect import Outcome
from order_workflows.contract import ResourceIdentity

R = TypeVar("R", bound=Outcome)


class State(StrEnum):
    """How far an operation is."""

    INTENT = "intent"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Operation:
    """What is asked for."""

    order: ResourceIdentity
    operation_id: str
    kind: OperationKind
    params: Mapping[str, JsonValue] | None
    """All that makes this operation another one if it differs. Stored: personal data only as `fingerprint`. None: what
    it would have asked for is not known."""
    remarks: Mapping[str, JsonValue] = field(default_factory=dict)
    """Stored among the params, but the operation stays the same one if they differ."""
    lines_digest: str | None = None
    """Of the order's lines and charges as its workflow knows them; None: the workflow does not say."""
    remarks_are_hashed: bool = False
    """Whether an earlier release compares the remarks as well; it may come to this operation after us."""

    @property
    def stored_params(self) -> dict[str, JsonValue] | None:
        """With the remarks."""
        return None if self.params is None else {**self.params, **self.remarks}

    @cached_property
    def params_hash(self) -> str | None:
        """Tells a repeated operation from a different one under the same id."""
        if self.params is None:
            return None
        hashed = self.stored_params if self.remarks_are_hashed else self.params
        return hashlib.sha256(json.dumps([self.kind, hashed], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Known:
    """What the ledger holds of an operation."""

    state: State
    outcome: dict[str, Any]
    error: OrderError | None


def fingerprint(text: str) -> str:
    """Stands for a text that must be compared but not stored."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_KNOWN = select(operations).where(operations.c.operation_id == bindparam("operation"))
_CREATED_AT = select(operations.c.created_at).where(operations.c.operation_id == bindparam("operation"))
_ADD = insert(operations)
_ADD_NEW = insert_unless_present(operations, operations.c.operation_id)
_END = update(operations).where(operations.c.operation_id == bindparam("operation")).returning(operations.c.params)
_END_INTENT = _END.where(operations.c.state == State.INTENT.value)


def recall(tx: Connection, operation: Operation) -> Known | None:
    """What is known of `operation`, whose order must be locked. Raises OperationReversed if it was undone since,
    OperationConflict for other parameters under the same id, unless it was refused whatever they are, or stays the same
    operation with others."""
    row = tx.execute(_KNOWN, {"operation": operation.operation_id}).one_or_none()
    if row is None:
        return None
    if row.reversed_by is not None and row.order_uid == operation.order.uid:
        raise OperationReversed(f"operation {operation.operation_id} was reversed by {row.reversed_by}")
    # None: it was undone before it was asked for
    alike = row.params_hash in (None, operation.params_hash) or _alike_but_for_remarks(row, operation)
    refused = row.state == State.REFUSED and operation.kind.refusals_stand
    reworded = row.kind == operation.kind and operation.kind.may_be_reworded
    if row.order_uid != operation.order.uid or not (alike or refused or reworded):
        raise OperationConflict(f"operation {operation.operation_id} was asked for before with other parameters")
    return Known(State(row.state), row.outcome or {}, _error(row.error_type, row.outcome))


def _alike_but_for_remarks(row: Row[Any], operation: Operation) -> bool:
    """An earlier release compared what is a remark today, and has it in its hash."""
    if not operation.remarks or row.kind != operation.kind or row.params is None:
        return False
    return {name: value for name, value in row.params.items() if name not in operation.remarks} == operation.params


def asked_at(tx: Connection, operation_id: str) -> datetime:
    """When a known operation was first asked for."""
    moment: datetime = tx.execute(_CREATED_AT, {"operation": operation_id}).scalar_one()
    return moment


def _error(name: str | None, outcome: dict[str, Any] | None) -> OrderError | None:
    if name is None:
        return None
    kind: type[OrderError] = getattr(errors, name)
    return kind((outcome or {}).get("message", ""))


def settle(
    tx: Connection,
    order: LockedOrder,
    operation: Operation,
    known: Known | None,
    outcome: Outcome | OrderError,
    *,
    before: Mapping[str, JsonValue] | None = None,
) -> None:
    """Write how the operation ended, and its audit event. `known` is what `recall` said in this transaction, `before`
    what the operation replaced, for the audit trail alone."""
    ending = _ending(outcome)
    if known is None:
        tx.execute(_ADD, {**_opening(operation, ending["finished_at"]), **ending})
        params = operation.stored_params
    else:
        # As they were when it was opened: asked for again, it may come with other remarks.
        params = tx.execute(_END, {"operation": operation.operation_id, **ending}).scalar_one()
    _audit(tx, order, operation, params, ending, before)


def _ending(outcome: Outcome | OrderError) -> dict[str, Any]:
    if isinstance(outcome, OrderError):
        state, name = State.REFUSED, type(outcome).__name__
        content: dict[str, Any] = {"message": str(outcome)}
    else:
        state, name = State.DONE, None
        content = outcome.model_dump(mode="json", exclude={"attempts"}, exclude_none=True)
    return {"state": state, "outcome": content, "error_type": name, "finished_at": datetime.now(UTC)}


def _opening(operation: Operation, now: datetime) -> dict[str, Any]:
    return {
        "operation_id": operation.operation_id,
        "order_uid": operation.order.uid,
        "kind": operation.kind,
        "params_hash": operation.params_hash,
        "params": operation.stored_params,
        "created_at": now,
    }


def open_intent(tx: Connection, operation: Operation) -> bool:
    """Open the operation; False if it is known already."""
    row = {**_opening(operation, datetime.now(UTC)), "state": State.INTENT}
    return tx.execute(_ADD_NEW[tx.dialect.name], row).one_or_none() is not None


def refuse_if_undone(order: LockedOrder, operation: Operation) -> None:
    """For an operation that goes forward, known or not. Raises OperationCancelled if its order is halted or has ended
    other than completed, LinesDiffer if its workflow knows other lines than the ledger."""
    if order.undone and not operation.kind.may_begin_after_halt:
        raise OperationCancelled(
            f"operation {operation.operation_id} is refused: order {order.identity.uid} is at {order.status}"
        )
    if None not in (operation.lines_digest, order.lines_digest) and operation.lines_digest != order.lines_digest:
        raise LinesDiffer(
            f"operation {operation.operation_id} is for lines {operation.lines_digest}, the ledger has "
            f"{order.lines_digest} in force for order {order.identity.uid}"
        )


def refuse_if_completed(order: LockedOrder, operation: Operation) -> None:
    """For an operation that would begin now. Raises OperationCancelled if its order has ended."""
    if order.completed and not operation.kind.may_begin_after_halt:
        raise OperationCancelled(f"operation {operation.operation_id} comes after the end of its order")


def _close_intent(
    tx: Connection, order: LockedOrder, operation: Operation, outcome: Outcome | OrderError, *, called: bool
) -> bool:
    """`settle` for an operation that was open when last seen; False if somebody else has closed it. `called`: it was
    carried out now, as it is asked for now."""
    ending = _ending(outcome)
    words = {"params": operation.stored_params, "params_hash": operation.params_hash}
    reworded = words if called and operation.kind.may_be_reworded else {}
    ended = tx.execute(_END_INTENT, {"operation": operation.operation_id, **ending, **reworded}).one_or_none()
    if ended is None:
        return False
    _audit(tx, order, operation, ended.params, ending)
    return True


def _audit(
    tx: Connection,
    order: LockedOrder,
    operation: Operation,
    params: Mapping[str, JsonValue] | None,
    ending: dict[str, Any],
    before: Mapping[str, JsonValue] | None = None,
) -> None:
    plain, personal = audit.split(params or {})
    outcome, told = audit.split(ending["outcome"])
    data = {"operationID": operation.operation_id, "state": ending["state"], "params": plain, **outcome}
    if ending["error_type"]:
        data["error"] = ending["error_type"]
    if before is not None:
        data["before"] = dict(before)
    audit.append(tx, order, operation.kind, data, ({"params": personal} if personal else {}) | told)


def audit_intent(tx: Connection, order: LockedOrder, operation: Operation) -> None:
    """One event, in the transaction of the intent."""
    _audit(tx, order, operation, operation.stored_params, {"state": State.INTENT, "outcome": {}, "error_type": None})


class Settled(NamedTuple, Generic[R]):
    """The end of an operation outside."""

    outcome: R
    replayed: bool
    """True if the ledger or the provider knew it already, so that nothing happened now."""


async def carry_out(
    ledger: Ledger,
    operation: Operation,
    outcome_type: type[R],
    *,
    find: Callable[[], Awaitable[R | None]],
    call: Callable[[], Awaitable[R]],
    note: Callable[[Connection, LockedOrder], None] = lambda _, __: None,
    intend: Callable[[Connection, LockedOrder], None] = lambda _, __: None,
    book: Callable[[Connection, R], None] = lambda _, __: None,
) -> Settled[R]:
    """Have an effect outside, once.

    `find` asks the provider what became of this operation id, `call` asks for the effect; either may raise a
    PermanentError, which is remembered, or a TransientError, which leaves the intent open. `note` writes to the
    ledger each time the operation is asked for, `intend` and `book` together with the intent and with the outcome.
    """

    def begin(tx: Connection) -> Known | OrderError | None:
        order = lock(tx, operation.order)
        refuse_if_undone(order, operation)
        new = open_intent(tx, operation)
        if new:
            refuse_if_completed(order, operation)
        note(tx, order)
        if new:
            intend(tx, order)
            audit_intent(tx, order, operation)
            return None
        known = recall(tx, operation)
        return known if known is None or known.error is None else known.error

    known = await ledger.transaction(begin)
    if known is not None and known.state is State.DONE:
        return Settled(outcome_type.model_validate(known.outcome), replayed=True)

    answer: R | OrderError
    found = None
    try:
        found = None if known is None else await find()
        answer = await call() if found is None else found
    except (OperationConflict, OperationCancelled):
        # The intent stays open. In the first case the provider knows the key with other parameters, so that something
        # may have happened; in the second an undo is under way, which learns whether there was something to reverse.
        raise
    except PermanentError as refusal:
        answer = refusal

    def finish(tx: Connection) -> R | OrderError:
        order = lock(tx, operation.order)
        if not _close_intent(tx, order, operation, answer, called=found is None):
            return _as_recorded(tx, operation, outcome_type, answer)
        if not isinstance(answer, OrderError):
            book(tx, answer)
        return answer

    return Settled(await ledger.transaction(finish), replayed=found is not None)


def _as_recorded(tx: Connection, operation: Operation, outcome_type: type[R], answer: R | OrderError) -> R | OrderError:
    """What another attempt has written down. Raises OperationConflict where that is a refusal by the company, and this
    one had its effect: nobody may be waiting for it any more, but the log and the list of attempts have it. Where an
    undo has closed the operation, it has dealt with the effect."""
    recorded = recall(tx, operation)
    assert recorded is not None
    refused = recorded.error is not None and not isinstance(recorded.error, OperationCancelled)
    if refused and not isinstance(answer, OrderError):
        raise OperationConflict(
            f"operation {operation.operation_id} was carried out after all, and the ledger has it as refused: "
            f"{recorded.error}"
        )
    return recorded.error or outcome_type.model_validate(recorded.outcome)


async def ask(ledger: Ledger, operation: Operation, outcome_type: type[R], call: Callable[[], Awaitable[R]]) -> R:
    """Put a question whose answer counts from the first time it is written down. Asking changes nothing outside, so
    that it needs no intent and may happen again."""
    answer: R | OrderError
    try:
        answer = await call()
    except PermanentError as refusal:
        answer = refusal

    def write(tx: Connection) -> R | OrderError:
        order = lock(tx, operation.order)
        refuse_if_undone(order, operation)
        known = recall(tx, operation)
        if known is not None:
            return known.error or outcome_type.model_validate(known.outcome)
        refuse_if_completed(order, operation)
        settle(tx, order, operation, None, answer)
        return answer

    return await ledger.transaction(write)

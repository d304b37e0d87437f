"""What people and policies did about an order, in its audit trail."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, insert, select

from order_domain.audit_note import AuditNote
from order_worker.ledger import audit
from order_worker.ledger.locked_order import LockedOrder
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import State
from order_worker.ledger.tables import operations

_RECORDED = select(operations.c.operation_id, operations.c.params_hash).where(
    operations.c.order_uid == bindparam("order"), operations.c.kind == OperationKind.NOTE.value
)
_ADD = insert(operations)


def record(tx: Connection, order: LockedOrder, notes: Sequence[AuditNote]) -> None:
    """Each note becomes one event, once. An order that is halted or has ended takes notes as well. A run that was reset
    may give an id again to another act: that act gets an id of its own."""
    if not notes:
        return
    recorded = {row.operation_id: row.params_hash for row in tx.execute(_RECORDED, {"order": order.identity.uid})}
    for note in notes:
        content = _content_hash(note)
        operation_id = note.note_id if recorded.get(note.note_id, content) == content else f"{note.note_id}/{content}"
        if operation_id in recorded:
            continue
        recorded[operation_id] = content
        row = {"operation_id": operation_id, "order_uid": order.identity.uid, "kind": OperationKind.NOTE}
        ended = {"state": State.DONE, "outcome": {}, "created_at": note.at, "finished_at": note.at}
        tx.execute(_ADD, {**row, **ended, "params_hash": content, "params": {"kind": note.kind}})
        data = note.model_dump(mode="json", exclude={"note_id", "kind"}, exclude_none=True)
        plain, private = audit.split(data)
        if note.kind == "address_changed" and "digest" in plain:
            # A hash of an address is easily guessed, and has to go with the customer.
            private["digest"] = plain.pop("digest")
        audit.append(tx, order, note.kind, {"operationID": operation_id, "state": State.DONE, **plain}, private)


def _content_hash(note: AuditNote) -> str:
    """The time is left out: a run that was reset repeats what it was told at another time."""
    text = note.model_dump_json(exclude={"note_id", "at"}, exclude_none=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

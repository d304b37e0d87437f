"""The audit trail: per order a gap-free sequence of events, each sealed with the hash of the one before."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from order_worker.ledger.locked_order import LockedOrder
from order_worker.ledger.tables import audit_events, orders
from order_workflows.contract import workflow_id

GENESIS = "0" * 64
"""The `previous_hash` of an order's first event."""


_ADD = insert(audit_events)
_MOVE_ON = update(orders).where(orders.c.uid == bindparam("order"))


def append(tx: Connection, order: LockedOrder, kind: str, data: dict[str, Any]) -> None:
    """Add one event, in the transaction of what it reports. The actor is the order's workflow."""
    identity = order.identity
    seq, at = order.last_seq + 1, datetime.now(UTC)
    actor = workflow_id(identity.namespace, identity.name, identity.uid)
    sealed = _seal(identity.uid, seq, at, kind, actor, data, order.last_hash)
    tx.execute(
        _ADD,
        {
            "order_uid": identity.uid,
            "seq": seq,
            "at": at,
            "kind": kind,
            "actor": actor,
            "data": data,
            "previous_hash": order.last_hash,
            "hash": sealed,
        },
    )
    tx.execute(_MOVE_ON, {"order": identity.uid, "last_seq": seq, "last_hash": sealed, "updated_at": at})
    order.last_seq, order.last_hash = seq, sealed


def verify(tx: Connection) -> list[str]:
    """One sentence for each order whose trail was tampered with; empty when all is well."""
    flaws = []
    for order in tx.execute(select(orders.c.uid, orders.c.last_seq, orders.c.last_hash).order_by(orders.c.uid)):
        events = tx.execute(
            select(audit_events).where(audit_events.c.order_uid == order.uid).order_by(audit_events.c.seq)
        )
        seq, previous = 0, GENESIS
        for seq, event in enumerate(events, start=1):
            if event.seq != seq:
                flaws.append(f"order {order.uid}: event {seq} is missing")
                break
            if event.previous_hash != previous or event.hash != _reseal(event):
                flaws.append(f"order {order.uid}: event {seq} was changed")
                break
            previous = event.hash
        else:
            if (seq, previous) != (order.last_seq, order.last_hash):
                flaws.append(f"order {order.uid}: the trail ends at event {seq}, not at {order.last_seq}")
    return flaws


def _reseal(event: Row[Any]) -> str:
    return _seal(event.order_uid, event.seq, event.at, event.kind, event.actor, event.data, event.previous_hash)


def _seal(uid: str, seq: int, at: datetime, kind: str, actor: str, data: dict[str, Any], previous_hash: str) -> str:
    text = json.dumps([uid, seq, at.isoformat(), kind, actor, data, previous_hash], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

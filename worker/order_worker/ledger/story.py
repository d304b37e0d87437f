"""The audit trail of an order as people read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from order_worker.ledger.tables import audit_events, orders

WORKFLOW = "workflow"
"""Who did it, where no person is named."""


@dataclass(frozen=True)
class Entry:
    """One event."""

    uid: str
    seq: int
    at: datetime
    who: str
    channel: str
    what: str
    state: str
    amount_minor: int | None
    currency: str | None
    digest: str | None
    detail: str
    key_id: str | None
    data: dict[str, Any]


_AMOUNTS = ("refundedMinor", "capturedMinor", "amountMinor", "totalMinor")
_DIGESTS = ("digest", "linesDigest", "lines", "address")
_DETAILS = ("orderID", "transactionID", "refundID", "trackingNumber", "reservationID", "lineID", "sku", "status")


def tell(tx: Connection, namespace: str, name: str) -> Iterator[Entry]:
    """Of all orders that had this name, the oldest first. Nothing if the ledger has none."""
    named = select(orders).where(orders.c.namespace == namespace, orders.c.name == name)
    for order in tx.execute(named.order_by(orders.c.created_at, orders.c.uid)).all():
        events = select(audit_events).where(audit_events.c.order_uid == order.uid).order_by(audit_events.c.seq)
        for event in tx.execute(events):
            yield _entry(event, order.currency)


def _entry(event: Row[Any], currency: str) -> Entry:
    private = event.private or {}
    params = {**(event.data.get("params") or {}), **private.get("params", {})}
    told = {**params, **event.data, **{key: value for key, value in private.items() if key != "params"}}
    amount = next((told[key] for key in _AMOUNTS if isinstance(told.get(key), int)), None)
    details = [f"{key} {told[key]}" for key in _DETAILS if isinstance(told.get(key), str)]
    if told.get("requester"):
        details.append(f"asked for by {told['requester']}")
    if told.get("editor"):
        details.append(f"edited by {told['editor']}")
    if told.get("proof"):
        details.append(f"proof {told['proof']}")
    details += [f'"{told[key]}"' for key in ("reason", "message") if told.get(key)]
    if told.get("error"):
        details.insert(0, told["error"])
    return Entry(
        uid=event.order_uid,
        seq=event.seq,
        at=event.at,
        who=told.get("by") or WORKFLOW,
        channel=told.get("channel") or "ledger",
        what=event.kind,
        state=event.data.get("state", "done"),
        amount_minor=amount,
        currency=told.get("currency") or (None if amount is None else currency),
        digest=next((told[key] for key in _DIGESTS if isinstance(told.get(key), str)), None),
        detail=", ".join(details),
        key_id=event.key_id,
        data={"data": event.data, "private": event.private},
    )

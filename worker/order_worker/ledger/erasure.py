"""Taking a customer's data out of the ledger, with the audit chain intact.

Events of this release keep what leads to the customer beside their sealed data, with a salted commitment in it: both
the text and the salt are deleted. Events of earlier releases have the customer's id inside of what was sealed. It is
replaced there, and the event `erased` vouches for what stands there now: the seal of such an event cannot be computed
again, the links of the chain still hold.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from order_domain.status import OrderStatus
from order_worker.ledger import audit
from order_worker.ledger.locked_order import lock
from order_worker.ledger.tables import audit_events, operations, orders
from order_worker.ledger.verification import ERASED, digest
from order_workflows.contract import ResourceIdentity


class Erased(NamedTuple):
    """What one transaction did with one order."""

    order: str
    """`<namespace>/<name> (<uid>)`."""
    done: bool
    """False: the order is under way and still needs the data."""


def orders_of(tx: Connection, customer_id: str) -> list[str]:
    """The uids of all orders of a customer, erased ones no more."""
    found = select(orders.c.uid).where(orders.c.customer_id == customer_id).order_by(orders.c.uid)
    return list(tx.execute(found).scalars())


def erase(tx: Connection, uid: str) -> Erased:
    """Take the customer out of one order. Done for an order that has ended only."""
    row = tx.execute(select(orders).where(orders.c.uid == uid)).one()
    named = f"{row.namespace}/{row.name} ({uid})"
    identity = ResourceIdentity(cluster="", namespace=row.namespace, name=row.name, uid=uid)
    order = lock(tx, identity)
    if not OrderStatus(order.status).terminal:
        return Erased(named, done=False)
    events = tx.execute(select(audit_events).where(audit_events.c.order_uid == uid)).all()
    redacted = _redact_events(tx, events)
    _redact_operations(tx, uid)
    audit.append(tx, order, ERASED, {"redacted": redacted})
    message = None if row.message is None else ERASED
    gone = {"customer_id": ERASED, "audit_salt": None, "message": message}
    tx.execute(update(orders).where(orders.c.uid == uid).values(**gone))
    return Erased(named, done=True)


def _redact_events(tx: Connection, events: Sequence[Row[Any]]) -> dict[str, str]:
    """By event of an earlier release, the digest of its data as it is now."""
    redacted = {}
    for event in events:
        changes: dict[str, Any] = {}
        if event.private is not None:
            changes["private"] = None
        plain = _without_customer(event.data)
        if plain != event.data:
            changes["data"] = plain
            redacted[str(event.seq)] = digest(plain)
        if changes:
            this = (audit_events.c.order_uid == event.order_uid) & (audit_events.c.seq == event.seq)
            tx.execute(update(audit_events).where(this).values(**changes))
    return redacted


def _redact_operations(tx: Connection, uid: str) -> None:
    for row in tx.execute(select(operations).where(operations.c.order_uid == uid)).all():
        # The hash of parameters is not salted, and a customer's id is easily guessed. The order has ended: nothing
        # compares it any more.
        changes = {
            "params": row.params and _without_customer(row.params),
            "outcome": row.outcome and _without_customer(row.outcome),
            "params_hash": None,
        }
        tx.execute(update(operations).where(operations.c.operation_id == row.operation_id).values(**changes))


def _without_customer(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same with ERASED for whatever may lead to the customer."""
    plain = {key: ERASED if key in audit.PERSONAL and value is not None else value for key, value in content.items()}
    params = plain.get("params")
    if isinstance(params, dict):
        plain["params"] = _without_customer(params)
    copied: dict[str, Any] = json.loads(json.dumps(plain))
    return copied

"""The audit trail: per order a gap-free sequence of events, each sealed with the seal of the one before.

A seal is an HMAC with a key that the database does not hold (`audit_keys.py`); the event names the key. Without a key
it is a plain hash, which shows damage and not forgery. The first keyed event of an order that has unkeyed ones is
preceded by the keyed event `chain_closed`, which seals what stood there until then.

What may tell who the customer is stands in `private`, beside `data`. `data` holds a commitment to it: a hash with the
order's salt. Erasing a customer (`erasure.py`) deletes `private` and the salt. The seals cover `data` alone, so that
the chain still verifies; nothing leads from a commitment without its salt to the text.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, update

from order_worker.ledger.audit_keys import AuditKey, KeyRing
from order_worker.ledger.audit_writes import APPENDED
from order_worker.ledger.locked_order import LockedOrder
from order_worker.ledger.tables import audit_events, orders
from order_workflows.contract import workflow_id

GENESIS = "0" * 64
"""The `previous_hash` of an order's first event."""

CHAIN_CLOSED = "chain_closed"

COMMITMENT = "private"
"""The key of `data` under which the commitment stands."""

PERSONAL = frozenset({"address", "customerID", "mail", "message", "method", "reason", "recipient"})
"""Keys of parameters and outcomes that may lead to the customer: ids, free text, and hashes of addresses, which are
easily guessed. Who decided is none of them."""

_ADD = insert(audit_events)
_MOVE_ON = update(orders).where(orders.c.uid == bindparam("order"))


def append(
    tx: Connection, order: LockedOrder, kind: str, data: Mapping[str, Any], private: Mapping[str, Any] | None = None
) -> None:
    """Add one event, in the transaction of what it reports. The actor is the order's workflow."""
    ring: KeyRing | None = tx.get_execution_options().get("audit_keys")
    key = None if ring is None else ring.current()
    chain = _Chain(order, key)
    if key is not None and order.last_seq and order.last_keyed_seq != order.last_seq:
        chain.add(CHAIN_CLOSED, {"events": order.last_seq, "head": order.last_hash}, None)
    chain.add(kind, data, private)
    tx.execute(_ADD, chain.events)
    tx.info[APPENDED] = tx.info.get(APPENDED, 0) + len(chain.events)
    tx.execute(_MOVE_ON, {"order": order.identity.uid, **chain.head()})


class _Chain:
    """The events that one call appends."""

    def __init__(self, order: LockedOrder, key: AuditKey | None) -> None:
        self._order = order
        self._key = key
        self._at = datetime.now(UTC)
        self._salted = False
        identity = order.identity
        self._actor = workflow_id(identity.namespace, identity.name, identity.uid)
        self.events: list[dict[str, Any]] = []

    def add(self, kind: str, data: Mapping[str, Any], private: Mapping[str, Any] | None) -> None:
        order, uid = self._order, self._order.identity.uid
        event: dict[str, Any] = {
            "order_uid": uid,
            "seq": order.last_seq + 1,
            "at": self._at,
            "kind": kind,
            "actor": self._actor,
            "data": dict(data),
            "private": dict(private) if private else None,
            "previous_hash": order.last_hash,
            "key_id": None if self._key is None else self._key.key_id,
        }
        if private:
            if order.audit_salt is None:
                order.audit_salt, self._salted = secrets.token_hex(16), True
            event["data"][COMMITMENT] = commitment(order.audit_salt, uid, event["seq"], private)
        event["hash"] = seal(event, self._key)
        self.events.append(event)
        order.last_seq, order.last_hash = event["seq"], event["hash"]
        if self._key is not None:
            order.last_keyed_seq = order.last_seq

    def head(self) -> dict[str, Any]:
        """What changes in the order's row."""
        order = self._order
        changes: dict[str, Any] = {"last_seq": order.last_seq, "last_hash": order.last_hash, "updated_at": self._at}
        if self._key is not None:
            changes["last_keyed_seq"] = order.last_keyed_seq
        if self._salted:
            changes["audit_salt"] = order.audit_salt
        return changes


def split(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What everybody may read for ever, and what may lead to the customer."""
    personal = {key: value for key, value in content.items() if key in PERSONAL and value is not None}
    return {key: value for key, value in content.items() if key not in PERSONAL}, personal


def commitment(salt: str, uid: str, seq: int, private: Mapping[str, Any]) -> str:
    """Stands in `data` for `private`. The salt is the order's own."""
    text = json.dumps([salt, uid, seq, private], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(event: Mapping[str, Any], key: AuditKey | None) -> str:
    """The seal of an event with these columns; `key` is the one that `key_id` names."""
    fields = [event["order_uid"], event["seq"], event["at"].isoformat(), event["kind"], event["actor"], event["data"]]
    text = json.dumps([*fields, event["previous_hash"]], sort_keys=True)
    if key is None:
        return hashlib.sha256(text.encode()).hexdigest()
    return key.seal(f"{key.key_id}\n{text}")


def reseal(event: Row[Any], ring: KeyRing | None) -> str | None:
    """The seal that a stored event has to have; None if its key is not in the ring."""
    key = None
    if event.key_id is not None:
        key = None if ring is None else ring.find(event.key_id)
        if key is None:
            return None
    return seal(event._asdict(), key)

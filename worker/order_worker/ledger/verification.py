"""Checking the audit trail, and all books against it, in one snapshot."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Column, Connection, Row, Select, Table, func, select

from order_worker.ledger import audit
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.replay import Replay
from order_worker.ledger.tables import (
    audit_events,
    operations,
    orders,
    payments,
    reservations,
    stock,
    supplier_orders,
)

BATCH = 200
"""Orders whose rows are in memory at once."""

ERASED = "erased"
"""Kind of the event that tells that a customer's data was taken out, and what stands in its place in the rows."""


@dataclass(frozen=True)
class Flaw:
    """Something that nobody's code writes."""

    subject: str
    """`order <namespace>/<name> (<uid>)`, an article or an anchor."""
    what: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.subject}: {self.what}"


class Anchored(Protocol):
    """What was written of an order where the ledger's user cannot write."""

    @property
    def seq(self) -> int:
        """The last event then."""

    @property
    def hash(self) -> str:
        """Its seal."""


@dataclass
class Verification:
    """One check of everything. `anchored`: by uid, of the orders that anchors tell of."""

    keys: KeyRing | None = None
    anchored: Mapping[str, Anchored] = field(default_factory=dict)
    keyed_since: datetime | None = None
    """From when on every event must have a key; None: an order's first keyed event decides for those after it."""
    orders: int = 0
    events: int = 0
    unkeyed: int = 0

    def flaws(self, tx: Connection) -> Iterator[Flaw]:
        """In the order of the uids. `tx` should be a snapshot: a trail that grows meanwhile looks cut off."""
        missing = dict(self.anchored)
        last = ""
        while batch := tx.execute(select(orders).where(orders.c.uid > last).order_by(orders.c.uid).limit(BATCH)).all():
            last = batch[-1].uid
            rows = _Rows(tx, [order.uid for order in batch])
            for order in batch:
                missing.pop(order.uid, None)
                subject = f"order {order.namespace}/{order.name} ({order.uid})"
                yield from (Flaw(subject, what) for what in self._order(order, rows))
        for uid in sorted(missing):
            yield Flaw(f"order {uid}", f"an anchor knows its event {missing[uid].seq}, the ledger has no such order")
        yield from _orphans(tx)
        yield from _stock(tx)

    def flaws_of(self, tx: Connection, namespace: str, name: str) -> Iterator[Flaw]:
        """Of all orders that had this name, and of nothing else."""
        named = select(orders).where(orders.c.namespace == namespace, orders.c.name == name)
        found = tx.execute(named.order_by(orders.c.uid)).all()
        rows = _Rows(tx, [order.uid for order in found])
        for order in found:
            yield from (Flaw(f"order {namespace}/{name} ({order.uid})", what) for what in self._order(order, rows))

    def _order(self, order: Row[Any], rows: "_Rows") -> Iterator[str]:
        events = rows.events.get(order.uid, [])
        self.orders += 1
        self.events += len(events)
        broken = self._chain(order, events)
        if broken is not None:
            yield broken  # what follows from a forged trail tells nothing
            return
        anchor = self.anchored.get(order.uid)
        if anchor is not None and (len(events) < anchor.seq or events[anchor.seq - 1].hash != anchor.hash):
            yield f"its trail is not the one whose event {anchor.seq} an anchor knows"
            return
        replay = Replay()
        for event in events:
            replay.apply(event.kind, event.data)
        yield from self._private(order, events, replay)
        payment, operations_of_order = rows.payments.get(order.uid), rows.operations.get(order.uid, [])
        yield from replay.flaws(order, payment, rows.reservations.get(order.uid, {}))
        yield from _operations(events, operations_of_order)
        yield from _charges(operations_of_order, payment)

    def _chain(self, order: Row[Any], events: Sequence[Row[Any]]) -> str | None:
        redacted = redactions(events)
        previous, keyed, unsealed = audit.GENESIS, 0, 0
        for seq, event in enumerate(events, start=1):
            if event.seq != seq:
                return f"event {seq} is missing"
            wanted = redacted.get(seq)
            if wanted is not None:
                intact = digest(event.data) == wanted
            else:
                sealed = audit.reseal(event, self.keys)
                if sealed is None:
                    return f"event {seq} is sealed with key {event.key_id}, which the ring does not have"
                intact = event.hash == sealed
            if event.previous_hash != previous or not intact:
                return f"event {seq} was changed"
            if event.key_id is not None:
                unsealed = 0 if event.kind == audit.CHAIN_CLOSED or not unsealed else unsealed
                keyed = seq
            else:
                self.unkeyed += 1
                unsealed = unsealed or (seq if keyed else 0)
                if self.keyed_since is not None and event.at >= self.keyed_since:
                    return f"event {seq} has no key, though it is from {event.at.isoformat(timespec='seconds')}"
            previous = event.hash
        if unsealed:
            return f"event {unsealed} has no key, though an earlier one has: written by a worker without it, or forged"
        if (len(events), previous) != (order.last_seq, order.last_hash):
            return f"the trail ends at event {len(events)}, not at {order.last_seq}"
        return None

    def _private(self, order: Row[Any], events: Sequence[Row[Any]], replay: Replay) -> Iterator[str]:
        for event in events:
            promised = event.data.get(audit.COMMITMENT)
            if event.private is None and promised is None:
                continue
            if event.private is None:
                if not replay.erased:
                    yield f"what event {event.seq} holds of the customer is gone, and no event says that it was erased"
                continue
            if order.audit_salt is None:
                yield f"the salt is gone that event {event.seq} is checked with"
                return
            if audit.commitment(order.audit_salt, order.uid, event.seq, event.private) != promised:
                yield f"what event {event.seq} holds of the customer was changed"
        yield from self._customer(order, events, replay)

    @staticmethod
    def _customer(order: Row[Any], events: Sequence[Row[Any]], replay: Replay) -> Iterator[str]:
        if (order.customer_id == ERASED) != replay.erased:
            yield f"its customer is {'erased' if order.customer_id == ERASED else 'there'}, its events say otherwise"
        for event in events:
            if event.kind == "receive":
                _, told = audit.split((event.private or event.data).get("params") or {})
                if told.get("customerID", order.customer_id) not in (order.customer_id, ERASED):
                    yield f"its customer is {order.customer_id}, its events say another"


class _Rows:
    """All rows of some orders, by uid."""

    def __init__(self, tx: Connection, uids: Sequence[str]) -> None:
        events = select(audit_events).where(audit_events.c.order_uid.in_(uids))
        self.events = _by_order(tx, events.order_by(audit_events.c.order_uid, audit_events.c.seq))
        self.operations = _by_order(tx, select(operations).where(operations.c.order_uid.in_(uids)))
        paid = tx.execute(select(payments).where(payments.c.order_uid.in_(uids)))
        self.payments = {row.order_uid: row for row in paid}
        held = (
            select(operations.c.order_uid, reservations)
            .join(operations, operations.c.operation_id == reservations.c.operation_id)
            .where(operations.c.order_uid.in_(uids))
        )
        self.reservations: dict[str, dict[str, dict[str, tuple[int, str]]]] = defaultdict(lambda: defaultdict(dict))
        for row in tx.execute(held):
            self.reservations[row.order_uid][row.operation_id][row.sku] = row.quantity, row.state


def _by_order(tx: Connection, query: Select[Any]) -> dict[str, list[Row[Any]]]:
    rows: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in tx.execute(query):
        rows[row.order_uid].append(row)
    return rows


def redactions(events: Sequence[Row[Any]]) -> dict[int, str]:
    """By event, the digest of what stands in the place of data that was sealed with the customer's id in the clear.
    The event `erased` says it, and is itself part of the chain."""
    found: dict[int, str] = {}
    for event in events:
        if event.kind == ERASED:
            found.update({int(seq): content for seq, content in event.data.get("redacted", {}).items()})
    return found


def digest(data: Mapping[str, Any]) -> str:
    """Of the data of one event."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _operations(events: Sequence[Row[Any]], rows: Sequence[Row[Any]]) -> Iterator[str]:
    """An operation that has ended says what its event says. An open one may have no event: those of earlier releases
    have none. One that has an event is there, open or not: what was asked of a provider is not known without it."""
    begun: dict[str, Row[Any]] = {}
    ended: dict[str, Row[Any]] = {}
    for event in events:
        operation_id, state = event.data.get("operationID"), event.data.get("state")
        if operation_id is not None:
            (begun if state == "intent" else ended)[operation_id] = event
    for row in rows:
        begun.pop(row.operation_id, None)
        end = ended.pop(row.operation_id, None)
        if row.state == "intent":
            if end is not None:
                yield f"operation {row.operation_id} is open, event {end.seq} says that it has ended"
        elif end is None:
            yield f"operation {row.operation_id} is {row.state}, and no event says so"
        elif (row.params != {"kind": end.kind}) if row.kind == _NOTE else _told(end) != _held(row):
            yield f"operation {row.operation_id} is not what event {end.seq} says"
    for operation_id, event in {**begun, **ended}.items():
        yield f"operation {operation_id} of event {event.seq} is gone"


def _charges(rows: Sequence[Row[Any]], payment: Row[Any] | None) -> Iterator[str]:
    """What a charge took, or may have taken, has its row: its outcome could not be booked otherwise."""
    for row in rows:
        named = payment is not None and payment.charge_operation_id == row.operation_id
        if row.kind == OperationKind.CHARGE and row.state != "refused" and not named:
            yield f"operation {row.operation_id} is a charge, and no payment names it"


_NOTE = "note"
"""Kind of the operation of an act of a person: all of it is in the event alone."""

_BESIDE_OUTCOME = frozenset({"operationID", "state", "params", "error", "before", audit.COMMITMENT})


def _told(event: Row[Any]) -> tuple[Any, ...]:
    data = event.data
    outcome = {key: value for key, value in data.items() if key not in _BESIDE_OUTCOME}
    return data["state"], data.get("error"), audit.split(data.get("params") or {})[0], audit.split(outcome)[0]


def _held(row: Row[Any]) -> tuple[Any, ...]:
    return row.state, row.error_type, audit.split(row.params or {})[0], audit.split(row.outcome or {})[0]


def _orphans(tx: Connection) -> Iterator[Flaw]:
    children: tuple[tuple[Table, Column[Any]], ...] = (
        (audit_events, audit_events.c.order_uid),
        (operations, operations.c.order_uid),
        (payments, payments.c.order_uid),
    )
    for table, owner in children:
        lonely = select(owner).distinct().where(~select(orders.c.uid).where(orders.c.uid == owner).exists())
        for (uid,) in tx.execute(lonely.order_by(owner)):
            yield Flaw(f"order {uid}", f"the ledger has no such order, and its rows in {table.name}")


def _stock(tx: Connection) -> Iterator[Flaw]:
    held = (
        select(reservations.c.sku, reservations.c.state, func.sum(reservations.c.quantity).label("pieces"))
        .where(reservations.c.state != "released")
        .group_by(reservations.c.sku, reservations.c.state)
    )
    moved = {(row.sku, row.state): int(row.pieces) for row in tx.execute(held)}
    delivered = (
        select(supplier_orders.c.sku, func.sum(supplier_orders.c.quantity).label("pieces"))
        .where(supplier_orders.c.state == "delivered")
        .group_by(supplier_orders.c.sku)
    )
    came = {row.sku: int(row.pieces) for row in tx.execute(delivered)}
    for row in tx.execute(select(stock).order_by(stock.c.sku)):
        for what, counted, told in (
            ("reserved", row.reserved, moved.get((row.sku, "held"), 0)),
            ("sold", row.sold, moved.get((row.sku, "committed"), 0)),
            ("restocked", row.restocked, came.get(row.sku, 0)),
        ):
            if counted != told:
                yield Flaw(f"article {row.sku}", f"{counted} pieces are {what}, the orders account for {told}")

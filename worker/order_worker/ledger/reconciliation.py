"""The ledger's payments against the payment provider's own books, by key and in both directions.

Nothing here moves money. Two things are written, so that the books say what the customer still has to get. A refund
that the provider accepted and that failed later is taken out of what the ledger counts as given back. A refund that a
person made in its place, and that names its operation, is counted.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, Select, exists, select, update

from order_domain.errors import OperationConflict
from order_domain.money import format_amount
from order_domain.status import OrderStatus
from order_worker.ledger import audit
from order_worker.ledger.database import Ledger
from order_worker.ledger.locked_order import lock
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.tables import audit_events, operations, orders, payments
from order_worker.ledger.verification import Flaw
from order_worker.providers.payment.port import ChargeEntry, PaymentProvider, RefundEntry, RefundState
from order_workflows.contract import ResourceIdentity

REFUND_FAILED = "refund_failed"
REFUND_BY_HAND = "refund_by_hand"
"""Kinds of events."""

GRACE = timedelta(minutes=15)
"""What happened so lately may still be on its way from one side to the other."""

MARGIN = timedelta(hours=2)
"""The provider's clock is another one: it is asked for so much more."""

BATCH = 200

E = TypeVar("E")


class Summary(NamedTuple):
    """What was compared."""

    charges: int
    refunds: int
    pending: int
    """Refunds that the provider has accepted and not finished."""
    by_hand: int
    """Refunds that a person made in the place of failed ones, and that the ledger counts from now on."""
    foreign: int
    """Charges and refunds on the account that name no key of ours."""


class Reconciliation:
    """One comparison of everything since a moment. Raises ProviderUnavailable, LedgerUnavailable."""

    def __init__(self, ledger: Ledger, provider: PaymentProvider, since: datetime, now: datetime | None = None) -> None:
        self._ledger = ledger
        self._provider = provider
        self._since = since
        self._until = (now or datetime.now(UTC)) - GRACE
        self._charges: set[str] = set()
        self._refunds: set[str] = set()
        self._further: list[tuple[Row[Any], RefundEntry]] = []
        self._pending = 0
        self._by_hand = 0
        self._foreign = 0

    def summary(self) -> Summary:
        """After the last flaw."""
        return Summary(len(self._charges), len(self._refunds), self._pending, self._by_hand, self._foreign)

    async def flaws(self) -> AsyncIterator[Flaw]:
        """Refunds first: the sums given back are compared when it is known which refunds have failed."""
        for part in (self._refunds_flaws(), self._charges_flaws(), self._not_given_back()):
            async for flaw in part:
                yield flaw

    async def _refunds_flaws(self) -> AsyncIterator[Flaw]:
        async for refunds in _batches(self._provider.refunds_since(self._since - MARGIN)):
            for flaw in await self._refunds_of_provider(refunds):
                yield flaw
        for row in await self._ledger.transaction(partial(_booked_refunds, since=self._since, until=self._until)):
            if row.outcome.get("refundID") not in self._refunds:
                for flaw in await self._refund_of_ledger(row):
                    yield flaw
        for row, entry in self._further:
            for flaw in await self._count(row, entry):
                yield flaw

    async def _charges_flaws(self) -> AsyncIterator[Flaw]:
        async for charges in _batches(self._provider.charges_since(self._since - MARGIN)):
            for flaw in await self._charges_of_provider(charges):
                yield flaw
        for row in await self._ledger.transaction(partial(_booked_charges, since=self._since, until=self._until)):
            if row.charge_operation_id not in self._charges:
                amount = format_amount(row.captured_minor, row.currency)
                what = f"the ledger took {amount} as {row.transaction_id}, the provider has no such charge"
                yield Flaw(_order(row), what)

    async def _not_given_back(self) -> AsyncIterator[Flaw]:
        for row in await self._ledger.transaction(_not_given_back):
            kept = row.owed_minor if row.status == OrderStatus.ORDER_COMPLETED else 0
            left = format_amount(row.captured_minor - row.refunded_minor - kept, row.currency)
            how = f": a refund by hand counts if it names {row.refund}" if row.refund else ""
            yield Flaw(_order(row), f"it ended as {row.status}, and {left} is not given back{how}")

    async def _charges_of_provider(self, entries: Sequence[ChargeEntry]) -> list[Flaw]:
        keyed = [(entry.key, entry) for entry in entries if entry.key is not None]  # one key may have taken money twice
        self._foreign += len(entries) - len(keyed)
        keys = list({key for key, _ in keyed})
        rows = await self._ledger.transaction(partial(_by_charge, keys=keys, until=self._until))
        looked_at = [(key, entry) for key, entry in keyed if not _is_given_back_twin(entry, rows.get(key))]
        self._charges.update(key for key, _ in looked_at)
        return [
            Flaw(_order(rows[key]) if key in rows else f"charge {key}", what)
            for key, entry in looked_at
            if entry.at <= self._until
            for what in _compare(entry, rows.get(key))
        ]

    async def _refunds_of_provider(self, entries: Sequence[RefundEntry]) -> list[Flaw]:
        keyed = [(entry.key, entry) for entry in entries if entry.key is not None]
        self._foreign += len(entries) - len(keyed)
        self._refunds.update(entry.refund_id for _, entry in keyed)
        self._pending += sum(entry.state is RefundState.PENDING for _, entry in keyed)
        rows = await self._ledger.transaction(partial(_by_operation, keys={key for key, _ in keyed}))
        flaws = []
        for key, entry in keyed:
            row, amount = rows.get(key), format_amount(entry.amount_minor, entry.currency)
            if row is None:
                flaws.append(Flaw(f"refund {key}", f"the provider gave back {amount}, the ledger does not know of it"))
            elif row.state == "done" and entry.state is RefundState.FAILED:
                flaws += await self._reopen(row, entry.refund_id, entry.amount_minor)
            elif row.state == "done" and entry.refund_id != row.outcome.get("refundID"):
                self._further.append((row, entry))
            elif row.state != "done" and entry.state is not RefundState.FAILED and entry.at <= self._until:
                flaws.append(Flaw(_order(row), f"the provider gave back {amount}, the ledger has it as {row.state}"))
        return flaws

    async def _refund_of_ledger(self, row: Row[Any]) -> list[Flaw]:
        """A refund that the provider did not list: it may be older there than it is here."""
        refund_id, minor = row.outcome.get("refundID"), row.outcome.get("refundedMinor", 0)
        if refund_id is None or not minor:
            return []
        try:
            state = await self._provider.refund_state(refund_id)
        except OperationConflict:
            amount = format_amount(minor, row.currency)
            return [Flaw(_order(row), f"the ledger gave back {amount} as {refund_id}, the provider has no such refund")]
        if state is RefundState.FAILED:
            return await self._reopen(row, refund_id, minor)
        self._pending += state is RefundState.PENDING
        return []

    async def _reopen(self, row: Row[Any], refund_id: str, amount_minor: int) -> list[Flaw]:
        reopened = await self._ledger.transaction(partial(reopen, row=row, refund_id=refund_id, minor=amount_minor))
        if reopened is Reopened.NOT:
            return []
        amount = format_amount(amount_minor, row.currency)
        later = "" if reopened is Reopened.NOW else "; it is taken out of the books when the order has ended"
        return [Flaw(_order(row), f"refund {refund_id} of {amount} failed: the customer has not got it{later}")]

    async def _count(self, row: Row[Any], entry: RefundEntry) -> list[Flaw]:
        """A refund that names an operation whose own refund is another one."""
        if entry.at > self._until:
            return []
        counted = await self._ledger.transaction(partial(count_by_hand, row=row, entry=entry))
        self._by_hand += counted is Counted.NOW
        if counted is not Counted.NOT:
            return []
        amount = format_amount(entry.amount_minor, entry.currency)
        booked = row.outcome.get("refundID") or "no refund"
        given = f"the provider gave back {amount} of {entry.transaction_id} as {entry.refund_id} for {row.operation_id}"
        return [Flaw(_order(row), f"{given}; the ledger has {booked} for it, and does not miss this")]


async def _batches(entries: AsyncIterator[E]) -> AsyncIterator[list[E]]:
    batch: list[E] = []
    async for entry in entries:
        batch.append(entry)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _is_given_back_twin(entry: ChargeEntry, row: Row[Any] | None) -> bool:
    """Whether the provider took this money beside the charge that the ledger has under the key, and gave it back."""
    twin = row is not None and row.state == "done" and row.transaction_id != entry.transaction_id
    return twin and _is_all_back(entry)


def _is_all_back(entry: ChargeEntry) -> bool:
    return entry.refunded_minor >= entry.captured_minor and not entry.pending_refunds


def _compare(entry: ChargeEntry, row: Row[Any] | None) -> Iterator[str]:
    captured = format_amount(entry.captured_minor, entry.currency)
    if row is None:
        if not _is_all_back(entry):
            yield f"the provider took {captured} as {entry.transaction_id}, the ledger does not know of it"
        return
    if row.state != "done":
        yield f"the provider took {captured} as {entry.transaction_id}, the ledger has the charge as {row.state}"
        return
    booked = format_amount(row.captured_minor, row.currency)
    if (booked, row.transaction_id) != (captured, entry.transaction_id):
        yield f"the provider took {captured} as {entry.transaction_id}, the ledger {booked} as {row.transaction_id}"
    same_charge = row.transaction_id == entry.transaction_id
    if same_charge and entry.refunded_minor != row.refunded_minor and not row.refunds_move:
        given, known = (format_amount(minor, row.currency) for minor in (entry.refunded_minor, row.refunded_minor))
        yield f"the provider gave back {given} of {entry.transaction_id}, the ledger {known}"


class Reopened(Enum):
    """Whether a failed refund was taken out of what was given back."""

    NOW = "now"
    LATER = "later"
    """Its order has not ended: the workflow knows the sum that was given back, and would find another one here."""
    NOT = "not"
    """It is not, or not any more, among what was given back."""


def reopen(tx: Connection, *, row: Row[Any], refund_id: str, minor: int) -> Reopened:
    """Take a failed refund out of what was given back."""
    order = lock(tx, _identity(row))
    failed, by_hand = (_noted(tx, row.uid, kind) for kind in (REFUND_FAILED, REFUND_BY_HAND))
    if refund_id in failed or refund_id not in (row.outcome.get("refundID"), *by_hand):
        return Reopened.NOT
    if not OrderStatus(order.status).terminal:
        return Reopened.LATER
    _give_back(tx, row.uid, -minor)
    audit.append(tx, order, REFUND_FAILED, _event(refund_id, minor, row.currency))
    return Reopened.NOW


class Counted(Enum):
    """Whether a refund is among what the ledger counts as given back."""

    NOW = "now"
    BEFORE = "before"
    LATER = "later"
    """Its order has not ended, so that no failed refund has been taken out yet."""
    NOT = "not"


def count_by_hand(tx: Connection, *, row: Row[Any], entry: RefundEntry) -> Counted:
    """Count a refund that a person made as given back, up to what failed refunds of the order have left."""
    order = lock(tx, _identity(row))
    failed, by_hand = (_noted(tx, row.uid, kind) for kind in (REFUND_FAILED, REFUND_BY_HAND))
    if entry.refund_id in by_hand:
        return Counted.BEFORE
    missing = sum(failed.values()) - sum(by_hand.values())
    charged = select(payments.c.transaction_id).where(payments.c.order_uid == row.uid)
    if entry.transaction_id != tx.execute(charged).scalar_one_or_none():
        return Counted.NOT
    if entry.currency != row.currency or entry.amount_minor > missing:
        return Counted.NOT if OrderStatus(order.status).terminal else Counted.LATER
    _give_back(tx, row.uid, entry.amount_minor)
    tx.execute(update(payments).where(payments.c.order_uid == row.uid).values(refund_id=entry.refund_id))
    event = _event(entry.refund_id, entry.amount_minor, entry.currency)
    audit.append(tx, order, REFUND_BY_HAND, {**event, "inPlaceOf": row.operation_id})
    return Counted.NOW


def _noted(tx: Connection, order_uid: str, kind: str) -> dict[str, int]:
    """The amounts of an order's events of this kind, by refund."""
    events = select(audit_events.c.data).where(audit_events.c.order_uid == order_uid, audit_events.c.kind == kind)
    return {data["refundID"]: data["amountMinor"] for data in tx.execute(events).scalars()}


def _give_back(tx: Connection, order_uid: str, minor: int) -> None:
    more = payments.c.refunded_minor + minor
    tx.execute(update(payments).where(payments.c.order_uid == order_uid).values(refunded_minor=more))


def _event(refund_id: str, minor: int, currency: str) -> dict[str, Any]:
    return {"refundID": refund_id, "amountMinor": minor, "currency": currency, "channel": "reconcile"}


def _identity(row: Row[Any]) -> ResourceIdentity:
    return ResourceIdentity(cluster="", namespace=row.namespace, name=row.name, uid=row.uid)


def _order(row: Row[Any]) -> str:
    return f"order {row.namespace}/{row.name} ({row.uid})"


_NAMED = (orders.c.uid, orders.c.namespace, orders.c.name, orders.c.status, orders.c.currency, orders.c.owed_minor)
_PAID = (
    payments.c.charge_operation_id,
    payments.c.captured_minor,
    payments.c.refunded_minor,
    payments.c.transaction_id,
)


def _charges() -> Select[Any]:
    charge = operations.c.operation_id == payments.c.charge_operation_id
    return (
        select(*_NAMED, *_PAID, operations.c.state)
        .join(payments, payments.c.order_uid == orders.c.uid)
        .join(operations, charge)
    )


def _by_charge(tx: Connection, keys: Iterable[str], until: datetime) -> Mapping[str, Row[Any]]:
    """With whether a refund is open, or has ended so lately that the provider may have been read before it."""
    late = _refunds.c.finished_at.is_(None) | (_refunds.c.finished_at > until)
    moving = exists().where(_refunds.c.order_uid == orders.c.uid, _refunds.c.kind == OperationKind.REFUND, late)
    wanted = _charges().add_columns(moving.label("refunds_move")).where(payments.c.charge_operation_id.in_(keys))
    return {row.charge_operation_id: row for row in tx.execute(wanted)}


def _operations() -> Select[Any]:
    return select(*_NAMED, operations.c.operation_id, operations.c.state, operations.c.outcome).join(
        operations, operations.c.order_uid == orders.c.uid
    )


def _by_operation(tx: Connection, keys: Iterable[str]) -> Mapping[str, Row[Any]]:
    return {row.operation_id: row for row in tx.execute(_operations().where(operations.c.operation_id.in_(keys)))}


def _booked_charges(tx: Connection, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    """Those asked for since: the provider lists no charge that was begun before."""
    finished = (operations.c.created_at >= since) & (operations.c.finished_at <= until)
    return tx.execute(_charges().where(payments.c.captured_minor > 0, finished).order_by(orders.c.uid)).all()


_closes = operations.alias("closes")
_refunds = operations.alias("refunds")
_ENDED = [status for status in OrderStatus if status.terminal]


def _booked_refunds(tx: Connection, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    """Those of orders that have ended since as well: they could not be taken out of the books before."""
    refund = (operations.c.kind == OperationKind.REFUND) & (operations.c.state == "done")
    close = (_closes.c.kind == OperationKind.CLOSE) & (_closes.c.finished_at >= since)
    ended_since = operations.c.order_uid.in_(select(_closes.c.order_uid).where(close))
    recent = (operations.c.finished_at >= since) | ended_since | orders.c.status.not_in(_ENDED)
    found = _operations().where(refund, recent, operations.c.finished_at <= until)
    return tx.execute(found.order_by(operations.c.operation_id)).all()


_LAST_REFUND = (
    select(_refunds.c.operation_id)
    .where(
        _refunds.c.order_uid == orders.c.uid,
        _refunds.c.kind == OperationKind.REFUND,
        _refunds.c.outcome["refundID"].as_string().is_not(None),
    )
    .order_by(_refunds.c.finished_at.desc())
    .limit(1)
    .scalar_subquery()
    .label("refund")
)
_ENDED_WITHOUT_SALE = [status for status in _ENDED if status != OrderStatus.ORDER_COMPLETED]


def _not_given_back(tx: Connection) -> Sequence[Row[Any]]:
    """Whatever its age: it stays on the list until the money is given back."""
    balance = payments.c.captured_minor - payments.c.refunded_minor
    unsold = orders.c.status.in_(_ENDED_WITHOUT_SALE) & (balance != 0)
    kept = unsold | ((orders.c.status == OrderStatus.ORDER_COMPLETED) & (balance > orders.c.owed_minor))
    return tx.execute(_charges().add_columns(_LAST_REFUND).where(kept).order_by(orders.c.uid)).all()

"""The ledger's payments against the payment provider's own books, by key and in both directions.

Nothing here moves money. One thing is written: a refund that the provider accepted and that failed later is taken out
of what the ledger counts as given back, so that the books say what the customer still has to get.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, Select, select, update

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

GRACE = timedelta(minutes=15)
"""What happened so lately may still be on its way from one side to the other."""

MARGIN = timedelta(hours=2)
"""The provider dates an attempt, the ledger its outcome: the provider is asked for so much more."""

BATCH = 200

E = TypeVar("E")


class Summary(NamedTuple):
    """What was compared."""

    charges: int
    refunds: int
    pending: int
    """Refunds that the provider has accepted and not finished."""
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
        self._pending = 0
        self._foreign = 0

    def summary(self) -> Summary:
        """After the last flaw."""
        return Summary(len(self._charges), len(self._refunds), self._pending, self._foreign)

    async def flaws(self) -> AsyncIterator[Flaw]:
        """First what the provider says, then what the ledger says, then what is not given back."""
        async for refunds in _batches(self._provider.refunds_since(self._since - MARGIN)):
            for flaw in await self._refunds_of_provider(refunds):
                yield flaw
        async for charges in _batches(self._provider.charges_since(self._since - MARGIN)):
            for flaw in await self._charges_of_provider(charges):
                yield flaw
        async for flaw in self._unknown_to_provider():
            yield flaw
        for row in await self._ledger.transaction(_not_given_back):
            left = format_amount(row.captured_minor - row.refunded_minor, row.currency)
            yield Flaw(_order(row), f"it ended as {row.status}, and {left} is not given back")

    async def _unknown_to_provider(self) -> AsyncIterator[Flaw]:
        for row in await self._ledger.transaction(partial(_booked_charges, since=self._since, until=self._until)):
            if row.charge_operation_id not in self._charges:
                amount = format_amount(row.captured_minor, row.currency)
                what = f"the ledger took {amount} as {row.transaction_id}, the provider has no such charge"
                yield Flaw(_order(row), what)
        for row in await self._ledger.transaction(partial(_booked_refunds, since=self._since, until=self._until)):
            if row.operation_id not in self._refunds:
                for flaw in await self._refund_of_ledger(row):
                    yield flaw

    async def _charges_of_provider(self, entries: Sequence[ChargeEntry]) -> list[Flaw]:
        keyed = {entry.key: entry for entry in entries if entry.key is not None}
        self._foreign += len(entries) - len(keyed)
        self._charges.update(keyed)
        rows = await self._ledger.transaction(partial(_by_charge, keys=list(keyed)))
        return [
            Flaw(_order(rows[key]) if key in rows else f"charge {key}", what)
            for key, entry in keyed.items()
            if entry.at <= self._until
            for what in _compare(entry, rows.get(key))
        ]

    async def _refunds_of_provider(self, entries: Sequence[RefundEntry]) -> list[Flaw]:
        keyed = {entry.key: entry for entry in entries if entry.key is not None}
        self._foreign += len(entries) - len(keyed)
        self._refunds.update(keyed)
        self._pending += sum(entry.state is RefundState.PENDING for entry in keyed.values())
        rows = await self._ledger.transaction(partial(_by_operation, keys=list(keyed)))
        flaws = []
        for key, entry in keyed.items():
            row, amount = rows.get(key), format_amount(entry.amount_minor, entry.currency)
            if row is None:
                flaws.append(Flaw(f"refund {key}", f"the provider gave back {amount}, the ledger does not know of it"))
            elif row.state == "done" and entry.state is RefundState.FAILED:
                flaws += await self._reopen(row, entry.refund_id, entry.amount_minor)
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
        amount = format_amount(amount_minor, row.currency)
        return [Flaw(_order(row), f"refund {refund_id} of {amount} failed: the customer has not got it")] * reopened


async def _batches(entries: AsyncIterator[E]) -> AsyncIterator[list[E]]:
    batch: list[E] = []
    async for entry in entries:
        batch.append(entry)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _compare(entry: ChargeEntry, row: Row[Any] | None) -> Iterator[str]:
    captured = format_amount(entry.captured_minor, entry.currency)
    if row is None:
        yield f"the provider took {captured} as {entry.transaction_id}, the ledger does not know of it"
        return
    if row.state != "done":
        yield f"the provider took {captured} as {entry.transaction_id}, the ledger has the charge as {row.state}"
        return
    booked = format_amount(row.captured_minor, row.currency)
    if (booked, row.transaction_id) != (captured, entry.transaction_id):
        yield f"the provider took {captured} as {entry.transaction_id}, the ledger {booked} as {row.transaction_id}"
    if entry.refunded_minor != row.refunded_minor:
        given, known = (format_amount(minor, row.currency) for minor in (entry.refunded_minor, row.refunded_minor))
        yield f"the provider gave back {given} of {entry.transaction_id}, the ledger {known}"


def reopen(tx: Connection, *, row: Row[Any], refund_id: str, minor: int) -> bool:
    """Take a failed refund out of what was given back. False if that was done before."""
    identity = ResourceIdentity(cluster="", namespace=row.namespace, name=row.name, uid=row.uid)
    order = lock(tx, identity)
    failed = select(audit_events.c.data).where(
        audit_events.c.order_uid == row.uid, audit_events.c.kind == REFUND_FAILED
    )
    if any(data["refundID"] == refund_id for data in tx.execute(failed).scalars()):
        return False
    less = payments.c.refunded_minor - minor
    tx.execute(update(payments).where(payments.c.order_uid == row.uid).values(refunded_minor=less))
    audit.append(
        tx,
        order,
        REFUND_FAILED,
        {"refundID": refund_id, "amountMinor": minor, "currency": row.currency, "channel": "reconcile"},
    )
    return True


def _order(row: Row[Any]) -> str:
    return f"order {row.namespace}/{row.name} ({row.uid})"


_NAMED = (orders.c.uid, orders.c.namespace, orders.c.name, orders.c.status, orders.c.currency)
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


def _by_charge(tx: Connection, keys: Iterable[str]) -> Mapping[str, Row[Any]]:
    wanted = _charges().where(payments.c.charge_operation_id.in_(keys))
    return {row.charge_operation_id: row for row in tx.execute(wanted)}


def _operations() -> Select[Any]:
    return select(*_NAMED, operations.c.operation_id, operations.c.state, operations.c.outcome).join(
        operations, operations.c.order_uid == orders.c.uid
    )


def _by_operation(tx: Connection, keys: Iterable[str]) -> Mapping[str, Row[Any]]:
    return {row.operation_id: row for row in tx.execute(_operations().where(operations.c.operation_id.in_(keys)))}


def _booked_charges(tx: Connection, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    finished = operations.c.finished_at.between(since, until)
    return tx.execute(_charges().where(payments.c.captured_minor > 0, finished).order_by(orders.c.uid)).all()


def _booked_refunds(tx: Connection, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    refund = (operations.c.kind == OperationKind.REFUND) & (operations.c.state == "done")
    found = _operations().where(refund, operations.c.finished_at.between(since, until))
    return tx.execute(found.order_by(operations.c.operation_id)).all()


_ENDED_WITHOUT_SALE = [status for status in OrderStatus if status.terminal and status != OrderStatus.ORDER_COMPLETED]


def _not_given_back(tx: Connection) -> Sequence[Row[Any]]:
    """Whatever its age: it stays on the list until the money is given back."""
    kept = orders.c.status.in_(_ENDED_WITHOUT_SALE) & (payments.c.captured_minor != payments.c.refunded_minor)
    return tx.execute(_charges().where(kept).order_by(orders.c.uid)).all()

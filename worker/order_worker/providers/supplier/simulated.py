"""A supplier that remembers its orders and delivers each, whole, two seconds later."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial

from order_domain.errors import OperationConflict
from order_worker.providers.store import ProviderStore, Row, Transaction, now
from order_worker.providers.supplier.port import Confirmation, Supplier

DELIVERY_TIME = timedelta(seconds=2)


class SimulatedSupplier(Supplier):
    """References follow from the key."""

    def __init__(self, store: ProviderStore) -> None:
        self._store = store

    async def order(self, key: str, *, sku: str, quantity: int) -> Confirmation:
        """Looks and takes the order in one transaction."""
        row = await self._store.transaction(partial(_order, key, sku, quantity))
        if (row["sku"], row["quantity"]) != (sku, quantity):
            raise OperationConflict(f"supplier order {key} was placed before with other parameters")
        return Confirmation(row["reference"], datetime.fromisoformat(row["expected_at"]))

    async def delivered(self, key: str) -> bool:
        """Reads only: whatever is expected by now has come."""
        row = await self._store.transaction(partial(_row, key))
        return row is not None and datetime.fromisoformat(row["expected_at"]) <= datetime.now(UTC)


def _row(key: str, tx: Transaction) -> Row | None:
    row: Row | None = tx.execute("SELECT * FROM supplier_orders WHERE key = ?", (key,)).fetchone()
    return row


def _order(key: str, sku: str, quantity: int, tx: Transaction) -> Row:
    expected_at = datetime.now(UTC) + DELIVERY_TIME
    tx.execute(
        "INSERT INTO supplier_orders (key, sku, quantity, reference, expected_at, at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO NOTHING",
        (key, sku, quantity, _reference(key), expected_at.isoformat(), now()),
    )
    row = _row(key, tx)
    assert row is not None
    return row


def _reference(key: str) -> str:
    return f"SUPPLY-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

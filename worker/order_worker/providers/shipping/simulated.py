"""A carrier that remembers its parcels, delivers in three days, and nowhere with the postal code 00000."""

import hashlib
import sqlite3
from datetime import datetime, timedelta
from functools import partial

from order_domain.errors import OperationCancelled, OperationConflict, Undeliverable
from order_domain.order import Address, digest
from order_worker.providers.shipping.port import Carrier, Dispatch
from order_worker.providers.store import ProviderStore, now

NAME = "Simulated Parcel"
UNDELIVERABLE_POSTAL_CODE = "00000"
DELIVERY_TIME = timedelta(days=3)


class SimulatedCarrier(Carrier):
    """Tracking numbers follow from the key."""

    def __init__(self, store: ProviderStore) -> None:
        self._store = store

    async def dispatch(
        self, key: str, *, sku: str, quantity: int, address: Address, requested_at: datetime
    ) -> Dispatch:
        """A refused address leaves no trace, and is refused again."""
        if address.postal_code == UNDELIVERABLE_POSTAL_CODE:
            raise Undeliverable(f"no delivery to postal code {address.postal_code}")
        params = (sku, quantity, digest(address))
        row = await self._store.transaction(partial(_dispatch, key, params, requested_at))
        if row["state"] != "void" and (row["sku"], row["quantity"], row["address"]) != params:
            raise OperationConflict(f"shipment {key} was asked for before with other parameters")
        return _fate(row)

    async def find(self, key: str) -> Dispatch | None:
        """Reads only."""
        row = await self._store.transaction(partial(_row, key))
        return None if row is None else _fate(row)

    async def cancel(self, key: str) -> Dispatch | None:
        """Looks and acts in one transaction, so that no parcel can come between."""
        row = await self._store.transaction(partial(_cancel, key))
        return None if row["state"] == "void" else _parcel(row)


def _row(key: str, tx: sqlite3.Connection) -> sqlite3.Row | None:
    row: sqlite3.Row | None = tx.execute("SELECT * FROM shipments WHERE key = ?", (key,)).fetchone()
    return row


def _dispatch(key: str, params: tuple[str, int, str], requested_at: datetime, tx: sqlite3.Connection) -> sqlite3.Row:
    tx.execute(
        "INSERT INTO shipments (key, state, sku, quantity, address, tracking_number, estimated_delivery, at)"
        " VALUES (?, 'dispatched', ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (key, *params, _tracking_number(key), (requested_at + DELIVERY_TIME).isoformat(), now()),
    )
    row = _row(key, tx)
    assert row is not None
    return row


def _cancel(key: str, tx: sqlite3.Connection) -> sqlite3.Row:
    tx.execute(
        "INSERT INTO shipments (key, state, at) VALUES (?, 'void', ?) ON CONFLICT (key) DO NOTHING", (key, now())
    )
    tx.execute(
        "UPDATE shipments SET state = 'cancelled', cancelled_at = ? WHERE key = ? AND state = 'dispatched'",
        (now(), key),
    )
    row = _row(key, tx)
    assert row is not None
    return row


def _fate(row: sqlite3.Row) -> Dispatch:
    if row["state"] != "dispatched":
        raise OperationCancelled(f"shipment {row['key']} was cancelled")
    return _parcel(row)


def _parcel(row: sqlite3.Row) -> Dispatch:
    return Dispatch(row["tracking_number"], NAME, datetime.fromisoformat(row["estimated_delivery"]))


def _tracking_number(key: str) -> str:
    return f"TRACK-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

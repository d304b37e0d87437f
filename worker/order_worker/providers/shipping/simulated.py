"""A carrier that remembers its parcels and delivers in three days, save for two postal codes:

00000   it does not deliver there
99999   it delivers at once: the parcel cannot be called back
"""

import hashlib
from datetime import datetime, timedelta
from functools import partial

from order_domain.errors import OperationCancelled, OperationConflict, Undeliverable
from order_domain.order import Address, digest
from order_worker.providers.shipping.port import Carrier, Dispatch, TooLate
from order_worker.providers.store import ProviderStore, Row, Transaction, now

NAME = "Simulated Parcel"
UNDELIVERABLE_POSTAL_CODE = "00000"
DELIVERED_AT_ONCE_POSTAL_CODE = "99999"
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
        at_once = address.postal_code == DELIVERED_AT_ONCE_POSTAL_CODE
        row = await self._store.transaction(partial(_dispatch, key, params, address.label, requested_at, at_once))
        if row["state"] != "void" and (row["sku"], row["quantity"], row["address"]) != params:
            raise OperationConflict(f"shipment {key} was asked for before with other parameters")
        return _fate(row)

    async def find(self, key: str) -> Dispatch | None:
        """Reads only."""
        row = await self._store.transaction(partial(_row, key))
        return None if row is None else _fate(row)

    async def cancel(self, key: str, *, tracking_number: str | None) -> Dispatch | None:
        """Looks and acts in one transaction, so that no parcel can come between."""
        row = await self._store.transaction(partial(_cancel, key, tracking_number))
        if row["state"] == "void":
            return None
        if row["delivered_at"] is not None:
            raise TooLate(_parcel(row))
        return _parcel(row)


def _row(key: str, tx: Transaction) -> Row | None:
    row: Row | None = tx.execute("SELECT * FROM shipments WHERE key = ?", (key,)).fetchone()
    return row


def _dispatch(
    key: str, params: tuple[str, int, str], label: str, requested_at: datetime, at_once: bool, tx: Transaction
) -> Row:
    taken_at = now()
    tx.execute(
        "INSERT INTO shipments (key, state, sku, quantity, address, tracking_number, estimated_delivery, at,"
        " delivered_at) VALUES (?, 'dispatched', ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (
            key,
            *params,
            _tracking_number(key),
            (requested_at if at_once else requested_at + DELIVERY_TIME).isoformat(),
            taken_at,
            taken_at if at_once else None,
        ),
    )
    row = _row(key, tx)
    assert row is not None
    if row["state"] == "dispatched":
        tx.execute("INSERT INTO labels (key, text) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (key, label))
    return row


def _cancel(key: str, tracking_number: str | None, tx: Transaction) -> Row:
    known = _row(key, tx)
    if tracking_number is not None and (known is None or known["tracking_number"] != tracking_number):
        raise OperationConflict(
            f"the platform handed over {tracking_number} for shipment {key}; the carrier knows "
            + (f"{known['tracking_number'] or 'no parcel'} for it" if known else "no shipment of that key")
        )
    tx.execute(
        "INSERT INTO shipments (key, state, at) VALUES (?, 'void', ?) ON CONFLICT (key) DO NOTHING", (key, now())
    )
    tx.execute(
        "UPDATE shipments SET state = 'cancelled', cancelled_at = ?"
        " WHERE key = ? AND state = 'dispatched' AND delivered_at IS NULL",
        (now(), key),
    )
    row = _row(key, tx)
    assert row is not None
    return row


def _fate(row: Row) -> Dispatch:
    if row["state"] != "dispatched":
        raise OperationCancelled(f"shipment {row['key']} was cancelled")
    return _parcel(row)


def _parcel(row: Row) -> Dispatch:
    return Dispatch(row["tracking_number"], NAME, datetime.fromisoformat(row["estimated_delivery"]))


def _tracking_number(key: str) -> str:
    return f"TRACK-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

"""The simulated providers' file: what an earlier release wrote into it stays."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_worker.providers.store import ProviderStore

BEFORE = """
CREATE TABLE charges (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('captured', 'declined', 'void')),
    amount_minor INTEGER, currency TEXT, method TEXT, transaction_id TEXT UNIQUE, decline_code TEXT,
    at TEXT NOT NULL
) STRICT;
CREATE TABLE refunds (
    charge_key TEXT PRIMARY KEY REFERENCES charges (key),
    key TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, refund_id TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL
) STRICT;
CREATE TABLE packed_lines (
    key TEXT NOT NULL, line_id TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (key, line_id)
) STRICT;
CREATE TABLE shipments (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('dispatched', 'cancelled', 'void')),
    sku TEXT, quantity INTEGER, address TEXT, tracking_number TEXT UNIQUE, estimated_delivery TEXT,
    at TEXT NOT NULL, cancelled_at TEXT
) STRICT;
INSERT INTO charges VALUES ('charge', 'captured', 750, 'USD', 'tok_visa', 'TXN-1', NULL, '2026-11-01T00:00:00+00:00');
INSERT INTO refunds VALUES ('charge', 'refund', 750, 'USD', 'REF-1', '2026-11-02T00:00:00+00:00');
INSERT INTO shipments VALUES
    ('ship', 'dispatched', 'PROD-001', 1, 'x', 'TRACK-1', '2026-11-05T00:00:00+00:00', '2026-11-02T00:00:00+00:00',
     NULL);
"""


async def test_a_file_of_an_earlier_release_keeps_its_refunds_and_parcels(tmp_path: Path) -> None:
    file = tmp_path / "providers.db"
    earlier = sqlite3.connect(file)
    earlier.executescript(BEFORE)
    earlier.close()
    for _ in range(2):
        store = await ProviderStore.open(file)
        refund = await SimulatedPayments(store).refund(
            "refund",
            charge_key="charge",
            transaction_id="TXN-1",
            charged_minor=750,
            amount_minor=750,
            currency="USD",
            asked_at=datetime.now(UTC),
        )
        parcel = await SimulatedCarrier(store).cancel("ship", tracking_number="TRACK-1")
        await store.close()
        assert refund is not None
        assert parcel is not None
        assert (refund.refund_id, parcel.tracking_number) == ("REF-1", "TRACK-1")

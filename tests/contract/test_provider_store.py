"""The simulated providers' books: what an earlier release wrote into the file stays, and in a ledger's database they
outlive every worker."""

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from ledger_databases import own_database

from order_devstack.postgresql import PostgreSQL
from order_domain.errors import ProviderUnavailable
from order_domain.order import Address
from order_process.settings import SettingsError
from order_worker.bootstrap import Providers
from order_worker.providers.payment.port import PaymentProvider, RefundState
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.postgresql_store import PostgreSQLProviderStore
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_worker.providers.store import ProviderStore
from order_worker.settings import Settings

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


@pytest.fixture
def database(postgresql: PostgreSQL) -> Iterator[str]:
    with own_database(postgresql, template="template0") as url:
        yield url


async def a_worker(database: str) -> Providers:
    return await Providers.open(Settings(ledger_url=database, provider_store=None), {})


async def charge(payments: PaymentProvider, key: str = "charge") -> str:
    made = await payments.charge(key, amount_minor=750, currency="USD", method="tok_visa", asked_at=datetime.now(UTC))
    return made.transaction_id


async def test_what_one_worker_did_the_next_one_knows(database: str) -> None:
    first = await a_worker(database)
    transaction = await charge(first.payments)
    address = Address(name="Ana", line1="1 Main St", city="Springfield", postal_code="12345", country="US")
    now = datetime.now(UTC)
    parcel = await first.carrier.dispatch("ship", sku="A", quantity=1, address=address, requested_at=now)
    await first.warehouse.pack("pack", line_id="1", sku="A", quantity=1)
    await first.mailer.send("mail", recipient="a@example.com", subject="Yours", body="100%?")
    await first.supplier.order("supply", sku="A", quantity=1)
    await first.close()

    second = await a_worker(database)
    for key, amount in (("refund", 200), ("refund/2", 550)):
        refund = await second.payments.refund(
            key,
            charge_key="charge",
            transaction_id=transaction,
            charged_minor=750,
            amount_minor=amount,
            currency="USD",
            asked_at=now,
        )
        assert refund is not None
        assert await second.payments.refund_state(refund.refund_id) is RefundState.SUCCEEDED
    assert await second.carrier.cancel("ship", tracking_number=parcel.tracking_number) == parcel
    await second.warehouse.unpack("pack", {"1"})
    assert await second.mailer.was_sent("mail")
    assert not await second.supplier.delivered("other")
    [entry] = [entry async for entry in second.payments.charges_since(now.replace(year=2020))]
    assert (entry.captured_minor, entry.refunded_minor) == (750, 750)
    assert len([entry async for entry in second.payments.refunds_since(now.replace(year=2020))]) == 2
    await second.close()


async def test_workers_that_start_and_charge_at_once_charge_once(database: str) -> None:
    workers = await asyncio.gather(*(a_worker(database) for _ in range(4)))
    names = await asyncio.gather(*(charge(worker.payments) for worker in workers))
    [entry] = [entry async for entry in workers[0].payments.charges_since(datetime(2020, 1, 1, tzinfo=UTC))]
    await asyncio.gather(*(worker.close() for worker in workers))
    assert {entry.transaction_id} == set(names)


async def test_a_connection_that_breaks_is_unavailable_once_and_opened_again(database: str) -> None:
    worker = await a_worker(database)
    await charge(worker.payments)
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    with pytest.raises(ProviderUnavailable):
        await charge(worker.payments)
    await charge(worker.payments)
    await worker.close()


async def test_a_user_that_may_not_create_the_schema_is_told_what_to_do(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS reader")
        admin.execute("CREATE ROLE reader LOGIN")
    url = database.replace("postgresql://order@", "postgresql://reader@")
    with pytest.raises(SettingsError, match="CREATE SCHEMA simulated_providers AUTHORIZATION"):
        await PostgreSQLProviderStore.open_url(url)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA simulated_providers AUTHORIZATION reader")
    store = await PostgreSQLProviderStore.open_url(url)
    await store.close()

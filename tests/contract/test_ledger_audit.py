"""The audit trail misses nothing and hides nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from audited import a_ring, cancelled, completed, delete_orders, flaws, ring_file, ring_line
from shop import Buyer, Shop
from sqlalchemy import Connection, delete, insert, text, update

from order_domain.errors import ProviderUnavailable
from order_process.settings import SettingsError
from order_worker.bootstrap import Providers
from order_worker.ledger import tables, verification
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.database import Ledger
from order_worker.providers.payment.port import PaymentProvider, ProviderCharge
from order_worker.providers.payment.simulated import SimulatedPayments

Course = Callable[[Shop], Awaitable[Buyer]]

EVENTS, ORDERS = tables.audit_events, tables.orders


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return a_ring(tmp_path)


@pytest.fixture
async def sealed(ledger_url: str, providers: Providers, ring: KeyRing) -> AsyncIterator[Shop]:
    """A shop whose worker has a key."""
    ledger = await Ledger.open(ledger_url, ring)
    opened = Shop(ledger, providers)
    await opened.stocked(PROD_001=10)
    yield opened
    await ledger.close()


async def told(shop: Shop) -> list[tuple[int, str, str]]:
    events = sorted(await shop.rows(EVENTS), key=lambda row: row["seq"])
    return [(row["seq"], row["kind"], row["data"].get("state")) for row in events]


async def test_every_intent_and_every_outcome_has_one_event_in_a_gap_free_sequence(shop: Shop) -> None:
    await cancelled(shop)
    assert await told(shop) == [
        (1, "receive", "done"),
        (2, "reserve", "done"),
        (3, "charge", "intent"),
        (4, "charge", "done"),
        (5, "refund", "intent"),
        (6, "refund", "done"),
        (7, "release", "done"),
        (8, "close", "done"),
    ]


@pytest.mark.parametrize("course", [completed, cancelled])
async def test_an_untouched_trail_verifies(shop: Shop, ledger_url: str, course: Course) -> None:
    await course(shop)
    assert flaws(ledger_url) == []


@pytest.mark.parametrize("course", [completed, cancelled])
async def test_an_untouched_trail_with_a_key_verifies(
    sealed: Shop, ledger_url: str, ring: KeyRing, course: Course
) -> None:
    await course(sealed)
    assert {row["key_id"] for row in await sealed.rows(EVENTS)} == {"2026"}
    assert flaws(ledger_url, ring) == []


def change_data(tx: Connection) -> None:
    tx.execute(update(EVENTS).where(EVENTS.c.seq == 4).values(data={"capturedMinor": 1}))


def change_actor(tx: Connection) -> None:
    tx.execute(update(EVENTS).where(EVENTS.c.seq == 3).values(actor="somebody else"))


def remove_in_the_middle(tx: Connection) -> None:
    tx.execute(delete(EVENTS).where(EVENTS.c.seq == 3))


def cut_off_the_end(tx: Connection) -> None:
    tx.execute(delete(EVENTS).where(EVENTS.c.seq == 8))


def remove_all(tx: Connection) -> None:
    tx.execute(delete(EVENTS))


def add_at_the_end(tx: Connection) -> None:
    last = tx.execute(EVENTS.select().where(EVENTS.c.seq == 8)).mappings().one()
    tx.execute(insert(EVENTS).values(dict(last) | {"seq": 9, "previous_hash": last["hash"], "kind": "refund"}))


def shorten_with_the_head(tx: Connection) -> None:
    last = tx.execute(EVENTS.select().where(EVENTS.c.seq == 7)).mappings().one()
    tx.execute(delete(EVENTS).where(EVENTS.c.seq == 8))
    tx.execute(update(ORDERS).values(last_seq=7, last_hash=last["hash"], last_keyed_seq=last["key_id"] and 7))


def take_another_amount(tx: Connection) -> None:
    tx.execute(update(tables.payments).values(captured_minor=700, refunded_minor=700))


def refund_nothing(tx: Connection) -> None:
    tx.execute(update(tables.payments).values(refunded_minor=0))


def change_the_total(tx: Connection) -> None:
    tx.execute(update(ORDERS).values(total_minor=7500))


def change_the_customer(tx: Connection) -> None:
    tx.execute(update(ORDERS).values(customer_id="CUST-2"))


def change_an_outcome(tx: Connection) -> None:
    charge = tables.operations.c.kind == "charge"
    tx.execute(update(tables.operations).where(charge).values(outcome={"transactionID": "TX", "capturedMinor": 1}))


def remove_an_operation(tx: Connection) -> None:
    tx.execute(delete(tables.operations).where(tables.operations.c.kind == "close"))


def reopen_an_operation(tx: Connection) -> None:
    refund = tables.operations.c.kind == "refund"
    tx.execute(update(tables.operations).where(refund).values(state="intent", outcome=None, finished_at=None))


def keep_the_pieces(tx: Connection) -> None:
    tx.execute(update(tables.reservations).values(state="held"))


def remove_what_is_private(tx: Connection) -> None:
    tx.execute(update(EVENTS).where(EVENTS.c.seq == 1).values(private=None))


def change_what_is_private(tx: Connection) -> None:
    tx.execute(update(EVENTS).where(EVENTS.c.seq == 1).values(private={"params": {"customerID": "CUST-2"}}))


def remove_the_salt(tx: Connection) -> None:
    tx.execute(update(ORDERS).values(audit_salt=None))


TAMPERINGS = [
    change_data,
    change_actor,
    remove_in_the_middle,
    cut_off_the_end,
    remove_all,
    add_at_the_end,
    shorten_with_the_head,
    take_another_amount,
    refund_nothing,
    change_the_total,
    change_the_customer,
    change_an_outcome,
    remove_an_operation,
    reopen_an_operation,
    keep_the_pieces,
    remove_what_is_private,
    change_what_is_private,
    remove_the_salt,
]


@pytest.mark.parametrize("tamper", TAMPERINGS)
async def test_tampering_is_found(shop: Shop, ledger_url: str, tamper: Callable[[Connection], None]) -> None:
    await cancelled(shop)
    await shop.ledger.transaction(tamper)
    found = flaws(ledger_url)
    assert found
    assert found[0].startswith("order shop/order-1 (uid-1): ")


@pytest.mark.parametrize("tamper", TAMPERINGS)
async def test_tampering_is_found_with_a_key(
    sealed: Shop, ledger_url: str, ring: KeyRing, tamper: Callable[[Connection], None]
) -> None:
    await cancelled(sealed)
    await sealed.ledger.transaction(tamper)
    assert flaws(ledger_url, ring)


class Silent(SimulatedPayments):
    """A provider that takes money and does not say so."""

    def __init__(self, inner: PaymentProvider) -> None:
        self.inner = inner

    async def charge(self, key: str, **request: Any) -> ProviderCharge:
        await self.inner.charge(key, **request)
        raise ProviderUnavailable("the answer was lost")


def lose_the_payment(tx: Connection) -> None:
    tx.execute(delete(tables.payments))


def lose_the_charge(tx: Connection) -> None:
    lose_the_payment(tx)
    tx.execute(delete(tables.operations).where(tables.operations.c.kind == "charge"))


@pytest.mark.parametrize(
    ("lose", "what"),
    [
        (lose_the_charge, "operation uid-1/charge of event 3 is gone"),
        (lose_the_payment, "operation uid-1/charge is a charge, and no payment names it"),
    ],
)
async def test_an_open_charge_that_is_lost_is_found(
    shop: Shop, ledger_url: str, lose: Callable[[Connection], None], what: str
) -> None:
    """Its order ended as cancelled afterwards, nothing was given back, and there was still no flaw."""
    till = Shop(shop.ledger, replace(shop.providers, payments=Silent(shop.providers.payments)))
    buyer = await till.buyer()
    await till.stock.reserve(buyer.reserve())
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(buyer.charge())
    assert flaws(ledger_url) == []

    await shop.ledger.transaction(lose)

    assert flaws(ledger_url) == [f"order shop/order-1 (uid-1): {what}"]


async def test_pieces_that_no_order_accounts_for_are_found(shop: Shop, ledger_url: str) -> None:
    await shop.ledger.transaction(
        lambda tx: tx.execute(update(tables.stock).values(on_hand=tables.stock.c.on_hand - 1, sold=1)).rowcount
    )
    assert flaws(ledger_url) == ["article PROD-001: 1 pieces are sold, the orders account for 0"]


async def test_rows_whose_order_was_deleted_are_found(shop: Shop, ledger_url: str) -> None:
    await cancelled(shop)
    await delete_orders(shop, ledger_url)
    assert [flaw for flaw in flaws(ledger_url) if flaw.startswith("order uid-1: the ledger has no such order")]


async def test_a_chain_that_was_rewritten_by_somebody_without_the_key_is_found(
    sealed: Shop, shop: Shop, ledger_url: str, ring: KeyRing
) -> None:
    """`shop` has no key: it stands for whoever can write the database and knows this code."""
    await cancelled(sealed)

    def rewrite(tx: Connection) -> None:
        tx.execute(delete(EVENTS).where(EVENTS.c.seq == 8))
        seventh = tx.execute(EVENTS.select().where(EVENTS.c.seq == 7)).mappings().one()
        tx.execute(update(ORDERS).values(last_seq=7, last_hash=seventh["hash"], last_keyed_seq=7))
        tx.execute(text("DROP TRIGGER orders_status_guard" + (" ON orders" if tx.dialect.name != "sqlite" else "")))
        tx.execute(update(ORDERS).values(status="Order Received"))
        tx.execute(delete(tables.operations).where(tables.operations.c.kind == "close"))

    await sealed.ledger.transaction(rewrite)
    await shop.orders.close(Buyer().close("Order Rejected"))
    assert "event 8 has no key, though an earlier one has" in "\n".join(flaws(ledger_url, ring))


async def test_the_first_event_with_a_key_seals_what_stood_there_without_one(
    shop: Shop, sealed: Shop, ledger_url: str, ring: KeyRing
) -> None:
    buyer = await shop.buyer()
    [head] = [(row["last_seq"], row["last_hash"]) for row in await shop.rows(ORDERS)]
    await sealed.stock.reserve(buyer.reserve())
    await sealed.payments.charge(buyer.charge())
    assert [kind for _, kind, _ in await told(shop)] == ["receive", "chain_closed", "reserve", "charge", "charge"]
    closed = sorted(await shop.rows(EVENTS), key=lambda row: row["seq"])[1]
    assert (closed["data"], closed["key_id"]) == ({"events": head[0], "head": head[1]}, "2026")
    assert flaws(ledger_url, ring) == []


async def test_a_chain_is_closed_again_after_a_worker_without_the_key(
    shop: Shop, sealed: Shop, ledger_url: str, ring: KeyRing
) -> None:
    buyer = await sealed.buyer()
    await shop.stock.reserve(buyer.reserve())
    assert "event 2 has no key" in flaws(ledger_url, ring)[0]
    await sealed.payments.charge(buyer.charge())
    assert [kind for _, kind, _ in await told(shop)] == ["receive", "reserve", "chain_closed", "charge", "charge"]
    assert flaws(ledger_url, ring) == []


async def test_a_rotated_key_counts_without_a_restart_and_old_events_verify(
    sealed: Shop, ledger_url: str, ring: KeyRing, tmp_path: Path
) -> None:
    buyer = await sealed.buyer()
    ring_file(tmp_path, ring_line("2027", "n"), ring_line("2026"))
    await sealed.stock.reserve(buyer.reserve())
    assert [row["key_id"] for row in sorted(await sealed.rows(EVENTS), key=lambda row: row["seq"])] == ["2026", "2027"]
    assert flaws(ledger_url, ring) == []


async def test_a_ring_that_became_unreadable_leaves_the_last_one_in_force(
    sealed: Shop, ledger_url: str, ring: KeyRing, tmp_path: Path
) -> None:
    buyer = await sealed.buyer()
    ring_file(tmp_path, "nonsense\n")
    await sealed.stock.reserve(buyer.reserve())
    ring_file(tmp_path, "").unlink()
    await sealed.payments.charge(buyer.charge())
    assert {row["key_id"] for row in await sealed.rows(EVENTS)} == {"2026"}
    assert flaws(ledger_url, ring) == []


@pytest.mark.parametrize("lines", [None, [ring_line("2027")], [ring_line("2026", "x")]])
async def test_a_missing_or_wrong_key_is_a_flaw(
    sealed: Shop, ledger_url: str, tmp_path: Path, lines: list[str] | None
) -> None:
    await sealed.buyer()
    [flaw] = flaws(ledger_url, None if lines is None else a_ring(tmp_path, *lines))
    assert "event 1 is sealed with key 2026" in flaw or "event 1 was changed" in flaw


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ("", "holds no key|names an empty file"),
        ("key", "line 1 is not"),
        ("2026: c2hvcnQ=", "5 bytes, fewer than 32"),
        ("2026: a", "not base64"),
        (ring_line("a") + ring_line("a"), "two keys are named a"),
    ],
)
def test_a_ring_that_cannot_be_used_is_refused_without_telling_the_key(
    tmp_path: Path, content: str, refusal: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(SettingsError, match=refusal):
        KeyRing.from_environment({"ORDER_LEDGER_AUDIT_KEY_FILE": str(path)})


async def test_nothing_is_reported_while_workers_write(shop: Shop, ledger_url: str) -> None:
    writers = asyncio.gather(*(completed(shop, number) for number in range(1, 5)))
    found: list[str] = []
    while not writers.done():
        found += await asyncio.to_thread(flaws, ledger_url)
    await writers
    assert found == []


async def test_what_is_committed_during_the_check_does_not_count(
    shop: Shop, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the order's row and its events, a worker goes on: it is neither held up nor taken for a forger."""
    buyer = await shop.buyer()
    loop, read = asyncio.get_running_loop(), verification._Rows

    def after_a_reservation(tx: Connection, uids: Sequence[str]) -> verification._Rows:
        reserving = asyncio.run_coroutine_threadsafe(shop.stock.reserve(buyer.reserve()), loop)
        reserving.result(timeout=4)
        return read(tx, uids)

    monkeypatch.setattr(verification, "_Rows", after_a_reservation)
    assert await asyncio.to_thread(flaws, ledger_url) == []
    assert [kind for _, kind, _ in await told(shop)] == ["receive", "reserve"]

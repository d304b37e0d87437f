"""The audit trail misses nothing and hides nothing."""

from collections.abc import Callable

import pytest
from shop import Shop
from sqlalchemy import Connection, delete, insert, update

from order_worker.ledger import audit, tables

EVENTS = tables.audit_events


async def an_audited_order(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.payments.refund(buyer.refund())
    await shop.stock.release(buyer.release())
    await shop.orders.close(buyer.close("Order Cancelled"))


async def test_every_operation_has_one_event_in_a_gap_free_sequence(shop: Shop) -> None:
    await an_audited_order(shop)
    events = sorted(await shop.rows(EVENTS), key=lambda row: row["seq"])
    assert [(row["seq"], row["kind"]) for row in events] == list(
        enumerate(["receive", "reserve", "charge", "refund", "release", "close"], start=1)
    )


async def test_an_untouched_trail_verifies(shop: Shop) -> None:
    await an_audited_order(shop)
    assert await shop.ledger.transaction(audit.verify) == []


def change_data(tx: Connection) -> None:
    tx.execute(update(EVENTS).where(EVENTS.c.seq == 3).values(data={"capturedMinor": 1}))


def change_actor(tx: Connection) -> None:
    tx.execute(update(EVENTS).where(EVENTS.c.seq == 3).values(actor="somebody else"))


def remove_in_the_middle(tx: Connection) -> None:
    tx.execute(delete(EVENTS).where(EVENTS.c.seq == 3))


def cut_off_the_end(tx: Connection) -> None:
    tx.execute(delete(EVENTS).where(EVENTS.c.seq == 6))


def remove_all(tx: Connection) -> None:
    tx.execute(delete(EVENTS))


def add_at_the_end(tx: Connection) -> None:
    last = tx.execute(EVENTS.select().where(EVENTS.c.seq == 6)).mappings().one()
    tx.execute(insert(EVENTS).values(dict(last) | {"seq": 7, "previous_hash": last["hash"], "kind": "refund"}))


@pytest.mark.parametrize(
    "tamper",
    [change_data, change_actor, remove_in_the_middle, cut_off_the_end, remove_all, add_at_the_end],
)
async def test_tampering_is_found(shop: Shop, tamper: Callable[[Connection], None]) -> None:
    await an_audited_order(shop)
    await shop.ledger.transaction(tamper)
    flaws = await shop.ledger.transaction(audit.verify)
    assert len(flaws) == 1
    assert flaws[0].startswith("order uid-1: ")

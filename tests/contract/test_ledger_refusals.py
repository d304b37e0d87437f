"""What the ledger's database refuses for its content is refused for good, by a sentence without values."""

import json

import pytest
from shop import REQUESTED_AT, Buyer, Shop
from sqlalchemy import text, update

from order_domain.errors import LedgerRefused, LedgerUnavailable
from order_worker.ledger import tables

SECRET = "ana@example.com"
ORDER = {
    "uid": "uid-9",
    "namespace": "shop",
    "name": SECRET,
    "order_id": "ORDER-9",
    "customer_id": SECRET,
    "currency": "USD",
    "total_minor": 1,
    "status": "Order Received",
    "last_seq": 0,
    "last_hash": "",
    "created_at": REQUESTED_AT,
    "updated_at": REQUESTED_AT,
}
EVENT = {
    "order_uid": "uid-1",
    "seq": 99,
    "at": REQUESTED_AT,
    "kind": "k",
    "actor": "a",
    "previous_hash": "",
    "hash": "",
}


@pytest.mark.parametrize("unstorable", ["cancelled by a\0b", "half a letter: \ud83d", "letters \u00e9 and \udc00"])
async def test_a_text_that_no_database_stores_is_refused_for_good(shop: Shop, unstorable: str) -> None:
    receiving = Buyer().receive().model_copy(update={"customer_id": unstorable})
    with pytest.raises(LedgerRefused, match="a character that no database stores"):
        await shop.orders.receive(receiving)
    assert await shop.rows(tables.orders) == []


@pytest.mark.parametrize("unstorable", ["cancelled by a\0b", "half a letter: \ud83d"])
async def test_the_reason_of_an_end_is_stored_without_what_no_database_stores(shop: Shop, unstorable: str) -> None:
    buyer = await shop.buyer()
    await shop.orders.halt(buyer.halt())

    await shop.orders.close(buyer.close("Order Cancelled").model_copy(update={"message": unstorable}))

    [order] = await shop.rows(tables.orders)
    assert order["status"] == "Order Cancelled"
    assert order["message"].isprintable()


@pytest.mark.parametrize("unstorable", ["a\0b", "\ud83d"])
async def test_such_a_text_is_refused_inside_json_as_well(shop: Shop, unstorable: str) -> None:
    await shop.buyer()
    with pytest.raises(LedgerRefused):
        await shop.insert(tables.audit_events, **EVENT, data={"names": [{"of": unstorable}]})


@pytest.mark.parametrize("fine", ["\U0001f600 \u00e9 \u4e2d", "a backslash, \\u0000", "\\ud83d"])
async def test_every_other_text_is_stored_as_it_is(shop: Shop, fine: str) -> None:
    await shop.buyer()
    await shop.insert(tables.audit_events, **EVENT, data={"text": fine})
    assert (await shop.rows(tables.audit_events))[-1]["data"] == {"text": fine}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
async def test_a_number_beyond_sixty_four_bits_is_refused_for_good(shop: Shop, number: int) -> None:
    await shop.buyer()
    with pytest.raises(LedgerRefused):
        await shop.ledger.transaction(lambda tx: tx.execute(update(tables.orders).values(total_minor=number)).rowcount)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
async def test_the_largest_numbers_of_sixty_four_bits_are_stored(shop: Shop, number: int) -> None:
    await shop.buyer()
    await shop.ledger.transaction(lambda tx: tx.execute(update(tables.orders).values(total_minor=number)).rowcount)
    assert [row["total_minor"] for row in await shop.rows(tables.orders)] == [number]


async def test_a_refusal_names_what_was_broken_and_no_value(shop: Shop) -> None:
    await shop.insert(tables.orders, **ORDER)
    with pytest.raises(LedgerRefused) as refusal:
        await shop.insert(tables.orders, **{**ORDER, "uid": "uid-10"})
    told = str(refusal.value)
    assert "orders" in told
    assert "order_id" in told or "uq_orders" in told
    assert SECRET not in told
    assert "ORDER-9" not in told
    assert len(told) < 300


async def test_a_value_that_does_not_fit_its_column_is_refused_without_repeating_it(shop: Shop) -> None:
    with pytest.raises(LedgerRefused) as refusal:
        await shop.insert(tables.orders, **{**ORDER, "uid": None, "name": SECRET * 100})
    assert SECRET not in str(refusal.value)


async def test_a_trigger_says_why_it_refuses(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.close(buyer.close("Order Cancelled"))
    with pytest.raises(LedgerRefused, match="cannot follow the present one"):
        await shop.ledger.transaction(
            lambda tx: tx.execute(text("UPDATE orders SET status = 'Order Received'")).rowcount
        )


async def test_a_statement_that_the_database_does_not_know_may_succeed_under_another_release(shop: Shop) -> None:
    with pytest.raises(LedgerUnavailable):
        await shop.ledger.transaction(lambda tx: tx.execute(text("SELECT * FROM not_yet_there")).all())


async def test_what_is_no_error_of_the_database_stays_what_it_is(shop: Shop) -> None:
    with pytest.raises(json.JSONDecodeError):
        await shop.ledger.transaction(lambda _: json.loads("{"))

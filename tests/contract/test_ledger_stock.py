"""Pieces are neither lost nor sold twice."""

import asyncio

import pytest
from shop import SKU, Shop, a_line
from sqlalchemy import update

from order_domain.errors import (
    InvalidOrder,
    LedgerRefused,
    OperationCancelled,
    OperationConflict,
    OperationReversed,
    OutOfStock,
    PermanentError,
    UnknownSku,
)
from order_worker.ledger import tables
from order_workflows.activities.stock import CheckAvailability, ValidateLines


async def test_reserving_moves_free_pieces(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    assert await shop.counts() == (8, 2, 0)


async def test_reserving_twice_holds_the_pieces_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    first = await shop.stock.reserve(buyer.reserve(2))
    second = await shop.stock.reserve(buyer.reserve(2))
    assert first == second
    assert await shop.counts() == (8, 2, 0)


async def test_reserving_another_quantity_under_the_same_operation_is_a_conflict(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    with pytest.raises(OperationConflict):
        await shop.stock.reserve(buyer.reserve(3))


async def test_fifty_orders_for_the_last_ten_pieces_sell_exactly_ten(shop: Shop) -> None:
    buyers = [await shop.buyer(number) for number in range(50)]
    answers = await asyncio.gather(*(shop.stock.reserve(buyer.reserve(1)) for buyer in buyers), return_exceptions=True)
    assert sum(isinstance(answer, OutOfStock) for answer in answers) == 40
    assert await shop.counts() == (0, 10, 0)


async def test_lines_of_one_article_are_reserved_together(shop: Shop) -> None:
    buyer = await shop.buyer()
    request = buyer.reserve().model_copy(update={"lines": [a_line("1", 3), a_line("2", 4)]})
    await shop.stock.reserve(request)
    assert await shop.counts() == (3, 7, 0)


async def test_an_order_that_lacks_one_article_holds_none(shop: Shop) -> None:
    await shop.stocked(PROD_002=1)
    buyer = await shop.buyer()
    lines = [a_line("1", 2), a_line("2", 2, sku="PROD-002")]
    with pytest.raises(OutOfStock, match=r"PROD-002 \(wanted 2, free 1\)"):
        await shop.stock.reserve(buyer.reserve().model_copy(update={"lines": lines}))
    assert await shop.counts() == (10, 0, 0)


async def test_a_refused_reservation_is_remembered(shop: Shop) -> None:
    buyer, other = await shop.buyer(1), await shop.buyer(2)
    await shop.stock.reserve(other.reserve(10))
    with pytest.raises(OutOfStock):
        await shop.stock.reserve(buyer.reserve(1))
    await shop.stock.release(other.release())
    with pytest.raises(OutOfStock):
        await shop.stock.reserve(buyer.reserve(1))


async def test_an_unknown_article_is_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(UnknownSku, match="PROD-404"):
        await shop.stock.reserve(buyer.reserve(sku="PROD-404"))


async def test_validation_names_the_lines_with_unknown_articles(shop: Shop) -> None:
    lines = [a_line("1", 1), a_line("2", 1, sku="PROD-404")]
    with pytest.raises(InvalidOrder, match=r"line 2 \(PROD-404\)"):
        await shop.stock.validate(ValidateLines(lines=lines))


async def test_free_pieces_are_available_and_stay_free(shop: Shop) -> None:
    await shop.stock.available(CheckAvailability(lines=[a_line("1", 4), a_line("2", 6)]))
    assert await shop.counts() == (10, 0, 0)


async def test_availability_names_what_is_short(shop: Shop) -> None:
    await shop.stocked(PROD_002=1)
    lines = [a_line("1", 10), a_line("2", 2, sku="PROD-002")]
    with pytest.raises(OutOfStock, match=r"^not enough pieces of PROD-002 \(wanted 2, free 1\)$"):
        await shop.stock.available(CheckAvailability(lines=lines))


async def test_reserved_pieces_are_not_available(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    with pytest.raises(OutOfStock):
        await shop.stock.available(CheckAvailability(lines=[a_line("1", 9)]))


@pytest.mark.parametrize("sold", [False, True])
async def test_the_pieces_of_the_order_itself_are_available_to_it(shop: Shop, sold: bool) -> None:
    """A run that begins anew asks while the order has them already."""
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(10))
    if sold:
        await shop.stock.commit(buyer.commit())

    await shop.stock.available(CheckAvailability(lines=[a_line("1", 10)], order=buyer.identity))

    with pytest.raises(OutOfStock):
        await shop.stock.available(CheckAvailability(lines=[a_line("1", 11)], order=buyer.identity))


async def test_an_order_that_waits_is_not_told_again_of_a_shortage_of_before(shop: Shop) -> None:
    """A run that begins anew asks under the ids of the one before: what was short then may be there now."""
    buyer = await shop.buyer()
    with pytest.raises(OutOfStock):
        await shop.stock.reserve(buyer.reserve(11, backorder=True))

    with pytest.raises(OperationReversed):
        await shop.stock.reserve(buyer.reserve(11, backorder=True))


async def test_releasing_twice_adds_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    for _ in range(2):
        await shop.stock.release(buyer.release())
    assert await shop.counts() == (10, 0, 0)


async def test_a_reservation_after_its_release_is_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.release(buyer.release())
    with pytest.raises(OperationCancelled):
        await shop.stock.reserve(buyer.reserve(2))
    assert await shop.counts() == (10, 0, 0)


async def test_committing_twice_sells_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    for _ in range(2):
        await shop.stock.commit(buyer.commit())
    assert await shop.counts() == (8, 0, 2)


async def test_sold_pieces_cannot_be_released(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    await shop.stock.commit(buyer.commit())
    with pytest.raises(PermanentError, match="committed"):
        await shop.stock.release(buyer.release())
    assert await shop.counts() == (8, 0, 2)


async def test_released_pieces_cannot_be_sold(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    await shop.stock.release(buyer.release())
    with pytest.raises(PermanentError, match="released"):
        await shop.stock.commit(buyer.commit())


async def test_a_commit_without_a_reservation_is_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(PermanentError, match="nothing is reserved"):
        await shop.stock.commit(buyer.commit())


async def test_ensuring_stock_leaves_existing_counts_alone(shop: Shop) -> None:
    await shop.stocked(PROD_001=99, PROD_002=5)
    assert await shop.counts() == (10, 0, 0)
    assert await shop.counts("PROD-002") == (5, 0, 0)


@pytest.mark.parametrize("change", [{"on_hand": -1, "reserved": 11}, {"on_hand": 11}, {"sold": 1}])
async def test_the_database_itself_refuses_lost_or_negative_pieces(shop: Shop, change: dict[str, int]) -> None:
    statement = update(tables.stock).where(tables.stock.c.sku == SKU).values(**change)
    with pytest.raises(LedgerRefused):
        await shop.ledger.transaction(lambda tx: tx.execute(statement).rowcount)

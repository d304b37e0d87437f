"""Other lines for an order: total and held pieces change together or not at all."""

import hashlib
import json

import pytest
from shop import SKU, Buyer, Shop, a_line
from sqlalchemy import select, update

from order_domain.errors import (
    InvalidOrder,
    OperationCancelled,
    OperationConflict,
    OrderError,
    OutOfStock,
)
from order_worker.ledger import tables
from order_workflows.activities.order import ChangeLines, LinesChanged

OTHER = "PROD-002"


@pytest.fixture
async def buyer(shop: Shop) -> Buyer:
    """Holds 2 of the 10 pieces; there are 5 of the other article."""
    await shop.stocked(PROD_002=5)
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    return buyer


async def total(shop: Shop) -> int:
    [order] = await shop.rows(tables.orders)
    return int(order["total_minor"])


async def refused(shop: Shop, request: ChangeLines) -> OrderError:
    with pytest.raises(OrderError) as raised:
        await shop.orders.change_lines(request)
    return raised.value


async def test_the_new_pieces_are_held_and_the_old_ones_free(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3, sku=OTHER)))
    assert (await shop.counts(SKU), await shop.counts(OTHER)) == ((10, 0, 0), (2, 3, 0))


async def test_the_total_is_that_of_the_new_lines(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 4)))
    assert await total(shop) == 1500


async def test_pieces_that_the_order_holds_itself_count_as_free(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 10)))
    assert await shop.counts() == (0, 10, 0)


async def test_the_new_reservation_has_another_name(shop: Shop, buyer: Buyer) -> None:
    first = await shop.stock.reserve(buyer.reserve(2))
    changed = await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    assert changed.reservation_id not in (None, first.reservation_id)


async def test_asking_again_changes_nothing_more(shop: Shop, buyer: Buyer) -> None:
    first = await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    second = await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    assert first == second
    assert await shop.counts() == (7, 3, 0)


async def test_other_lines_under_the_same_operation_are_a_conflict(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    assert isinstance(await refused(shop, buyer.change_lines(a_line("1", 4))), OperationConflict)


async def test_the_same_lines_in_place_of_another_reservation_are_the_same_change(shop: Shop, buyer: Buyer) -> None:
    """A run that was reset to before its reservation names none."""
    first = await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    second = await shop.orders.change_lines(buyer.change_lines(a_line("1", 3), replaces=None))
    assert first == second
    assert await shop.counts() == (7, 3, 0)


async def test_a_change_that_an_earlier_release_made_is_known(shop: Shop, buyer: Buyer) -> None:
    """It compared the reservation as well."""
    request = buyer.change_lines(a_line("1", 3))
    first = await shop.orders.change_lines(request)
    of_earlier_release = {"params_hash": "another"}
    change = update(tables.operations).where(tables.operations.c.operation_id == request.operation_id)
    await shop.ledger.transaction(lambda tx: tx.execute(change.values(**of_earlier_release)))
    assert await shop.orders.change_lines(request) == first
    assert isinstance(await refused(shop, buyer.change_lines(a_line("1", 4))), OperationConflict)


async def test_a_change_is_stored_as_an_earlier_release_compares_it(shop: Shop, buyer: Buyer) -> None:
    """During an upgrade a worker of that release may repeat it: it refused an edit that was in force."""
    request = buyer.change_lines(a_line("1", 3))
    await shop.orders.change_lines(request)
    columns = select(tables.operations.c.params, tables.operations.c.params_hash)
    stored = columns.where(tables.operations.c.operation_id == request.operation_id)
    row = await shop.ledger.transaction(lambda tx: tx.execute(stored).one())

    compared = json.dumps(["change_lines", row.params], sort_keys=True)
    assert row.params["replaces"] == request.replaces
    assert row.params_hash == hashlib.sha256(compared.encode()).hexdigest()


async def test_a_shortage_leaves_everything_as_it_was(shop: Shop, buyer: Buyer) -> None:
    error = await refused(shop, buyer.change_lines(a_line("1", 1), a_line("2", 6, sku=OTHER)))
    assert (type(error), str(error)) == (OutOfStock, "not enough pieces of PROD-002 (wanted 6, free 5)")
    assert (await shop.counts(SKU), await shop.counts(OTHER), await total(shop)) == ((8, 2, 0), (5, 0, 0), 750)


async def test_a_shortage_is_final_for_its_operation(shop: Shop, buyer: Buyer) -> None:
    rival = await shop.buyer(2)
    await shop.stock.reserve(rival.reserve(5, sku=OTHER))
    request = buyer.change_lines(a_line("1", 1, sku=OTHER))
    await refused(shop, request)
    await shop.stock.release(rival.release())
    assert isinstance(await refused(shop, request), OutOfStock)


@pytest.mark.parametrize("replaces", ["reserve", None])
async def test_an_unknown_article_is_named_with_its_line(shop: Shop, buyer: Buyer, replaces: str | None) -> None:
    error = await refused(shop, buyer.change_lines(a_line("7", 1, sku="PROD-404"), replaces=replaces))
    assert (type(error), str(error)) == (InvalidOrder, "unknown article in line 7 (PROD-404)")


async def test_without_a_reservation_only_the_total_changes(shop: Shop) -> None:
    buyer = await shop.buyer()
    changed = await shop.orders.change_lines(buyer.change_lines(a_line("1", 99), replaces=None))
    assert (changed, await shop.counts(), await total(shop)) == (LinesChanged(), (10, 0, 0), 99 * 375)


async def test_the_trail_shows_old_and_new(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    data = (await shop.rows(tables.audit_events))[-1]["data"]
    assert data["before"] == {"totalMinor": 750, "pieces": {SKU: 2}}
    assert (data["params"]["totalMinor"], data["params"]["pieces"]) == (1125, {SKU: 3})


@pytest.mark.parametrize("first", ["reserve", "lines/2"])
async def test_the_undo_of_both_reservations_frees_all_pieces_once(shop: Shop, buyer: Buyer, first: str) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    second = "lines/2" if first == "reserve" else "reserve"
    for reservation in (first, second, first, second):
        await shop.stock.release(buyer.release(reservation))
    assert await shop.counts() == (10, 0, 0)


async def test_the_undo_of_a_change_that_held_nothing_is_fine(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3), replaces=None))
    await shop.stock.release(buyer.release("lines/2"))
    assert await shop.counts() == (10, 0, 0)


async def test_the_undo_of_a_refused_change_leaves_the_reservation_alone(shop: Shop, buyer: Buyer) -> None:
    await refused(shop, buyer.change_lines(a_line("1", 11)))
    await shop.stock.release(buyer.release("lines/2"))
    assert await shop.counts() == (8, 2, 0)


async def test_a_change_after_its_undo_is_refused(shop: Shop, buyer: Buyer) -> None:
    await shop.stock.release(buyer.release("lines/2"))
    assert isinstance(await refused(shop, buyer.change_lines(a_line("1", 3))), OperationCancelled)
    assert (await shop.counts(), await total(shop)) == ((8, 2, 0), 750)


async def test_a_change_of_a_change_replaces_the_newest(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 4), step="lines/3", replaces="lines/2"))
    assert await shop.counts() == (6, 4, 0)


async def test_the_newest_reservation_is_sold(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    await shop.stock.commit(buyer.commit("lines/2"))
    assert await shop.counts() == (7, 0, 3)


async def test_what_is_held_is_sold_even_if_the_run_names_what_was_replaced(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    await shop.stock.commit(buyer.commit())
    assert await shop.counts() == (7, 0, 3)


async def test_a_run_that_lost_its_reservation_holds_the_new_lines(shop: Shop, buyer: Buyer) -> None:
    await shop.stock.release(buyer.release())
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3)))
    assert await shop.counts() == (7, 3, 0)


async def test_a_charged_order_keeps_its_lines(shop: Shop, buyer: Buyer) -> None:
    await shop.payments.charge(buyer.charge())
    assert "charged already" in str(await refused(shop, buyer.change_lines(a_line("1", 3))))
    assert (await shop.counts(), await total(shop)) == ((8, 2, 0), 750)


async def test_another_orders_reservation_is_neither_replaced_nor_sold(shop: Shop, buyer: Buyer) -> None:
    thief = await shop.buyer(2)
    request = thief.change_lines(a_line("1", 3)).model_copy(update={"replaces": "uid-1/reserve"})
    assert isinstance(await refused(shop, request), OperationConflict)
    with pytest.raises(OperationConflict):
        await shop.stock.commit(thief.commit().model_copy(update={"reserve_operation_id": "uid-1/reserve"}))
    assert await shop.counts() == (8, 2, 0)

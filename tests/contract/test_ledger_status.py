"""An order's status in the ledger goes forward only, whoever writes it."""

from itertools import product

import pytest
from shop import Shop
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from order_domain.errors import LedgerRefused, OperationConflict, PermanentError
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_worker.ledger.orders import NEXT


async def status(shop: Shop) -> str:
    [order] = await shop.rows(tables.orders)
    return str(order["status"])


def force(tx: Connection, value: str) -> None:
    """By raw SQL, past all our code."""
    tx.execute(text("UPDATE orders SET status = :value"), {"value": value})


async def test_the_status_is_written_back(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.update_status(buyer.update_status())
    assert await status(shop) == "Update Order Status"


async def test_writing_it_back_twice_is_recorded_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    for _ in range(2):
        await shop.orders.update_status(buyer.update_status())
    assert [row["kind"] for row in await shop.rows(tables.audit_events)] == ["receive", "update_status"]


async def test_a_repeated_write_does_not_reopen_an_order_that_has_ended(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.update_status(buyer.update_status())
    await shop.orders.close(buyer.close())
    await shop.orders.update_status(buyer.update_status())
    assert await status(shop) == "Order Completed"


async def test_another_status_under_the_same_operation_is_a_conflict(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.update_status(buyer.update_status())
    with pytest.raises(OperationConflict):
        await shop.orders.update_status(buyer.update_status("Order Completed"))


@pytest.mark.parametrize("wanted", ["Update Order Status", "Order Received", "Order Failed", "Nonsense"])
async def test_an_order_that_has_ended_takes_no_other_status(shop: Shop, wanted: str) -> None:
    buyer = await shop.buyer()
    await shop.orders.close(buyer.close())
    with pytest.raises(PermanentError, match=f"is at Order Completed and cannot become {wanted}"):
        await shop.orders.update_status(buyer.update_status(wanted))


async def test_an_order_that_has_ended_cannot_end_otherwise(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.close(buyer.close("Order Cancelled"))
    again = buyer.close("Order Failed").model_copy(update={"operation_id": "uid-1/close/2"})
    with pytest.raises(PermanentError, match="cannot become Order Failed"):
        await shop.orders.close(again)


async def test_raw_sql_cannot_reopen_an_order(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.close(buyer.close())
    with pytest.raises(LedgerRefused, match="cannot follow the present one"):
        await shop.ledger.transaction(lambda tx: force(tx, "Order Received"))
    assert await status(shop) == "Order Completed"


async def test_the_database_allows_exactly_what_the_code_allows(shop: Shop) -> None:
    await shop.buyer()

    def reachable(tx: Connection) -> set[tuple[str, str]]:
        allowed = set()
        for present, wanted in product(NEXT, [*OrderStatus, "Nonsense"]):
            attempt = tx.begin_nested()
            try:
                if present != OrderStatus.ORDER_RECEIVED:
                    force(tx, present)
                force(tx, wanted)
                allowed.add((present, str(wanted)))
            except IntegrityError:
                pass
            attempt.rollback()
        return allowed

    found = await shop.ledger.transaction(reachable)
    assert found == {(present, str(wanted)) for present in NEXT for wanted in (present, *NEXT[present])}


@pytest.mark.parametrize("end", [end for end in OrderStatus if end.terminal])
async def test_no_end_is_ever_left(shop: Shop, end: OrderStatus) -> None:
    await shop.buyer()
    await shop.ledger.transaction(lambda tx: force(tx, end))

    def departures(tx: Connection) -> list[str]:
        left = []
        for wanted in OrderStatus:
            attempt = tx.begin_nested()
            try:
                force(tx, wanted)
                left.append(str(wanted))
            except IntegrityError:
                pass
            attempt.rollback()
        return left

    assert await shop.ledger.transaction(departures) == [end]

"""An order whose workflow is gone: what it had begun is known, and nothing more begins."""

from collections.abc import Awaitable, Callable

import pytest
from shop import Buyer, Shop, a_line
from temporalio.testing import ActivityEnvironment

from order_domain.errors import OperationCancelled
from order_worker.ledger import tables
from order_workflows.activities.order import Halted

Effect = Callable[[Shop, Buyer], Awaitable[object]]

FORWARD: dict[str, Effect] = {
    "reserve": lambda shop, buyer: shop.stock.reserve(buyer.reserve()),
    "change_lines": lambda shop, buyer: shop.orders.change_lines(buyer.change_lines(a_line("1", 1), replaces=None)),
    "pack": lambda shop, buyer: ActivityEnvironment().run(shop.warehouse.pack, buyer.pack(1)),
    "charge": lambda shop, buyer: shop.payments.charge(buyer.charge()),
    "ship": lambda shop, buyer: shop.shipping.ship(buyer.ship()),
}


async def a_buyer_with_stock(shop: Shop) -> Buyer:
    await shop.stocked(PROD_001=10)
    return await shop.buyer()


def begun(halted: Halted) -> list[tuple[str, str, str | None]]:
    return [(effect.kind, effect.operation_id, effect.line_id) for effect in halted.begun]


async def test_what_was_begun_is_told_in_its_order(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())

    halted = await shop.orders.halt(buyer.halt())

    assert begun(halted) == [
        ("reserve", "uid-1/reserve", None),
        ("charge", "uid-1/charge", None),
        ("ship", "uid-1/ship/1", "1"),
    ]
    assert (halted.ended, halted.pivot_passed) == (None, False)


async def test_what_was_refused_was_not_begun(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.payments.refund(buyer.refund())  # which prevents the charge

    assert (await shop.orders.halt(buyer.halt())).begun == []


async def test_pieces_held_for_other_lines_are_told_of(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.stock.reserve(buyer.reserve())
    change = buyer.change_lines(a_line("1", 1))
    await shop.orders.change_lines(change)

    halted = await shop.orders.halt(buyer.halt())

    assert begun(halted) == [("reserve", "uid-1/reserve", None), ("reserve", change.operation_id, None)]


async def test_other_lines_of_an_order_that_holds_nothing_are_nothing_to_undo(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 1), replaces=None))

    assert (await shop.orders.halt(buyer.halt())).begun == []


@pytest.mark.parametrize("kind", FORWARD)
async def test_nothing_begins_any_more(shop: Shop, kind: str) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.orders.halt(buyer.halt())

    with pytest.raises(OperationCancelled):
        await FORWARD[kind](shop, buyer)

    assert [row["kind"] for row in await shop.rows(tables.operations)] == ["receive", "halt"]


@pytest.mark.parametrize("kind", FORWARD)
async def test_nothing_begins_after_the_end(shop: Shop, kind: str) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.orders.halt(buyer.halt())
    await shop.orders.close(buyer.close("Order Cancelled"))

    with pytest.raises(OperationCancelled):
        await FORWARD[kind](shop, buyer)

    assert [row["kind"] for row in await shop.rows(tables.operations)] == ["receive", "halt", "close"]


async def test_pieces_that_are_held_are_no_longer_sold(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.stock.reserve(buyer.reserve())
    await shop.orders.halt(buyer.halt())

    with pytest.raises(OperationCancelled):
        await shop.stock.commit(buyer.commit())


@pytest.mark.parametrize("kind", FORWARD)
async def test_what_had_happened_is_refused_as_well(shop: Shop, kind: str) -> None:
    buyer = await a_buyer_with_stock(shop)
    await FORWARD[kind](shop, buyer)
    await shop.orders.halt(buyer.halt())

    with pytest.raises(OperationCancelled, match="is at Compensate Order"):
        await FORWARD[kind](shop, buyer)


async def test_a_mail_about_the_end_is_still_sent(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.halt(buyer.halt())

    await shop.notifications.notify(buyer.notice())

    assert len(await shop.provider_log("mails")) == 1


async def test_halting_again_tells_the_same_and_is_recorded_once(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.payments.charge(buyer.charge())

    answers = [await shop.orders.halt(buyer.halt()) for _ in range(2)]

    assert answers[0] == answers[1]
    assert [row["kind"] for row in await shop.rows(tables.audit_events)] == ["receive", "charge", "charge", "halt"]


async def test_an_order_that_the_ledger_never_heard_of_is_halted_too(shop: Shop) -> None:
    await shop.stocked(PROD_001=10)
    buyer = Buyer()

    await shop.orders.halt(buyer.halt())

    with pytest.raises(OperationCancelled):
        await shop.orders.receive(buyer.receive())  # by the run that is gone, too late
    with pytest.raises(OperationCancelled):
        await shop.stock.reserve(buyer.reserve())


async def test_a_duplicate_is_halted_without_a_number_so_that_a_late_receipt_takes_none(shop: Shop) -> None:
    first = await shop.buyer()
    duplicate = Buyer(uid="uid-2", name="order-2", order_id=first.order_id)
    halted = await shop.orders.halt(duplicate.halt(status="Order Duplicate"))
    await shop.orders.close(duplicate.close("Order Duplicate"))
    await shop.orders.halt(first.halt())
    await shop.orders.close(first.close("Order Cancelled"))

    with pytest.raises(OperationCancelled):
        await shop.orders.receive(duplicate.receive())

    assert (halted.ended, halted.status, halted.begun) == (None, "Order Duplicate", [])


async def test_an_order_that_has_ended_is_told_to_have(shop: Shop) -> None:
    buyer = await shop.buyer()
    close = buyer.close("Order Rejected").model_copy(update={"message": "too dear"})
    await shop.orders.close(close)

    halted = await shop.orders.halt(buyer.halt())

    assert (halted.ended, halted.status, halted.message) == ("Order Rejected", "Order Rejected", "too dear")


async def test_what_an_order_that_has_ended_had_begun_is_told(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    await shop.payments.refund(buyer.refund())
    await shop.orders.close(buyer.close("Order Cancelled"))

    assert begun(await shop.orders.halt(buyer.halt())) == [("charge", "uid-1/charge", None)]


async def test_a_completed_order_has_gone_too_far(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.stock.reserve(buyer.reserve())
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())

    halted = await shop.orders.halt(buyer.halt())

    assert (halted.ended, halted.pivot_passed) == (None, True)
    assert begun(halted) == [("reserve", "uid-1/reserve", None)]


async def test_an_order_whose_pieces_are_sold_has_gone_too_far(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.stock.reserve(buyer.reserve())
    await shop.stock.commit(buyer.commit())

    halted = await shop.orders.halt(buyer.halt())

    assert halted.pivot_passed
    [order] = await shop.rows(tables.orders)
    assert order["status"] == "Order Received"


async def test_an_order_that_has_gone_too_far_is_not_halted(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.stock.reserve(buyer.reserve())

    halted = await shop.orders.halt(buyer.halt(pivot_passed=True))

    assert begun(halted) == [("reserve", "uid-1/reserve", None)]
    await shop.stock.commit(buyer.commit())


async def test_a_halted_order_is_undone_and_closed(shop: Shop) -> None:
    buyer = await a_buyer_with_stock(shop)
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.orders.halt(buyer.halt())

    await shop.payments.refund(buyer.refund())
    await shop.stock.release(buyer.release())
    await shop.orders.close(buyer.close("Order Cancelled"))

    [payment], [order] = await shop.rows(tables.payments), await shop.rows(tables.orders)
    assert payment["captured_minor"] == payment["refunded_minor"] == 750
    assert order["status"] == "Order Cancelled"

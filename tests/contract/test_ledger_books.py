"""What was taken and held decides how an order may end, whatever a run believes or has forgotten."""

from typing import Any

import pytest
from shop import SKU, Buyer, Shop, a_line
from sqlalchemy import Connection, text, update
from sqlalchemy.exc import IntegrityError

from order_domain.errors import (
    BooksDisagree,
    LinesDiffer,
    OperationCancelled,
    OperationConflict,
    OperationReversed,
    PermanentError,
)
from order_domain.order import ChargeKind, OrderCharge, lines_digest
from order_worker.ledger import tables
from order_workflows.activities.order import KnownEffects
from order_workflows.activities.shipping import ShipmentCancelled

LINES = (a_line("1", 2), a_line("2", 1))
TOTAL = 3 * 375


async def a_charged_order(shop: Shop, *, charges: tuple[OrderCharge, ...] = ()) -> Buyer:
    """Received, reserved, charged and shipped by a workflow that tells its lines."""
    buyer = Buyer()
    received = buyer.receive(*LINES, charges=charges, charged=True)
    await shop.orders.receive(received)
    await shop.stock.reserve(buyer.reserve_lines(*LINES))
    await shop.payments.charge(buyer.charge(amount_minor=received.total_minor))
    return buyer


async def order_row(shop: Shop, uid: str = "uid-1") -> dict[str, Any]:
    [row] = [row for row in await shop.rows(tables.orders) if row["uid"] == uid]
    return row


async def force(shop: Shop, status: str) -> None:
    """By raw SQL, past all our code."""

    def write(tx: Connection) -> int:
        return tx.execute(text("UPDATE orders SET status = :value"), {"value": status}).rowcount

    await shop.ledger.transaction(write)


async def test_an_order_owes_its_total_where_it_is_charged_and_nothing_where_it_is_not(shop: Shop) -> None:
    charged, free = Buyer(), Buyer(uid="uid-2", name="order-2", order_id="ORDER-2")
    await shop.orders.receive(charged.receive(*LINES, charged=True))
    await shop.orders.receive(free.receive(*LINES, charged=False))
    assert [(await order_row(shop, uid))["owed_minor"] for uid in ("uid-1", "uid-2")] == [TOTAL, 0]


async def test_an_order_whose_money_is_kept_cannot_end_as_cancelled(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    with pytest.raises(BooksDisagree, match=r"units are held; money is kept; 1125 is captured, 0 refunded"):
        await shop.orders.close(buyer.close("Order Cancelled"))


async def test_an_order_whose_parcel_is_out_cannot_end_as_cancelled(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.shipping.ship(buyer.ship())
    with pytest.raises(BooksDisagree, match=r"parcels are out: uid-1/ship/1"):
        await shop.orders.close(buyer.close("Order Cancelled"))
    await shop.shipping.cancel(buyer.cancel_shipment())
    await shop.orders.close(buyer.close("Order Cancelled"))


async def test_an_order_that_is_not_paid_cannot_complete(shop: Shop) -> None:
    buyer = Buyer()
    await shop.orders.receive(buyer.receive(*LINES, charged=True))
    with pytest.raises(BooksDisagree, match=r"1125 is owed; 0 is captured"):
        await shop.orders.close(buyer.close())


async def test_an_order_that_was_refunded_cannot_complete(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.payments.refund(buyer.refund())
    await shop.stock.commit(buyer.commit())
    with pytest.raises(BooksDisagree, match=r"1125 is owed; 1125 is captured, 1125 refunded"):
        await shop.orders.close(buyer.close())


async def test_an_order_that_is_paid_and_sold_completes(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())
    assert (await order_row(shop))["status"] == "Order Completed"


@pytest.mark.parametrize("end", ["Order Completed", "Order Cancelled", "Order Failed"])
async def test_the_database_itself_refuses_an_end_while_units_are_held(shop: Shop, end: str) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve())
    with pytest.raises((IntegrityError, PermanentError), match="does not fit the books"):
        await force(shop, end)


@pytest.mark.parametrize("end", ["Order Cancelled", "Order Failed"])
async def test_the_database_itself_refuses_such_an_end_while_money_is_kept(shop: Shop, end: str) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    with pytest.raises((IntegrityError, PermanentError), match="does not fit the books"):
        await force(shop, end)


@pytest.mark.parametrize("late", [False, True])
async def test_the_database_itself_refuses_such_an_end_while_a_parcel_is_out(shop: Shop, late: bool) -> None:
    buyer = await shop.buyer()
    await shop.shipping.ship(buyer.ship(postal_code="99999" if late else "12345"))
    if late:
        assert await shop.shipping.cancel(buyer.cancel_shipment()) == ShipmentCancelled(too_late=True)
    with pytest.raises((IntegrityError, PermanentError), match="does not fit the books"):
        await force(shop, "Order Cancelled")


async def test_the_database_itself_refuses_to_complete_what_is_not_paid(shop: Shop) -> None:
    await shop.orders.receive(Buyer().receive(*LINES, charged=True))
    with pytest.raises((IntegrityError, PermanentError), match="does not fit the books"):
        await force(shop, "Order Completed")


async def test_a_reversed_operation_says_so_and_is_no_success(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    await shop.shipping.cancel(buyer.cancel_shipment())
    await shop.payments.refund(buyer.refund())
    await shop.stock.release(buyer.release())

    with pytest.raises(OperationReversed, match="reversed by uid-1/release"):
        await shop.stock.reserve(buyer.reserve())
    with pytest.raises(OperationReversed, match="reversed by uid-1/refund"):
        await shop.payments.charge(buyer.charge())
    with pytest.raises(OperationReversed, match="reversed by uid-1/ship/1/cancel"):
        await shop.shipping.ship(buyer.ship())


async def test_what_a_halted_order_had_done_is_no_success_either(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.orders.halt(buyer.halt())

    for again in (shop.stock.reserve(buyer.reserve()), shop.payments.charge(buyer.charge())):
        with pytest.raises(OperationCancelled, match="is at Compensate Order"):
            await again
    with pytest.raises(OperationCancelled):
        await shop.orders.receive(buyer.receive())


async def test_a_completed_order_is_walked_through_once_more(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())

    await shop.orders.receive(buyer.receive(*LINES, charged=True))
    await shop.stock.reserve(buyer.reserve_lines(*LINES))
    await shop.payments.charge(buyer.charge(amount_minor=TOTAL))
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())
    with pytest.raises(OperationCancelled):
        await shop.shipping.ship(buyer.ship())


async def test_the_first_halt_says_how_the_order_ends(shop: Shop) -> None:
    buyer = await shop.buyer()
    first = await shop.orders.halt(buyer.halt(status="Order Expired", error_type="Expired", message="too late"))
    again = await shop.orders.halt(buyer.halt(status="Order Failed", error_type="Bug"))
    ends = [(halted.status, halted.error_type, halted.message) for halted in (first, again)]
    assert ends == [("Order Expired", "Expired", "too late")] * 2


async def test_a_halt_tells_the_books_and_what_is_reversed(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.orders.halt(buyer.halt())
    await shop.payments.refund(buyer.refund())
    halted = await shop.orders.halt(buyer.halt())
    assert [(effect.kind, effect.reversed) for effect in halted.begun] == [("reserve", False), ("charge", True)]
    books = halted.books
    assert (books.owed_minor, books.captured_minor, books.refunded_minor, books.held) == (TOTAL, TOTAL, TOTAL, True)


@pytest.mark.parametrize(
    ("known", "named"),
    [
        (KnownEffects(received=True), "received"),
        (KnownEffects(captured_minor=750, transaction_id="TXN-1"), "captured"),
    ],
)
async def test_an_empty_ledger_does_not_halt_an_order_that_its_run_knows_better(
    shop: Shop, known: KnownEffects, named: str
) -> None:
    with pytest.raises(BooksDisagree, match=f"{named}.*never received"):
        await shop.orders.halt(Buyer().halt(known=known))


@pytest.mark.parametrize(
    "known",
    [
        KnownEffects(received=True, captured_minor=750, transaction_id="TXN-1"),
        KnownEffects(received=True, refunded_minor=1),
        KnownEffects(received=True, reservation_id="RES-1"),
        KnownEffects(received=True, packed=True),
        KnownEffects(received=True, shipped_lines=["1"]),
    ],
)
async def test_a_restored_ledger_that_misses_an_effect_halts_the_order_and_says_so(
    shop: Shop, known: KnownEffects
) -> None:
    buyer = await shop.buyer()
    with pytest.raises(BooksDisagree, match="the workflow knows"):
        await shop.orders.halt(buyer.halt(known=known))
    assert (await order_row(shop))["status"] == "Compensate Order"


SHOWN = KnownEffects(captured_minor=750, transaction_id="TXN-1")


async def test_a_ledger_that_never_heard_of_a_charged_order_does_not_receive_it_as_a_new_one(shop: Shop) -> None:
    """Temporal's database and the ledger were set back together: without this the order is charged again."""
    with pytest.raises(BooksDisagree, match="750 captured as TXN-1, the ledger of 0 as None"):
        await shop.orders.receive(Buyer().receive().model_copy(update={"known": SHOWN}))

    assert await shop.rows(tables.orders) == []


async def test_a_ledger_that_lost_the_charge_alone_does_not_let_the_order_go_on_either(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(BooksDisagree, match="750 captured as TXN-1, the ledger of 0 as None"):
        await shop.orders.receive(buyer.receive().model_copy(update={"known": SHOWN}))


async def test_a_charge_that_status_and_ledger_show_alike_lets_the_order_go_on(shop: Shop) -> None:
    buyer = await shop.buyer()
    receipt = await shop.payments.charge(buyer.charge())
    known = KnownEffects(captured_minor=receipt.captured_minor, transaction_id=receipt.transaction_id)

    assert (await shop.orders.receive(buyer.receive().model_copy(update={"known": known}))).ended is None


async def test_a_charge_of_an_ended_order_of_the_same_name_is_not_missed(shop: Shop) -> None:
    """The resource was restored from a backup under another uid, with the status of the first."""
    first, restored = await shop.buyer(), Buyer(uid="uid-2", order_id="ORDER-2")
    receipt = await shop.payments.charge(first.charge())
    known = KnownEffects(captured_minor=receipt.captured_minor, transaction_id=receipt.transaction_id)
    with pytest.raises(BooksDisagree, match="never received"):
        await shop.orders.halt(restored.halt(known=known))  # the first is under way

    await shop.orders.close(first.close())

    assert (await shop.orders.halt(restored.halt(known=known))).begun == []


async def test_what_run_and_ledger_know_alike_is_no_flaw(shop: Shop) -> None:
    buyer = await shop.buyer()
    reserved = await shop.stock.reserve(buyer.reserve())
    receipt = await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    known = KnownEffects(
        received=True,
        transaction_id=receipt.transaction_id,
        captured_minor=750,
        reservation_id=reserved.reservation_id,
        shipped_lines=["1"],
    )
    assert not (await shop.orders.halt(buyer.halt(known=known))).pivot_passed


async def test_a_halt_past_the_pivot_answers_forward_only(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.commit(buyer.commit().model_copy(update={"reserve_operation_id": None}))
    halted = await shop.orders.halt(buyer.halt())
    assert (halted.pivot_passed, (await order_row(shop))["status"]) == (True, "Order Received")


async def test_closing_an_order_that_the_ledger_has_lost_is_refused(shop: Shop) -> None:
    with pytest.raises(BooksDisagree, match="does not have it"):
        await shop.orders.close(Buyer().close("Order Failed", received=True))


async def test_another_amount_than_what_is_owed_is_not_charged(shop: Shop) -> None:
    buyer = Buyer()
    await shop.orders.receive(buyer.receive(*LINES, charged=True))
    for amount in (1, TOTAL + 1):
        with pytest.raises(LinesDiffer, match=f"owes {TOTAL}"):
            await shop.payments.charge(buyer.charge(amount_minor=amount))
    assert await shop.provider_log("charges") == []


async def test_an_order_for_which_nothing_is_held_any_more_is_not_charged(shop: Shop) -> None:
    """The ledger was restored from a backup that does not have the reservation of which the workflow knows."""
    buyer = Buyer()
    await shop.orders.receive(buyer.receive(*LINES, charged=True))
    charge = buyer.charge(amount_minor=TOTAL).model_copy(update={"reservation_id": "RES-1"})
    with pytest.raises(BooksDisagree, match="RES-1"):
        await shop.payments.charge(charge)

    await shop.stock.reserve(buyer.reserve_lines(*LINES))
    await shop.payments.charge(charge)


async def test_another_currency_than_the_orders_is_not_charged(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(OperationConflict, match="a charge in EUR"):
        await shop.payments.charge(buyer.charge().model_copy(update={"currency": "EUR"}))


async def test_a_step_for_other_lines_than_those_in_force_is_refused(shop: Shop) -> None:
    buyer = Buyer()
    await shop.orders.receive(buyer.receive(*LINES, charged=True))
    other = lines_digest([a_line("1", 9)], [])
    with pytest.raises(LinesDiffer):
        await shop.stock.reserve(buyer.reserve_lines(a_line("1", 9), lines_digest=other))
    with pytest.raises(LinesDiffer):
        await shop.payments.charge(buyer.charge(amount_minor=TOTAL).model_copy(update={"lines_digest": other}))
    with pytest.raises(LinesDiffer):
        await shop.shipping.ship(buyer.ship(lines_digest=other))


async def test_a_run_that_begins_anew_puts_its_lines_in_force_and_frees_what_was_held(shop: Shop) -> None:
    buyer = Buyer()
    await shop.orders.receive(buyer.receive(*LINES, charged=True))
    await shop.stock.reserve(buyer.reserve_lines(*LINES))
    fewer = (a_line("1", 1),)

    await shop.orders.receive(buyer.receive(*fewer, charged=True))

    assert (await order_row(shop))["owed_minor"] == 375
    assert await shop.counts() == (10, 0, 0)
    with pytest.raises(OperationReversed):
        await shop.stock.reserve(buyer.reserve_lines(*fewer))
    await shop.stock.reserve(buyer.reserve_lines(*fewer, step="reserve/2"))
    assert await shop.counts() == (9, 1, 0)


async def test_a_run_that_begins_anew_after_the_charge_changes_no_line(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.orders.receive(buyer.receive(a_line("1", 1), charged=True))
    assert (await order_row(shop))["owed_minor"] == TOTAL
    assert await shop.counts() == (7, 3, 0)


async def test_a_second_reservation_takes_the_place_of_the_first(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(4))
    await shop.stock.reserve(buyer.reserve(7, step="reserve/2"))
    assert await shop.counts() == (3, 7, 0)
    await shop.stock.commit(buyer.commit("reserve/2"))
    assert await shop.counts() == (3, 0, 7)


async def test_a_change_replaces_what_is_held_even_if_the_run_knows_of_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(4))
    changed = await shop.orders.change_lines(buyer.change_lines(a_line("1", 1), replaces=None))
    assert changed.reservation_id is not None
    assert await shop.counts() == (9, 1, 0)


async def test_units_that_are_not_those_of_the_lines_in_force_are_not_sold(shop: Shop) -> None:
    buyer = Buyer()
    await shop.orders.receive(buyer.receive(*LINES, charged=False))
    await shop.stock.reserve(buyer.reserve(7))
    with pytest.raises(LinesDiffer, match=r"holds .*7.*in force are .*3"):
        await shop.stock.commit(buyer.commit())


async def test_a_parcel_that_the_carrier_forgot_is_not_called_back_by_silence(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await shop.buyer()
    await shop.shipping.ship(buyer.ship())

    async def forgotten(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(shop.providers.carrier, "cancel", forgotten)
    with pytest.raises(BooksDisagree, match="for the ledger uid-1/ship/1 is done, but the provider knows nothing"):
        await shop.shipping.cancel(buyer.cancel_shipment())


async def test_a_parcel_that_the_ledger_forgot_is_not_called_back_by_silence(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(BooksDisagree, match="parcel TRACK-1, but for the ledger uid-1/ship/1 never happened"):
        await shop.shipping.cancel(buyer.cancel_shipment(tracking_number="TRACK-1"))


async def test_the_lines_that_cannot_be_called_back_are_sold_and_the_rest_is_refunded(shop: Shop) -> None:
    shipping = OrderCharge(charge_id="ship", kind=ChargeKind.SHIPPING, amount_minor=500)
    buyer = await a_charged_order(shop, charges=(shipping,))
    await shop.shipping.ship(buyer.ship(line=LINES[0], postal_code="99999"))
    await shop.shipping.ship(buyer.ship(line=LINES[1]))
    await shop.orders.halt(buyer.halt(status="Order Cancelled"))
    assert (await shop.shipping.cancel(buyer.cancel_shipment("1"))).too_late
    assert not (await shop.shipping.cancel(buyer.cancel_shipment("2"))).too_late
    halted = await shop.orders.halt(buyer.halt())
    assert [effect.line_id for effect in halted.begun if effect.sold] == halted.books.sold_lines == ["1"]

    refunded = await shop.payments.refund(buyer.refund(amount_minor=375, kept_lines=["1"]))
    await shop.stock.release(buyer.release(PROD_001=2))
    with pytest.raises(BooksDisagree, match="no line is sold"):
        await shop.orders.close(buyer.close())
    sold = await shop.orders.sell_lines(buyer.sell_lines("1"))
    await shop.orders.close(buyer.close(error_type="CancelledInPart"))

    assert (refunded.refunded_minor, sold.total_minor, sold.owed_minor) == (375, 1250, 1250)
    assert await shop.counts() == (8, 0, 2)
    row = await order_row(shop)
    assert (row["status"], row["owed_minor"], len(row["lines"])) == ("Order Completed", 1250, 1)
    assert await shop.orders.sell_lines(buyer.sell_lines("1")) == sold


async def test_lines_are_not_sold_while_units_of_others_are_held(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.orders.halt(buyer.halt())
    with pytest.raises(BooksDisagree, match="holds"):
        await shop.orders.sell_lines(buyer.sell_lines("1"))


async def test_an_order_that_goes_on_is_not_sold_in_part(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    with pytest.raises(PermanentError, match="only a halted order"):
        await shop.orders.sell_lines(buyer.sell_lines("1"))


async def test_kept_units_stay_held_until_a_later_release_keeps_fewer(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(5))
    await shop.stock.release(buyer.release(PROD_001=2))
    assert await shop.counts() == (8, 2, 0)
    with pytest.raises(BooksDisagree, match="PROD-001 3 are to stay held"):
        await shop.stock.release(buyer.release(step="release/2", PROD_001=3))
    await shop.stock.release(buyer.release(step="release/3"))
    assert await shop.counts() == (10, 0, 0)


async def test_an_older_worker_that_changes_the_total_makes_the_ledger_forget_the_lines(shop: Shop) -> None:
    await shop.orders.receive(Buyer().receive(*LINES, charged=True))
    await shop.ledger.transaction(lambda tx: tx.execute(update(tables.orders).values(total_minor=1)).rowcount)
    row = await order_row(shop)
    assert (row["lines"], row["lines_digest"], row["owed_minor"]) == (None, None, None)


async def test_a_message_that_the_database_cannot_store_does_not_stop_the_end(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.halt(buyer.halt(message="a\x00b"))
    await shop.orders.close(buyer.close("Order Cancelled", message="a\x00b"))
    assert (await order_row(shop))["message"] == "a\ufffdb"


async def test_sold_units_are_told_by_article(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.stock.commit(buyer.commit())
    assert (await shop.counts(SKU), (await order_row(shop))["forward_only"]) == ((7, 0, 3), True)

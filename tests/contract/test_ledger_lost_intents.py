"""What the workflow has asked for and the ledger has lost, with its last second or in a restore: it is undone all the
same, when the order is halted."""

from datetime import UTC, datetime

import pytest
from audited import flaws
from shop import ADDRESS, Buyer, Shop
from temporalio.testing import ActivityEnvironment

from order_domain.errors import BooksDisagree
from order_worker.ledger import tables
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect, Halted, KnownEffects
from order_workflows.activities.payment import Refunded

CHARGE = BegunEffect(kind=EffectKind.CHARGE, operation_id="uid-1/charge")
PARCEL = BegunEffect(kind=EffectKind.SHIP, operation_id="uid-1/ship/1", line_id="1")
PACKING = BegunEffect(kind=EffectKind.PACK, operation_id="uid-1/pack")


async def halted(shop: Shop, buyer: Buyer, *asked: BegunEffect, pivot_passed: bool = False) -> Halted:
    known = KnownEffects(received=True, unanswered=list(asked))
    return await shop.orders.halt(buyer.halt(known=known, pivot_passed=pivot_passed))


def begun(end: Halted) -> list[tuple[str, str]]:
    return [(effect.kind, effect.state) for effect in end.begun]


async def a_buyer_of_before_the_loss(shop: Shop) -> Buyer:
    """Units are held; what came after is lost."""
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve())
    return buyer


async def charge_at_the_company(shop: Shop) -> None:
    now = datetime.now(UTC)
    await shop.providers.payments.charge(
        CHARGE.operation_id, amount_minor=750, currency="USD", method="tok_visa", asked_at=now
    )


async def test_a_lost_charge_is_given_back(shop: Shop, ledger_url: str) -> None:
    """The order ended as cancelled, and the money stayed."""
    buyer = await a_buyer_of_before_the_loss(shop)
    await charge_at_the_company(shop)

    assert begun(await halted(shop, buyer, CHARGE)) == [("reserve", "done"), ("charge", "intent")]
    refunded = await shop.payments.refund(buyer.refund())
    await shop.stock.release(buyer.release())
    await shop.orders.close(buyer.close("Order Cancelled"))

    assert (refunded.captured_minor, refunded.refunded_minor) == (750, 750)
    assert [row["amount_minor"] for row in await shop.provider_log("refunds")] == [750]
    assert flaws(ledger_url) == []


async def test_a_charge_that_the_company_never_saw_is_nothing_to_give_back(shop: Shop, ledger_url: str) -> None:
    buyer = await a_buyer_of_before_the_loss(shop)
    await halted(shop, buyer, CHARGE)

    assert await shop.payments.refund(buyer.refund()) == Refunded()
    await shop.stock.release(buyer.release())
    await shop.orders.close(buyer.close("Order Cancelled"))

    assert flaws(ledger_url) == []


async def test_a_lost_parcel_is_called_back(shop: Shop) -> None:
    """The money was given back, and the parcel arrived."""
    buyer = await a_buyer_of_before_the_loss(shop)
    await shop.providers.carrier.dispatch(
        PARCEL.operation_id, sku="PROD-001", quantity=2, address=ADDRESS, requested_at=datetime.now(UTC)
    )

    end = await halted(shop, buyer, PARCEL)
    await shop.shipping.cancel(buyer.cancel_shipment())

    assert [(effect.kind, effect.line_id) for effect in end.begun] == [("reserve", None), ("ship", "1")]
    assert [row["state"] for row in await shop.provider_log("shipments")] == ["cancelled"]


async def test_lost_packing_is_undone(shop: Shop) -> None:
    buyer = await a_buyer_of_before_the_loss(shop)
    await shop.providers.warehouse.pack(PACKING.operation_id, line_id="1", sku="PROD-001", quantity=2)

    assert ("pack", "intent") in begun(await halted(shop, buyer, PACKING))
    await ActivityEnvironment().run(shop.warehouse.unpack, buyer.unpack())

    assert all(row["unpacked_at"] for row in await shop.provider_log("packed_lines"))


async def test_what_the_ledger_knows_is_not_opened_again(shop: Shop) -> None:
    buyer = await a_buyer_of_before_the_loss(shop)
    await shop.payments.charge(buyer.charge())

    assert begun(await halted(shop, buyer, CHARGE)) == [("reserve", "done"), ("charge", "done")]


async def test_what_was_refused_is_not_opened_again(shop: Shop) -> None:
    buyer = await a_buyer_of_before_the_loss(shop)
    await shop.payments.refund(buyer.refund())  # which prevents the charge

    assert begun(await halted(shop, buyer, CHARGE)) == [("reserve", "done")]


async def test_halting_twice_opens_it_once(shop: Shop) -> None:
    buyer = await a_buyer_of_before_the_loss(shop)

    assert await halted(shop, buyer, CHARGE) == await halted(shop, buyer, CHARGE)
    kinds = [row["kind"] for row in await shop.rows(tables.audit_events)]
    assert sorted(kinds) == ["charge", "halt", "receive", "reserve"]


async def test_an_order_that_goes_on_forward_asks_again_by_itself(shop: Shop) -> None:
    buyer = await a_buyer_of_before_the_loss(shop)

    assert begun(await halted(shop, buyer, PARCEL, pivot_passed=True)) == [("reserve", "done")]


async def test_an_answer_that_the_ledger_has_lost_is_still_for_a_person(shop: Shop) -> None:
    buyer = await a_buyer_of_before_the_loss(shop)
    known = KnownEffects(received=True, transaction_id="TXN-1", captured_minor=750, unanswered=[PARCEL])

    with pytest.raises(BooksDisagree, match="750 captured as TXN-1"):
        await shop.orders.halt(buyer.halt(known=known))

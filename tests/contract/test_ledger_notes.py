"""What people did about an order comes into its audit trail together with the request that carries it, and once."""

from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock

import pytest
from shop import Buyer, Shop

from order_domain.audit_note import AuditNote
from order_domain.errors import ProviderUnavailable
from order_worker.ledger import tables
from order_worker.providers.payment.simulated import SimulatedPayments

APPROVED = AuditNote(
    note_id="uid-1/note/1",
    kind="approved",
    by="bob@example.com",
    requester="ana@example.com",
    editor="eve@example.com",
    proof="Policy",
    channel="kubernetes",
    total_minor=750,
    currency="USD",
    digest="d1",
    at=datetime(2026, 1, 1, tzinfo=UTC),
)


async def told(shop: Shop) -> list[dict[str, Any]]:
    """What the trail says of approvals."""
    return [row["data"] for row in await shop.rows(tables.audit_events) if row["kind"] == "approved"]


async def by_charge(shop: Shop, buyer: Buyer, *notes: AuditNote) -> None:
    await shop.payments.charge(buyer.charge().model_copy(update={"notes": list(notes)}))


async def by_halt(shop: Shop, buyer: Buyer, *notes: AuditNote) -> None:
    await shop.orders.halt(buyer.halt(notes=list(notes)))


async def by_close(shop: Shop, buyer: Buyer, *notes: AuditNote) -> None:
    await shop.orders.close(buyer.close("Order Rejected", notes=list(notes)))


@pytest.mark.parametrize("carried", [by_charge, by_halt, by_close])
async def test_who_decided_and_about_what_is_in_the_trail(shop: Shop, carried: Any) -> None:
    buyer = await shop.buyer()
    await carried(shop, buyer, APPROVED)

    [event] = await told(shop)
    people = {"by": "bob@example.com", "requester": "ana@example.com", "editor": "eve@example.com"}
    wanted = {**people, "proof": "Policy", "totalMinor": 750, "digest": "d1"}
    assert {key: event.get(key) for key in wanted} == wanted


async def test_a_note_that_comes_again_is_recorded_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    await by_halt(shop, buyer, APPROVED)
    await by_halt(shop, buyer, APPROVED.model_copy(update={"at": datetime(2026, 1, 2, tzinfo=UTC)}))

    assert len(await told(shop)) == 1


async def test_what_was_done_after_a_charge_was_asked_for_is_recorded_by_its_next_attempt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its intent was there, and the act was in no trail."""
    buyer = await shop.buyer()
    with monkeypatch.context() as away:
        away.setattr(SimulatedPayments, "charge", AsyncMock(side_effect=ProviderUnavailable("down")))
        with pytest.raises(ProviderUnavailable):
            await by_charge(shop, buyer)
    await by_charge(shop, buyer, APPROVED)
    second = APPROVED.model_copy(update={"note_id": "uid-1/note/2", "by": "eve@example.com"})
    await by_charge(shop, buyer, APPROVED, second)

    assert [event["by"] for event in await told(shop)] == ["bob@example.com", "eve@example.com"]


async def test_another_act_under_the_id_of_an_earlier_one_is_recorded_too(shop: Shop) -> None:
    buyer = await shop.buyer()
    await by_halt(shop, buyer, APPROVED)
    await by_halt(shop, buyer, APPROVED.model_copy(update={"by": "eve@example.com"}))

    assert [event["by"] for event in await told(shop)] == ["bob@example.com", "eve@example.com"]

"""Money through the ledger's protocol, with deaths and lost answers at every point of it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from shop import Shop, a_line
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from order_domain.errors import (
    OperationCancelled,
    OperationConflict,
    OperationReversed,
    PaymentDeclined,
    PermanentError,
    ProviderUnavailable,
)
from order_worker.ledger import tables
from order_worker.providers.payment.port import PaymentProvider, ProviderCharge, ProviderRefund
from order_worker.providers.payment.simulated import SimulatedPayments
from order_workflows.activities.payment import Refunded

NOW = datetime.now(UTC)


class Killed(Exception):
    """The worker died here."""


class Interruptible(SimulatedPayments):
    """Another provider, with a place to stop before and after each effect."""

    def __init__(self, inner: PaymentProvider) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self.before: Exception | None = None
        self.after: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.waiting = asyncio.Event()
        self.to_undo: tuple[str, int, str] | None = None

    async def charge(self, key: str, **request: Any) -> ProviderCharge:
        self.calls.append("charge")
        await self._stop(self.before)
        charge = await self.inner.charge(key, **request)
        await self._stop(self.after)
        return charge

    async def find_charge(self, key: str) -> ProviderCharge | None:
        self.calls.append("find")
        return await self.inner.find_charge(key)

    async def refund(self, key: str, **request: Any) -> ProviderRefund | None:
        self.calls.append("refund")
        self.to_undo = (request["charge_key"], request["charged_minor"], request["currency"])
        refund = await self.inner.refund(key, **request)
        await self._stop(self.after)
        return refund

    async def _stop(self, error: Exception | None) -> None:
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if error is not None:
            raise error


@pytest.fixture
def provider(shop: Shop) -> Interruptible:
    return Interruptible(shop.providers.payments)


@pytest.fixture
def till(shop: Shop, provider: Interruptible) -> Shop:
    """The shop, with the interruptible provider."""
    return Shop(shop.ledger, replace(shop.providers, payments=provider))


async def captured_and_refunded(shop: Shop) -> tuple[int, int]:
    """By the provider's own log."""
    captured = [row for row in await shop.provider_log("charges") if row["state"] == "captured"]
    refunds = await shop.provider_log("refunds")
    return sum(row["amount_minor"] for row in captured), sum(row["amount_minor"] for row in refunds)


async def ledgers_view(shop: Shop) -> tuple[int, int]:
    """The same by the ledger."""
    rows = await shop.rows(tables.payments)
    return sum(row["captured_minor"] for row in rows), sum(row["refunded_minor"] for row in rows)


async def test_charging_twice_takes_the_money_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    first = await shop.payments.charge(buyer.charge())
    second = await shop.payments.charge(buyer.charge())
    assert first == second
    assert await captured_and_refunded(shop) == (750, 0)


async def test_a_second_charge_is_answered_without_the_provider(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    await till.payments.charge(buyer.charge())
    await till.payments.charge(buyer.charge())
    assert provider.calls == ["charge"]


async def test_another_amount_under_the_same_operation_is_a_conflict(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    with pytest.raises(OperationConflict):
        await shop.payments.charge(buyer.charge(amount_minor=751))


async def test_a_second_operation_may_not_charge_the_order_again(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    with pytest.raises(OperationConflict, match="already"):
        await shop.payments.charge(buyer.charge(step="charge/2"))


async def test_more_than_the_orders_total_is_not_charged(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    with pytest.raises(PermanentError, match=r"751 .* 750"):
        await till.payments.charge(buyer.charge(amount_minor=751))
    assert provider.calls == []


async def test_the_total_that_bounds_a_charge_is_that_of_the_lines_in_force(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 3), replaces=None))
    await shop.payments.charge(buyer.charge(amount_minor=3 * 375))
    assert await captured_and_refunded(shop) == (1125, 0)


async def test_a_charge_that_was_refused_as_too_much_may_be_made_right(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(PermanentError):
        await shop.payments.charge(buyer.charge(amount_minor=751))
    await shop.payments.charge(buyer.charge())
    assert await captured_and_refunded(shop) == await ledgers_view(shop) == (750, 0)


async def test_an_order_that_was_never_received_is_not_charged(shop: Shop) -> None:
    buyer = await shop.buyer()
    stranger = replace(buyer, uid="uid-9")
    with pytest.raises(PermanentError, match="never received"):
        await shop.payments.charge(stranger.charge())
    assert await shop.provider_log("charges") == []


async def test_a_worker_that_dies_after_the_charge_does_not_charge_again(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    provider.after = Killed()
    with pytest.raises(Killed):
        await till.payments.charge(buyer.charge())
    provider.after = None
    receipt = await till.payments.charge(buyer.charge())
    assert provider.calls == ["charge", "find"]
    assert receipt.captured_minor == 750
    assert await captured_and_refunded(till) == await ledgers_view(till) == (750, 0)


async def test_a_worker_that_dies_before_the_charge_leaves_it_to_the_next_attempt(
    till: Shop, provider: Interruptible
) -> None:
    buyer = await till.buyer()
    provider.before = Killed()
    with pytest.raises(Killed):
        await till.payments.charge(buyer.charge())
    provider.before = None
    await till.payments.charge(buyer.charge())
    assert provider.calls == ["charge", "find", "charge"]
    assert await captured_and_refunded(till) == (750, 0)


async def test_an_unknown_result_leaves_the_intent_open(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    provider.before = ProviderUnavailable("no answer")
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(buyer.charge())
    states = {row["operation_id"]: row["state"] for row in await till.rows(tables.operations)}
    assert states["uid-1/charge"] == "intent"


async def test_a_decline_is_remembered(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    declined = buyer.charge(method="tok_chargeDeclined")
    for _ in range(2):
        with pytest.raises(PaymentDeclined, match="card_declined"):
            await till.payments.charge(declined)
    assert provider.calls == ["charge"]


async def test_refunding_twice_gives_the_money_back_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    first = await shop.payments.refund(buyer.refund())
    second = await shop.payments.refund(buyer.refund())
    assert first == second
    assert first.refunded_minor == 750
    assert await captured_and_refunded(shop) == await ledgers_view(shop) == (750, 750)


async def test_a_charge_that_never_happened_is_refunded_with_nothing(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    assert await till.payments.refund(buyer.refund()) == Refunded()
    assert provider.calls == []


async def test_a_charge_after_its_refund_is_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.payments.refund(buyer.refund())
    with pytest.raises(OperationCancelled):
        await shop.payments.charge(buyer.charge())
    assert await captured_and_refunded(shop) == (0, 0)


async def test_a_declined_charge_is_refunded_with_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(PaymentDeclined):
        await shop.payments.charge(buyer.charge(method="tok_chargeDeclined"))
    assert await shop.payments.refund(buyer.refund()) == Refunded()


async def test_a_refund_finds_the_charge_of_an_attempt_that_died(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    provider.after = Killed()
    with pytest.raises(Killed):
        await till.payments.charge(buyer.charge())
    provider.after = None
    await till.payments.refund(buyer.refund())
    assert await captured_and_refunded(till) == await ledgers_view(till) == (750, 750)


async def test_a_refund_closes_the_intent_of_an_attempt_that_never_reports(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    provider.before = Killed()
    with pytest.raises(Killed):
        await till.payments.charge(buyer.charge())
    await till.payments.refund(buyer.refund())
    states = {row["operation_id"]: row["state"] for row in await till.rows(tables.operations)}
    assert states["uid-1/charge"] == "refused"


async def test_a_refund_tells_the_provider_what_the_charge_was_to_take(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    provider.before = Killed()
    with pytest.raises(Killed):
        await till.payments.charge(buyer.charge())
    await till.payments.refund(buyer.refund())
    assert provider.to_undo == ("uid-1/charge", 750, "USD")


async def test_a_refund_whose_answer_is_lost_is_found_by_the_next_attempt(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    await till.payments.charge(buyer.charge())
    provider.after = Killed()
    with pytest.raises(Killed):
        await till.payments.refund(buyer.refund())
    provider.after = None
    assert (await till.payments.refund(buyer.refund())).refunded_minor == 750
    assert await captured_and_refunded(till) == await ledgers_view(till) == (750, 750)


async def test_a_stalled_attempt_cannot_charge_after_the_refund_looked(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    provider.gate = asyncio.Event()
    late = asyncio.create_task(till.payments.charge(buyer.charge()))
    await provider.waiting.wait()
    refunds = Shop(till.ledger, replace(till.providers, payments=provider.inner)).payments
    assert await refunds.refund(buyer.refund()) == Refunded()
    provider.gate.set()
    with pytest.raises(OperationCancelled):
        await late
    assert await captured_and_refunded(till) == await ledgers_view(till) == (0, 0)


async def test_an_attempt_that_reports_after_the_refund_changes_nothing(till: Shop, provider: Interruptible) -> None:
    buyer = await till.buyer()
    await provider.inner.charge("uid-1/charge", amount_minor=750, currency="USD", method="tok_visa", asked_at=NOW)
    provider.gate = asyncio.Event()
    late = asyncio.create_task(till.payments.charge(buyer.charge()))
    await provider.waiting.wait()
    refunds = Shop(till.ledger, replace(till.providers, payments=provider.inner)).payments
    await refunds.refund(buyer.refund())
    settled = await till.rows(tables.audit_events)
    provider.gate.set()
    with pytest.raises(OperationReversed):
        await late
    assert await till.rows(tables.audit_events) == settled


async def test_another_amount_at_the_provider_stays_open_and_the_refund_names_both(shop: Shop) -> None:
    buyer = await shop.buyer()
    provider = shop.providers.payments
    await provider.charge("uid-1/charge", amount_minor=700, currency="USD", method="tok_visa", asked_at=NOW)
    with pytest.raises(OperationConflict):
        await shop.payments.charge(buyer.charge())
    with pytest.raises(OperationConflict, match=r"7\.50 USD.*7\.00 USD"):
        await shop.payments.refund(buyer.refund())
    assert await captured_and_refunded(shop) == (700, 0)


async def test_a_refund_may_not_name_another_orders_charge(shop: Shop) -> None:
    victim, thief = await shop.buyer(1), await shop.buyer(2)
    await shop.payments.charge(victim.charge())
    request = thief.refund().model_copy(update={"charge_operation_id": "uid-1/charge"})
    with pytest.raises(OperationConflict, match="belongs to order uid-1"):
        await shop.payments.refund(request)


@pytest.mark.parametrize("amounts", [{"captured_minor": 751}, {"refunded_minor": 751}, {"refunded_minor": -1}])
async def test_the_database_itself_refuses_impossible_amounts(shop: Shop, amounts: dict[str, int]) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    with pytest.raises(IntegrityError):
        await shop.ledger.transaction(lambda tx: tx.execute(update(tables.payments).values(**amounts)).rowcount)


async def test_the_payment_token_is_not_stored(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge(method="tok_secret"))
    stored = str(await shop.rows(tables.operations)) + str(await shop.rows(tables.audit_events))
    assert "tok_secret" not in stored

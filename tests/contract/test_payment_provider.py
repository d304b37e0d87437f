"""What every payment provider has to do."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from fake_stripe import KEY, FakeStripe, serving

from order_domain.errors import OperationCancelled, OperationConflict, PaymentDeclined
from order_worker.bootstrap import Providers
from order_worker.providers import registry
from order_worker.providers.payment.port import PaymentProvider, ProviderRefund
from order_worker.providers.payment.stripe_payments import StripePayments


@asynccontextmanager
async def simulated(providers: Providers) -> AsyncIterator[PaymentProvider]:
    yield providers.payments


@asynccontextmanager
async def stripe(_: Providers) -> AsyncIterator[PaymentProvider]:
    async with serving(FakeStripe()) as address:
        payments = StripePayments.from_environment({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": address})
        yield payments
        await payments.close()


ADAPTERS: dict[str, Callable[[Providers], AbstractAsyncContextManager[PaymentProvider]]] = {
    "simulated": simulated,
    "stripe": stripe,
}


@pytest.fixture(params=sorted(ADAPTERS))
async def provider(request: pytest.FixtureRequest, providers: Providers) -> AsyncIterator[PaymentProvider]:
    async with ADAPTERS[request.param](providers) as adapter:
        yield adapter


def test_every_registered_provider_is_tested_here() -> None:
    assert ADAPTERS.keys() == registry.PAYMENT.keys()


async def charge(provider: PaymentProvider, *, amount_minor: int = 750, method: str = "tok_visa") -> str:
    made = await provider.charge("key", amount_minor=amount_minor, currency="USD", method=method)
    return made.transaction_id


async def refund(provider: PaymentProvider, key: str = "refund") -> ProviderRefund | None:
    return await provider.refund(key, charge_key="key", amount_minor=750, currency="USD")


async def test_one_key_is_charged_once(provider: PaymentProvider) -> None:
    assert await charge(provider) == await charge(provider)


@pytest.mark.parametrize("change", [{"amount_minor": 751}, {"method": "tok_other"}, {"method": "tok_chargeDeclined"}])
async def test_one_key_with_other_parameters_is_refused(provider: PaymentProvider, change: dict[str, object]) -> None:
    await charge(provider)
    with pytest.raises(OperationConflict):
        await charge(provider, **change)  # type: ignore[arg-type]


async def test_a_charge_is_found_by_its_key(provider: PaymentProvider) -> None:
    transaction = await charge(provider)
    found = await provider.find_charge("key")
    assert found is not None
    assert (found.transaction_id, found.amount_minor) == (transaction, 750)


async def test_an_unknown_key_is_not_found(provider: PaymentProvider) -> None:
    assert await provider.find_charge("key") is None


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("tok_chargeDeclined", "card_declined"),
        ("tok_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("tok_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
async def test_the_test_tokens_are_declined(provider: PaymentProvider, token: str, code: str) -> None:
    with pytest.raises(PaymentDeclined, match=code):
        await charge(provider, method=token)


async def test_a_declined_key_is_found_declined(provider: PaymentProvider) -> None:
    with pytest.raises(PaymentDeclined):
        await charge(provider, method="tok_chargeDeclined")
    with pytest.raises(PaymentDeclined):
        await provider.find_charge("key")


async def test_a_refund_gives_back_the_whole_charge_once(provider: PaymentProvider) -> None:
    transaction = await charge(provider)
    first = await refund(provider)
    second = await refund(provider)
    assert first is not None
    assert first == second
    assert (first.amount_minor, first.charge.transaction_id) == (750, transaction)


async def test_another_refund_of_the_same_charge_is_the_same_refund(provider: PaymentProvider) -> None:
    await charge(provider)
    first = await refund(provider)
    assert await refund(provider, "another") == first


async def test_a_declined_charge_has_nothing_to_refund(provider: PaymentProvider) -> None:
    with pytest.raises(PaymentDeclined):
        await charge(provider, method="tok_chargeDeclined")
    assert await refund(provider) is None


async def test_refunding_an_unknown_charge_makes_it_impossible(provider: PaymentProvider) -> None:
    assert await refund(provider) is None
    with pytest.raises(OperationCancelled):
        await charge(provider)
    with pytest.raises(OperationCancelled):
        await provider.find_charge("key")

"""What every payment provider has to do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from fake_stripe import KEY, FakeStripe, serving

from order_domain.errors import OperationCancelled, OperationConflict, PaymentDeclined
from order_worker.bootstrap import Providers
from order_worker.providers import registry
from order_worker.providers.payment.port import PaymentProvider, ProviderRefund, RefundState
from order_worker.providers.payment.stripe.payments import StripePayments

NOW = datetime.now(UTC)


@dataclass
class Adapter:
    """A provider, and what can happen on its side."""

    provider: PaymentProvider
    forget: Callable[[], Awaitable[None]]
    """Its books are gone; or the account is another one."""


@asynccontextmanager
async def simulated(providers: Providers) -> AsyncIterator[Adapter]:
    store = providers.store
    assert store is not None

    async def forget() -> None:
        await store.transaction(lambda tx: [tx.execute("DELETE FROM refunds"), tx.execute("DELETE FROM charges")])

    yield Adapter(providers.payments, forget)


@asynccontextmanager
async def stripe(_: Providers) -> AsyncIterator[Adapter]:
    fake = FakeStripe()
    fake.page = 2  # so that every list of more than two has pages

    async def forget() -> None:
        fake.forget()

    async with serving(fake) as address:
        payments = StripePayments.from_environment({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": address})
        yield Adapter(payments, forget)
        await payments.close()


ADAPTERS: dict[str, Callable[[Providers], AbstractAsyncContextManager[Adapter]]] = {
    "simulated": simulated,
    "stripe": stripe,
}


@pytest.fixture(params=sorted(ADAPTERS))
async def adapter(request: pytest.FixtureRequest, providers: Providers) -> AsyncIterator[Adapter]:
    async with ADAPTERS[request.param](providers) as made:
        yield made


@pytest.fixture
def provider(adapter: Adapter) -> PaymentProvider:
    return adapter.provider


def test_every_registered_provider_is_tested_here() -> None:
    assert ADAPTERS.keys() == registry.PAYMENT.keys()


async def charge(
    provider: PaymentProvider, *, key: str = "key", amount_minor: int = 750, method: str = "tok_visa"
) -> str:
    made = await provider.charge(key, amount_minor=amount_minor, currency="USD", method=method, asked_at=NOW)
    return made.transaction_id


async def refund(
    provider: PaymentProvider,
    key: str = "refund",
    *,
    amount_minor: int = 750,
    charge_key: str = "key",
    transaction_id: str | None = None,
    charged_minor: int = 750,
) -> ProviderRefund | None:
    return await provider.refund(
        key,
        charge_key=charge_key,
        transaction_id=transaction_id,
        charged_minor=charged_minor,
        amount_minor=amount_minor,
        currency="USD",
        asked_at=NOW,
    )


async def given_back(provider: PaymentProvider) -> int:
    """By the provider's books."""
    return sum([entry.amount_minor async for entry in provider.refunds_since(LONG_AGO)])


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


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


@pytest.mark.parametrize("known", [False, True])
async def test_partial_refunds_add_up(provider: PaymentProvider, known: bool) -> None:
    made = await charge(provider)
    for key, amount in (("refund", 200), ("refund/2", 550)):
        given = await refund(provider, key, amount_minor=amount, transaction_id=made if known else None)
        assert given is not None
        assert (given.amount_minor, given.charge.amount_minor) == (amount, 750)
    assert await given_back(provider) == 750


async def test_partial_refunds_have_ids_of_their_own(provider: PaymentProvider) -> None:
    await charge(provider)
    given = [await refund(provider, key, amount_minor=200) for key in ("refund", "refund/2")]
    assert len({refund.refund_id for refund in given if refund is not None}) == 2


async def test_a_partial_refund_asked_for_again_gives_once(provider: PaymentProvider) -> None:
    await charge(provider)
    assert await refund(provider, amount_minor=200) == await refund(provider, amount_minor=200)
    assert await given_back(provider) == 200


async def test_more_than_what_is_left_is_refused_with_both_figures(provider: PaymentProvider) -> None:
    await charge(provider)
    await refund(provider, amount_minor=200)
    with pytest.raises(OperationConflict, match=r"5\.51 USD.*7\.50 USD taken, 2\.00 USD given back"):
        await refund(provider, "refund/2", amount_minor=551)
    assert await given_back(provider) == 200


async def test_one_refund_key_with_another_amount_is_refused(provider: PaymentProvider) -> None:
    await charge(provider)
    await refund(provider, amount_minor=200)
    with pytest.raises(OperationConflict):
        await refund(provider, amount_minor=300)
    assert await given_back(provider) == 200


async def test_another_charged_amount_than_the_providers_is_a_conflict_with_both(provider: PaymentProvider) -> None:
    await charge(provider)
    with pytest.raises(OperationConflict):
        await refund(provider, amount_minor=100, charged_minor=800)
    assert await given_back(provider) == 0


async def test_a_captured_charge_that_the_provider_has_forgotten_is_no_nothing(adapter: Adapter) -> None:
    made = await charge(adapter.provider)
    await adapter.forget()
    with pytest.raises(OperationConflict, match=made):
        await refund(adapter.provider, transaction_id=made)


async def test_a_forgotten_charge_is_not_made_void(adapter: Adapter) -> None:
    made = await charge(adapter.provider)
    await adapter.forget()
    with pytest.raises(OperationConflict):
        await refund(adapter.provider, transaction_id=made)
    assert await adapter.provider.find_charge("key") is None


async def test_the_transaction_of_another_charge_is_a_conflict(provider: PaymentProvider) -> None:
    made = await charge(provider)
    with pytest.raises(OperationConflict, match=made):
        await refund(provider, charge_key="other", transaction_id=made)
    assert await given_back(provider) == 0


async def test_a_refund_that_succeeded_is_known_to_have(provider: PaymentProvider) -> None:
    await charge(provider)
    given = await refund(provider)
    assert given is not None
    assert not given.pending
    assert await provider.refund_state(given.refund_id) is RefundState.SUCCEEDED


async def test_the_state_of_a_refund_that_the_provider_has_forgotten_is_a_conflict(adapter: Adapter) -> None:
    await charge(adapter.provider)
    given = await refund(adapter.provider)
    assert given is not None
    await adapter.forget()
    with pytest.raises(OperationConflict, match=given.refund_id):
        await adapter.provider.refund_state(given.refund_id)


async def test_charges_are_listed_with_what_was_given_back(provider: PaymentProvider) -> None:
    names = [await charge(provider, key=f"key/{number}") for number in range(3)]
    await refund(provider, charge_key="key/1", amount_minor=200)
    with pytest.raises(PaymentDeclined):
        await charge(provider, key="key/declined", method="tok_chargeDeclined")
    listed = {entry.key: entry async for entry in provider.charges_since(LONG_AGO)}
    assert {key: entry.transaction_id for key, entry in listed.items()} == {
        f"key/{number}": name for number, name in enumerate(names)
    }
    sums = {key: (entry.captured_minor, entry.refunded_minor, entry.currency) for key, entry in listed.items()}
    assert sums == {"key/0": (750, 0, "USD"), "key/1": (750, 200, "USD"), "key/2": (750, 0, "USD")}


async def test_refunds_are_listed_with_their_charge(provider: PaymentProvider) -> None:
    made = await charge(provider)
    for number in range(3):
        await refund(provider, f"refund/{number}", amount_minor=100 + number)
    listed = {entry.key: entry async for entry in provider.refunds_since(LONG_AGO)}
    assert {(key, entry.amount_minor, entry.currency) for key, entry in listed.items()} == {
        (f"refund/{number}", 100 + number, "USD") for number in range(3)
    }
    assert {entry.transaction_id for entry in listed.values()} == {made}
    assert {entry.state for entry in listed.values()} == {RefundState.SUCCEEDED}


async def test_what_is_older_is_not_listed(provider: PaymentProvider) -> None:
    await charge(provider)
    await refund(provider)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert [entry async for entry in provider.charges_since(tomorrow)] == []
    assert [entry async for entry in provider.refunds_since(tomorrow)] == []


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

"""What can come between a request to Stripe and its answer, and the key that both need."""

from pathlib import Path

import pytest
from fake_stripe import KEY, FakeStripe
from stripe_requests import charge

from order_domain.errors import ProviderUnavailable
from order_process.settings import SettingsError
from order_worker.providers.payment.stripe import account
from order_worker.providers.payment.stripe.payments import StripePayments


@pytest.mark.parametrize("action", ["create", "confirm"])
@pytest.mark.parametrize("fault", ["lost", "silent"])
async def test_a_charge_whose_answer_never_comes_is_charged_once(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch, action: str, fault: str
) -> None:
    stripe.fail(action, **{fault: True})
    with monkeypatch.context() as hurried:
        hurried.setattr(account, "DEADLINE_SECONDS", 0.3)
        with pytest.raises(ProviderUnavailable):
            await charge(payments)
    await charge(payments)
    assert (stripe.taken(), len(stripe.intents)) == (750, 1)


@pytest.mark.parametrize("action", ["create", "confirm"])
@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_a_fault_of_stripe_is_no_decline(
    stripe: FakeStripe, payments: StripePayments, action: str, status: int
) -> None:
    stripe.fail(action, status=status)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_a_charge_goes_through_after_a_fault_of_stripe(
    stripe: FakeStripe, payments: StripePayments, status: int
) -> None:
    stripe.fail("confirm", status=status)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    await charge(payments)
    assert stripe.taken() == 750


async def test_nothing_is_tried_twice_in_one_call(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.fail("create", status=500)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    assert stripe.requests == ["create"]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    nobody = StripePayments.from_environment({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": "http://127.0.0.1:1"})
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await charge(nobody)
    await nobody.close()


async def test_a_refused_key_is_named_and_nothing_is_known_to_have_failed(stripe_address: str) -> None:
    payments = StripePayments.from_environment({"STRIPE_API_KEY": "sk_wrong", "STRIPE_API_BASE": stripe_address})
    with pytest.raises(ProviderUnavailable, match="STRIPE_API_KEY"):
        await charge(payments)
    await payments.close()


async def test_a_rotated_key_counts_at_once(stripe: FakeStripe, stripe_address: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    payments = StripePayments.from_environment({"STRIPE_API_KEY_FILE": str(file), "STRIPE_API_BASE": stripe_address})
    stripe.keys = {"sk_test_second"}
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    file.write_text("sk_test_second\n")
    await charge(payments)
    assert stripe.taken() == 750
    await payments.close()


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({}, "STRIPE_API_KEY"),
        ({"STRIPE_API_KEY": "a", "STRIPE_API_KEY_FILE": "b"}, "STRIPE_API_KEY_FILE"),
        ({"STRIPE_API_KEY_FILE": "/nowhere/key"}, "STRIPE_API_KEY_FILE"),
        ({"STRIPE_API_KEY": "a", "STRIPE_API_BASE": "proxy:8080"}, "STRIPE_API_BASE"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(environment: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        StripePayments.from_environment(environment)

"""A charge and a refund at Stripe, as most tests want them."""

from datetime import UTC, datetime, timedelta

from order_worker.providers.payment.port import ProviderCharge, ProviderRefund
from order_worker.providers.payment.stripe.payments import StripePayments

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def yesterday() -> datetime:
    return now() - timedelta(days=1)


async def charge(
    payments: StripePayments,
    *,
    method: str = "tok_visa",
    amount_minor: int = 750,
    asked_at: datetime | None = None,
    ordered_at: datetime | None = None,
) -> ProviderCharge:
    return await payments.charge(
        "uid/charge",
        amount_minor=amount_minor,
        currency="USD",
        method=method,
        asked_at=asked_at or now(),
        ordered_at=ordered_at,
    )


async def refund(
    payments: StripePayments,
    *,
    key: str = "uid/refund",
    amount_minor: int = 750,
    charged_minor: int = 750,
    transaction_id: str | None = None,
    asked_at: datetime | None = None,
    ordered_at: datetime | None = None,
) -> ProviderRefund | None:
    return await payments.refund(
        key,
        charge_key="uid/charge",
        transaction_id=transaction_id,
        charged_minor=charged_minor,
        amount_minor=amount_minor,
        currency="USD",
        asked_at=asked_at or now(),
        ordered_at=ordered_at,
    )

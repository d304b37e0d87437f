"""Stripe, by PaymentIntents.

    STRIPE_API_KEY   secret or restricted key that may write PaymentIntents and Refunds; or STRIPE_API_KEY_FILE
    STRIPE_API_BASE  address of the API, for a proxy (default: Stripe's own)

**One fate for ever.** A charge is one PaymentIntent: created, which takes nothing, and then confirmed, which takes the
money. Whether a key ends with money or void is decided by Stripe's own state machine, where `confirm` and `cancel` of
one PaymentIntent exclude each other: of a charge and a refund at the same moment the first wins, and the other learns
of it. A refund that finds no PaymentIntent creates it, with the very request that the charge would have sent, and
cancels it. After a decline the PaymentIntent is cancelled too, since another confirmation could succeed.

**One PaymentIntent per key.** The create request carries the key as its idempotency key, which Stripe keeps for at
least 24 hours, and as metadata, which its search finds after less than a minute, or an hour during outages. Searched
first and created then, a key finds its PaymentIntent at any age: by search if it is old, by the idempotency key if it
is young. The deadline of a call keeps search and create together. Should there be two nevertheless, the older counts.

**Only the create request has an idempotency key of ours.** Stripe repeats the answer to a known key for a day, also
where that was an internal error; under a fixed key a confirmation, a cancellation or a refund could not be tried again
after such an answer. They need none: a second confirmation or cancellation is refused by the PaymentIntent's state, a
second refund by the amount that is left.

Nothing is repeated in here: the library's own retries are off, because the workflow retries, visibly and by the policy
of the class.

Sources: docs.stripe.com/api/idempotent_requests, /error-low-level, /search, /payments/paymentintents/lifecycle and
/currencies.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import stripe

from order_domain.errors import OperationCancelled, OperationConflict, PaymentDeclined, ProviderUnavailable
from order_domain.money import MINOR_DIGITS
from order_worker.providers.payment.port import PaymentProvider, ProviderCharge, ProviderRefund
from order_worker.providers.secret import Secret
from order_worker.settings import SettingsError

if TYPE_CHECKING:
    from stripe import RequestOptions
    from stripe.params import PaymentIntentConfirmParams

DEADLINE_SECONDS = 9.0
"""For all requests of one call: below the 10 s that a step has by default, so that the worker says what was wrong."""

OPERATION = "operation_id"
DECLINED = "decline_code"
METHOD = "method"
"""Metadata: of the PaymentIntent the key and, once it is declined, why; of a payment method the token it came from."""

OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
NOT_REPRESENTABLE = "invalid_charge_amount"

SCALE = {"ISK": Fraction(100), "MGA": Fraction(1, 100)}
"""Stripe's amount per minor unit, where the two differ: it takes krónur in hundredths and ariary whole."""
REFUSED = frozenset({"UGX"})
"""Stripe's table of currencies has the Ugandan shilling among those without decimals and among those with two; the
wrong reading would take a hundred times the price."""
THREE_DIGITS_STEP = 10
"""The last digit of an amount with three decimals must be 0."""


def to_stripe(amount_minor: int, currency: str) -> int:
    """The amount as Stripe counts it. Raises PaymentDeclined where it cannot. Source: docs.stripe.com/currencies."""
    amount = amount_minor * SCALE.get(currency, Fraction(1))
    rounded = MINOR_DIGITS[currency] == 3 and amount % THREE_DIGITS_STEP != 0
    if currency in REFUSED or amount.denominator != 1 or rounded:
        raise PaymentDeclined(NOT_REPRESENTABLE)
    return int(amount)


def from_stripe(amount: int, currency: str) -> int:
    """The inverse; `currency` as Stripe writes it."""
    return int(amount / SCALE.get(currency.upper(), Fraction(1)))


class StripePayments(PaymentProvider):
    """Payment methods are `pm_…` ids, or `tok_…` tokens of cards."""

    def __init__(self, key: Secret, api_base: str | None) -> None:
        # One line per request at INFO would drown the worker's own.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self._key = key
        self._http = stripe.AIOHTTPClient(timeout=DEADLINE_SECONDS)
        client = stripe.StripeClient(
            # Replaced in every request.
            "unused",
            base_addresses={"api": api_base} if api_base else {},
            http_client=self._http,
            max_network_retries=0,
        )
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        api_base = environment.get("STRIPE_API_BASE")
        key = Secret.from_environment(environment, "STRIPE_API_KEY")
        if api_base and not api_base.startswith(("https://", "http://")):
            raise SettingsError(f"STRIPE_API_BASE must be <scheme>://<host>, not {api_base!r}")
        if key is None:
            raise SettingsError("STRIPE_API_KEY or STRIPE_API_KEY_FILE must be set for the payment provider stripe")
        return cls(key, api_base)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def charge(self, key: str, *, amount_minor: int, currency: str, method: str) -> ProviderCharge:
        """Declined with `authentication_required` where the bank wants the customer to confirm (3-D Secure): nobody is
        there to do it."""
        amount = to_stripe(amount_minor, currency)
        async with self._conversation():
            intent = await self._obtain(key, amount, currency)
            charge = await self._fate(intent)
            if charge is None:
                intent = await self._confirm(intent, method)
                charge = await self._fate(intent)
            if charge is None:
                raise ProviderUnavailable(f"{intent.id} is {intent.status} after it was confirmed")
            if not _paid_with(intent, method):
                raise OperationConflict(f"charge {key} was asked for before with another method")
            return charge

    async def find_charge(self, key: str) -> ProviderCharge | None:
        """None also while the search does not have the key yet, and where nobody has confirmed it: `charge` goes on
        with the same PaymentIntent."""
        async with self._conversation():
            intent = await self._find(key)
            return None if intent is None else await self._fate(intent)

    async def refund(self, key: str, *, charge_key: str, amount_minor: int, currency: str) -> ProviderRefund | None:
        """Gives back whatever is left of the charge, should somebody have refunded a part by hand."""
        try:
            amount = to_stripe(amount_minor, currency)
            async with self._conversation():
                intent = await self._obtain(charge_key, amount, currency)
                charge = await self._fate(intent)
                if charge is None:
                    intent = await self._close(intent)
                    charge = await self._fate(intent)
                if charge is None:
                    raise ProviderUnavailable(f"{intent.id} is {intent.status} after it was cancelled")
                return await self._give_back(key, intent, charge)
        except (PaymentDeclined, OperationCancelled):
            return None

    async def _obtain(self, key: str, amount: int, currency: str) -> stripe.PaymentIntent:
        intent = await self._find(key) or await self._create(key, amount, currency)
        if (intent.amount, intent.currency) != (amount, currency.lower()):
            raise OperationConflict(f"charge {key} was asked for before with another amount")
        return intent

    async def _find(self, key: str) -> stripe.PaymentIntent | None:
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')
        found = await self._intents.search_async(
            {"query": f'metadata["{OPERATION}"]:"{quoted}"', "limit": 100}, self._options()
        )
        oldest = min(found.data, key=lambda intent: intent.created, default=None)
        # The search may show an earlier state.
        return None if oldest is None else await self._look(oldest.id)

    async def _create(self, key: str, amount: int, currency: str) -> stripe.PaymentIntent:
        # Only what charge and refund know alike: with anything else in it the request would be another one under the
        # same idempotency key.
        try:
            intent = await self._intents.create_async(
                {
                    "amount": amount,
                    "currency": currency.lower(),
                    # Answered at once, and without a redirect.
                    "allowed_payment_method_types": ["card"],
                    "metadata": {OPERATION: key},
                },
                self._options(idempotency_key=key),
            )
        except stripe.InvalidRequestError as error:
            if error.param in ("amount", "currency"):
                raise PaymentDeclined(error.code or NOT_REPRESENTABLE) from error
            raise
        answer = intent.last_response
        if answer is not None and answer.headers.get("idempotent-replayed") == "true":
            # What Stripe repeats is the state at the time of the first answer.
            return await self._look(intent.id)
        return intent

    async def _confirm(self, intent: stripe.PaymentIntent, method: str) -> stripe.PaymentIntent:
        params: PaymentIntentConfirmParams = {"error_on_requires_action": True, "expand": ["payment_method"]}
        if method.startswith("tok_"):
            # The library's types know the cards of today's API only by their ids; tokens are of the older kind.
            data: Any = {"type": "card", "card": {"token": method}, "metadata": {METHOD: method}}
            params["payment_method_data"] = data
        else:
            params["payment_method"] = method
        try:
            return await self._intents.confirm_async(intent.id, params, self._options())
        except stripe.CardError as error:
            return await self._close(intent, declined=_code(error.error) or "card_declined")
        except stripe.InvalidRequestError as error:
            if (error.param or "").startswith("payment_method"):
                return await self._close(intent, declined=error.code or "invalid_payment_method")
            return await self._moved_on(intent, error)

    async def _close(self, intent: stripe.PaymentIntent, *, declined: str | None = None) -> stripe.PaymentIntent:
        """Cancel it, unless somebody was faster. The reason of a decline is written first: an attempt that dies in
        between leaves it for the next one, and nothing can be written to a PaymentIntent that is cancelled."""
        try:
            if declined:
                await self._intents.update_async(intent.id, {"metadata": {DECLINED: declined}}, self._options())
            return await self._intents.cancel_async(intent.id, {}, self._options())
        except stripe.InvalidRequestError as error:
            return await self._moved_on(intent, error)

    async def _moved_on(
        self, intent: stripe.PaymentIntent, refusal: stripe.InvalidRequestError
    ) -> stripe.PaymentIntent:
        """What became of an intent that refused a request for its state. Any other refusal is raised: it is a fault of
        ours or of the account."""
        now = await self._look(intent.id)
        if now.status in OPEN:
            raise refusal
        return now

    async def _fate(self, intent: stripe.PaymentIntent) -> ProviderCharge | None:
        """None while it is open. Raises PaymentDeclined or OperationCancelled."""
        code = _decline(intent)
        if intent.status in OPEN and code:
            # An attempt was declined, and died before it could close the intent.
            intent = await self._close(intent, declined=code)
        if intent.status == "succeeded":
            return ProviderCharge(intent.id, from_stripe(intent.amount_received, intent.currency))
        if intent.status == "canceled" and code:
            raise PaymentDeclined(code)
        if intent.status == "canceled":
            raise OperationCancelled(f"{intent.id} was cancelled before it was paid")
        if intent.status in OPEN:
            return None
        raise ProviderUnavailable(f"{intent.id} is still {intent.status}")

    async def _give_back(self, key: str, intent: stripe.PaymentIntent, charge: ProviderCharge) -> ProviderRefund:
        refunds = await self._refunds_of(intent)
        if sum(refund.amount for refund in refunds) < intent.amount_received:
            try:
                await self._refunds.create_async(
                    {"payment_intent": intent.id, "metadata": {OPERATION: key}}, self._options()
                )
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise
            refunds = await self._refunds_of(intent)
        given = sum(refund.amount for refund in refunds)
        if given < intent.amount_received:
            raise ProviderUnavailable(f"the refund of {intent.id} did not succeed")
        first = min(refunds, key=lambda refund: refund.created)
        return ProviderRefund(first.id, from_stripe(given, intent.currency), charge)

    async def _refunds_of(self, intent: stripe.PaymentIntent) -> list[stripe.Refund]:
        listed = await self._refunds.list_async({"payment_intent": intent.id, "limit": 100}, self._options())
        return [refund for refund in listed.data if refund.status not in ("failed", "canceled")]

    async def _look(self, intent_id: str) -> stripe.PaymentIntent:
        return await self._intents.retrieve_async(intent_id, {"expand": ["payment_method"]}, self._options())

    def _options(self, *, idempotency_key: str | None = None) -> "RequestOptions":
        return {"api_key": self._key.read(), "idempotency_key": idempotency_key}

    @asynccontextmanager
    async def _conversation(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                yield
        except stripe.IdempotencyError as error:
            raise OperationConflict(f"Stripe knows the key with other parameters: {error}") from error
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            # The account has to be put right, not the order: nothing is known to have failed.
            raise ProviderUnavailable(f"Stripe does not accept {self._key.name}: {error}") from error
        except TimeoutError as error:
            raise ProviderUnavailable(f"Stripe did not answer within {DEADLINE_SECONDS:.0f} s") from error
        except (stripe.APIConnectionError, aiohttp.ClientError) as error:
            raise ProviderUnavailable(f"Stripe cannot be reached: {error.__cause__ or error!r}") from error
        except (stripe.RateLimitError, stripe.APIError) as error:
            raise ProviderUnavailable(f"Stripe answered {error.http_status}: {error}") from error


def _decline(intent: stripe.PaymentIntent) -> str | None:
    if intent.status == "requires_action":
        return "authentication_required"
    if DECLINED in intent.metadata:
        return str(intent.metadata[DECLINED])
    return _code(intent.last_payment_error)


def _code(error: stripe.StripeObject | None) -> str | None:
    """Why a card was declined: the bank's reason, or Stripe's own. One name for a bank that asks for the customer."""
    if error is None:
        return None
    codes = [str(error[name]) for name in ("decline_code", "code") if name in error and error[name] is not None]
    if "authentication_required" in codes or "requires_action_not_handled" in codes:
        return "authentication_required"
    telling = [code for code in codes if code != "generic_decline"]
    return telling[0] if telling else "card_declined"


def _paid_with(intent: stripe.PaymentIntent, method: str) -> bool:
    used = intent.payment_method
    if not isinstance(used, stripe.PaymentMethod):
        return True
    token = used.metadata[METHOD] if used.metadata is not None and METHOD in used.metadata else None
    return method in (used.id, token)

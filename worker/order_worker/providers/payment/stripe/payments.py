"""Stripe, by PaymentIntents.

    STRIPE_API_KEY   secret or restricted key that may write PaymentIntents and Refunds; or STRIPE_API_KEY_FILE
    STRIPE_API_BASE  address of the API, for a proxy (default: Stripe's own)

**One fate for ever.** A charge is one PaymentIntent: created, which takes nothing, and then confirmed, which takes the
money. Whether a key ends with money or void is decided by Stripe's own state machine, where `confirm` and `cancel` of
one PaymentIntent exclude each other: of a charge and a refund at the same moment the first wins, and the other learns
of it. A refund that does not know of a PaymentIntent creates it, with the very request that the charge would have sent,
and cancels it. After a decline the PaymentIntent is cancelled too, since another confirmation could succeed.

`intent_lookup.py` sees to it that there is one PaymentIntent per key, `refunds.py` that there is one refund per key.

**A known PaymentIntent is looked up, never searched.** An account that does not know it is another account, or has
forgotten it: that is no proof that nothing was taken.

**No request but the two that create has an idempotency key.** Stripe repeats the answer to a known key for a day, also
where that was an internal error; under a fixed key a confirmation or a cancellation could not be tried again after such
an answer. They need none: a second one is refused by the PaymentIntent's state.

**The account must stay the same while a charge has no answer.** A PaymentIntent that the ledger does not know yet is
sought in the account of today's key. Before a key of another account is put in, no charge may be under way.

Sources: docs.stripe.com/api/idempotent_requests, /error-low-level, /error-codes, /search, /refunds, /currencies and
/payments/paymentintents/lifecycle.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import stripe

from order_domain.errors import OperationCancelled, OperationConflict, PaymentDeclined, ProviderUnavailable
from order_domain.money import format_amount
from order_process.settings import SettingsError
from order_worker.providers.payment.port import (
    ChargeEntry,
    PaymentProvider,
    ProviderCharge,
    ProviderRefund,
    RefundEntry,
    RefundState,
)
from order_worker.providers.payment.stripe.account import NOT_FOUND, StripeAccount, key_of
from order_worker.providers.payment.stripe.amounts import from_stripe, refusal, to_stripe
from order_worker.providers.payment.stripe.intent_lookup import IntentLookup
from order_worker.providers.payment.stripe.refunds import Refunds, WantedRefund, live, state_of
from order_worker.providers.payment.stripe.settings import StripeSettings
from order_worker.providers.secret import Secret

if TYPE_CHECKING:
    from stripe.params import PaymentIntentConfirmParams

DECLINED = "decline_code"
METHOD = "method"
"""Metadata: of a PaymentIntent, once it is declined, why; of a payment method the token it came from."""

OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
TOKEN_USED = "token_already_used"  # noqa: S105


class StripePayments(PaymentProvider):
    """Payment methods are `pm_…` ids, or `tok_…` tokens of cards."""

    def __init__(self, account: StripeAccount) -> None:
        self._account = account
        self._lookup = IntentLookup(account)
        self._refunds = Refunds(account)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        given = StripeSettings.from_environment(environment)
        key = Secret.of("STRIPE_API_KEY", given.api_key, given.api_key_file)
        if key is None:
            raise SettingsError("STRIPE_API_KEY or STRIPE_API_KEY_FILE must be set for the payment provider stripe")
        return cls(StripeAccount(key, given.api_base))

    async def close(self) -> None:
        """Close the connections."""
        await self._account.close()

    def refuse_amount(self, amount_minor: int, currency: str) -> str | None:
        """See the port. The least amount depends on the account: Stripe alone knows it."""
        return refusal(amount_minor, currency)

    async def charge(
        self,
        key: str,
        *,
        amount_minor: int,
        currency: str,
        method: str,
        asked_at: datetime,
        ordered_at: datetime | None = None,
    ) -> ProviderCharge:
        """Declined with `authentication_required` where the bank wants the customer to confirm (3-D Secure): nobody is
        there to do it."""
        amount = to_stripe(amount_minor, currency)
        async with self._account.conversation():
            intent, is_new = await self._lookup.find_or_create(key, amount, currency, asked_at, ordered_at)
            charge = await self._fate(intent)
            if charge is None:
                intent = await self._confirm(intent, method, first=is_new)
                charge = await self._fate(intent)
            if charge is None:
                raise ProviderUnavailable(f"{intent.id} is {intent.status} after it was confirmed")
            if not _paid_with(intent, method):
                raise OperationConflict(f"charge {key} was asked for before with another method")
            return charge

    async def find_charge(self, key: str) -> ProviderCharge | None:
        """None also while the search does not have the key yet, where the account has no search, and where nobody has
        confirmed it: `charge` goes on with the same PaymentIntent."""
        async with self._account.conversation():
            intent = await self._lookup.find(key)
            return None if intent is None else await self._fate(intent)

    async def refund(
        self,
        key: str,
        *,
        charge_key: str,
        transaction_id: str | None,
        charged_minor: int,
        amount_minor: int,
        currency: str,
        asked_at: datetime,
        ordered_at: datetime | None = None,
    ) -> ProviderRefund | None:
        wanted = WantedRefund(key, charge_key, charged_minor, amount_minor, currency, asked_at, ordered_at)
        async with self._account.conversation():
            if transaction_id is not None:
                intent = await self._known(transaction_id, wanted)
            else:
                try:
                    intent = await self._captured_or_void(wanted)
                except (PaymentDeclined, OperationCancelled):
                    return None
            taken = from_stripe(intent.amount_received, intent.currency)
            if (taken, intent.currency) != (charged_minor, currency.lower()):
                raise OperationConflict(
                    f"the platform knows charge {charge_key} with {wanted.amount(charged_minor)}; Stripe took "
                    f"{format_amount(taken, intent.currency.upper())} as {intent.id}"
                )
            unable = refusal(amount_minor, currency)
            if unable:
                raise OperationConflict(f"refund {key} of {intent.id} cannot be made: {unable}")
            refund = await self._refunds.give_back(intent, wanted)
        pending = state_of(refund) is RefundState.PENDING
        return ProviderRefund(refund.id, amount_minor, ProviderCharge(intent.id, taken), pending=pending)

    async def refund_state(self, refund_id: str) -> RefundState:
        async with self._account.conversation():
            try:
                refund = await self._refunds.look(refund_id)
            except stripe.InvalidRequestError as error:
                if error.http_status != NOT_FOUND:
                    raise
                raise OperationConflict(f"{self._account.name} knows no refund {refund_id}") from error
        return state_of(refund)

    async def charges_since(self, at: datetime) -> AsyncIterator[ChargeEntry]:
        """PaymentIntents made by others on the same account are among them. Each that has refunds costs one request
        more."""
        async for page in self._account.intent_pages(at):
            for intent in page:
                if intent.amount_received:
                    yield await self._entry(intent)

    async def refunds_since(self, at: datetime) -> AsyncIterator[RefundEntry]:
        async for refund in self._account.list_refunds({"created": {"gte": int(at.timestamp())}}):
            yield RefundEntry(
                key=key_of(refund),
                refund_id=refund.id,
                transaction_id=_id(refund.payment_intent) or _id(refund.charge) or "",
                amount_minor=from_stripe(refund.amount, refund.currency),
                currency=refund.currency.upper(),
                state=state_of(refund),
                at=datetime.fromtimestamp(refund.created, UTC),
            )

    async def _entry(self, intent: stripe.PaymentIntent) -> ChargeEntry:
        charge = intent.latest_charge
        made: list[stripe.Refund] = []
        if not isinstance(charge, stripe.Charge) or charge.amount_refunded:
            async with self._account.conversation():
                made = await self._refunds.of(intent)
        refunds = live(made)
        return ChargeEntry(
            key=key_of(intent),
            transaction_id=intent.id,
            captured_minor=from_stripe(intent.amount_received, intent.currency),
            refunded_minor=from_stripe(sum(refund.amount for refund in refunds), intent.currency),
            currency=intent.currency.upper(),
            pending_refunds=tuple(refund.id for refund in refunds if state_of(refund) is RefundState.PENDING),
            at=datetime.fromtimestamp(intent.created, UTC),
        )

    async def _known(self, transaction_id: str, wanted: WantedRefund) -> stripe.PaymentIntent:
        """The PaymentIntent that the charge was, by what the platform knows. Raises OperationConflict."""
        claim = (
            f"the platform took {wanted.amount(wanted.charged_minor)} as {transaction_id} for {wanted.charge_key}; "
            f"{self._account.name}"
        )
        try:
            intent = await self._account.look(transaction_id)
        except stripe.InvalidRequestError as error:
            if error.http_status != NOT_FOUND:
                raise
            raise OperationConflict(f"{claim} knows no such PaymentIntent: is the key another account's?") from error
        if key_of(intent) != wanted.charge_key:
            raise OperationConflict(f"{claim} has it for {key_of(intent) or 'something else'}")
        if intent.status != "succeeded":
            raise OperationConflict(f"{claim} took nothing, it is {intent.status}")
        return intent

    async def _captured_or_void(self, wanted: WantedRefund) -> stripe.PaymentIntent:
        """The PaymentIntent of the charge, if that took money. Raises PaymentDeclined or OperationCancelled if it did
        not and never will, OperationConflict where neither is certain."""
        amount = to_stripe(wanted.charged_minor, wanted.currency)
        intent, _ = await self._lookup.find_or_create(
            wanted.charge_key, amount, wanted.currency, wanted.asked_at, wanted.ordered_at
        )
        charge = await self._fate(intent)
        if charge is None:
            intent = await self._close(intent)
            charge = await self._fate(intent)
        if charge is None:
            raise ProviderUnavailable(f"{intent.id} is {intent.status} after it was cancelled")
        return intent

    async def _confirm(self, intent: stripe.PaymentIntent, method: str, *, first: bool) -> stripe.PaymentIntent:
        params: PaymentIntentConfirmParams = {"error_on_requires_action": True, "expand": ["payment_method"]}
        if method.startswith("tok_"):
            # The library's types know the cards of today's API only by their ids; tokens are of the older kind.
            data: Any = {"type": "card", "card": {"token": method}, "metadata": {METHOD: method}}
            params["payment_method_data"] = data
        else:
            params["payment_method"] = method
        try:
            return await self._account.intents.confirm_async(intent.id, params, self._account.options())
        except stripe.CardError as error:
            return await self._close(intent, declined=_code(error.error) or "card_declined")
        except stripe.InvalidRequestError as error:
            if (error.param or "").startswith("payment_method"):
                return await self._judge_method(intent, error, first=first)
            return await self._moved_on(intent, error)

    async def _judge_method(
        self, intent: stripe.PaymentIntent, refusal: stripe.InvalidRequestError, *, first: bool
    ) -> stripe.PaymentIntent:
        """Closes the intent as declined, unless an earlier attempt without an answer used up the customer's token: that
        may have been paid, or have left its method behind. Where it has left nothing, the card was not declined."""
        now = await self._account.look(intent.id)
        if now.status not in OPEN:
            return now
        if refusal.code == TOKEN_USED and not first and _decline(now) is None:
            if not isinstance(now.payment_method, stripe.PaymentMethod):
                raise ProviderUnavailable(f"an attempt without an answer used up the token of {intent.id}") from refusal
            return await self._confirm(now, now.payment_method.id, first=True)
        return await self._close(now, declined=refusal.code or "invalid_payment_method")

    async def _close(self, intent: stripe.PaymentIntent, *, declined: str | None = None) -> stripe.PaymentIntent:
        """Cancel it, unless somebody was faster. The reason of a decline is written first: an attempt that dies in
        between leaves it for the next one, and nothing can be written to a PaymentIntent that is cancelled."""
        try:
            if declined:
                await self._account.intents.update_async(
                    intent.id, {"metadata": {DECLINED: declined}}, self._account.options()
                )
            return await self._account.intents.cancel_async(intent.id, {}, self._account.options())
        except stripe.InvalidRequestError as error:
            return await self._moved_on(intent, error)

    async def _moved_on(
        self, intent: stripe.PaymentIntent, refusal: stripe.InvalidRequestError
    ) -> stripe.PaymentIntent:
        """What became of an intent that refused a request for its state. Any other refusal is raised: it is a fault of
        ours or of the account."""
        now = await self._account.look(intent.id)
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


def _id(reference: str | stripe.PaymentIntent | stripe.Charge | None) -> str | None:
    return reference if reference is None or isinstance(reference, str) else reference.id


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

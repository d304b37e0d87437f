"""Stripe, by PaymentIntents.

    STRIPE_API_KEY   secret or restricted key that may write PaymentIntents and Refunds; or STRIPE_API_KEY_FILE
    STRIPE_API_BASE  address of the API, for a proxy (default: Stripe's own)

**One fate for ever.** A charge is one PaymentIntent: created, which takes nothing, and then confirmed, which takes the
money. Whether a key ends with money or void is decided by Stripe's own state machine, where `confirm` and `cancel` of
one PaymentIntent exclude each other: of a charge and a refund at the same moment the first wins, and the other learns
of it. A refund that does not know of a PaymentIntent creates it, with the very request that the charge would have sent,
and cancels it. After a decline the PaymentIntent is cancelled too, since another confirmation could succeed.

**One PaymentIntent per key.** The create request carries the key as its idempotency key, which Stripe keeps for at
least 24 hours, and as metadata, which its search finds after less than a minute, or an hour during outages. A key that
was first asked for in the last 23 hours is simply created: Stripe repeats its first answer. An older one is searched,
and never created: an empty search does not prove that the key took no money, so that a person has to look. A young key
of an order that is older is searched, and created where nothing is found: a ledger that was restored from a backup may
have forgotten that it was asked for. If it was in the last day, the idempotency key finds it; if it was before, the
search does. Should there be two PaymentIntents of one key nevertheless, the older counts.

**An account without a search has its list read.** Those in India have none. The list begins with the order, and ends
where the idempotency key finds the rest. Where it is too long for one call, the next call of this process reads on;
after each `LISTED_AT_MOST` a person has to look. A young key of a young order needs no list.

**A known PaymentIntent is looked up, never searched.** An account that does not know it is another account, or has
forgotten it: that is no proof that nothing was taken.

**One refund per key.** A refund carries its key as metadata; the list of the PaymentIntent's refunds, which is current,
tells whether it was made. Two attempts at the same moment are told apart by the idempotency key.

**No other request has an idempotency key.** Stripe repeats the answer to a known key for a day, also where that was an
internal error; under a fixed key a confirmation or a cancellation could not be tried again after such an answer. They
need none: a second one is refused by the PaymentIntent's state. A refund whose key has such an answer goes on to the
next key: an answer that is repeated is the end of its request, and the list shows what that has done.

**The account must stay the same while a charge has no answer.** A PaymentIntent that the ledger does not know yet is
sought in the account of today's key. Before a key of another account is put in, no charge may be under way.

Nothing is repeated in here: the library's own retries are off, because the workflow retries, visibly and by the policy
of the class.

Sources: docs.stripe.com/api/idempotent_requests, /error-low-level, /error-codes, /search, /refunds, /currencies and
/payments/paymentintents/lifecycle.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
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
from order_worker.providers.payment.stripe_amounts import NOT_REPRESENTABLE, from_stripe, refusal, to_stripe
from order_worker.providers.payment.stripe_settings import StripeSettings
from order_worker.providers.secret import Secret

if TYPE_CHECKING:
    from stripe import RequestOptions
    from stripe.params import (
        PaymentIntentConfirmParams,
        PaymentIntentListParams,
        PaymentIntentListParamsCreated,
        RefundListParams,
    )

DEADLINE_SECONDS = 9.0
"""For all requests of one call: below the 10 s that a step has by default, so that the worker says what was wrong."""

KEYS_ARE_KNOWN = timedelta(hours=23)
"""For how long the idempotency key of a create request is relied on: Stripe keeps it for at least 24 hours."""

CLOCKS_APART = timedelta(hours=1)
"""How far the clock that says when an order began may be ahead of Stripe's."""

LISTING_SECONDS = 6.0
"""For how long one call reads the list of PaymentIntents: it leaves time to create and confirm one."""

LISTED_AT_MOST = 20_000
"""PaymentIntents that are read for one key, over several calls, before a person is asked: more would take longer than a
step is retried."""

LISTINGS_KEPT = 1000
"""Keys for which a process remembers how far it has read."""

REFUND_KEYS = 5
"""How many idempotency keys one call tries for a refund; each one but the last has an internal error for its answer."""

PAGE = 100
"""Entries of a list per request: Stripe's most."""

OPERATION = "operation_id"
DECLINED = "decline_code"
METHOD = "method"
"""Metadata: of a PaymentIntent or a refund the key; of a PaymentIntent, once it is declined, why; of a payment method
the token it came from."""

NOT_FOUND = 404
OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
NO_SEARCH = (stripe.InvalidRequestError, stripe.PermissionError)
TOKEN_USED = "token_already_used"  # noqa: S105

REFUND_STATES = {
    "succeeded": RefundState.SUCCEEDED,
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
"""A refund that waits for the customer is pending; one that was cancelled gave nothing back."""


class _Wanted(NamedTuple):
    """A refund that is asked for."""

    key: str
    charge_key: str
    transaction_id: str | None
    charged_minor: int
    amount_minor: int
    currency: str
    asked_at: datetime
    ordered_at: datetime | None

    def amount(self, amount_minor: int) -> str:
        """For a message."""
        return format_amount(amount_minor, self.currency)


@dataclass
class _Listing:
    """How far the PaymentIntents of an account without a search have been read for one key, the newest first."""

    until: datetime
    """The youngest that counts."""
    limit: int
    """When so many are read a person is asked."""
    after: str | None = None
    read: int = 0
    oldest: stripe.PaymentIntent | None = None
    """Of the key."""


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
        self._listings: dict[str, _Listing] = {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        given = StripeSettings.from_environment(environment)
        key = Secret.of("STRIPE_API_KEY", given.api_key, given.api_key_file)
        if key is None:
            raise SettingsError("STRIPE_API_KEY or STRIPE_API_KEY_FILE must be set for the payment provider stripe")
        return cls(key, given.api_base)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

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
        async with self._conversation():
            intent, is_new = await self._obtain(key, amount, currency, asked_at, ordered_at)
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
        async with self._conversation():
            intent = await self._find_by_search(key)
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
        wanted = _Wanted(key, charge_key, transaction_id, charged_minor, amount_minor, currency, asked_at, ordered_at)
        async with self._conversation():
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
            refund = await self._give_back(intent, wanted)
        pending = REFUND_STATES[refund.status or "pending"] is RefundState.PENDING
        return ProviderRefund(refund.id, amount_minor, ProviderCharge(intent.id, taken), pending=pending)

    async def refund_state(self, refund_id: str) -> RefundState:
        async with self._conversation():
            try:
                refund = await self._refunds.retrieve_async(refund_id, None, self._options())
            except stripe.InvalidRequestError as error:
                if error.http_status != NOT_FOUND:
                    raise
                raise OperationConflict(
                    f"the Stripe account of {self._key.name} knows no refund {refund_id}"
                ) from error
        return REFUND_STATES[refund.status or "pending"]

    async def charges_since(self, at: datetime) -> AsyncIterator[ChargeEntry]:
        """PaymentIntents made by others on the same account are among them. Each that has refunds costs one request
        more."""
        async for page in self._intent_pages(at):
            for intent in page:
                if intent.amount_received:
                    yield await self._entry(intent)

    async def refunds_since(self, at: datetime) -> AsyncIterator[RefundEntry]:
        created: RefundListParams = {"created": {"gte": int(at.timestamp())}}
        async for refund in self._list_refunds(created):
            yield RefundEntry(
                key=_key(refund),
                refund_id=refund.id,
                transaction_id=_id(refund.payment_intent) or _id(refund.charge) or "",
                amount_minor=from_stripe(refund.amount, refund.currency),
                currency=refund.currency.upper(),
                state=REFUND_STATES[refund.status or "pending"],
                at=datetime.fromtimestamp(refund.created, UTC),
            )

    async def _entry(self, intent: stripe.PaymentIntent) -> ChargeEntry:
        charge = intent.latest_charge
        refunds: list[stripe.Refund] = []
        if not isinstance(charge, stripe.Charge) or charge.amount_refunded:
            async with self._conversation():
                refunds = await self._refunds_of(intent)
        live = [refund for refund in refunds if REFUND_STATES[refund.status or "pending"] is not RefundState.FAILED]
        return ChargeEntry(
            key=_key(intent),
            transaction_id=intent.id,
            captured_minor=from_stripe(intent.amount_received, intent.currency),
            refunded_minor=from_stripe(sum(refund.amount for refund in live), intent.currency),
            currency=intent.currency.upper(),
            pending_refunds=tuple(
                refund.id for refund in live if REFUND_STATES[refund.status or "pending"] is RefundState.PENDING
            ),
            at=datetime.fromtimestamp(intent.created, UTC),
        )

    async def _obtain(
        self, key: str, amount: int, currency: str, asked_at: datetime, ordered_at: datetime | None
    ) -> tuple[stripe.PaymentIntent, bool]:
        """The one PaymentIntent of a key, and whether it was made now."""
        is_new = False
        remembered = datetime.now(UTC) - KEYS_ARE_KNOWN
        since = min(asked_at, ordered_at or asked_at)
        # The create request of a young key finds what is younger; an old key is not created any more.
        until = remembered if asked_at > remembered else asked_at + KEYS_ARE_KNOWN
        found = await self._find_between(key, since, until) if since <= remembered else None
        if found is not None:
            intent = found
        elif asked_at > remembered:
            intent, is_new = await self._create(key, amount, currency)
        else:
            raise OperationConflict(
                f"charge {key} was first asked for at {asked_at:%Y-%m-%d %H:%M} UTC, and its end is not known to "
                f"the platform; the search of the Stripe account of {self._key.name} does not find it, which "
                f"proves nothing after {KEYS_ARE_KNOWN // timedelta(hours=1)} h"
            )
        if (intent.amount, intent.currency) != (amount, currency.lower()):
            raise OperationConflict(f"charge {key} was asked for before with another amount")
        return intent, is_new

    async def _known(self, transaction_id: str, wanted: _Wanted) -> stripe.PaymentIntent:
        """The PaymentIntent that the charge was, by what the platform knows. Raises OperationConflict."""
        claim = (
            f"the platform took {wanted.amount(wanted.charged_minor)} as {transaction_id} for {wanted.charge_key}; "
            f"the Stripe account of {self._key.name}"
        )
        try:
            intent = await self._look(transaction_id)
        except stripe.InvalidRequestError as error:
            if error.http_status != NOT_FOUND:
                raise
            raise OperationConflict(f"{claim} knows no such PaymentIntent: is the key another account's?") from error
        if _key(intent) != wanted.charge_key:
            raise OperationConflict(f"{claim} has it for {_key(intent) or 'something else'}")
        if intent.status != "succeeded":
            raise OperationConflict(f"{claim} took nothing, it is {intent.status}")
        return intent

    async def _captured_or_void(self, wanted: _Wanted) -> stripe.PaymentIntent:
        """The PaymentIntent of the charge, if that took money. Raises PaymentDeclined or OperationCancelled if it did
        not and never will, OperationConflict where neither is certain."""
        amount = to_stripe(wanted.charged_minor, wanted.currency)
        intent, _ = await self._obtain(wanted.charge_key, amount, wanted.currency, wanted.asked_at, wanted.ordered_at)
        charge = await self._fate(intent)
        if charge is None:
            intent = await self._close(intent)
            charge = await self._fate(intent)
        if charge is None:
            raise ProviderUnavailable(f"{intent.id} is {intent.status} after it was cancelled")
        return intent

    async def _find(self, key: str) -> stripe.PaymentIntent | None:
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')
        found = await self._intents.search_async(
            {"query": f'metadata["{OPERATION}"]:"{quoted}"', "limit": 100}, self._options()
        )
        oldest = min(found.data, key=lambda intent: intent.created, default=None)
        # The search may show an earlier state.
        return None if oldest is None else await self._look(oldest.id)

    async def _find_by_search(self, key: str) -> stripe.PaymentIntent | None:
        """None also where the account has no search, or the key may not use it: that proves nothing."""
        try:
            return await self._find(key)
        except NO_SEARCH:
            return None

    async def _find_between(self, key: str, since: datetime, until: datetime) -> stripe.PaymentIntent | None:
        """An account that has no search, as those in India, has its list gone through."""
        try:
            return await self._find(key)
        except NO_SEARCH:
            return await self._find_in_list(key, since, until)

    async def _find_in_list(self, key: str, since: datetime, until: datetime) -> stripe.PaymentIntent | None:
        """Raises ProviderUnavailable where the next call has to go on, OperationConflict where the list is too long."""
        listing = self._listings.get(key)
        if listing is None or listing.until < until + CLOCKS_APART / 2:
            # What has grown too old for the idempotency key since then is newer than what was read.
            listing = self._listings[key] = _Listing(until + CLOCKS_APART, LISTED_AT_MOST)
            if len(self._listings) > LISTINGS_KEPT:
                del self._listings[next(iter(self._listings))]
        try:
            found = await self._read_on(listing, key, since)
        except stripe.InvalidRequestError as error:
            # As after a change of the account: another one does not know the place where the last call stopped.
            self._listings.pop(key, None)
            raise ProviderUnavailable(f"the list of the Stripe account of {self._key.name}: {error}") from error
        self._listings.pop(key, None)
        return None if found is None else await self._look(found.id)

    async def _read_on(self, listing: _Listing, key: str, since: datetime) -> stripe.PaymentIntent | None:
        stop = asyncio.get_running_loop().time() + LISTING_SECONDS
        where = f"the Stripe account of {self._key.name} has no search, and its list since {since:%Y-%m-%d %H:%M} UTC"
        async for page in self._intent_pages(since - CLOCKS_APART, listing.until, listing.after):
            for intent in page:
                if _key(intent) == key and (listing.oldest is None or intent.created <= listing.oldest.created):
                    listing.oldest = intent
            listing.after = page[-1].id
            listing.read += len(page)
            if listing.read >= listing.limit:
                listing.limit = listing.read + LISTED_AT_MOST
                raise OperationConflict(
                    f"whether charge {key} was made before is not known: {where} has {listing.read} and more "
                    f"PaymentIntents. Each retry reads on; or look for the one with the metadata {OPERATION}={key}"
                )
            if asyncio.get_running_loop().time() >= stop:
                raise ProviderUnavailable(
                    f"charge {key} is looked for: {where} was read for {listing.read} PaymentIntents. The next attempt "
                    "goes on"
                )
        return listing.oldest

    async def _create(self, key: str, amount: int, currency: str) -> tuple[stripe.PaymentIntent, bool]:
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
        except stripe.APIError as error:
            # For a day there is no other answer to this key. What that request has made only the search can tell.
            intent_made = await self._find_by_search(key) if _is_repeated(error) else None
            if intent_made is None:
                raise
            return intent_made, False
        if _is_repeated(intent):
            # What Stripe repeats is the state at the time of the first answer.
            return await self._look(intent.id), False
        return intent, True

    async def _confirm(self, intent: stripe.PaymentIntent, method: str, *, first: bool) -> stripe.PaymentIntent:
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
                return await self._judge_method(intent, error, first=first)
            return await self._moved_on(intent, error)

    async def _judge_method(
        self, intent: stripe.PaymentIntent, refusal: stripe.InvalidRequestError, *, first: bool
    ) -> stripe.PaymentIntent:
        """Closes the intent as declined, unless an earlier attempt without an answer used up the customer's token: that
        may have been paid, or have left its method behind. Where it has left nothing, the card was not declined."""
        now = await self._look(intent.id)
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

    async def _give_back(self, intent: stripe.PaymentIntent, wanted: _Wanted) -> stripe.Refund:
        for number in range(REFUND_KEYS):
            refund = await self._made(intent, wanted)
            if refund is not None:
                return refund
            try:
                refund = await self._refunds.create_async(
                    {
                        "payment_intent": intent.id,
                        "amount": to_stripe(wanted.amount_minor, wanted.currency),
                        "metadata": {OPERATION: wanted.key},
                    },
                    self._options(idempotency_key=f"{wanted.key}/{number}"),
                )
            except stripe.InvalidRequestError:
                # Another refund may have been faster, of this key or of the rest of the money.
                refund = await self._made(intent, wanted)
                if refund is None:
                    raise
                return refund
            except stripe.APIError as error:
                if not _is_repeated(error):
                    raise
            else:
                if _is_repeated(refund):
                    refund = await self._refunds.retrieve_async(refund.id, None, self._options())
                return self._not_failed(refund, intent, wanted)
        raise ProviderUnavailable(f"Stripe answers refund {wanted.key} with internal errors of before")

    async def _made(self, intent: stripe.PaymentIntent, wanted: _Wanted) -> stripe.Refund | None:
        """The refund of this key; None if there is none and enough is left for it."""
        refunds = await self._refunds_of(intent)
        amount = to_stripe(wanted.amount_minor, wanted.currency)
        mine = next((refund for refund in refunds if _key(refund) == wanted.key), None)
        if mine is not None:
            if mine.amount != amount:
                raise OperationConflict(
                    f"refund {wanted.key} of {wanted.amount(wanted.amount_minor)} was made before with "
                    f"{wanted.amount(from_stripe(mine.amount, mine.currency))}, as {mine.id}"
                )
            return self._not_failed(mine, intent, wanted)
        live = [refund for refund in refunds if REFUND_STATES[refund.status or "pending"] is not RefundState.FAILED]
        given = sum(refund.amount for refund in live)
        if given + amount > intent.amount_received:
            raise OperationConflict(
                f"refund {wanted.key} of {wanted.amount(wanted.amount_minor)} is more than what is left of "
                f"{intent.id}: {wanted.amount(wanted.charged_minor)} taken, "
                f"{wanted.amount(from_stripe(given, intent.currency))} given back before as "
                f"{', '.join(refund.id for refund in live)}. If one of these was made by hand in its place, write "
                f"{OPERATION}={wanted.key} into that refund's metadata"
            )
        return None

    def _not_failed(self, refund: stripe.Refund, intent: stripe.PaymentIntent, wanted: _Wanted) -> stripe.Refund:
        if REFUND_STATES[refund.status or "pending"] is RefundState.FAILED:
            raise OperationConflict(
                f"refund {wanted.key} of {wanted.amount(wanted.amount_minor)} of {intent.id} was accepted as "
                f"{refund.id}, and is {refund.status} now: {refund.failure_reason or 'no reason is given'}"
            )
        return refund

    async def _refunds_of(self, intent: stripe.PaymentIntent) -> list[stripe.Refund]:
        """All, the failed ones too."""
        return [refund async for refund in self._list_refunds({"payment_intent": intent.id})]

    async def _list_refunds(self, of: "RefundListParams") -> AsyncIterator[stripe.Refund]:
        after: str | None = None
        while True:
            params: RefundListParams = {**of, "limit": PAGE}
            if after is not None:
                params["starting_after"] = after
            async with self._conversation():
                page = await self._refunds.list_async(params, self._options())
            for refund in page.data:
                yield refund
            if not page.has_more:
                return
            after = page.data[-1].id

    async def _intent_pages(
        self, at: datetime, until: datetime | None = None, after: str | None = None
    ) -> AsyncIterator[list[stripe.PaymentIntent]]:
        """Those created at `at` or later, up to `until`, the newest first. `after`: the id of the last one that was
        seen."""
        created: PaymentIntentListParamsCreated = {"gte": int(at.timestamp())}
        if until is not None:
            created["lte"] = int(until.timestamp())
        while True:
            params: PaymentIntentListParams = {"created": created, "limit": PAGE, "expand": ["data.latest_charge"]}
            if after is not None:
                params["starting_after"] = after
            async with self._conversation():
                page = await self._intents.list_async(params, self._options())
            if page.data:
                yield page.data
            if not page.has_more:
                return
            after = page.data[-1].id

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
        except stripe.StripeError as error:
            if error.user_message or error.code:
                raise  # a refusal that nobody expected: a fault of ours, or of the account
            raise ProviderUnavailable(f"Stripe's answer {error.http_status} says nothing") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Of another form than Stripe documents, as of a proxy in between: nothing is known of what was done.
            raise ProviderUnavailable(f"Stripe's answer cannot be understood: {type(error).__name__}") from error


def _is_repeated(answer: stripe.StripeObject | stripe.StripeError) -> bool:
    """Stripe gives the answer of an earlier request with the same idempotency key."""
    source = answer if isinstance(answer, stripe.StripeError) else answer.last_response
    headers: Mapping[str, str] = (source.headers if source is not None else None) or {}
    return headers.get("idempotent-replayed") == "true"


def _key(made: stripe.PaymentIntent | stripe.Refund) -> str | None:
    """Of what this platform has made."""
    return str(made.metadata[OPERATION]) if made.metadata is not None and OPERATION in made.metadata else None


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

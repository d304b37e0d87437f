"""The one PaymentIntent of a key: found, by Stripe's search or in its list, or created.

The create request carries the key as its idempotency key, which Stripe keeps for at least 24 hours, and as metadata,
which its search finds after less than a minute, or an hour during outages. A key that was first asked for in the last
23 hours is simply created: Stripe repeats its first answer. An older one is searched, and never created: an empty
search does not prove that the key took no money, so that a person has to look. A young key of an order that is older is
searched, and created where nothing is found: a ledger that was restored from a backup may have forgotten that it was
asked for. If it was in the last day, the idempotency key finds it; if it was before, the search does. Should there be
two PaymentIntents of one key nevertheless, the older counts.

**An account without a search has its list read.** Those in India have none. The list begins with the order, and ends
where the idempotency key finds the rest. Where it is too long for one call, the next call of this process reads on;
after each `LISTED_AT_MOST` a person has to look. A young key of a young order needs no list.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import stripe

from order_domain.errors import OperationConflict, PaymentDeclined, ProviderUnavailable
from order_worker.providers.payment.stripe.account import OPERATION, StripeAccount, is_repeated, key_of
from order_worker.providers.payment.stripe.amounts import NOT_REPRESENTABLE

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

NO_SEARCH = (stripe.InvalidRequestError, stripe.PermissionError)


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


class IntentLookup:
    """In one account."""

    def __init__(self, account: StripeAccount) -> None:
        self._account = account
        self._listings: dict[str, _Listing] = {}

    async def find_or_create(
        self, key: str, amount: int, currency: str, asked_at: datetime, ordered_at: datetime | None
    ) -> tuple[stripe.PaymentIntent, bool]:
        """The one PaymentIntent of a key, and whether it was made now. `amount`: as Stripe counts it."""
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
                f"the platform; the search of {self._account.name} does not find it, which proves nothing after "
                f"{KEYS_ARE_KNOWN // timedelta(hours=1)} h. Look in the Dashboard for the metadata operation_id={key}; "
                "the runbook of ManualReview tells what to do where there is none"
            )
        if (intent.amount, intent.currency) != (amount, currency.lower()):
            raise OperationConflict(f"charge {key} was asked for before with another amount")
        return intent, is_new

    async def find(self, key: str) -> stripe.PaymentIntent | None:
        """By the search. None also where the account has none, or the key may not use it: that proves nothing."""
        try:
            return await self._search(key)
        except NO_SEARCH:
            return None

    async def _find_between(self, key: str, since: datetime, until: datetime) -> stripe.PaymentIntent | None:
        """An account that has no search, as those in India, has its list gone through."""
        try:
            return await self._search(key)
        except NO_SEARCH:
            return await self._find_in_list(key, since, until)

    async def _search(self, key: str) -> stripe.PaymentIntent | None:
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')
        found = await self._account.intents.search_async(
            {"query": f'metadata["{OPERATION}"]:"{quoted}"', "limit": 100}, self._account.options()
        )
        oldest = min(found.data, key=lambda intent: intent.created, default=None)
        # The search may show an earlier state.
        return None if oldest is None else await self._account.look(oldest.id)

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
            raise ProviderUnavailable(f"the list of {self._account.name}: {error}") from error
        self._listings.pop(key, None)
        return None if found is None else await self._account.look(found.id)

    async def _read_on(self, listing: _Listing, key: str, since: datetime) -> stripe.PaymentIntent | None:
        stop = asyncio.get_running_loop().time() + LISTING_SECONDS
        where = f"{self._account.name} has no search, and its list since {since:%Y-%m-%d %H:%M} UTC"
        async for page in self._account.intent_pages(since - CLOCKS_APART, listing.until, listing.after):
            for intent in page:
                if key_of(intent) == key and (listing.oldest is None or intent.created <= listing.oldest.created):
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
            intent = await self._account.intents.create_async(
                {
                    "amount": amount,
                    "currency": currency.lower(),
                    # Answered at once, and without a redirect.
                    "allowed_payment_method_types": ["card"],
                    "metadata": {OPERATION: key},
                },
                self._account.options(idempotency_key=key),
            )
        except stripe.InvalidRequestError as error:
            if error.param in ("amount", "currency"):
                raise PaymentDeclined(error.code or NOT_REPRESENTABLE) from error
            raise
        except stripe.APIError as error:
            # Stripe repeats this answer to the key for a day. Only the search can tell what that request has made.
            intent_made = await self.find(key) if is_repeated(error) else None
            if intent_made is None:
                raise
            return intent_made, False
        if is_repeated(intent):
            # What Stripe repeats is the state at the time of the first answer.
            return await self._account.look(intent.id), False
        return intent, True

"""Requests to one Stripe account: its key, their deadline, its lists, and what its errors mean.

Nothing is repeated in here: the library's own retries are off, because the workflow retries, visibly and by the policy
of the class.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import aiohttp
import stripe

from order_domain.errors import OperationConflict, ProviderUnavailable
from order_worker.providers.secret import Secret

if TYPE_CHECKING:
    from stripe import RequestOptions
    from stripe.params import PaymentIntentListParams, PaymentIntentListParamsCreated, RefundListParams

DEADLINE_SECONDS = 9.0
"""For all requests of one call: below the 10 s that a step has by default, so that the worker says what was wrong."""

PAGE = 100
"""Entries of a list per request: Stripe's most."""

OPERATION = "operation_id"
"""Metadata of a PaymentIntent or a refund: its key."""

NOT_FOUND = 404


class StripeAccount:
    """The account that the key is of."""

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
        self.name = f"the Stripe account of {key.name}"
        """For messages."""
        self.intents = client.v1.payment_intents
        self.refunds = client.v1.refunds

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def look(self, intent_id: str) -> stripe.PaymentIntent:
        """A PaymentIntent as it is now."""
        return await self.intents.retrieve_async(intent_id, {"expand": ["payment_method"]}, self.options())

    async def intent_pages(
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
            async with self.conversation():
                page = await self.intents.list_async(params, self.options())
            if page.data:
                yield page.data
            if not page.has_more:
                return
            after = page.data[-1].id

    async def list_refunds(self, of: "RefundListParams") -> AsyncIterator[stripe.Refund]:
        """All, the failed ones too."""
        after: str | None = None
        while True:
            params: RefundListParams = {**of, "limit": PAGE}
            if after is not None:
                params["starting_after"] = after
            async with self.conversation():
                page = await self.refunds.list_async(params, self.options())
            for refund in page.data:
                yield refund
            if not page.has_more:
                return
            after = page.data[-1].id

    def options(self, *, idempotency_key: str | None = None) -> "RequestOptions":
        """Of a request, with the key as it is now."""
        return {"api_key": self._key.read(), "idempotency_key": idempotency_key}

    @asynccontextmanager
    async def conversation(self) -> AsyncIterator[None]:
        """Gives all requests within it one deadline, and raises the platform's errors for theirs."""
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


def is_repeated(answer: stripe.StripeObject | stripe.StripeError) -> bool:
    """Stripe gives the answer of an earlier request with the same idempotency key."""
    source = answer if isinstance(answer, stripe.StripeError) else answer.last_response
    headers: Mapping[str, str] = (source.headers if source is not None else None) or {}
    return headers.get("idempotent-replayed") == "true"


def key_of(made: stripe.PaymentIntent | stripe.Refund) -> str | None:
    """Of what this platform has made."""
    return str(made.metadata[OPERATION]) if made.metadata is not None and OPERATION in made.metadata else None

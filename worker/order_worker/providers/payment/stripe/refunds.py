"""Refunds of one PaymentIntent.

**One refund per key.** A refund carries its key as metadata; the list of the PaymentIntent's refunds, which is current,
tells whether it was made. Two attempts at the same moment are told apart by the idempotency key. Stripe repeats the
answer to a known idempotency key for a day, also where that was an internal error. A refund with such an answer goes on
to the next idempotency key: an answer that is repeated is the end of its request, and the list shows what that has
done.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import stripe

from order_domain.errors import OperationConflict, ProviderUnavailable
from order_domain.money import format_amount
from order_worker.providers.payment.port import RefundState
from order_worker.providers.payment.stripe.account import OPERATION, StripeAccount, is_repeated, key_of
from order_worker.providers.payment.stripe.amounts import from_stripe, to_stripe

REFUND_KEYS = 5
"""How many idempotency keys one call tries for a refund; each one but the last has an internal error for its answer."""

STATES = {
    "succeeded": RefundState.SUCCEEDED,
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
"""A refund that waits for the customer is pending; one that was cancelled gave nothing back."""


class WantedRefund(NamedTuple):
    """A refund that is asked for."""

    key: str
    charge_key: str
    charged_minor: int
    amount_minor: int
    currency: str
    asked_at: datetime
    ordered_at: datetime | None

    def amount(self, amount_minor: int) -> str:
        """For a message."""
        return format_amount(amount_minor, self.currency)


def state_of(refund: stripe.Refund) -> RefundState:
    """What has become of it."""
    return STATES[refund.status or "pending"]


def live(refunds: Iterable[stripe.Refund]) -> list[stripe.Refund]:
    """Those that give money back, or will."""
    return [refund for refund in refunds if state_of(refund) is not RefundState.FAILED]


class Refunds:
    """In one account."""

    def __init__(self, account: StripeAccount) -> None:
        self._account = account

    async def give_back(self, intent: stripe.PaymentIntent, wanted: WantedRefund) -> stripe.Refund:
        """The one refund of a key, made if there is none. Raises OperationConflict where it has failed, or not enough
        is left."""
        for number in range(REFUND_KEYS):
            refund = await self._made(intent, wanted)
            if refund is not None:
                return refund
            try:
                refund = await self._account.refunds.create_async(
                    {
                        "payment_intent": intent.id,
                        "amount": to_stripe(wanted.amount_minor, wanted.currency),
                        "metadata": {OPERATION: wanted.key},
                    },
                    self._account.options(idempotency_key=f"{wanted.key}/{number}"),
                )
            except stripe.InvalidRequestError:
                # Another refund may have been faster, of this key or of the rest of the money.
                refund = await self._made(intent, wanted)
                if refund is None:
                    raise
                return refund
            except stripe.APIError as error:
                if not is_repeated(error):
                    raise
            else:
                if is_repeated(refund):
                    refund = await self.look(refund.id)
                return _not_failed(refund, intent, wanted)
        raise ProviderUnavailable(f"Stripe answers refund {wanted.key} with internal errors of before")

    async def look(self, refund_id: str) -> stripe.Refund:
        """A refund as it is now."""
        return await self._account.refunds.retrieve_async(refund_id, None, self._account.options())

    async def of(self, intent: stripe.PaymentIntent) -> list[stripe.Refund]:
        """All, the failed ones too."""
        return [refund async for refund in self._account.list_refunds({"payment_intent": intent.id})]

    async def _made(self, intent: stripe.PaymentIntent, wanted: WantedRefund) -> stripe.Refund | None:
        """The refund of this key; None if there is none and enough is left for it."""
        refunds = await self.of(intent)
        amount = to_stripe(wanted.amount_minor, wanted.currency)
        mine = next((refund for refund in refunds if key_of(refund) == wanted.key), None)
        if mine is not None:
            if mine.amount != amount:
                raise OperationConflict(
                    f"refund {wanted.key} of {wanted.amount(wanted.amount_minor)} was made before with "
                    f"{wanted.amount(from_stripe(mine.amount, mine.currency))}, as {mine.id}"
                )
            return _not_failed(mine, intent, wanted)
        others = live(refunds)
        given = sum(refund.amount for refund in others)
        if given + amount > intent.amount_received:
            raise OperationConflict(
                f"refund {wanted.key} of {wanted.amount(wanted.amount_minor)} is more than what is left of "
                f"{intent.id}: {wanted.amount(wanted.charged_minor)} taken, "
                f"{wanted.amount(from_stripe(given, intent.currency))} given back before as "
                f"{', '.join(refund.id for refund in others)}. If one of these was made by hand in its place, write "
                f"{OPERATION}={wanted.key} into that refund's metadata"
            )
        return None


def _not_failed(refund: stripe.Refund, intent: stripe.PaymentIntent, wanted: WantedRefund) -> stripe.Refund:
    if state_of(refund) is RefundState.FAILED:
        raise OperationConflict(
            f"refund {wanted.key} of {wanted.amount(wanted.amount_minor)} of {intent.id} was accepted as "
            f"{refund.id}, and is {refund.status} now: {refund.failure_reason or 'no reason is given'}"
        )
    return refund

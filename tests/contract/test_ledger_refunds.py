"""Several refunds of one charge, and what nobody may take for "nothing to refund"."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shop import Buyer, Shop, a_line
from sqlalchemy import Connection, update

from order_domain.errors import BooksDisagree, ProviderUnavailable
from order_worker.ledger import tables
from order_worker.providers.payment.port import PaymentProvider, ProviderCharge, ProviderRefund
from order_worker.providers.payment.simulated import SimulatedPayments
from order_workflows.activities.payment import Refund, Refunded

LINES = (a_line("1", 2), a_line("2", 1))
TOTAL = 3 * 375


class Forgetful(SimulatedPayments):
    """Another provider, which may know nothing any more, or whose answers may get lost."""

    def __init__(self, inner: PaymentProvider) -> None:
        self.inner = inner
        self.knows_nothing = False
        self.answers_are_lost = False
        self.asked: list[str] = []
        """Keys of the refunds that it was asked for."""
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """Happens once, while it is asked for a refund."""

    async def charge(self, key: str, **request: Any) -> ProviderCharge:
        charge = await self.inner.charge(key, **request)
        if self.answers_are_lost:
            raise ProviderUnavailable("the answer was lost")
        return charge

    async def find_charge(self, key: str) -> ProviderCharge | None:
        return None if self.knows_nothing else await self.inner.find_charge(key)

    async def refund(self, key: str, **request: Any) -> ProviderRefund | None:
        self.asked.append(key)
        if self.knows_nothing:
            return None
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        refund = await self.inner.refund(key, **request)
        if self.answers_are_lost:
            raise ProviderUnavailable("the answer was lost")
        return refund


@pytest.fixture
def provider(shop: Shop) -> Forgetful:
    return Forgetful(shop.providers.payments)


@pytest.fixture
def till(shop: Shop, provider: Forgetful) -> Shop:
    """The shop, with the forgetful provider."""
    return Shop(shop.ledger, replace(shop.providers, payments=provider))


async def a_charged_order(shop: Shop) -> Buyer:
    buyer = Buyer()
    await shop.orders.receive(buyer.receive(*LINES, charged=True))
    await shop.payments.charge(buyer.charge(amount_minor=TOTAL))
    return buyer


async def refunded_by_the_provider(shop: Shop) -> int:
    return sum(row["amount_minor"] for row in await shop.provider_log("refunds"))


async def lose_the_answer(till: Shop, provider: Forgetful, refund: Refund) -> None:
    """The provider makes the refund, and nobody hears of it."""
    provider.answers_are_lost = True
    with pytest.raises(ProviderUnavailable):
        await till.payments.refund(refund)
    provider.answers_are_lost = False


async def test_two_refunds_add_up_in_ledger_and_provider(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    first = await shop.payments.refund(buyer.refund(amount_minor=375, kept_lines=["1"]))
    second = await shop.payments.refund(buyer.refund(step="refund/2", amount_minor=750))
    assert [(each.refunded_minor, each.total_refunded_minor) for each in (first, second)] == [(375, 375), (750, TOTAL)]
    [payment] = await shop.rows(tables.payments)
    assert (payment["refunded_minor"], payment["refund_id"]) == (TOTAL, second.refund_id)
    assert await refunded_by_the_provider(shop) == TOTAL


async def test_a_partial_refund_leaves_the_charge_standing_and_the_last_one_reverses_it(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    await shop.payments.refund(buyer.refund(amount_minor=375, kept_lines=["1"]))
    reversed_by = []
    for step in (None, "refund/2"):
        if step:
            await shop.payments.refund(buyer.refund(step=step))
        reversed_by += [row["reversed_by"] for row in await shop.rows(tables.operations) if row["kind"] == "charge"]
    assert reversed_by == [None, "uid-1/refund/2"]


async def test_a_refund_tells_what_the_charge_had_taken(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    receipt = await shop.payments.charge(buyer.charge(amount_minor=TOTAL))
    refunded = await shop.payments.refund(buyer.refund())
    assert (refunded.captured_minor, refunded.transaction_id) == (TOTAL, receipt.transaction_id)


async def test_where_nothing_is_left_nothing_is_asked_for(till: Shop, provider: Forgetful) -> None:
    buyer = await a_charged_order(till)
    await till.payments.refund(buyer.refund())
    provider.knows_nothing = True
    again = await till.payments.refund(buyer.refund(step="refund/2", amount_minor=0))
    assert (again.refund_id, again.refunded_minor, again.total_refunded_minor) == (None, 0, TOTAL)


async def test_another_sum_than_the_ledgers_is_not_given_back(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    with pytest.raises(BooksDisagree, match=r"1125 captured, 0 refunded and 750 owed .* leave 375 .* asks for 400"):
        await shop.payments.refund(buyer.refund(amount_minor=400, kept_lines=["1"]))
    assert await refunded_by_the_provider(shop) == 0


async def test_an_empty_ledger_does_not_refund_nothing_where_the_run_knows_of_money(shop: Shop) -> None:
    buyer = Buyer()
    with pytest.raises(BooksDisagree, match="1125 captured as TXN-1, but the ledger never received order uid-1"):
        await shop.payments.refund(buyer.refund(transaction_id="TXN-1", captured_minor=TOTAL))


async def test_a_ledger_that_lost_the_charge_does_not_refund_nothing_either(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(BooksDisagree, match="for the ledger uid-1/charge never happened"):
        await shop.payments.refund(buyer.refund(transaction_id="TXN-1", captured_minor=750))
    assert [row["kind"] for row in await shop.rows(tables.operations)] == ["receive"]


async def test_a_provider_that_forgot_the_charge_does_not_refund_nothing(till: Shop, provider: Forgetful) -> None:
    buyer = await a_charged_order(till)
    provider.knows_nothing = True
    with pytest.raises(BooksDisagree, match=r"the ledger has 1125 captured .* the provider knows no such charge"):
        await till.payments.refund(buyer.refund())
    [payment] = await till.rows(tables.payments)
    assert (payment["captured_minor"], payment["refunded_minor"]) == (TOTAL, 0)


async def test_a_charge_without_an_answer_that_the_run_knows_of_is_not_refunded_with_nothing(
    till: Shop, provider: Forgetful
) -> None:
    buyer = await till.buyer()
    provider.answers_are_lost = True
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(buyer.charge())
    provider.knows_nothing = True
    with pytest.raises(BooksDisagree, match="the workflow knows of 750 captured as TXN-1"):
        await till.payments.refund(buyer.refund(transaction_id="TXN-1", captured_minor=750))


async def test_another_transaction_than_the_ledgers_is_not_refunded(shop: Shop) -> None:
    buyer = await a_charged_order(shop)
    with pytest.raises(BooksDisagree, match="captured as TXN-ELSE, the ledger has 1125 captured as"):
        await shop.payments.refund(buyer.refund(transaction_id="TXN-ELSE", captured_minor=TOTAL))


async def test_a_refund_without_an_answer_is_settled_before_the_next_one(till: Shop, provider: Forgetful) -> None:
    buyer = await a_charged_order(till)
    await lose_the_answer(till, provider, buyer.refund(amount_minor=375, kept_lines=["1"]))

    second = await till.payments.refund(buyer.refund(step="refund/2", amount_minor=TOTAL))

    assert (second.refunded_minor, second.total_refunded_minor) == (750, TOTAL)
    assert await refunded_by_the_provider(till) == TOTAL
    assert (await till.payments.refund(buyer.refund(amount_minor=375, kept_lines=["1"]))).refunded_minor == 375


THREE_LINES = tuple(a_line(str(number), 1) for number in (1, 2, 3))


async def a_partial_refund_without_an_answer(till: Shop, provider: Forgetful) -> tuple[Buyer, Refund]:
    """Two of three lines were kept then."""
    buyer = Buyer()
    await till.orders.receive(buyer.receive(*THREE_LINES, charged=True))
    await till.payments.charge(buyer.charge(amount_minor=TOTAL))
    first = buyer.refund(amount_minor=375, kept_lines=["1", "2"], refunded_minor=0)
    await lose_the_answer(till, provider, first)
    return buyer, first


async def test_a_late_attempt_of_an_earlier_refund_asks_for_nothing_beside_a_later_one(
    till: Shop, provider: Forgetful
) -> None:
    """It asked for the later one, by the books of before its own: more was given back than was not owed."""
    buyer, first = await a_partial_refund_without_an_answer(till, provider)

    async def late_attempt() -> None:
        with pytest.raises(BooksDisagree, match="uid-1/refund comes after uid-1/refund/2, which keeps fewer lines"):
            await till.payments.refund(first)

    provider.meanwhile = late_attempt
    await till.payments.refund(buyer.refund(step="refund/2", amount_minor=750, kept_lines=["1"], refunded_minor=0))

    assert await refunded_by_the_provider(till) == 750
    [payment] = await till.rows(tables.payments)
    assert payment["refunded_minor"] == 750


async def test_an_attempt_of_an_earlier_refund_that_begins_after_a_later_one_leaves_nothing_open(
    till: Shop, provider: Forgetful
) -> None:
    """Its operation stayed open for good, and raised an alarm."""
    buyer = await a_charged_order(till)
    await till.payments.refund(buyer.refund(step="refund/2", amount_minor=TOTAL))

    with pytest.raises(BooksDisagree):
        await till.payments.refund(buyer.refund(amount_minor=375, kept_lines=["1"]))

    refunds = [row for row in await till.rows(tables.operations) if row["kind"] == "refund"]
    assert [row["operation_id"] for row in refunds] == ["uid-1/refund/2"]


async def test_of_open_refunds_the_one_that_keeps_most_is_settled_first_whatever_the_clocks_say(
    till: Shop, provider: Forgetful
) -> None:
    buyer, _ = await a_partial_refund_without_an_answer(till, provider)
    await lose_the_answer(till, provider, buyer.refund(step="refund/2", amount_minor=750, kept_lines=["1"]))

    def behind(tx: Connection) -> None:
        """The second one's worker has a clock that is."""
        second = tables.operations.c.operation_id == "uid-1/refund/2"
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        tx.execute(update(tables.operations).where(second).values(created_at=an_hour_ago))

    await till.ledger.transaction(behind)
    provider.asked.clear()

    await till.payments.refund(buyer.refund(step="refund/3", amount_minor=TOTAL))

    assert provider.asked == ["uid-1/refund", "uid-1/refund/2", "uid-1/refund/3"]


async def test_an_open_refund_of_an_order_whose_lines_are_not_known_is_settled_with_what_it_was_asked_for(
    till: Shop, provider: Forgetful
) -> None:
    """An older workflow told no lines: the next refund went to a person, for good."""
    buyer = await till.buyer()
    await till.payments.charge(buyer.charge())
    await lose_the_answer(till, provider, buyer.refund(amount_minor=300, kept_lines=["1"], refunded_minor=0))

    whole = await till.payments.refund(buyer.refund(step="refund/2", amount_minor=750, refunded_minor=0))

    assert (whole.refunded_minor, whole.total_refunded_minor) == (450, 750)


async def test_refunds_that_waited_behind_each_other_are_each_settled_with_their_share(
    till: Shop, provider: Forgetful
) -> None:
    """Three rounds while the company gave no answer: another parcel came back in each."""
    buyer, _ = await a_partial_refund_without_an_answer(till, provider)
    await lose_the_answer(
        till, provider, buyer.refund(step="refund/2", amount_minor=750, kept_lines=["1"], refunded_minor=0)
    )

    await till.payments.refund(buyer.refund(step="refund/3", amount_minor=TOTAL, refunded_minor=0))

    assert [row["amount_minor"] for row in await till.provider_log("refunds")] == [375, 375, 375]


async def test_a_refund_whose_first_attempt_settled_an_earlier_one_is_made_by_the_next(
    till: Shop, provider: Forgetful
) -> None:
    """A person was called for nothing: the books had more given back than the workflow had known."""
    buyer, first = await a_partial_refund_without_an_answer(till, provider)
    await till.payments.refund(first)  # as the first attempt of the next one would
    whole = buyer.refund(step="refund/2", amount_minor=TOTAL, refunded_minor=0)

    refunded = await till.payments.refund(whole)

    assert (refunded.refunded_minor, refunded.total_refunded_minor) == (750, TOTAL)


async def test_a_restored_ledger_that_has_less_given_back_than_the_workflow_knows_disagrees(shop: Shop) -> None:
    buyer = await a_charged_order(shop)

    with pytest.raises(BooksDisagree, match="leave 1125 to refund, the workflow asks for 750"):
        await shop.payments.refund(buyer.refund(amount_minor=750, refunded_minor=375))


async def test_an_order_that_ended_without_any_charge_is_refunded_with_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    assert await shop.payments.refund(buyer.refund()) == Refunded()


async def test_kept_lines_of_an_order_whose_lines_are_not_known_take_the_runs_sum_within_what_is_left(
    shop: Shop,
) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    with pytest.raises(BooksDisagree, match="does not know the lines"):
        await shop.payments.refund(buyer.refund(amount_minor=751, kept_lines=["1"]))
    refunded = await shop.payments.refund(buyer.refund(step="refund/2", amount_minor=300, kept_lines=["1"]))
    assert refunded.refunded_minor == 300

"""Ledger and payment provider are compared in both directions, and a refund is followed to its end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from audited import cancelled, completed, flaws
from shop import Buyer, Shop, a_line
from sqlalchemy import Connection, update
from temporalio.common import MetricMeter

from order_domain.errors import OperationConflict
from order_worker.ledger import audit, open_intents, tables
from order_worker.ledger.locked_order import lock
from order_worker.ledger.reconciliation import Reconciliation, Summary
from order_worker.metrics import Metrics
from order_worker.money_watch import MoneyWatch
from order_worker.providers.payment.port import ChargeEntry, PaymentProvider, RefundEntry, RefundState
from order_workflows.activities.order import KnownEffects


class Books:
    """The provider's books as they are, changed on the way: by refund, its state; and what they hide."""

    def __init__(self, provider: PaymentProvider, state: RefundState = RefundState.SUCCEEDED) -> None:
        self._provider = provider
        self.state = state
        self.hides_charges = False
        self.hides_refunds = False
        self.knows_refunds = True
        self.by_hand: dict[str, RefundState] = {}
        """Refunds that a person made of all money, each under the key of the platform's own, by their ids."""
        self.twin_gave_back: int | None = None
        """What the second charge under each key gave back; None if there is none."""
        self.gave_all_back = False
        """By hand, without a key."""

    async def charges_since(self, at: datetime) -> AsyncIterator[ChargeEntry]:
        async for entry in self._provider.charges_since(at):
            if self.twin_gave_back is not None:  # the newest is listed first
                yield replace(entry, transaction_id="TXN-TWIN", refunded_minor=self.twin_gave_back)
            if not self.hides_charges:
                own = 0 if self.state is RefundState.FAILED else entry.refunded_minor
                more = sum(state is not RefundState.FAILED for state in self.by_hand.values())
                given_back = own + more * entry.refunded_minor
                yield replace(entry, refunded_minor=entry.captured_minor if self.gave_all_back else given_back)

    async def refunds_since(self, at: datetime) -> AsyncIterator[RefundEntry]:
        async for entry in self._provider.refunds_since(at):
            for refund_id, state in self.by_hand.items():
                yield replace(entry, refund_id=refund_id, state=state)
            if not self.hides_refunds:
                yield replace(entry, state=self.state)

    async def refund_state(self, refund_id: str) -> RefundState:
        if not self.knows_refunds:
            raise OperationConflict(f"no refund {refund_id}")
        return self.state


async def reconciled(shop: Shop, books: Books | PaymentProvider | None = None) -> tuple[list[str], Summary]:
    """An hour later."""
    provider: Any = books or shop.providers.payments
    now = datetime.now(UTC)
    reconciliation = Reconciliation(shop.ledger, provider, now - timedelta(days=1), now + timedelta(hours=1))
    found = [str(flaw) async for flaw in reconciliation.flaws()]
    return found, reconciliation.summary()


Course = Callable[[Shop], Awaitable[Buyer]]

ORDER = "order shop/order-1 (uid-1)"
BY_HAND = "a refund by hand counts if it names uid-1/refund"
NOT_GIVEN_BACK = f"{ORDER}: it ended as Order Cancelled, and 7.50 USD is not given back: {BY_HAND}"


async def test_books_that_agree_have_no_flaw(shop: Shop) -> None:
    await cancelled(shop, 1)
    await completed(shop, 2)
    assert await reconciled(shop) == ([], Summary(charges=2, refunds=1, pending=0, by_hand=0, foreign=0))


async def test_a_charge_that_the_ledger_does_not_know_is_found(shop: Shop) -> None:
    payments = shop.providers.payments
    await payments.charge("x/charge", amount_minor=5, currency="USD", method="tok_visa", asked_at=datetime.now(UTC))
    [flaw], _ = await reconciled(shop)
    assert flaw.startswith("charge x/charge: the provider took 0.05 USD as TXN-")


async def test_a_charge_that_the_ledger_does_not_know_and_that_is_given_back_is_no_flaw(shop: Shop) -> None:
    """As the runbook says. It was named each day for five weeks, and hid the next difference."""
    payments, now = shop.providers.payments, datetime.now(UTC)
    await payments.charge("x/charge", amount_minor=5, currency="USD", method="tok_visa", asked_at=now)
    books = Books(payments)
    books.gave_all_back = True
    assert (await reconciled(shop, books))[0] == []


async def test_a_charge_that_the_provider_does_not_know_is_found(shop: Shop) -> None:
    await completed(shop)
    books = Books(shop.providers.payments)
    books.hides_charges = True
    [flaw], _ = await reconciled(shop, books)
    assert flaw.startswith(f"{ORDER}: the ledger took 7.50 USD as TXN-")


@pytest.mark.parametrize("course", [completed, cancelled])
async def test_money_that_was_taken_twice_under_one_key_is_found(shop: Shop, course: Course) -> None:
    """Both stood on one page of the provider's books, and the second one counted as somebody else's."""
    await course(shop)
    books = Books(shop.providers.payments)
    books.twin_gave_back = 0
    [flaw], summary = await reconciled(shop, books)
    assert flaw.startswith(f"{ORDER}: the provider took 7.50 USD as TXN-TWIN, the ledger 7.50 USD as TXN-")
    assert summary.foreign == 0


async def test_money_that_was_taken_twice_and_given_back_is_no_flaw(shop: Shop) -> None:
    await completed(shop)
    books = Books(shop.providers.payments)
    books.twin_gave_back = 750
    assert (await reconciled(shop, books))[0] == []


async def test_a_charge_that_only_its_given_back_twin_is_left_of_is_found(shop: Shop) -> None:
    await completed(shop)
    books = Books(shop.providers.payments)
    books.twin_gave_back, books.hides_charges = 750, True
    [flaw], _ = await reconciled(shop, books)
    assert flaw.startswith(f"{ORDER}: the ledger took 7.50 USD as TXN-")


async def test_a_charge_whose_outcome_never_came_is_found(shop: Shop) -> None:
    await completed(shop)
    charge = tables.operations.c.kind == "charge"
    lost = {"state": "intent", "outcome": None, "finished_at": None}
    await shop.ledger.transaction(lambda tx: tx.execute(update(tables.operations).where(charge).values(lost)).rowcount)
    found, _ = await reconciled(shop)
    assert "the ledger has the charge as intent" in found[0]


async def test_another_amount_is_found(shop: Shop) -> None:
    await completed(shop)
    await shop.ledger.transaction(lambda tx: tx.execute(update(tables.payments).values(captured_minor=700)).rowcount)
    [flaw], _ = await reconciled(shop)
    assert "the provider took 7.50 USD" in flaw
    assert "the ledger 7.00 USD" in flaw


async def test_what_happened_just_now_is_left_for_the_next_time(shop: Shop) -> None:
    payments, now = shop.providers.payments, datetime.now(UTC)
    await payments.charge("x/charge", amount_minor=5, currency="USD", method="tok_visa", asked_at=now)
    reconciliation = Reconciliation(shop.ledger, payments, now - timedelta(days=1), now)
    assert [flaw async for flaw in reconciliation.flaws()] == []


@pytest.mark.parametrize("answered", [True, False])
async def test_a_refund_that_comes_while_books_are_compared_is_no_difference(shop: Shop, answered: bool) -> None:
    buyer = await shop.buyer()
    await shop.payments.charge(buyer.charge())
    now = datetime.now(UTC)

    class Busy(Books):
        """Asks for a refund once its own side has been read."""

        async def charges_since(self, at: datetime) -> AsyncIterator[ChargeEntry]:
            async for entry in super().charges_since(at):
                yield replace(entry, at=now - timedelta(hours=1), refunded_minor=0 if answered else 750)
            if answered:
                await shop.payments.refund(buyer.refund())
            else:
                await shop.insert(
                    tables.operations,
                    operation_id="uid-1/refund",
                    order_uid="uid-1",
                    kind="refund",
                    state="intent",
                    created_at=now,
                )

    provider: Any = Busy(shop.providers.payments)
    reconciliation = Reconciliation(shop.ledger, provider, now - timedelta(days=1), now)
    assert [str(flaw) async for flaw in reconciliation.flaws()] == []


async def test_other_sums_given_back_are_found(shop: Shop) -> None:
    await cancelled(shop)

    class Less(Books):
        async def charges_since(self, at: datetime) -> AsyncIterator[ChargeEntry]:
            async for entry in super().charges_since(at):
                yield replace(entry, refunded_minor=700)

    [flaw], _ = await reconciled(shop, Less(shop.providers.payments))
    assert "the provider gave back 7.00 USD of TXN-" in flaw
    assert flaw.endswith(", the ledger 7.50 USD")


async def test_a_charge_that_was_asked_for_before_the_time_compared_is_not_missed(shop: Shop) -> None:
    await completed(shop)
    charge = tables.operations.c.kind == "charge"
    early = {"created_at": datetime.now(UTC) - timedelta(hours=27)}
    await shop.ledger.transaction(lambda tx: tx.execute(update(tables.operations).where(charge).values(early)).rowcount)
    books = Books(shop.providers.payments)
    books.hides_charges = True
    assert (await reconciled(shop, books))[0] == []


async def test_a_pending_refund_is_counted_and_no_flaw(shop: Shop) -> None:
    await cancelled(shop)
    found, summary = await reconciled(shop, Books(shop.providers.payments, RefundState.PENDING))
    assert (found, summary.pending) == ([], 1)


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "older-than-the-list"])
async def test_a_refund_that_failed_later_is_owed_again(shop: Shop, ledger_url: str, listed: bool) -> None:
    await cancelled(shop)
    books = Books(shop.providers.payments, RefundState.FAILED)
    books.hides_refunds = not listed
    found, _ = await reconciled(shop, books)
    assert [flaw for flaw in found if "failed: the customer has not got it" in flaw]
    assert found[-1] == NOT_GIVEN_BACK
    assert [row["refunded_minor"] for row in await shop.rows(tables.payments)] == [0]
    assert flaws(ledger_url) == []

    found, _ = await reconciled(shop, books)
    assert found == [NOT_GIVEN_BACK]
    assert [row["refunded_minor"] for row in await shop.rows(tables.payments)] == [0]
    refunds = [row for row in await shop.provider_log("refunds") if row["charge_key"] == "uid-1/charge"]
    assert len(refunds) == 1, "money moved"


async def given_back(shop: Shop) -> int:
    [payment] = await shop.rows(tables.payments)
    return int(payment["refunded_minor"])


@pytest.mark.parametrize("later", [True, False], ids=["made-before-it-failed", "made-after-it-failed"])
async def test_a_refund_by_hand_stays_counted_when_another_of_its_key_has_failed(shop: Shop, later: bool) -> None:
    await cancelled(shop)

    class Others(Books):
        async def refunds_since(self, at: datetime) -> AsyncIterator[RefundEntry]:
            async for booked in super().refunds_since(at):
                failed = replace(booked, refund_id="re_failed", state=RefundState.FAILED)
                for entry in (booked, failed) if later else (failed, booked):
                    yield entry

    for _ in range(2):
        found, summary = await reconciled(shop, Others(shop.providers.payments))
        assert (found, summary.refunds, await given_back(shop)) == ([], 2, 750)


async def test_what_a_person_gives_back_in_the_place_of_a_failed_refund_is_counted_once(
    shop: Shop, ledger_url: str
) -> None:
    await cancelled(shop)
    books = Books(shop.providers.payments, RefundState.FAILED)
    await reconciled(shop, books)
    books.by_hand["re_hand"] = RefundState.PENDING
    found, summary = await reconciled(shop, books)
    assert (found, summary.by_hand, await given_back(shop)) == ([], 1, 750)

    found, summary = await reconciled(shop, books)
    assert (found, summary.by_hand, await given_back(shop)) == ([], 0, 750)
    [payment] = await shop.rows(tables.payments)
    assert payment["refund_id"] == "re_hand"
    assert flaws(ledger_url) == []


async def test_what_a_person_gave_back_may_fail_as_well_and_is_given_back_by_another_refund(
    shop: Shop, ledger_url: str
) -> None:
    await cancelled(shop)
    books = Books(shop.providers.payments, RefundState.FAILED)
    books.by_hand["re_hand"] = RefundState.SUCCEEDED
    await reconciled(shop, books)
    books.by_hand["re_hand"] = RefundState.FAILED
    found, _ = await reconciled(shop, books)
    assert found == [f"{ORDER}: refund re_hand of 7.50 USD failed: the customer has not got it", NOT_GIVEN_BACK]

    books.by_hand["re_again"] = RefundState.SUCCEEDED
    assert (await reconciled(shop, books))[0] == []
    assert await given_back(shop) == 750
    assert flaws(ledger_url) == []


async def test_more_than_failed_is_not_counted_and_is_named(shop: Shop) -> None:
    await cancelled(shop)
    books = Books(shop.providers.payments)
    books.by_hand["re_twice"] = RefundState.SUCCEEDED
    for _ in range(2):
        found, _ = await reconciled(shop, books)
        assert "as re_twice for uid-1/refund; the ledger has REF-" in found[0]
        assert await given_back(shop) == 750


async def test_a_refund_of_another_charge_is_not_counted_for_the_order_that_it_names(shop: Shop) -> None:
    await cancelled(shop)

    class Others(Books):
        async def refunds_since(self, at: datetime) -> AsyncIterator[RefundEntry]:
            async for entry in super().refunds_since(at):
                yield entry
                yield replace(entry, refund_id="re_other", transaction_id="TXN-OTHER", state=RefundState.SUCCEEDED)

    found, _ = await reconciled(shop, Others(shop.providers.payments, RefundState.FAILED))
    assert "the provider gave back 7.50 USD of TXN-OTHER as re_other for uid-1/refund" in found[1]
    assert (found[-1], await given_back(shop)) == (NOT_GIVEN_BACK, 0)


async def sold_in_part(shop: Shop) -> Buyer:
    """Of two parcels one could not be called back: 7.50 is owed, the rest was given back."""
    buyer, lines = Buyer(), (a_line("1", 2), a_line("2", 1))
    await shop.orders.receive(buyer.receive(*lines, charged=True))
    await shop.stock.reserve(buyer.reserve_lines(*lines))
    await shop.payments.charge(buyer.charge(amount_minor=1125))
    await shop.shipping.ship(buyer.ship(line=lines[0]))
    await shop.orders.halt(buyer.halt())
    await shop.payments.refund(buyer.refund(amount_minor=375, kept_lines=["1"]))
    await shop.stock.release(buyer.release(PROD_001=2))
    await shop.orders.sell_lines(buyer.sell_lines("1"))
    return buyer


async def test_a_failed_refund_of_an_order_that_completed_in_part_is_named_until_it_is_given_back(
    shop: Shop, ledger_url: str
) -> None:
    await shop.orders.close((await sold_in_part(shop)).close())
    books = Books(shop.providers.payments)
    assert (await reconciled(shop, books))[0] == []
    books.state = RefundState.FAILED
    left = f"{ORDER}: it ended as Order Completed, and 3.75 USD is not given back: {BY_HAND}"
    assert (await reconciled(shop, books))[0][-1] == left
    assert (await reconciled(shop, books))[0] == [left]

    books.by_hand["re_hand"] = RefundState.SUCCEEDED
    assert (await reconciled(shop, books))[0] == []
    assert flaws(ledger_url) == []


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "older-than-the-list"])
async def test_a_refund_that_fails_before_its_order_has_ended_is_named_and_taken_out_afterwards(
    shop: Shop, ledger_url: str, listed: bool
) -> None:
    buyer = await sold_in_part(shop)
    books = Books(shop.providers.payments, RefundState.FAILED)
    books.hides_refunds = not listed
    for _ in range(2):
        found, _ = await reconciled(shop, books)
        assert [flaw for flaw in found if "failed: the customer has not got it; it is taken out" in flaw]
        assert await given_back(shop) == 375
    known = KnownEffects(received=True, captured_minor=1125, refunded_minor=375)
    [payment] = await shop.rows(tables.payments)
    known = known.model_copy(update={"transaction_id": payment["transaction_id"]})
    await shop.orders.halt(buyer.halt(known=known))
    books.by_hand["re_hand"] = RefundState.SUCCEEDED
    await reconciled(shop, books)
    assert await given_back(shop) == 375

    await shop.orders.close(buyer.close())
    found, summary = await reconciled(shop, books)
    assert (len(found), summary.by_hand, await given_back(shop)) == (1, 1, 375)
    assert flaws(ledger_url) == []


async def test_an_order_whose_refund_an_earlier_release_took_out_under_way_goes_on_when_a_person_gave_it_back(
    shop: Shop, ledger_url: str
) -> None:
    buyer = await sold_in_part(shop)
    [payment] = await shop.rows(tables.payments)
    event = {"refundID": payment["refund_id"], "amountMinor": 375, "currency": "USD", "channel": "reconcile"}

    def take_out(tx: Connection) -> None:
        audit.append(tx, lock(tx, buyer.identity), "refund_failed", event)
        tx.execute(update(tables.payments).values(refunded_minor=0))

    await shop.ledger.transaction(take_out)
    books = Books(shop.providers.payments, RefundState.FAILED)
    books.by_hand["re_hand"] = RefundState.SUCCEEDED
    assert (await reconciled(shop, books))[0] == []
    await shop.orders.close(buyer.close())
    assert flaws(ledger_url) == []


async def test_a_refund_is_followed_until_its_order_has_ended_whatever_its_age(shop: Shop) -> None:
    buyer = await sold_in_part(shop)
    books = Books(shop.providers.payments, RefundState.FAILED)
    books.hides_refunds = True
    old = datetime.now(UTC) - timedelta(days=100)
    refund = tables.operations.c.kind == "refund"
    await shop.ledger.transaction(
        lambda tx: tx.execute(update(tables.operations).where(refund).values(finished_at=old)).rowcount
    )
    assert "failed: the customer has not got it; it is taken out" in (await reconciled(shop, books))[0][0]
    await shop.orders.close(buyer.close())
    await reconciled(shop, books)
    assert await given_back(shop) == 0


async def test_a_refund_that_the_provider_does_not_know_is_found(shop: Shop) -> None:
    await cancelled(shop)
    books = Books(shop.providers.payments)
    books.hides_refunds, books.knows_refunds = True, False
    [flaw], _ = await reconciled(shop, books)
    assert "the provider has no such refund" in flaw


async def test_open_money_is_counted_by_age(shop: Shop) -> None:
    buyer = Buyer()
    await shop.orders.receive(buyer.receive())
    now = datetime.now(UTC)
    ages = {"uid-1/a": 1, "uid-1/b": 120, "uid-1/c": 1200, "uid-1/d": 7200}
    for operation_id, seconds in ages.items():
        created_at = now - timedelta(seconds=seconds)
        await shop.insert(
            tables.operations,
            operation_id=operation_id,
            order_uid="uid-1",
            kind="refund" if operation_id == "uid-1/d" else "charge",
            state="intent",
            created_at=created_at,
        )
    counted = await shop.ledger.transaction(lambda tx: open_intents.count(tx, now))
    assert {key: number for key, number in counted.items() if number} == {
        ("charge", "under_1m"): 1,
        ("charge", "1m_to_10m"): 1,
        ("charge", "10m_to_1h"): 1,
        ("refund", "over_1h"): 1,
    }
    assert len(counted) == 8


class Counted(Metrics):
    """Remembers which money is open."""

    def __init__(self) -> None:
        super().__init__(MetricMeter.noop)
        self.open: dict[tuple[str, str], int] = {}

    def open_intents(self, kind: str, age: str, number: int) -> None:
        self.open[kind, age] = number


async def test_a_worker_tells_the_metrics_which_money_is_open(shop: Shop) -> None:
    await shop.orders.receive(Buyer().receive())
    created_at = datetime.now(UTC) - timedelta(hours=2)
    await shop.insert(
        tables.operations,
        operation_id="uid-1/charge",
        order_uid="uid-1",
        kind="charge",
        state="intent",
        created_at=created_at,
    )
    metrics = Counted()
    await MoneyWatch(shop.ledger, metrics).look()

    assert metrics.open["charge", "over_1h"] == 1

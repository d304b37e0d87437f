"""The ledger's record of orders, fraud verdicts, parcels and mails."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from audited import flaws
from shop import Buyer, Shop

from order_domain.errors import (
    DuplicateOrder,
    FraudSuspected,
    LedgerUnavailable,
    OperationCancelled,
    OperationConflict,
    OrderError,
    ProviderUnavailable,
    Undeliverable,
)
from order_worker.activities.fraud import LedgerFraudChecks
from order_worker.ledger import tables
from order_worker.ledger.operations import fingerprint
from order_worker.providers.fraud.port import FraudCheck
from order_workflows.activities.effect import Outcome


async def test_receiving_an_order_again_is_the_same_order(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.receive(buyer.receive())
    assert len(await shop.rows(tables.orders)) == 1


async def test_another_order_with_the_number_is_refused_and_told_the_first(shop: Shop) -> None:
    first = await shop.buyer()
    second = Buyer(uid="uid-2", name="order-2", order_id=first.order_id)
    with pytest.raises(DuplicateOrder, match="ORDER-1 already belongs to shop/order-1"):
        await shop.orders.receive(second.receive())


async def test_two_namespaces_may_use_one_order_number(shop: Shop) -> None:
    first = await shop.buyer()
    request = Buyer(uid="uid-2", order_id=first.order_id).receive()
    elsewhere = request.order.model_copy(update={"namespace": "other"})
    await shop.orders.receive(request.model_copy(update={"order": elsewhere}))
    assert len(await shop.rows(tables.orders)) == 2


async def test_the_same_uid_with_another_total_is_a_conflict(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(OperationConflict):
        await shop.orders.receive(buyer.receive(total_minor=1))


async def test_closing_records_the_final_status(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.orders.close(buyer.close("Order Rejected"))
    assert [row["status"] for row in await shop.rows(tables.orders)] == ["Order Rejected"]


async def test_a_duplicate_has_nothing_to_close(shop: Shop) -> None:
    first = await shop.buyer()
    await shop.orders.close(replace(first, uid="uid-2").close("Order Duplicate"))
    assert [row["status"] for row in await shop.rows(tables.orders)] == ["Order Received"]


@pytest.mark.parametrize("undo", ["refund", "release", "cancel_shipment"])
async def test_nothing_is_undone_for_an_order_that_was_never_received(shop: Shop, undo: str) -> None:
    stranger = Buyer()
    request = getattr(stranger, undo)()
    activity = {
        "refund": shop.payments.refund,
        "release": shop.stock.release,
        "cancel_shipment": shop.shipping.cancel,
    }[undo]
    await activity(request)
    assert await shop.rows(tables.operations) == []


class FickleFraudCheck(FraudCheck):
    """Suspects everybody or nobody, as it is told."""

    suspects = False

    async def check(self, *, customer_id: str, total_minor: int, currency: str, country: str) -> None:  # noqa: ARG002
        if self.suspects:
            raise FraudSuspected(f"customer {customer_id} is suspected of fraud")


@pytest.mark.parametrize("suspected", [False, True], ids=["good, then suspected", "suspected, then good"])
async def test_a_fraud_verdict_is_kept_though_the_service_changes_its_mind(shop: Shop, suspected: bool) -> None:
    provider = FickleFraudCheck()
    checks = LedgerFraudChecks(shop.ledger, provider)
    request = (await shop.buyer()).fraud_check()

    async def is_suspected() -> bool:
        try:
            await checks.check(request)
        except FraudSuspected:
            return True
        return False

    provider.suspects = suspected
    first = await is_suspected()
    provider.suspects = not suspected
    again = await is_suspected()

    assert (first, again) == (suspected, suspected)


async def test_shipping_twice_hands_over_one_parcel(shop: Shop) -> None:
    buyer = await shop.buyer()
    first = await shop.shipping.ship(buyer.ship())
    second = await shop.shipping.ship(buyer.ship())
    assert first == second
    assert len(await shop.provider_log("shipments")) == 1


async def test_an_undeliverable_address_is_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    with pytest.raises(Undeliverable):
        await shop.shipping.ship(buyer.ship(postal_code="00000"))


async def test_a_refusal_of_the_carrier_stands_for_its_operation_whatever_the_address_is_now(shop: Shop) -> None:
    """A run that was reset comes by the first operation with the corrected address: a conflict would hold it for ever,
    and after a refusal the next try is another operation."""
    buyer = await shop.buyer()
    with pytest.raises(Undeliverable):
        await shop.shipping.ship(buyer.ship(postal_code="00000"))
    with pytest.raises(Undeliverable):
        await shop.shipping.ship(buyer.ship())
    assert await shop.provider_log("shipments") == []


async def test_a_parcel_is_called_back_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.shipping.ship(buyer.ship())
    await shop.shipping.cancel(buyer.cancel_shipment())
    cancelled = await shop.provider_log("shipments")
    await shop.shipping.cancel(buyer.cancel_shipment())
    assert [row["state"] for row in cancelled] == ["cancelled"]
    assert await shop.provider_log("shipments") == cancelled


async def test_a_parcel_is_not_shipped_after_it_was_called_back(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.shipping.cancel(buyer.cancel_shipment())
    with pytest.raises(OperationCancelled):
        await shop.shipping.ship(buyer.ship())


async def test_a_parcel_that_was_called_back_before_its_dispatch_was_recorded_is_recorded_as_dispatched(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await shop.buyer()
    carrier = shop.providers.carrier
    dispatch = carrier.dispatch

    async def unanswered(*key: Any, **parcel: Any) -> None:
        await dispatch(*key, **parcel)
        raise ProviderUnavailable("no answer")

    with monkeypatch.context() as answers_get_lost:
        answers_get_lost.setattr(carrier, "dispatch", unanswered)
        with pytest.raises(ProviderUnavailable):
            await shop.shipping.ship(buyer.ship())
    # By an undo that has not reported yet, while the dispatch is tried again.
    await carrier.cancel("uid-1/ship/1", tracking_number=None)
    with pytest.raises(OperationCancelled):
        await shop.shipping.ship(buyer.ship())

    await shop.shipping.cancel(buyer.cancel_shipment())

    states = {row["operation_id"]: row["state"] for row in await shop.rows(tables.operations)}
    assert (states["uid-1/ship/1"], states["uid-1/ship/1/cancel"]) == ("done", "done")


async def test_notifying_twice_sends_one_mail(shop: Shop) -> None:
    buyer = await shop.buyer()
    for _ in range(2):
        assert await shop.notifications.notify(buyer.notice()) == Outcome()
    assert len(await shop.provider_log("mails")) == 1


@contextmanager
def no_mail(shop: Shop, monkeypatch: pytest.MonkeyPatch, error: OrderError) -> Iterator[None]:
    """The mail service answers with this."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as away:
        away.setattr(shop.providers.mailer, "send", refuse)
        yield


async def test_a_mail_that_another_run_has_left_open_is_sent_in_the_words_of_the_present_one(
    shop: Shop, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a conflict, which the run took for a mail that is sent."""
    buyer = await shop.buyer()
    with no_mail(shop, monkeypatch, ProviderUnavailable("no mail today")), pytest.raises(ProviderUnavailable):
        await shop.notifications.notify(buyer.notice(body="On its way."))

    assert await shop.notifications.notify(buyer.notice(body="On its way to you.")) == Outcome()

    (mail,) = await shop.provider_log("mails")
    assert mail["body"] == "On its way to you."
    [row] = [row for row in await shop.rows(tables.operations) if row["kind"] == "notify"]
    assert row["params"]["mail"] == fingerprint("Yours\n\nOn its way to you.")
    assert flaws(ledger_url) == []


async def test_a_mail_that_was_sent_is_not_sent_again_in_other_words(shop: Shop) -> None:
    buyer = await shop.buyer()
    for body in ("On its way.", "On its way to you."):
        assert await shop.notifications.notify(buyer.notice(body=body)) == Outcome()

    (mail,) = await shop.provider_log("mails")
    assert mail["body"] == "On its way."


async def test_a_mail_that_nobody_takes_does_not_count_as_sent_in_other_words(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await shop.buyer()
    with no_mail(shop, monkeypatch, Undeliverable("no such mailbox")), pytest.raises(Undeliverable):
        await shop.notifications.notify(buyer.notice(body="On its way."))

    with pytest.raises(Undeliverable):
        await shop.notifications.notify(buyer.notice(body="On its way to you."))


async def test_neither_address_nor_mail_address_is_stored(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.shipping.ship(buyer.ship())
    await shop.notifications.notify(buyer.notice())
    stored = str(await shop.rows(tables.operations)) + str(await shop.rows(tables.audit_events))
    assert "ana@example.com" not in stored
    assert "Main St" not in stored


async def test_a_database_without_its_tables_is_an_outage_to_wait_out(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.ledger.transaction(lambda tx: tx.exec_driver_sql("ALTER TABLE orders RENAME TO elsewhere").rowcount)
    with pytest.raises(LedgerUnavailable):
        await shop.orders.receive(buyer.receive())

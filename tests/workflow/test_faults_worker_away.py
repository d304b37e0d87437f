"""Workers that come back late, or with a ledger that has forgotten the orders."""

import asyncio
import sqlite3

import pytest
from builders import a_policy
from real_shop import RealShop, shipping_class
from storefront import PlacedOrder, eventually

from order_domain.pipeline import StepName
from order_domain.snapshot import CompensationState, PaymentRecord
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_workflows import contract
from order_workflows.contract import CancelRequest, Decision


async def charged_before_the_ledger_was_empty(real: RealShop) -> PlacedOrder:
    real.carrier.is_down_for("dispatch", "find")
    retry = {"default": {"max_interval_seconds": 1, "start_to_close_seconds": 5}}
    order = await real.place(policy=a_policy(approval={"mode": "Never"}, retry=retry))
    await real.shows_step(order, StepName.SHIP)
    await real.stop_working()
    await real.open_ledger(f"sqlite:///{real.folder / 'empty.db'}")
    real.carrier.recovers()
    await real.work()
    return order


async def test_an_order_whose_ledger_is_empty_again_waits_for_a_person_with_the_figures_of_both_sides(
    real: RealShop,
) -> None:
    order = await charged_before_the_ledger_was_empty(real)

    shown = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert shown.compensation is not CompensationState.DONE
    assert shown.last_error is not None
    assert shown.last_error.type == "BooksDisagree"
    assert "50000" in shown.last_error.message.replace(",", "").replace(".", "")
    charges = await real.provider_rows("charges")
    assert [charge["state"] for charge in charges] == ["captured"]
    assert await real.provider_rows("refunds") == []


async def test_an_order_whose_ledger_was_another_database_for_a_while_is_undone_by_its_own(real: RealShop) -> None:
    order = await charged_before_the_ledger_was_empty(real)
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    await real.stop_working()
    await real.open_ledger(f"sqlite:///{real.folder / 'ledger.db'}")
    await real.work()

    await order.update(contract.UPDATE_RETRY)

    await order.reaches(OrderStatus.ORDER_FAILED)
    taken = sum(charge["amount_minor"] for charge in await real.provider_rows("charges"))
    assert (taken, sum(refund["amount_minor"] for refund in await real.provider_rows("refunds"))) == (50_000, 50_000)


async def test_an_order_whose_units_a_restored_ledger_does_not_hold_is_not_charged(real: RealShop) -> None:
    """It was charged and shipped without any, and could never end."""
    pipeline = ["Receive", "Validate", "Approval", "ReserveStock", "ChargePayment", "Ship"]
    retry = {"default": {"max_interval_seconds": 1, "start_to_close_seconds": 5}}
    order = await real.place(policy=a_policy(pipeline=pipeline, approval={"mode": "Always"}, retry=retry))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    backup = real.folder / "backup.db"
    with sqlite3.connect(real.folder / "ledger.db") as now, sqlite3.connect(backup) as then:
        now.backup(then)
    real.payments.is_down_for("charge", "find_charge")
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=50_000))
    await real.shows_step(order, StepName.CHARGE_PAYMENT)
    await real.stop_working()
    await real.open_ledger(f"sqlite:///{backup}")
    real.payments.recovers()
    await real.work()

    shown = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert shown.last_error is not None
    assert shown.last_error.type == "BooksDisagree"
    assert await real.provider_rows("charges") == []


async def test_an_order_whose_history_and_ledger_are_both_lost_is_not_charged_again(real: RealShop) -> None:
    """The status of its resource alone shows that it was charged, by a provider that may have forgotten the key."""
    order = await real.place(
        policy=shipping_class(), shown_payment=PaymentRecord(transaction_id="TXN-1", captured_minor=50_000)
    )

    shown = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert shown.last_error is not None
    assert shown.last_error.type == "BooksDisagree"
    assert "50000 captured as TXN-1" in shown.last_error.message
    assert shown.payment == PaymentRecord(transaction_id="TXN-1", captured_minor=50_000)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)  # nor is it cancelled with the money kept
    assert await real.provider_rows("charges") == []
    assert await real.rows(tables.orders) == []


@pytest.mark.long
@pytest.mark.parametrize("total", [3, None])
async def test_time_without_a_worker_fails_no_charge(real: RealShop, total: int | None) -> None:
    gate = real.payments.holds("charge")
    retry = {"default": {"start_to_close_seconds": 1, "total_seconds": total, "max_interval_seconds": 1}}
    order = await real.place(policy=shipping_class(retry=retry))

    async def asked() -> bool:
        return real.payments.asked.get("charge", 0) > 0

    await eventually(asked, "the charge was asked for")
    await real.stop_working()
    real.payments.recovers()
    del gate
    await asyncio.sleep(4)  # what is tested: time that passes without a worker
    await real.work()

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=50_000)

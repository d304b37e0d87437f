"""The ledger answers, and loses what it has answered: a standby without the last second takes over, or a backup is
restored. The end does not fit its books then, and what is missing is asked for once more."""

from collections.abc import Callable
from typing import Any

import pytest
from builders import a_policy
from real_shop import RealShop, shipping_class
from sqlalchemy import delete

from order_domain.status import OrderStatus
from order_worker.activities import stock as activities
from order_worker.ledger import stock, tables
from order_workflows import contract
from order_workflows.activities.effect import Outcome
from order_workflows.contract import CancelRequest


def loses_its_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer about stock."""
    real: Callable[..., Any] = getattr(stock, name)
    lost = iter([Outcome()])
    monkeypatch.setattr(activities.stock, name, lambda tx, request: next(lost, None) or real(tx, request))


async def test_units_whose_release_was_lost_are_released_after_a_retry(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the end was asked for again: the units and the number stayed held."""
    loses_its_first("release", monkeypatch)
    order = await real.place(policy=a_policy(approval={"mode": "Always"}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_RETRY)

    assert await real.ends(order) == OrderStatus.ORDER_CANCELLED
    await real.record("release-was-lost", order)
    assert (await real.books(order)).held == 0


async def test_units_whose_sale_was_lost_are_sold_after_a_retry(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loses_its_first("commit", monkeypatch)
    order = await real.place(policy=shipping_class())
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_RETRY)

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.record("sale-was-lost", order)


async def test_a_charge_that_was_lost_is_booked_after_a_retry(real: RealShop) -> None:
    """Workflow and company agreed, and the ledger was never told."""
    pipeline = ["Receive", "Validate", "ReserveStock", "ChargePayment", "AddressWindow", "Ship"]
    order = await real.place(policy=shipping_class(pipeline, address_window={"seconds": 2, "via": "Update"}))
    await order.reaches(OrderStatus.AWAIT_ADDRESS)

    def lose(tx: Any) -> None:
        tx.execute(delete(tables.payments))
        tx.execute(delete(tables.operations).where(tables.operations.c.kind == "charge"))

    await real.ledger.transaction(lose)
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_RETRY)

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    books = await real.books(order)
    assert (books.captured, books.kept) == (books.kept, books.captured)
    assert books.captured > 0

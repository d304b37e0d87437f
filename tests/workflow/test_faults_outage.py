"""The ledger's database is away while five hundred orders are cancelled and twenty are placed."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from builders import a_line, a_policy, an_order_spec
from real_shop import PIECES, QUICK, RealShop
from storefront import PlacedOrder
from temporalio.client import Client, WorkflowExecutionStatus

from order_devstack.postgresql import NOT_DURABLE, PostgreSQL, installation, stop
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_workflows import contract
from order_workflows.contract import CancelRequest

T = TypeVar("T")

CANCELLED, PLACED = 500, 20
AT_ONCE = 50
"""Requests of this test to Temporal."""
SECONDS = 300.0


class Switchable:
    """A PostgreSQL server that is switched off and on."""

    def __init__(self, folder: Path, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._start = start
        self._process = start()
        server = PostgreSQL(folder)
        server.create("ledger")
        self.url = server.url("ledger")

    def off(self) -> None:
        """Ends every connection."""
        stop(self._process)

    def on(self) -> None:
        """With the data of before."""
        self._process = self._start()


@pytest.fixture
def database() -> Iterator[Switchable]:
    with installation() as installed:
        data = installed.folder / "data"
        installed.initialise(data)
        server = Switchable(installed.folder, lambda: installed.start(data, installed.folder, *NOT_DURABLE))
        yield server
        server.off()


@pytest.fixture
async def shop_on_postgresql(temporal: Client, tmp_path: Path, database: Switchable) -> AsyncIterator[RealShop]:
    opened = RealShop(temporal, tmp_path, database.url)
    await opened.open()
    yield opened
    await opened.close()


async def all_of(orders: list[PlacedOrder], work: Callable[[PlacedOrder], Awaitable[T]]) -> list[T]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(order: PlacedOrder) -> T:
        async with limit:
            return await work(order)

    return await asyncio.gather(*(one(order) for order in orders))


async def all_show(orders: list[PlacedOrder], shows: Callable[[OrderSnapshot], bool], what: str) -> None:
    """Waits until each of them does, and asks only those again that did not."""
    left = orders
    async with asyncio.timeout(SECONDS):
        while left:
            shown = await all_of(left, lambda order: order.snapshot())
            left = [order for order, each in zip(left, shown, strict=True) if not shows(each)]
            last = Counter(str(each.status) for each in shown)
            print(f"{what}: {len(left)} left, {dict(last)}")  # noqa: T201 - told by pytest where it fails
            await asyncio.sleep(0.2)


@pytest.mark.long
async def test_every_order_is_heard_while_the_ledger_is_away_and_all_end_right_once_it_is_back(
    shop_on_postgresql: RealShop, database: Switchable
) -> None:
    shop = shop_on_postgresql
    spec = an_order_spec(lines=[a_line(unit_price_minor=100)])
    waits = a_policy(approval={"mode": "Always", "window_seconds": 3600}, retry=QUICK)
    waiting = [await shop.place(spec, policy=waits) for _ in range(CANCELLED)]
    await all_show(waiting, lambda shown: shown.status is OrderStatus.AWAIT_APPROVAL, "wait for approval")

    await asyncio.to_thread(database.off)
    await all_of(waiting, lambda order: order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana")))
    placed = [await shop.place(spec, policy=a_policy(approval={"mode": "Never"})) for _ in range(PLACED)]

    await all_show(
        waiting,
        lambda shown: (
            shown.status is OrderStatus.COMPENSATE_ORDER
            and shown.last_error is not None
            and shown.last_error.type == "LedgerUnavailable"
        ),
        "heard",
    )
    await all_show(
        placed,
        lambda shown: any(step.attempts > 0 and step.last_error is not None for step in shown.steps),
        "show their attempts",
    )
    await asyncio.to_thread(database.on)

    await all_show(waiting, lambda shown: shown.status is OrderStatus.ORDER_CANCELLED, "cancelled")
    await all_show(placed, lambda shown: shown.status is OrderStatus.ORDER_COMPLETED, "completed")
    for order in [*waiting[:3], *placed[:3]]:
        assert (await order.handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    await the_books_are_right(shop)


async def the_books_are_right(shop: RealShop) -> None:
    ends = Counter(row["status"] for row in await shop.rows(tables.orders))
    assert ends == {"Order Cancelled": CANCELLED, "Order Completed": PLACED}
    (shelf,) = [row for row in await shop.rows(tables.stock) if row["sku"] == "PROD-001"]
    assert (shelf["on_hand"], shelf["reserved"], shelf["sold"]) == (PIECES - PLACED, 0, PLACED)
    charges = await shop.provider_rows("charges")
    assert [(row["state"], row["amount_minor"]) for row in charges] == [("captured", 100)] * PLACED
    assert await shop.provider_rows("refunds") == []
    assert [row["state"] for row in await shop.provider_rows("shipments")] == ["dispatched"] * PLACED
    assert {(row["captured_minor"], row["refunded_minor"]) for row in await shop.rows(tables.payments)} == {(100, 0)}

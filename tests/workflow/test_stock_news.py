"""Moved pieces are news for the workflow that keeps the article, gathered and only where there are rules."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import pytest
from builders import a_line, an_order_input
from sqlalchemy import update
from stock_room import KeptItem
from storefront import eventually
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.common import MetricMeter
from temporalio.testing import ActivityEnvironment

from order_domain.errors import OrderError, OutOfStock
from order_worker.activities import stock_item
from order_worker.activities.stock_item import LedgerStockItems
from order_worker.interceptors import stock_news
from order_worker.interceptors.stock_news import StockNews
from order_worker.ledger import orders, schema, stock, supply, tables
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_worker.providers.supplier.port import Supplier
from order_workflows.activities.order import ReceiveOrder
from order_workflows.activities.stock import CommitStock, ReserveStock, ValidateLines
from order_workflows.activities.stock_item import Article, KeepStock
from order_workflows.contract import ResourceIdentity, stock_workflow_id

T = TypeVar("T")


class CountingLedger(Ledger):
    """Knows how often it was asked."""

    asked = 0

    async def transaction(self, work: Callable[..., T | OrderError]) -> T:
        self.asked += 1
        return await super().transaction(work)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[CountingLedger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
    opened = await CountingLedger.open(url)
    yield opened
    await opened.close()


@pytest.fixture
async def item(temporal: Client) -> AsyncIterator[KeptItem]:
    """Whose workflow nobody runs: news stays in its history."""
    kept = await KeptItem.start(temporal, f"SKU-{uuid4()}")
    yield kept
    await kept.handle.terminate("the test is over")


def sku_of(item: KeptItem) -> str:
    return item.handle.id.rpartition("/")[2]


async def receive(ledger: Ledger, order: ResourceIdentity) -> None:
    received = ReceiveOrder(
        order=order,
        operation_id=f"{order.uid}/receive",
        order_id=order.uid,
        customer_id="C",
        currency="USD",
        total_minor=1,
    )
    await ledger.transaction(partial(orders.receive, request=received))


async def reservation(ledger: Ledger, sku: str) -> CommitStock:
    """Of one piece, in the ledger; the request to sell it."""
    order: ResourceIdentity = an_order_input().identity.model_copy(update={"uid": str(uuid4())})
    fields: dict[str, Any] = {"order": order, "operation_id": f"{order.uid}/reserve"}
    await ledger.transaction(partial(stock.ensure, wanted={sku: 100}))
    await receive(ledger, order)
    await ledger.transaction(partial(stock.reserve, request=ReserveStock(**fields, lines=[a_line(sku=sku)])))
    return CommitStock(order=order, operation_id=f"{order.uid}/commit", reserve_operation_id=f"{order.uid}/reserve")


async def keep(ledger: Ledger, sku: str) -> None:
    keeper = stock_workflow_id("test", sku)
    request = KeepStock(sku=sku, initial_on_hand=100, minimum=0, target=0, keeper=keeper)
    await ledger.transaction(partial(supply.keep, request=request))


async def told(item: KeptItem) -> int:
    """Signals in its history."""
    return await signals(item.handle)


async def signals(handle: WorkflowHandle[Any, Any]) -> int:
    events = (await handle.fetch_history()).events
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED for event in events)


async def test_the_stock_item_of_moved_pieces_is_told(temporal: Client, ledger: CountingLedger, item: KeptItem) -> None:
    await keep(ledger, sku_of(item))
    moved = await reservation(ledger, sku_of(item))
    news = StockNews(ledger, lambda: temporal)
    async with news.telling():
        news.add([moved])

        async def heard() -> bool:
            return await told(item) == 1

        await eventually(heard, "told")


async def test_a_stock_item_whose_article_has_no_rules_is_not_told(
    temporal: Client, ledger: CountingLedger, item: KeptItem
) -> None:
    moved = await reservation(ledger, sku_of(item))
    news = StockNews(ledger, lambda: temporal)
    async with news.telling():
        news.add([moved])
    assert await told(item) == 0


async def test_news_of_one_second_is_told_together(
    temporal: Client, ledger: CountingLedger, item: KeptItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_news, "PAUSE_SECONDS", 60.0)
    await keep(ledger, sku_of(item))
    moved = [await reservation(ledger, sku_of(item)) for _ in range(5)]
    news = StockNews(ledger, lambda: temporal)
    async with news.telling():
        news.add([moved[0]])

        async def heard() -> bool:
            return await told(item) == 1

        await eventually(heard, "told")
        for each in moved:
            news.add([each])
    assert await told(item) == 2


async def test_an_article_whose_workflow_is_missing_does_not_keep_others_from_being_told(
    temporal: Client, ledger: CountingLedger, item: KeptItem
) -> None:
    missing = "A-FIRST"
    news = StockNews(ledger, lambda: temporal)
    requests = []
    for sku in (missing, sku_of(item)):
        await keep(ledger, sku)
        requests.append(await reservation(ledger, sku))
    async with news.telling():
        for request in requests:
            news.add([request])
    assert await told(item) >= 1


REFUSED = ""
"""As a workflow's id. Temporal refuses a signal to it as one too many: as an invalid argument."""


async def test_an_article_whose_workflow_takes_no_signal_does_not_keep_others_from_being_told(
    temporal: Client, ledger: CountingLedger, item: KeptItem
) -> None:
    for sku in ("A-FIRST", sku_of(item)):
        await keep(ledger, sku)
    first = update(tables.stock).where(tables.stock.c.sku == "A-FIRST").values(keeper=REFUSED)
    await ledger.transaction(lambda tx: tx.execute(first))
    requests = [await reservation(ledger, sku) for sku in ("A-FIRST", sku_of(item))]
    news = StockNews(ledger, lambda: temporal)
    async with news.telling():
        for request in requests:
            news.add([request])
    assert await told(item) >= 1


async def test_a_waiting_order_that_takes_no_signal_does_not_keep_others_from_being_told_of_pieces(
    temporal: Client, ledger: CountingLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.transaction(partial(stock.ensure, wanted={"SKU": 0}))
    second_id = f"order-2-{uuid4()}"
    for uid in ("1", "2"):
        await a_backorder(ledger, ResourceIdentity(cluster="test", namespace="shop", name=f"order-{uid}", uid=uid))
    ids = {"1": REFUSED, "2": second_id}
    monkeypatch.setattr(stock_item, "workflow_id", lambda _namespace, _name, uid: ids[uid])
    second = await temporal.start_workflow("Nobody", id=second_id, task_queue=second_id)
    pieces = {"on_hand": 10, "restocked": 10}
    await ledger.transaction(lambda tx: tx.execute(update(tables.stock).values(**pieces)))
    articles = LedgerStockItems(ledger, cast("Supplier", None), Metrics(MetricMeter.noop))

    await ActivityEnvironment(client=temporal).run(articles.wake, Article(sku="SKU"))

    assert await signals(second) == 1
    await second.terminate("the test is over")


async def a_backorder(ledger: Ledger, order: ResourceIdentity) -> None:
    """Of one piece."""
    await receive(ledger, order)
    wanted = ReserveStock(order=order, operation_id=f"{order.uid}/reserve", lines=[a_line(sku="SKU")], backorder=True)
    with pytest.raises(OutOfStock):
        await ledger.transaction(partial(stock.reserve, request=wanted))


async def test_a_worker_that_moves_no_pieces_asks_the_ledger_nothing(temporal: Client, ledger: CountingLedger) -> None:
    news = StockNews(ledger, lambda: temporal)
    asked = ledger.asked
    async with news.telling():
        news.add([ValidateLines(lines=[a_line()])])
    assert ledger.asked == asked


async def test_news_that_temporal_does_not_take_is_dropped(
    ledger: CountingLedger, temporal: Client, item: KeptItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_news, "ROUND_SECONDS", 0.0)
    await keep(ledger, sku_of(item))
    moved = await reservation(ledger, sku_of(item))
    news = StockNews(ledger, lambda: temporal)
    async with news.telling():
        news.add([moved])
    assert await told(item) == 0

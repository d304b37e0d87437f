"""Stock items: their workflow looks at the ledger, shows what is there, and has the supplier fill it up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from fake_activities import World
from stock_room import UID, KeptItem, StockRoom, a_stock_worker
from storefront import Storefront, eventually
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.workflow import ActivityConfig

from order_devstack import servers
from order_domain.errors import PermanentError, ProviderUnavailable
from order_domain.stock_item import StockSnapshot, SupplierOrderRecord
from order_workflows import contract, timing

EMPTY = ProviderUnavailable("the supplier is closed")


class Keeper:
    """Starts stock items, each with a stock room and a worker of its own."""

    def __init__(self, client: Client, stack: AsyncExitStack, histories: Path | None) -> None:
        self.client = client
        self._stack = stack
        self._recorder = Storefront(client, "", World(), histories)

    async def keep(self, room: StockRoom, **settings: int) -> KeptItem:
        """With a worker until the test is over."""
        sku = f"SKU-{uuid4()}"
        await self._stack.enter_async_context(a_stock_worker(self.client, sku, room))
        return await self.without_worker(sku, **settings)

    async def without_worker(self, sku: str, **settings: int) -> KeptItem:
        """Only started."""
        item = await KeptItem.start(self.client, sku, **settings)
        self._stack.push_async_callback(_end, item)
        return item

    async def release(self, item: KeptItem, record: str | None = None) -> None:
        """Delete it, and `record` its history."""
        await item.handle.cancel()
        await item.ends()
        if record is not None:
            await self.record(record, item)

    async def record(self, path: str, item: KeptItem) -> None:
        """Keep the history of its first run as `stock-<path>`, with `--record-histories`."""
        await self._recorder.record(f"stock-{path}", item.first)


async def _end(item: KeptItem) -> None:
    if (await item.handle.describe()).close_time is None:
        await item.handle.terminate("the test is over")


@pytest.fixture
async def keeper(temporal: Client, histories: Path | None) -> AsyncIterator[Keeper]:
    async with AsyncExitStack() as stack:
        yield Keeper(temporal, stack, histories)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for the supplier."""
    once = ActivityConfig(start_to_close_timeout=timedelta(seconds=10), retry_policy=RetryPolicy(maximum_attempts=1))
    monkeypatch.setattr(timing, "SUPPLIER", once)
    monkeypatch.setattr(timing, "WAKE", once)
    monkeypatch.setattr(timing, "FIRST_SUPPLIER_RETRY", timedelta(milliseconds=100))
    monkeypatch.setattr(timing, "FIRST_DELIVERY_CHECK", timedelta(milliseconds=50))


@pytest.fixture
def news_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between looks."""
    monkeypatch.setattr(timing, "STOCK_NEWS_PAUSE", timedelta(0))


async def test_it_shows_the_counts_when_it_starts(keeper: Keeper) -> None:
    room = StockRoom(on_hand=7)
    room.sold = 3

    shown = await (await keeper.keep(room, generation=4)).shows(lambda shown: shown.seq == 1)

    assert (shown.on_hand, shown.sold, shown.generation, shown.supplier_order) == (7, 3, 4, None)


async def test_it_is_found_by_the_search_attributes_of_orders(keeper: Keeper) -> None:
    item = await keeper.keep(StockRoom(on_hand=7))
    shown = await item.shows(lambda shown: shown.seq == 1)

    attributes = (await item.handle.describe()).typed_search_attributes

    assert attributes[contract.ORDER_CLUSTER] == "test"
    assert attributes[contract.ORDER_SEQ] == 1
    assert attributes[contract.ORDER_UPDATED_AT] == shown.updated_at


async def test_news_is_shown(keeper: Keeper) -> None:
    room = StockRoom(on_hand=7)
    item = await keeper.keep(room)
    await item.shows(lambda shown: shown.on_hand == 7)
    room.sell(2)

    await item.changed()

    await item.shows(lambda shown: (shown.on_hand, shown.sold) == (5, 2))


async def test_news_of_nothing_writes_nothing(keeper: Keeper) -> None:
    room = StockRoom(on_hand=7)
    item = await keeper.keep(room)
    await item.shows(lambda shown: shown.seq == 1)

    await item.changed()
    await room.has_been_called("keep_stock", 2)
    await keeper.release(item)

    assert [shown.seq for shown in await item.published() if not shown.released] == [1]


async def test_without_news_it_looks_now_and_then(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LOOK_AT_STOCK", timedelta(milliseconds=200))
    room = StockRoom(on_hand=7)
    item = await keeper.keep(room)
    await item.shows(lambda shown: shown.on_hand == 7)

    room.sell(2)

    await item.shows(lambda shown: shown.on_hand == 5)


async def test_below_the_minimum_the_supplier_is_asked_once_and_fills_it_to_the_target(keeper: Keeper) -> None:
    room = StockRoom(on_hand=999)

    item = await keeper.keep(room, minimum=1000, target=10_000)
    await item.shows(lambda shown: shown.on_hand == 10_000)
    await keeper.release(item, "restocked")

    assert list(room.placed.values()) == [9001]
    assert room.count("order_supplies") == room.count("receive_supplies") == 1


async def test_an_order_at_the_supplier_is_shown_from_the_plan_to_the_delivery(keeper: Keeper) -> None:
    item = await keeper.keep(StockRoom(on_hand=0), minimum=1)
    await item.shows(lambda shown: shown.on_hand == 10)

    planned, placed, delivered = await item.published()

    assert planned.supplier_order is not None
    assert planned.supplier_order.placed_at is None
    assert placed.supplier_order is not None
    assert placed.supplier_order.expected_at is not None
    assert delivered.supplier_order is None


async def test_changes_at_the_supplier_are_shown_without_the_pause(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "STOCK_NEWS_PAUSE", timedelta(hours=1))
    item = await keeper.keep(StockRoom(on_hand=0), minimum=1)

    await item.shows(lambda shown: shown.on_hand == 10 and shown.supplier_order is None)


async def test_the_supplier_is_not_asked_for_pieces_before_they_are_expected(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.delivery_time = timedelta(hours=1)
    item = await keeper.keep(room, minimum=1)
    await item.shows(lambda shown: shown.supplier_order is not None and shown.supplier_order.placed_at is not None)

    await item.changed()
    await room.has_been_called("keep_stock", 3)

    assert room.count("receive_supplies") == 0


@pytest.mark.usefixtures("hurry")
async def test_pieces_that_are_late_are_asked_for_again(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.delivers = False
    item = await keeper.keep(room, minimum=1)
    await room.has_been_called("receive_supplies", 3)

    room.delivers = True

    await item.shows(lambda shown: shown.on_hand == 10)
    await keeper.release(item, "late-delivery")


async def test_pieces_that_are_late_are_not_asked_for_at_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "FIRST_DELIVERY_CHECK", timedelta(hours=1))
    room = StockRoom(on_hand=0)
    room.delivers = False
    item = await keeper.keep(room, minimum=1)
    await room.has_been_called("keep_stock", 3)

    await item.changed()
    await room.has_been_called("keep_stock", 4)

    assert room.count("receive_supplies") == 1


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("name", ["order_supplies", "receive_supplies"])
async def test_a_supplier_that_fails_is_shown_and_asked_again(keeper: Keeper, name: str) -> None:
    room = StockRoom(on_hand=0)
    room.fail(name, EMPTY)
    item = await keeper.keep(room, minimum=1)
    shown = await item.shows(lambda shown: shown.last_error is not None)
    assert shown.last_error is not None
    assert (shown.last_error.type, shown.last_error.message) == ("ProviderUnavailable", "the supplier is closed")

    room.repair(name)

    shown = await item.shows(lambda shown: shown.on_hand == 10)
    assert shown.last_error is None
    await keeper.release(item, f"failed-{name.replace('_', '-')}")


@pytest.mark.usefixtures("hurry")
async def test_an_error_is_shown_until_the_supplier_answers(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.delivery_time = timedelta(hours=1)
    room.fail("order_supplies", EMPTY, times=1)
    item = await keeper.keep(room, minimum=1)

    shown = await item.shows(lambda shown: shown.supplier_order is not None and bool(shown.supplier_order.placed_at))

    assert shown.last_error is None
    assert any(earlier.last_error for earlier in await item.published())


@pytest.mark.usefixtures("hurry")
async def test_what_the_supplier_refuses_for_good_does_not_end_it(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.fail("order_supplies", PermanentError("no such article"), times=3)

    item = await keeper.keep(room, minimum=1)

    await item.shows(lambda shown: shown.on_hand == 10)


async def test_while_a_failed_supplier_is_left_alone_news_is_shown(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, hurry: None
) -> None:
    monkeypatch.setattr(timing, "FIRST_SUPPLIER_RETRY", timedelta(hours=1))
    room = StockRoom(on_hand=3)
    room.fail("order_supplies", EMPTY)
    item = await keeper.keep(room, minimum=5)
    await item.shows(lambda shown: shown.last_error is not None)
    room.sell()

    await item.changed()

    await item.shows(lambda shown: shown.on_hand == 2 and shown.last_error is not None)
    assert room.count("order_supplies") == 1


@pytest.mark.parametrize(("failures", "seconds"), [(1, 30), (2, 60), (5, 480), (6, 600), (10_000, 600)])
def test_a_failing_supplier_is_left_alone_ever_longer(failures: int, seconds: int) -> None:
    assert timing.ask_supplier_again(failures).total_seconds() == seconds


@pytest.mark.parametrize(("checks", "seconds"), [(1, 2), (2, 4), (8, 256), (9, 300), (10_000, 300)])
def test_a_late_delivery_is_asked_for_ever_less_often(checks: int, seconds: int) -> None:
    assert timing.check_delivery_again(checks).total_seconds() == seconds


@pytest.mark.usefixtures("news_at_once")
async def test_news_that_comes_while_it_works_leads_to_one_more_look(keeper: Keeper) -> None:
    room = StockRoom(on_hand=7)
    room.waiting = [8]
    held = room.hold("wake_backorders")
    item = await keeper.keep(room)
    await held.reached.wait()
    room.sell(2)
    for _ in range(5):
        await item.changed()

    held.release()
    await item.shows(lambda shown: shown.on_hand == 5)
    await item.configure(generation=2)
    await item.shows(lambda shown: shown.generation == 2)

    assert room.count("keep_stock") == 3


async def test_a_burst_of_news_is_shown_once_a_second_and_whole(keeper: Keeper) -> None:
    room = StockRoom(on_hand=100)
    item = await keeper.keep(room)
    for _ in range(100):
        room.sell()
        await item.changed()

    await item.shows(lambda shown: shown.sold == 100)

    times = [shown.updated_at for shown in await item.published() if shown.updated_at]
    assert len(times) >= 2
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(times))


async def test_newer_settings_apply_at_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "STOCK_NEWS_PAUSE", timedelta(hours=1))
    room = StockRoom(on_hand=7)
    item = await keeper.keep(room)
    await item.shows(lambda shown: shown.generation == 1)

    await item.configure(minimum=8, target=20, generation=2)

    await item.shows(lambda shown: shown.generation == 2 and shown.on_hand == 20)
    assert room.rules == (8, 20)
    await keeper.release(item, "configured")


async def test_older_settings_are_ignored(keeper: Keeper) -> None:
    room = StockRoom(on_hand=7)
    item = await keeper.keep(room, minimum=3, generation=5)
    await item.shows(lambda shown: shown.generation == 5)
    room.sell()

    await item.configure(minimum=100, target=1000, generation=4)
    await item.changed()

    shown = await item.shows(lambda shown: shown.on_hand == 6)
    assert shown.generation == 5
    assert room.rules == (3, 10)


async def test_older_settings_that_replace_just_those_in_force_apply(keeper: Keeper) -> None:
    """etcd was restored: the resource has an earlier generation than the settings that are in force."""
    room = StockRoom(on_hand=7)
    item = await keeper.keep(room, minimum=3, generation=5)
    await item.shows(lambda shown: shown.generation == 5)

    await item.configure(minimum=8, target=20, generation=3, instead_of=6)
    await item.configure(minimum=4, target=20, generation=3, instead_of=5)

    await item.shows(lambda shown: shown.generation == 3)
    assert room.rules == (4, 20)
    await keeper.release(item, "set-back")


async def test_waiting_orders_are_told_of_pieces_that_came_back(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.waiting = [2]
    item = await keeper.keep(room)
    await item.shows(lambda shown: shown.seq == 1)
    assert room.count("wake_backorders") == 0
    room.on_hand = 2

    await item.changed()

    await room.has_been_called("wake_backorders", 1)
    await keeper.release(item, "backorders")
    assert room.told == [2]


async def test_waiting_orders_are_told_of_a_delivery(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.waiting = [4, 5]

    item = await keeper.keep(room, minimum=1)
    await item.shows(lambda shown: shown.on_hand == 10)
    await keeper.release(item)

    assert room.told == [4, 5]


@pytest.mark.usefixtures("hurry")
async def test_waiting_orders_that_cannot_be_told_are_told_after_the_next_news(keeper: Keeper) -> None:
    room = StockRoom(on_hand=2)
    room.waiting = [2]
    room.fail("wake_backorders", EMPTY, times=1)
    item = await keeper.keep(room)
    await room.has_been_called("wake_backorders", 1)

    await item.changed()

    await room.has_been_called("wake_backorders", 2)
    await keeper.release(item)
    assert room.told == [2]


async def test_a_deleted_item_is_released_and_ends_as_completed(keeper: Keeper) -> None:
    room = StockRoom(on_hand=7)
    item = await keeper.keep(room, minimum=3)
    await item.shows(lambda shown: shown.seq == 1)

    await item.handle.cancel()

    assert (await item.ends()).status is WorkflowExecutionStatus.COMPLETED
    assert room.rules is None


@pytest.mark.usefixtures("hurry")
async def test_a_deleted_item_ends_only_after_the_delivery_of_what_is_on_order(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.delivers = False
    item = await keeper.keep(room, minimum=1)
    await room.has_been_called("receive_supplies", 1)
    await item.handle.cancel()
    await room.has_been_called("release_article", 2)
    assert (await item.handle.describe()).status is WorkflowExecutionStatus.RUNNING

    room.delivers = True

    assert (await item.ends()).status is WorkflowExecutionStatus.COMPLETED
    await keeper.record("released", item)
    assert (await item.snapshot()).on_hand == room.on_hand == 10
    assert room.rules is None
    assert len(room.placed) == 1


def is_placed(shown: StockSnapshot) -> bool:
    return shown.supplier_order is not None and shown.supplier_order.placed_at is not None


@pytest.mark.usefixtures("hurry")
async def test_the_ledger_is_told_of_the_order_at_the_supplier_that_it_has_lost(keeper: Keeper) -> None:
    """It was restored from a backup, and the same pieces were ordered again."""
    room = StockRoom(on_hand=0)
    room.delivers = False
    item = await keeper.keep(room)
    await item.configure(minimum=1, generation=2)
    placed = (await item.shows(is_placed)).supplier_order
    room.on_order, room.on_hand = None, 3

    await item.changed()
    shown = await item.shows(lambda shown: shown.on_hand == 3)
    room.delivers = True
    await item.changed()

    await item.shows(lambda shown: shown.on_hand == 13)
    assert shown.supplier_order == placed
    assert len(room.placed) == 1


@pytest.mark.usefixtures("hurry", "news_at_once")
async def test_an_order_that_may_be_an_earlier_one_is_asked_for_and_placed_only_once_somebody_decides(
    keeper: Keeper,
) -> None:
    room = StockRoom(on_hand=0)
    room.delivers = False
    item = await keeper.keep(room, minimum=1)
    placed = (await item.shows(is_placed)).supplier_order
    room.on_order, room.unlisted = SupplierOrderRecord(id="SKU/1/other", quantity=4), True
    asked = room.count("receive_supplies")
    await item.changed()

    error = (await item.shows(lambda shown: shown.last_error is not None)).last_error
    await room.has_been_called("receive_supplies", asked + 2)
    before = room.count("order_supplies")
    await item.handle.cancel()
    await room.has_been_called("order_supplies", 2)
    room.unlisted, room.delivers = False, True
    await item.ends()

    assert placed is not None
    assert error is not None
    assert error.type == "BooksDisagree"
    assert (f"{placed.id} of 10 units" in error.message, "SKU/1/other" in error.message) == (True, True)
    assert before == 1


@pytest.mark.usefixtures("hurry")
async def test_it_shows_that_it_was_told_of_the_deletion(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    room.delivers = False
    item = await keeper.keep(room, minimum=1)
    before = await item.shows(is_placed)

    await item.handle.cancel()

    await item.shows(lambda shown: shown.released)
    assert not before.released
    room.delivers = True
    await item.ends()
    await keeper.record("tells-release", item)


async def test_a_deletion_does_not_interrupt_what_the_supplier_is_asked(keeper: Keeper) -> None:
    room = StockRoom(on_hand=0)
    held = room.hold("order_supplies")
    item = await keeper.keep(room, minimum=1)
    await held.reached.wait()
    await item.handle.cancel()

    held.release()

    assert (await item.ends()).status is WorkflowExecutionStatus.COMPLETED
    assert room.count("order_supplies") == 1
    assert room.on_hand == 10


async def test_it_goes_on_at_another_worker(temporal: Client, keeper: Keeper) -> None:
    room, sku = StockRoom(on_hand=0), f"SKU-{uuid4()}"
    room.delivery_time = timedelta(seconds=1)
    item = await keeper.without_worker(sku, minimum=1)
    async with a_stock_worker(temporal, sku, room):
        await item.shows(lambda shown: shown.supplier_order is not None and bool(shown.supplier_order.placed_at))

    async with a_stock_worker(temporal, sku, room):
        await item.shows(lambda shown: shown.on_hand == 10)

    assert room.count("order_supplies") == 1


async def test_a_worker_that_remembers_nothing_carries_it_by_replay(temporal: Client, keeper: Keeper) -> None:
    room, sku = StockRoom(on_hand=0), f"SKU-{uuid4()}"
    item = await keeper.without_worker(sku, minimum=1)

    async with a_stock_worker(temporal, sku, room, max_cached_workflows=0):
        await item.shows(lambda shown: shown.on_hand == 10)
        room.sell()
        await item.changed()
        await item.shows(lambda shown: shown.on_hand == 9)
        await item.handle.cancel()
        await item.ends()

    assert len(room.placed) == 1


SHORT_HISTORY = 40
"""Events after which the server of `brief` suggests a new run."""


@pytest.fixture(scope="module")
async def brief_server() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        identity="test",
        dev_server_existing_path=str(servers.obtain(["temporal"])["temporal"]),
        dev_server_extra_args=[f"--dynamic-config-value=limit.historyCount.suggestContinueAsNew={SHORT_HISTORY}"],
        search_attributes=contract.SEARCH_ATTRIBUTES,
    ) as server:
        yield server


@pytest.fixture
async def brief(brief_server: WorkflowEnvironment, histories: Path | None) -> AsyncIterator[Keeper]:
    """At a server that soon finds histories too long."""
    async with AsyncExitStack() as stack:
        yield Keeper(brief_server.client, stack, histories)


async def test_a_long_history_is_continued_with_the_count_of_changes(brief: Keeper) -> None:
    room, generation = StockRoom(on_hand=7), 1
    item = await brief.keep(room)

    async def continued() -> bool:
        nonlocal generation
        generation += 1
        await item.configure(generation=generation)
        return await item.continued()

    await eventually(continued, "continued as new")
    shown = await item.shows(lambda shown: shown.generation == generation)

    first = min(snapshot.seq for snapshot in await item.published())
    assert first > 1
    assert [snapshot.seq for snapshot in await item.published()] == list(range(first, shown.seq + 1))
    await brief.release(item, "continued")


@pytest.mark.usefixtures("news_at_once")
async def test_a_long_history_is_continued_with_the_settings_in_force(brief: Keeper) -> None:
    room = StockRoom(on_hand=100_000)
    item = await brief.keep(room)
    await item.configure(minimum=3, target=30, generation=2)
    await item.shows(lambda shown: shown.generation == 2)

    await sell_until_continued(item, room)

    shown = await item.shows(lambda shown: shown.sold == room.sold)
    assert (shown.generation, room.rules) == (2, (3, 30))


async def sell_until_continued(item: KeptItem, room: StockRoom) -> None:
    async def continued() -> bool:
        room.sell()
        await item.changed()
        return await item.continued()

    await eventually(continued, "continued as new")


@pytest.mark.usefixtures("news_at_once")
async def test_a_new_run_still_tells_which_resource_it_belongs_to(brief: Keeper) -> None:
    room = StockRoom(on_hand=100_000)
    item = await brief.keep(room)
    await sell_until_continued(item, room)

    described = await item.handle.describe()

    assert await described.memo_value(contract.MEMO_UID) == UID
    assert described.typed_search_attributes[contract.ORDER_CLUSTER] == "test"


async def test_no_news_and_no_settings_are_lost_between_runs(brief: Keeper) -> None:
    room = StockRoom(on_hand=100_000)
    item = await brief.keep(room)
    for generation in range(2, 32):
        room.sell()
        await asyncio.gather(item.changed(), item.configure(minimum=generation, target=1000, generation=generation))

    await item.shows(lambda shown: shown.sold == 30 and shown.generation == 31)

    assert await item.continued()
    assert room.rules == (31, 1000)


@pytest.mark.usefixtures("news_at_once")
async def test_a_new_run_still_knows_the_order_at_the_supplier(brief: Keeper) -> None:
    room = StockRoom(on_hand=100_000)
    room.delivery_time = timedelta(hours=1)
    item = await brief.keep(room, minimum=100_001, target=200_000)
    placed = (await item.shows(is_placed)).supplier_order
    assert placed is not None
    # The ledger was restored, and lists another: nobody but the workflow knows this one.
    room.on_order, room.unlisted = placed.model_copy(update={"id": "SKU/1/other"}), True
    await sell_until_continued(item, room)
    calls = room.count("keep_stock")

    await room.has_been_called("keep_stock", calls + 1)

    assert room.named == placed


@pytest.mark.usefixtures("hurry")
async def test_a_deleted_item_stays_deleted_in_a_new_run(brief: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LONGEST_DELIVERY_CHECK", timedelta(milliseconds=50))
    room = StockRoom(on_hand=0)
    room.delivers = False
    item = await brief.keep(room, minimum=1)
    await room.has_been_called("receive_supplies", 1)
    await item.handle.cancel()
    await eventually(item.continued, "continued as new")
    looks = room.count("keep_stock")

    await room.has_been_called("release_article", room.count("release_article") + 1)
    room.delivers = True

    assert (await item.ends()).status is WorkflowExecutionStatus.COMPLETED
    assert (room.count("keep_stock"), room.rules, room.on_hand) == (looks, None, 10)

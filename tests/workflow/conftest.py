"""A real Temporal development server, and for each test a worker with a world of its own.

`pytest tests/workflow --record-histories` rewrites the newest of the histories that tests/replay replays.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from fake_activities import World
from lasting_servers import lasting
from real_shop import RealShop
from storefront import Storefront, a_worker
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.bridge.worker import Worker as BridgeWorker
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter

from order_workflows import timing
from order_workflows.contract import SEARCH_ATTRIBUTES

FINALIZE_SECONDS = 5.0
"""It takes milliseconds where it comes to an end."""
HISTORIES = Path(__file__).parents[1] / "replay" / "histories" / "2"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-histories", action="store_true", help="rewrite the newest of tests/replay/histories")


@pytest.fixture(scope="session")
def temporal_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with lasting(request, tmp_path_factory.mktemp("temporal"), "temporal") as stack:
        yield stack.addresses["temporal"]


@pytest.fixture(scope="session")
async def temporal(temporal_address: str) -> Client:
    # An identity of its own keeps the machine's name out of the recorded histories.
    client = await Client.connect(temporal_address, data_converter=pydantic_data_converter, identity="test")
    kinds = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    )
    return client


@pytest.fixture(scope="session", autouse=True)
def _workers_come_to_an_end() -> Iterator[None]:
    """temporalio 1.35 sometimes never returns from finalize_shutdown(), after everything has been reported: once in ten
    to fifty times where an activity ends as its worker stops. `order_worker.shutdown` is what the product does about
    it; here, where workers share a process with the next test, only that call is given up."""
    finalize = BridgeWorker.finalize_shutdown

    async def in_bounded_time(worker: BridgeWorker) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FINALIZE_SECONDS):
                await finalize(worker)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BridgeWorker, "finalize_shutdown", in_bounded_time)
        yield


@pytest.fixture
def histories(request: pytest.FixtureRequest) -> Path | None:
    """Where to record; None: do not."""
    return HISTORIES if request.config.getoption("--record-histories", default=False) else None


@pytest.fixture
async def shop(temporal: Client, histories: Path | None) -> AsyncIterator[Storefront]:
    world = World()
    shop = Storefront(temporal, f"orders-{uuid4()}", world, histories)
    async with a_worker(temporal, shop.task_queue, world):
        yield shop
        await shop.close()


@pytest.fixture
async def real(
    temporal: Client, tmp_path: Path, histories: Path | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RealShop]:
    """A shop on the product's own worker. An undo has two quick attempts, since twenty take eight minutes."""
    retry = RetryPolicy(maximum_attempts=2, initial_interval=timedelta(milliseconds=100))
    monkeypatch.setitem(timing.UNDO, "retry_policy", retry)
    opened = RealShop(temporal, tmp_path, histories=histories)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def world(shop: Storefront) -> World:
    return shop.world

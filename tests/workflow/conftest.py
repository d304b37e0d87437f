"""A real Temporal development server, and for each test a worker with a world of its own.

`pytest tests/workflow --record-histories` rewrites the newest of the histories that tests/replay replays.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fake_activities import World
from storefront import Storefront, a_worker
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from order_devstack.stack import Stack
from order_workflows.contract import SEARCH_ATTRIBUTES

HISTORIES = Path(__file__).parents[1] / "replay" / "histories" / "2"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-histories", action="store_true", help="rewrite the newest of tests/replay/histories")


@pytest.fixture(scope="session")
def temporal_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    stack = Stack(tmp_path_factory.mktemp("temporal"), ui=False)
    try:
        stack.start("temporal")
        yield stack.addresses["temporal"]
    finally:
        stack.clean()


@pytest.fixture(scope="session")
async def temporal(temporal_address: str) -> Client:
    # An identity of its own keeps the machine's name out of the recorded histories.
    client = await Client.connect(temporal_address, data_converter=pydantic_data_converter, identity="test")
    kinds = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    )
    return client


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
def world(shop: Storefront) -> World:
    return shop.world

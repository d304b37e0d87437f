"""200 orders arrive at once at one worker: all complete, and Temporal gives up none of their tasks."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from builders import an_order_spec
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from order_devstack import postgresql
from order_devstack.stack import Stack
from order_domain.policy import OrderClassSpec
from order_domain.status import OrderStatus
from order_workflows.contract import (
    REVISION,
    SEARCH_ATTRIBUTES,
    OrderInput,
    OrderResult,
    ResourceIdentity,
    workflow_id,
)

pytestmark = pytest.mark.long

ORDERS = 200
STANDARD = Path(__file__).parents[2] / "manifests" / "classes" / "standard.yaml"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The worker's variables for a ledger on this database."""
    if request.param == "sqlite":
        yield {}
        return
    with postgresql.running() as server:
        server.create("ledger")
        yield {"ORDER_LEDGER_URL": server.url("ledger")}


@pytest.fixture
def stack(ledger: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    """Temporal, without a worker yet."""
    stack = Stack(tmp_path / "stack", ui=False, environment={"worker": ledger})
    try:
        stack.start("temporal")
        yield stack
    finally:
        stack.clean()


async def a_client(stack: Stack) -> Client:
    client = await Client.connect(stack.addresses["temporal"], data_converter=pydantic_data_converter)
    kinds = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    )
    return client


async def place(client: Client) -> WorkflowHandle[object, OrderResult]:
    uid = str(uuid4())
    policy = OrderClassSpec.model_validate(yaml.safe_load(STANDARD.read_text())["spec"])
    identity = ResourceIdentity(cluster="test", namespace="shop", name=f"order-{uid}", uid=uid)
    wanted = OrderInput(
        revision=REVISION,
        identity=identity,
        spec=an_order_spec(),
        class_name="standard",
        policy=policy,
        generation=1,
    )
    return await client.start_workflow(
        "OrderWorkflow",
        wanted,
        id=workflow_id(identity.namespace, identity.name, uid),
        task_queue="orders",
        result_type=OrderResult,
    )


@pytest.mark.timeout(300)
async def test_200_orders_at_once_complete_without_a_task_that_times_out_or_fails(stack: Stack) -> None:
    client = await a_client(stack)
    await asyncio.to_thread(stack.start, "worker")

    orders = await asyncio.gather(*(place(client) for _ in range(ORDERS)))
    results = await asyncio.gather(*(order.result() for order in orders))

    assert Counter(result.status for result in results) == {OrderStatus.ORDER_COMPLETED: ORDERS}
    histories = [await order.fetch_history() for order in orders]
    kinds = Counter(EventType.Name(event.event_type) for history in histories for event in history.events)
    assert {kind: count for kind, count in kinds.items() if kind.endswith(("TIMED_OUT", "FAILED"))} == {}

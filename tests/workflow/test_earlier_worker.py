"""During a rollout an operator and a worker of two releases share a queue: no order is carried out in part."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from builders import a_line, a_policy, an_address, an_order_body, an_order_spec
from fake_activities import World
from previous_release import obtain, start
from storefront import PlacedOrder, a_worker, eventually
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client

from order_domain.errors import BooksDisagree
from order_domain.order import Address
from order_domain.refusals import EndType
from order_domain.status import OrderStatus
from order_operator.orders.classes import OrderClass
from order_operator.orders.resource import OrderResource
from order_operator.orders.submission import order_input
from order_workflows import contract
from order_workflows.activities.stock import ReserveStock

WORKER = """
import asyncio, sys
sys.path.insert(0, f"{sys.argv[1]}/tests/workflow")
import order_workflows
from fake_activities import World
from order_domain.errors import LedgerUnavailable
from storefront import a_worker
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

assert order_workflows.__file__.startswith(sys.argv[1]), order_workflows.__file__

async def main():
    client = await Client.connect(sys.argv[2], data_converter=pydantic_data_converter)
    world = World()
    for activity in sys.argv[4:]:
        world.fail(activity, LedgerUnavailable("it refuses that"))
    async with a_worker(client, sys.argv[3], world):
        print("ready", flush=True)
        await asyncio.to_thread(input)

asyncio.run(main())
"""

INPUT = """
import sys
from builders import an_order_input
print(an_order_input(uid=sys.argv[1]).model_dump_json())
"""

CLASS = OrderClass(name="standard", generation=1, spec=a_policy())
ASKING = replace(CLASS, spec=a_policy(approval={"mode": "Always", "window_seconds": 3600}))
IDENTITY = contract.ResourceIdentity(cluster="test", namespace="shop", name="order-1", uid="uid-1")
WHOLE = an_address(company="Roe & Sons", state="IL", phone="+1 217 555 0100")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return obtain(tmp_path_factory.mktemp("previous"))


@pytest.fixture
def queue() -> str:
    return f"orders-{uuid4()}"


@pytest.fixture
async def its_attributes(temporal: Client) -> None:
    """An earlier worker writes a search attribute that the platform of today has no need of."""
    kinds = {"OrderCustomerID": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
    await temporal.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=temporal.namespace, search_attributes=kinds)
    )


@pytest.fixture
def earlier_worker(
    release: Path, temporal_address: str, queue: str, its_attributes: None
) -> Iterator["subprocess.Popen[str]"]:
    with an_earlier_worker(release, temporal_address, queue) as worker:
        yield worker


@contextmanager
def an_earlier_worker(
    release: Path, temporal_address: str, queue: str, *failing: str
) -> Iterator["subprocess.Popen[str]"]:
    """Whose activities of these names always fail."""
    worker = start(release, WORKER, str(release), temporal_address, queue, *failing)
    assert worker.stdout is not None
    try:
        assert worker.stdout.readline() == "ready\n"
        yield worker
    finally:
        worker.kill()
        worker.communicate()


async def begun(client: Client, queue: str, argument: Any, uid: str) -> PlacedOrder:
    identifier = contract.workflow_id("shop", f"order-{uid[:8]}", uid)
    handle = await client.start_workflow(
        contract.WORKFLOW_TYPE, argument, id=identifier, task_queue=queue, result_type=contract.OrderResult
    )
    return PlacedOrder(client, handle, uid)


async def submitted(client: Client, queue: str, address: Address, of: OrderClass = CLASS) -> PlacedOrder:
    """As the operator of today starts it."""
    uid = str(uuid4())
    spec = an_order_spec(shipping_address=address)
    body = an_order_body(spec=spec.model_dump(mode="json", exclude_none=True), uid=uid, name=f"order-{uid[:8]}")
    return await begun(client, queue, order_input(OrderResource.from_body(body), spec, of, "test"), uid)


@pytest.mark.parametrize(
    "address", [an_address(), an_address(name="𠮷野 太郎 😀")], ids=["as ever", "with another plane"]
)
async def test_an_earlier_worker_carries_out_an_order_without_newer_fields(
    temporal: Client, queue: str, earlier_worker: object, address: Address
) -> None:
    order = await submitted(temporal, queue, address)

    result = await order.result()

    assert (result.status, result.shipping_address) == (OrderStatus.ORDER_COMPLETED, address)


@pytest.mark.parametrize(
    "address", [WHOLE, an_address(state="IL"), an_address(postal_code=None, country="HK")], ids=["all", "state", "none"]
)
async def test_an_order_with_newer_fields_waits_for_a_worker_that_knows_them(
    temporal: Client, queue: str, earlier_worker: "subprocess.Popen[str]", address: Address
) -> None:
    order = await submitted(temporal, queue, address)

    async def refused_to_read() -> bool:
        return await order.count(EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED) > 0

    await eventually(refused_to_read, "a task that the earlier worker could not read")
    earlier_worker.kill()
    world = World()
    async with a_worker(temporal, queue, world):
        result = await order.result()

    assert (result.status, result.shipping_address) == (OrderStatus.ORDER_COMPLETED, address)
    assert world.delivered == {"1": address}


async def test_what_an_earlier_worker_left_undone_is_undone_before_the_order_ends(
    release: Path, temporal: Client, temporal_address: str, queue: str, its_attributes: None
) -> None:
    """It knows a reservation by another name than today's workers give it, and left the units held."""
    with an_earlier_worker(release, temporal_address, queue, "close_order"):
        order = await submitted(temporal, queue, an_address(), ASKING)
        await order.reaches(OrderStatus.AWAIT_APPROVAL)
        await order.update(contract.UPDATE_CANCEL, contract.CancelRequest(by="ana"))

        async def refused_to_close() -> bool:
            return any(
                b"close_order" in payload.data
                for event in await order.events()
                for payload in event.marker_recorded_event_attributes.details["data"].payloads
            )

        await eventually(refused_to_close, "an end that the ledger refuses")
    world = World()
    held = ReserveStock(order=IDENTITY, operation_id=f"{order.uid}/reserve/of-another", lines=[a_line()])
    await world.reserve(held)
    world.fail("close_order", BooksDisagree("units are held"), times=1)

    async with a_worker(temporal, queue, world):
        result = await order.result()

    error = (await order.snapshot()).last_error
    assert (result.status, world.untouched) == (OrderStatus.ORDER_CANCELLED, True)
    assert error is not None
    assert error.type == EndType.CANCELLED


async def test_a_worker_of_today_carries_out_an_order_of_an_earlier_operator(
    temporal: Client, queue: str, release: Path
) -> None:
    uid = str(uuid4())
    written = start(release, INPUT, uid)
    answer, _ = written.communicate(timeout=60)
    world = World()

    async with a_worker(temporal, queue, world):
        order = await begun(temporal, queue, json.loads(answer), uid)
        result = await order.result()

    assert result.status == OrderStatus.ORDER_COMPLETED
    assert world.delivered == {"1": an_address()}

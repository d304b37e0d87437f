"""What times out when many orders arrive at once at one worker: each time-out is a task that is done twice.

    python benchmarks/burst.py --orders 200

The worker is the product's own, with a ledger on SQLite and simulated companies. Nothing should time out.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from uuid import uuid4

import yaml
from temporalio.api.enums.v1 import EventType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from order_devstack.stack import Stack
from order_domain.order import OrderSpec
from order_domain.policy import OrderClassSpec
from order_worker.bootstrap import Providers, build_worker
from order_worker.ledger import schema, stock
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.settings import Settings
from order_workflows.contract import REVISION, SEARCH_ATTRIBUTES, OrderInput, ResourceIdentity, workflow_id
from order_workflows.order_workflow import OrderWorkflow

MANIFESTS = Path(__file__).parents[1] / "manifests"
LATE = (
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
)
QUEUE = "burst"


async def burst(address: str, folder: Path, orders: int) -> None:
    """Place them all, wait for all, and count what timed out in their histories."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={key.name: key.indexed_value_type for key in SEARCH_ATTRIBUTES},  # type: ignore[misc]
        )
    )
    url = f"sqlite:///{folder / 'ledger.db'}"
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
    ledger = await Ledger.open(url)
    await ledger.transaction(partial(stock.ensure, wanted={"PROD-001": 10 * orders}))
    settings = Settings(task_queue=QUEUE, provider_store=folder / "providers.db")
    providers = await Providers.open(settings, {})
    policy = OrderClassSpec.model_validate(
        yaml.safe_load((MANIFESTS / "classes" / "standard.yaml").read_text())["spec"]
    )
    try:
        async with build_worker(client, settings, ledger, providers):
            started = time.monotonic()
            handles = await asyncio.gather(*(place(client, policy) for _ in range(orders)))
            await asyncio.gather(*(handle.result() for handle in handles))
            seconds = time.monotonic() - started
    finally:
        await providers.close()
        await ledger.close()
    late = Counter[str]()
    for handle in handles:
        for event in (await handle.fetch_history()).events:
            if event.event_type in LATE:
                late[EventType.Name(event.event_type)] += 1
    print(f"{orders} orders in {seconds:.1f} s; timed out or failed: {dict(late) or 'nothing'}")


async def place(client: Client, policy: OrderClassSpec):  # type: ignore[no-untyped-def]
    """One order of one line."""
    uid = str(uuid4())
    identity = ResourceIdentity(cluster="bench", namespace="bench", name=uid, uid=uid)
    spec = OrderSpec.model_validate(
        {
            "customer": {"id": "CUST-1", "email": "ana@example.com"},
            "currency": "USD",
            "lines": [{"line_id": "1", "sku": "PROD-001", "quantity": 1, "unit_price_minor": 5_000}],
            "shipping_address": {
                "name": "Ana",
                "line1": "1 Main St",
                "city": "Springfield",
                "postal_code": "12345",
                "country": "US",
            },
            "payment": {"method": "tok_visa"},
        }
    )
    order = OrderInput(
        identity=identity, spec=spec, class_name="standard", policy=policy, generation=1, revision=REVISION
    )
    key = workflow_id(identity.namespace, identity.name, uid)
    return await client.start_workflow(OrderWorkflow.run, order, id=key, task_queue=QUEUE)


def main() -> None:
    """Start a Temporal server for it, and stop that afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), ui=False)
        try:
            stack.start("temporal")
            asyncio.run(burst(stack.addresses["temporal"], Path(folder), arguments.orders))
        finally:
            stack.clean()


if __name__ == "__main__":
    main()

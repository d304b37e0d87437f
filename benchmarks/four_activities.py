"""The yardstick of a plain Temporal application: four trivial remote activities, each step shown by an upsert.

Run as a program it is that workflow's worker: `python benchmarks/four_activities.py <task queue>`.
"""

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.worker import Worker

from order_workflows.contract import ORDER_STATUS


@activity.defn
async def step(name: str) -> str:
    """Does nothing, remotely."""
    return name


@workflow.defn
class FourActivities:
    """What most applications start from."""

    @workflow.run
    async def run(self) -> None:
        """Four steps."""
        for name in ("Check Fraud", "Prepare Shipment", "Charge Customer", "Ship Order"):
            workflow.upsert_search_attributes([ORDER_STATUS.value_set(name)])
            workflow.upsert_memo({"step": name})
            await workflow.execute_activity(step, name, start_to_close_timeout=timedelta(seconds=10))
        workflow.upsert_search_attributes([ORDER_STATUS.value_set("Order Completed")])


async def main(task_queue: str) -> None:
    """Work until killed."""
    connection = ClientConfig.load_client_connect_config()
    client = await Client.connect(**connection, data_converter=pydantic_data_converter)
    await Worker(client, task_queue=task_queue, workflows=[FourActivities], activities=[step]).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

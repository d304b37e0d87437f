"""An order whose workflow's own code fails is not lost: it says so, and goes on with code that works."""

import asyncio
from typing import Any

from cluster import Cluster, condition
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from order_workflows.contract import DEFAULT_TASK_QUEUE, WORKFLOW_TYPE

STALL_SECONDS = 150.0
"""Two attempts of a task, ten seconds and more apart, and a sweep; the rest is for a busy machine."""


@workflow.defn(name=WORKFLOW_TYPE)
class BrokenWorkflow:
    @workflow.run
    async def run(self, _: dict[str, Any]) -> None:
        raise RuntimeError("a bug in the workflow's code")


async def test_an_order_whose_workflows_code_fails_is_stalled_until_a_mended_worker_comes(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    waiting = cluster.reaches("Waiting")
    cluster.stack.stop("worker")
    temporal = await Client.connect(cluster.stack.addresses["temporal"])

    async with Worker(
        temporal,
        task_queue=DEFAULT_TASK_QUEUE,
        workflows=[BrokenWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        # Makes a task, and changes nothing when it is handled: the recovery is not published either.
        await temporal.get_workflow_handle(waiting["workflow"]["id"]).signal("of-no-consequence")
        stalled = await asyncio.to_thread(
            cluster.eventually, lambda s: condition(s, "Stalled").get("status") == "True", seconds=STALL_SECONDS
        )
    cluster.stack.up()
    mended = cluster.eventually(lambda s: condition(s, "Stalled").get("status") == "False", seconds=STALL_SECONDS)
    cluster.patch("order", approval={"decision": "Approved", "by": "maria"})

    assert condition(stalled, "Stalled")["reason"] == "WorkflowTaskFailed"
    assert (stalled["phase"], condition(stalled, "Ready")["status"]) == ("Waiting", "False")
    assert (mended["phase"], condition(mended, "Ready")["status"]) == ("Waiting", "True")
    cluster.reaches("Completed")
    assert list(cluster.charges().values()) == [(150_000, 0)]

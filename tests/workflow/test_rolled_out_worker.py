"""Workers are rolled out while an order waits for them: what the earlier ones do not know, the later ones are told."""

import asyncio
from dataclasses import dataclass
from typing import cast
from uuid import uuid4

from builders import an_observation
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from order_operator.cluster.conditions import Reason
from order_operator.orders.amender import Amender
from order_operator.orders.amendment import Amendment, Group
from order_operator.orders.edit_state import EditState
from order_operator.temporal.connection import TemporalConnection
from order_workflows.contract import UPDATE_ADOPT, Adoption

ADOPTION = Adoption(uid="uid-restored", cluster="here", generation=1, channel="kubernetes")
CHANGE = Amendment(Group.ADOPTION, UPDATE_ADOPT, ADOPTION, "uid-restored/adoption/here")


@workflow.defn(name="Order")
class Before:
    """As the release before had it."""

    @workflow.run
    async def run(self) -> str:
        """Waits."""
        await workflow.wait_condition(lambda: False)
        return ""


@workflow.defn(name="Order")
class After:
    """As this release has it."""

    def __init__(self) -> None:
        self._owner = ""

    @workflow.run
    async def run(self) -> str:
        """Waits until it is adopted, and tells by whom."""
        await workflow.wait_condition(lambda: bool(self._owner))
        return self._owner

    @workflow.update(name=UPDATE_ADOPT)
    def adopt(self, adoption: Adoption) -> None:
        """See the order's workflow."""
        self._owner = adoption.uid


@dataclass
class Connection:
    """To a server that answers."""

    client: Client


async def test_an_update_that_an_earlier_worker_refused_is_heard_by_the_next_one_under_the_same_id(
    temporal: Client,
) -> None:
    """It was sent once, and a roll-out of the workers cured nothing."""
    queue, identifier = f"rolled-out-{uuid4()}", f"order/shop/order-1/{uuid4()}"
    answered = asyncio.Event()
    amender = Amender(
        cast("TemporalConnection", Connection(temporal)), lambda _: answered.set(), lambda _: answered.set()
    )
    run = an_observation(workflow_id=identifier)

    async def tell(release: type) -> EditState:
        async with Worker(temporal, task_queue=queue, workflows=[release], workflow_runner=UnsandboxedWorkflowRunner()):
            answered.clear()
            amender.send(run, [CHANGE], [CHANGE])
            await asyncio.wait_for(answered.wait(), 30)
            return amender.state(run.key.uid, run.run_id)

    handle = await temporal.start_workflow("Order", id=identifier, task_queue=queue)

    earlier = await tell(Before)
    later = await tell(After)

    assert [refusal.reason for refusal in earlier.refused.values()] == [Reason.WORKER_TOO_OLD]
    assert later.refused == {}
    async with Worker(temporal, task_queue=queue, workflows=[After], workflow_runner=UnsandboxedWorkflowRunner()):
        assert await handle.result() == ADOPTION.uid

"""Whether an installation may start workflows on its task queue: workers of another may ask for its tasks."""

from typing import Any, cast

import pytest
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsResponse, ListWorkflowExecutionsResponse

from order_operator.cluster.conditions import Reason
from order_operator.settings import Settings
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_workflows.contract import ORDER_CLUSTER


class Visibility:
    """Temporal, with runs of `installations` on every task queue."""

    def __init__(self, *installations: str) -> None:
        self.client = self.workflow_service = self
        self.namespace = "shop"
        self.installations = installations
        self.asked = 0

    async def count_workflow_executions(self, request: Any, **_: Any) -> CountWorkflowExecutionsResponse:
        self.asked += 1
        assert request.query.startswith("TaskQueue = 'orders' AND ")
        found = sum(request.query.endswith(f" = '{name}'") for name in self.installations)
        return CountWorkflowExecutionsResponse(count=found)

    async def list_workflow_executions(self, request: Any, **_: Any) -> ListWorkflowExecutionsResponse:
        self.asked += 1
        assert request.query.startswith("TaskQueue = 'orders' AND ")
        rows = []
        for name in self.installations:
            if f"!= '{name}'" not in request.query:
                row = WorkflowExecutionInfo()
                row.search_attributes.indexed_fields[ORDER_CLUSTER.name].data = f'"{name}"'.encode()
                rows.append(row)
        return ListWorkflowExecutionsResponse(executions=rows)


def owner(visibility: Visibility, *, share: bool = False) -> TaskQueueOwner:
    settings = Settings(cluster="ours", share_task_queue=share)
    return TaskQueueOwner(cast("TemporalConnection", visibility), settings)


async def test_an_installation_that_is_new_on_the_queue_of_another_starts_nothing_and_says_what_to_do() -> None:
    """B9: a second cluster with the chart's defaults had its orders carried out by the first one's workers."""
    problem = await owner(Visibility("theirs")).problem()

    assert problem is not None
    assert (problem.reason, problem.stalled) == (Reason.TASK_QUEUE_TAKEN, True)
    assert "installation theirs" in problem.message
    assert "operator.shareTaskQueue" in problem.message


@pytest.mark.parametrize("installations", [(), ("ours",), ("theirs", "ours"), ("default",)], ids=str)
async def test_one_that_was_there_before_or_is_alone_starts_what_it_likes(installations: tuple[str, ...]) -> None:
    """The identity of earlier releases may be this one's."""
    assert await owner(Visibility(*installations)).problem() is None


async def test_one_that_was_told_to_share_asks_nobody() -> None:
    visibility = Visibility("theirs")

    assert await owner(visibility, share=True).problem() is None
    assert visibility.asked == 0


async def test_once_it_may_start_nobody_is_asked_again() -> None:
    visibility = Visibility("ours")
    asking = owner(visibility)

    await asking.problem()
    visibility.installations = ("theirs",)

    assert await asking.problem() is None
    assert visibility.asked == 1


async def test_one_that_may_not_start_asks_again_after_a_while_however_many_orders_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visibility = Visibility("theirs")
    asking = owner(visibility)

    refusals = [await asking.problem() for _ in range(1_000)]
    assert (None in refusals, visibility.asked) == (False, 2)

    visibility.installations = ()
    monkeypatch.setattr("order_operator.temporal.task_queue_owner.AGAIN_SECONDS", 0.0)
    assert await asking.problem() is None

"""Starting a workflow for a resource: the same id, marks and time-out at each place that does it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from order_codec.undecodable import Undecodable
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.temporal.runs import RPC_TIMEOUT
from order_workflows.contract import ORDER_CLUSTER


@dataclass(frozen=True, kw_only=True)
class Start:
    """One workflow that is to run."""

    workflow_type: str
    workflow_id: str
    argument: Any
    task_queue: str
    cluster: str
    """Value of the search attribute OrderCluster."""
    memo: Mapping[str, Any]
    summary: str
    """One line for people who look at Temporal."""
    namespace: str
    """Of the resource: where the server knows fairness, a burst in one namespace does not hold up another."""
    after_an_end: WorkflowIDReusePolicy
    """Whether a run of this id that has ended may be followed by another."""


def key_missing(lacking: Undecodable) -> Problem:
    """What to tell of a workflow that cannot be started or asked for want of a key."""
    return Problem(Reason.ENCRYPTION_KEY_MISSING, f"the workflow cannot be told of this: {lacking}", stalled=True)


async def start(client: Client, wanted: Start) -> WorkflowHandle[Any, Any]:
    """Start the workflow, or find the open run of its id.

    Raises temporalio.exceptions.WorkflowAlreadyStartedError where a run has ended that may not be followed, and
    temporalio.service.RPCError when Temporal does not answer: whether it started is unknown then.
    """
    handle: WorkflowHandle[Any, Any] = await client.start_workflow(
        wanted.workflow_type,
        wanted.argument,
        id=wanted.workflow_id,
        task_queue=wanted.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=wanted.after_an_end,
        memo=wanted.memo,
        search_attributes=TypedSearchAttributes([SearchAttributePair(ORDER_CLUSTER, wanted.cluster)]),
        static_summary=wanted.summary,
        priority=Priority(fairness_key=wanted.namespace),
        rpc_timeout=RPC_TIMEOUT,
    )
    return handle

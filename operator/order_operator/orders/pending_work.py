"""What visibility does not tell of an order that runs: the work that it waits for, and how often that was tried.

A remote activity is tried again by Temporal itself, without a word to the workflow: only a describe of the run shows
it. So an order that stays at one step is described, a few seconds after it came there and then from time to time. All
orders together share the rate of requests, and take turns.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState, PendingNexusOperationState
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo, PendingNexusOperationInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.converter import DataConverter, NexusSerializationContext
from temporalio.service import RPCError

from order_codec.undecodable import Undecodable
from order_domain.pipeline import StepName
from order_domain.snapshot import OrderSnapshot
from order_domain.status import Phase
from order_operator.cluster.conditions import Reason
from order_operator.orders.observation import Observation
from order_operator.problem import Problem
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import converter_of, description
from order_workflows.pipeline import STEP_OF_ACTIVITY

logger = logging.getLogger(__name__)

LASTS_SECONDS = 3.0
"""An order that has been at one step for so long is described."""
AGAIN_SECONDS = 5.0
"""Between two describes of one order."""
BETWEEN_SECONDS = 0.5
"""Between two describes of any orders: DESIGN's two a second. A look at a child workflow is one, too."""
MAX_ERROR = 500
AT_WORK = frozenset({Phase.RUNNING, Phase.COMPENSATING})
"""Phases in which an order waits for a worker, and for nobody else."""


@dataclass(frozen=True)
class Retry:
    """Work that has failed and is tried again."""

    what: str
    """The activity's name, or the endpoint of the Nexus operation."""
    step: StepName | None
    """None for an activity of no step, such as an undo."""
    attempts: int
    """That have failed."""
    error: str
    """Of the last one."""
    next_attempt_at: datetime | None
    """None while it is being tried."""


@dataclass(frozen=True)
class PendingWork:
    """What one run waits for."""

    retries: tuple[Retry, ...] = ()
    task_queues: frozenset[str] = frozenset()
    """Where a worker has to take up what waits: those of its activities and of its children."""


class Follow(Protocol):
    """Who has the orders."""

    def run_of(self, uid: str) -> Observation | None:
        """The order's run, while it is at a step that may last; None if there is nothing to look at any more."""

    def found(self, uid: str, run: Observation, work: PendingWork) -> None:
        """What `run` waits for."""

    def doubt(self, uid: str) -> None:
        """Temporal does not have the order's run."""


class PendingWorkScanner:
    """Describes the orders that last, one after the other."""

    def __init__(self, connection: TemporalConnection, orders: Follow) -> None:
        self._connection = connection
        self._orders = orders
        self._due: dict[str, float] = {}
        """By uid, the monotonic time of the next look; the first one entered comes first."""

    def follow(self, uid: str) -> None:
        """The order may stay where it is. Without effect if it is followed already."""
        self._due.setdefault(uid, time.monotonic() + LASTS_SECONDS)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(BETWEEN_SECONDS)
            if self._connection.problem is None:
                await self._look(time.monotonic())

    async def _look(self, now: float) -> None:
        """At the first that is due and still lasts; those that went on meanwhile cost nothing."""
        while self._due:
            uid, due = next(iter(self._due.items()))
            if due > now:
                return
            del self._due[uid]
            run = self._orders.run_of(uid)
            if run is None:
                continue
            try:
                work = await pending_work(self._connection.client, run)
            except RPCError as failed:
                if is_no_such_run(failed):
                    self._orders.doubt(uid)
                else:
                    self._connection.problem_of(failed)
            except Exception:
                # The others do not wait for one order that cannot be read.
                logger.exception("not known what an order waits for", extra={"workflow_id": run.workflow_id})
            else:
                self._orders.found(uid, run, work)
            self._due.setdefault(uid, time.monotonic() + AGAIN_SECONDS)
            return


def is_at_work(run: Observation) -> bool:
    """Whether an open run waits for a worker, and for nobody else."""
    snapshot = run.snapshot or OrderSnapshot()
    return snapshot.status.phase in AT_WORK and not snapshot.suspended


def no_worker(
    run: Observation | None, work: PendingWork | None, without_worker: Collection[str], *, applying: bool
) -> Problem | None:
    """What to tell of an order whose tasks nobody takes up; `applying`: an edit of it is one of them."""
    if run is None or not run.running or not without_worker:
        return None
    if not applying and not is_at_work(run):
        return None
    missing = sorted({run.task_queue, *(work.task_queues if work else ())} & set(without_worker))
    if not missing:
        return None
    queue = " and ".join(missing)
    why = f"no worker asks for tasks of task queue {queue}: start one, and the order goes on; nothing is lost meanwhile"
    return Problem(Reason.NO_WORKER, why)


async def pending_work(client: Client, run: Observation) -> PendingWork:
    """What `run` waits for, and, if that is a child workflow, what the first of them waits for. Raises RPCError."""
    found = await description(client, run.workflow_id, run.run_id)
    work = await _work_of(found, client)
    if not found.pending_children or work.retries:
        return work
    child = found.pending_children[0]
    of_child = await description(client, child.workflow_id, child.run_id)
    queues = {of_child.execution_config.task_queue.name} if of_child.HasField("pending_workflow_task") else set()
    below = await _work_of(of_child, client)
    return PendingWork(below.retries, work.task_queues | below.task_queues | queues)


async def _work_of(found: DescribeWorkflowExecutionResponse, client: Client) -> PendingWork:
    own = converter_of(client, found.workflow_execution_info.execution.workflow_id)
    retries = [await _of_activity(item, own) for item in found.pending_activities]
    retries += [await _of_nexus(item, client) for item in found.pending_nexus_operations]
    scheduled = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    queues = {
        item.activity_options.task_queue.name
        for item in found.pending_activities
        if item.state == scheduled and item.activity_options.task_queue.name
    }
    return PendingWork(tuple(retry for retry in retries if retry is not None), frozenset(queues))


async def _of_activity(item: PendingActivityInfo, converter: DataConverter) -> Retry | None:
    if item.attempt < 2 or not item.HasField("last_failure"):
        return None
    backs_off = item.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    name = item.activity_type.name
    return Retry(
        what=name,
        step=STEP_OF_ACTIVITY.get(name),
        attempts=item.attempt - 1,
        error=await _message(item.last_failure, converter),
        next_attempt_at=_time(item.next_attempt_schedule_time) if backs_off else None,
    )


async def _of_nexus(item: PendingNexusOperationInfo, client: Client) -> Retry | None:
    backs_off = item.state == PendingNexusOperationState.PENDING_NEXUS_OPERATION_STATE_BACKING_OFF
    failed = item.attempt if backs_off else item.attempt - 1
    if failed < 1 or not item.HasField("last_attempt_failure"):
        return None
    context = NexusSerializationContext(item.endpoint, item.service, item.operation)
    return Retry(
        what=f"Nexus endpoint {item.endpoint}",
        step=StepName.SHIP,
        attempts=failed,
        error=await _message(item.last_attempt_failure, client.data_converter.with_context(context)),
        next_attempt_at=_time(item.next_attempt_schedule_time) if backs_off else None,
    )


async def _message(failure: Failure, converter: DataConverter) -> str:
    """Of the innermost cause: the others only say where it happened."""
    while failure.HasField("cause"):
        failure = failure.cause
    message = failure.message
    if failure.HasField("encoded_attributes"):
        try:
            (attributes,) = await converter.decode([failure.encoded_attributes])
        except Undecodable as undecodable:
            return f"its message cannot be read: {undecodable}"[:MAX_ERROR]
        except Exception as foreign:  # noqa: BLE001 - whatever a converter raises at foreign bytes
            return f"its message cannot be read: {type(foreign).__name__}: {foreign}"[:MAX_ERROR]
        message = str(attributes.get("message") or "") if isinstance(attributes, dict) else message
    return (message or "it failed without a message")[:MAX_ERROR]


def _time(stamp: Timestamp) -> datetime | None:
    return stamp.ToDatetime(UTC) if stamp.seconds else None

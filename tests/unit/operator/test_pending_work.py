"""What a describe tells of the work that an order waits for, and who is described when."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from builders import a_snapshot, an_observation
from encryption_keys import ring_file
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState, PendingNexusOperationState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import WorkflowSerializationContext
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from order_codec.settings import data_converter
from order_domain.pipeline import StepName
from order_operator.orders import pending_work as module
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import PendingWork, PendingWorkScanner, Retry, no_worker, pending_work
from order_operator.temporal.connection import TemporalConnection

SOON = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RUN = an_observation()


def stamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def an_activity(attempt: int = 4, *, started: bool = False, queue: str = "orders") -> PendingActivityInfo:
    states = PendingActivityState
    state = states.PENDING_ACTIVITY_STATE_STARTED if started else states.PENDING_ACTIVITY_STATE_SCHEDULED
    info = PendingActivityInfo(attempt=attempt, state=state)
    info.activity_type.name = "charge_payment"
    info.activity_options.task_queue.name = queue
    if attempt > 1:
        info.last_failure.message = "Activity task failed"
        info.last_failure.cause.message = "connection refused"
        info.next_attempt_schedule_time.CopyFrom(stamp(SOON))
    return info


class Server:
    """Temporal, and the orders. Answers by workflow id; the order's own by default."""

    def __init__(self, *activities: PendingActivityInfo) -> None:
        self.answers = {RUN.workflow_id: DescribeWorkflowExecutionResponse(pending_activities=activities)}
        self.client, self.problem = self, None
        self.namespace, self.data_converter = "default", pydantic_data_converter
        self.asked: list[str] = []
        self.looked_at: list[str] = []
        self.work: list[PendingWork] = []
        self.run: Observation | None = RUN
        self.failure: Exception | None = None
        self.doubts: list[str] = []

    def get_workflow_handle(self, workflow_id: str, **_: Any) -> "Server":
        self.asked.append(workflow_id)
        self.described = workflow_id
        return self

    async def describe(self, **_: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return type("Description", (), {"raw_description": self.answers[self.described]})

    def problem_of(self, _: RPCError) -> None:
        self.failure = None

    def run_of(self, uid: str) -> Observation | None:
        self.looked_at.append(uid)
        return self.run

    def doubt(self, uid: str) -> None:
        self.doubts.append(uid)

    def found(self, _: str, _run: Observation, work: PendingWork) -> None:
        self.work.append(work)


async def work_of(server: Server) -> PendingWork:
    return await pending_work(cast("Any", server), RUN)


async def test_an_activity_that_backs_off_tells_attempts_innermost_error_and_next_try() -> None:
    [retry] = (await work_of(Server(an_activity()))).retries

    assert retry == Retry("charge_payment", StepName.CHARGE_PAYMENT, 3, "connection refused", SOON)


async def test_an_attempt_under_way_has_no_next_try() -> None:
    [retry] = (await work_of(Server(an_activity(started=True)))).retries

    assert (retry.attempts, retry.next_attempt_at) == (3, None)


async def test_a_first_attempt_is_no_retry() -> None:
    assert (await work_of(Server(an_activity(attempt=1)))).retries == ()


async def test_the_queue_of_an_activity_that_nobody_has_taken_up_is_known() -> None:
    assert (await work_of(Server(an_activity(attempt=1, queue="shipping")))).task_queues == {"shipping"}
    assert (await work_of(Server(an_activity(attempt=1, queue="shipping", started=True)))).task_queues == frozenset()


async def test_a_nexus_operation_that_fails_is_a_retry_of_shipping() -> None:
    server = Server()
    operation = server.answers[RUN.workflow_id].pending_nexus_operations.add()
    operation.endpoint, operation.attempt = "shipping", 2
    operation.state = PendingNexusOperationState.PENDING_NEXUS_OPERATION_STATE_BACKING_OFF
    operation.last_attempt_failure.message = "nobody answers"
    operation.next_attempt_schedule_time.CopyFrom(stamp(SOON))

    [retry] = (await work_of(server)).retries

    assert retry == Retry("Nexus endpoint shipping", StepName.SHIP, 2, "nobody answers", SOON)


async def test_of_an_order_that_waits_for_a_child_the_childs_work_is_told() -> None:
    server = Server()
    server.answers[RUN.workflow_id].pending_children.add().workflow_id = "shipment/1"
    child = DescribeWorkflowExecutionResponse()
    child.execution_config.task_queue.name = "shipping"
    child.pending_workflow_task.attempt = 1
    server.answers["shipment/1"] = child

    assert (await work_of(server)).task_queues == {"shipping"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BETWEEN_SECONDS", 0.001)
    monkeypatch.setattr(module, "LASTS_SECONDS", 0.01)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)


async def follow(server: Server, until: int) -> None:
    """Until so many looks."""
    scanner = PendingWorkScanner(cast("TemporalConnection", server), server)
    scanner.follow("1")
    task = asyncio.create_task(scanner.run())
    async with asyncio.timeout(5):
        while len(server.asked) < until:  # noqa: ASYNC110 - it is counted, not told
            await asyncio.sleep(0.005)
    task.cancel()


@pytest.mark.usefixtures("quick")
async def test_an_order_that_stays_is_looked_at_again_and_again() -> None:
    server = Server(an_activity())

    await follow(server, until=3)

    assert len(server.work) >= 2


@pytest.mark.usefixtures("quick")
async def test_a_look_that_fails_is_made_again() -> None:
    server = Server(an_activity())
    server.failure = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    await follow(server, until=3)

    assert server.work


@pytest.mark.usefixtures("quick")
async def test_an_order_that_cannot_be_looked_at_holds_up_no_other_look() -> None:
    server = Server(an_activity())
    server.failure = KeyError("encoding")

    await follow(server, until=3)

    assert server.work == []


@pytest.mark.usefixtures("quick")
async def test_a_run_that_temporal_does_not_have_casts_doubt_on_what_is_known() -> None:
    server = Server(an_activity())
    server.failure = RPCError("workflow execution not found", RPCStatusCode.NOT_FOUND, b"")

    await follow(server, until=2)

    assert server.doubts[0] == "1"


@pytest.mark.usefixtures("quick")
async def test_an_order_that_went_on_costs_nothing() -> None:
    server = Server(an_activity())
    server.run = None
    scanner = PendingWorkScanner(cast("TemporalConnection", server), server)
    for number in range(1_000):
        scanner.follow(str(number))
    task = asyncio.create_task(scanner.run())

    async with asyncio.timeout(5):
        while len(server.looked_at) < 1_000:  # noqa: ASYNC110 - it is counted, not told
            await asyncio.sleep(0.005)
    task.cancel()

    assert server.asked == []


@pytest.mark.parametrize(
    ("run", "work", "applying", "told"),
    [
        (RUN, None, False, True),
        (an_observation(snapshot=None), None, False, True),
        (RUN, PendingWork(task_queues=frozenset({"shipping"})), False, True),
        (an_observation(task_queue="others"), None, False, False),
        (an_observation(task_queue="others"), PendingWork(task_queues=frozenset({"orders"})), False, True),
        (None, None, False, False),
    ],
    ids=["running", "just begun", "two queues", "another queue", "a child's queue", "no run"],
)
def test_an_order_whose_tasks_nobody_takes_up_names_the_queue(
    run: Observation | None, work: PendingWork | None, applying: bool, told: bool
) -> None:
    problem = no_worker(run, work, {"orders"}, applying=applying)

    assert (problem is not None) is told
    assert problem is None or "task queue orders:" in problem.message


def test_an_order_that_waits_for_a_person_needs_no_worker_unless_it_was_edited() -> None:
    waiting = an_observation(snapshot=a_snapshot(status="Await Approval"))

    assert no_worker(waiting, None, {"orders"}, applying=False) is None
    assert no_worker(waiting, None, {"orders"}, applying=True) is not None


@pytest.mark.parametrize(
    ("encoding", "data"),
    [(b"binary/aes", b"x"), (b"binary/encrypted", b"x"), (b"json/plain", b"{"), (b"", b"x"), (b"json/plain", b"[]")],
)
async def test_a_failure_in_anybodys_encoding_stops_nothing(encoding: bytes, data: bytes) -> None:
    """B10: it ended the operator, and the next one as well."""
    activity = an_activity()
    encoded = activity.last_failure.cause.encoded_attributes
    encoded.metadata["encoding"], encoded.data = encoding, data
    server = Server(activity)
    server.data_converter = data_converter({})

    [retry] = (await work_of(server)).retries

    assert retry.error == "connection refused" or retry.error.startswith("its message cannot be read: ")


async def test_the_message_of_an_encrypted_failure_is_told_and_without_its_key_the_key(tmp_path: Path) -> None:
    keys = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "first")), "ORDER_ENCRYPTION_WRITE": "true"}
    activity = an_activity()
    writer = data_converter(keys).with_context(WorkflowSerializationContext("default", RUN.workflow_id))
    activity.last_failure.Clear()
    await writer.encode_failure(ApplicationError("no such card"), activity.last_failure)
    server = Server(activity)
    server.answers[RUN.workflow_id].workflow_execution_info.execution.workflow_id = RUN.workflow_id

    server.data_converter = data_converter(keys)
    [told] = (await pending_work(cast("Any", server), RUN)).retries
    server.data_converter = data_converter({})
    [untold] = (await pending_work(cast("Any", server), RUN)).retries

    assert "no such card" not in str(activity)
    assert told.error == "no such card"
    assert "'first'" in untold.error

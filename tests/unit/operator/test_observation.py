from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from builders import NAME, NAMESPACE, UID, a_snapshot
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseResponse
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from order_codec.undecodable import KeyMissing
from order_operator.cluster.conditions import Reason
from order_operator.orders.observation import Observation, decode
from order_operator.temporal.connection import TASK_PROBLEMS
from order_operator.temporal.runs import failing
from order_workflows.contract import (
    MEMO_INPUT_HASH,
    MEMO_ORPHANED,
    MEMO_SNAPSHOT,
    MEMO_TAKEOVERS,
    MEMO_UID,
    RunKey,
    parse_workflow_id,
    workflow_id,
)

KEY = RunKey(NAMESPACE, NAME, UID)
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def decoded(memo: dict[str, Any], **fields: Any) -> Observation:
    """What the scanner makes of a row of visibility with this memo."""
    row = WorkflowExecutionInfo(**{"status": 1, "task_queue": "orders", **fields})
    row.execution.workflow_id = workflow_id(*KEY)
    row.execution.run_id = "run-1"
    row.start_time.FromDatetime(STARTED)
    for name, value in memo.items():
        (payload,) = await pydantic_data_converter.encode([value])
        row.memo.fields[name].CopyFrom(payload)
    # Never connects: decoding needs its converter only.
    client = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    key = parse_workflow_id(row.execution.workflow_id)
    assert key is not None
    return await decode(client, key, row)


async def test_a_row_is_read_with_its_snapshot() -> None:
    snapshot = a_snapshot(status="Ship Order", progress=75)

    observation = await decoded({MEMO_SNAPSHOT: snapshot.to_memo(), MEMO_UID: UID, MEMO_INPUT_HASH: "abc"})

    assert observation.key == KEY
    assert observation.snapshot == snapshot
    assert observation.input_hash == "abc"
    assert (observation.workflow_id, observation.run_id, observation.task_queue) == (
        workflow_id(*KEY),
        "run-1",
        "orders",
    )
    assert (observation.start_time, observation.close_time) == (STARTED, None)
    assert observation.running
    assert not observation.orphaned


async def test_a_row_without_a_memo_has_no_snapshot() -> None:
    observation = await decoded({})

    assert observation.snapshot is None
    assert observation.input_hash is None


async def test_a_closed_row_has_the_time_of_its_end() -> None:
    closed = Timestamp()
    closed.FromDatetime(STARTED)

    observation = await decoded({}, close_time=closed)

    assert observation.close_time == STARTED


async def test_a_row_that_was_orphaned_on_purpose_says_so() -> None:
    assert (await decoded({MEMO_ORPHANED: True})).orphaned


@pytest.mark.parametrize(
    "memo", [{"status": "Gift Wrapped"}, {"progress": "much"}, "text", [1], 7, None, {"steps": [{"name": "Wrap"}]}]
)
async def test_a_snapshot_that_is_not_understood_is_not_guessed(memo: Any) -> None:
    observation = await decoded({MEMO_SNAPSHOT: memo, MEMO_INPUT_HASH: "abc"})

    assert observation.snapshot is None
    assert observation.input_hash == "abc"


async def test_a_snapshot_of_a_newer_format_is_not_guessed() -> None:
    observation = await decoded({MEMO_SNAPSHOT: a_snapshot().to_memo() | {"version": 2}})

    assert observation.snapshot is None


def with_problems(data: bytes, status: WorkflowExecutionStatus = WorkflowExecutionStatus.RUNNING) -> dict[str, Any]:
    attributes = SearchAttributes(indexed_fields={TASK_PROBLEMS: Payload(data=data)})
    return {"search_attributes": attributes, "status": int(status)}


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b'["category=WorkflowTaskFailed"]', ("category=WorkflowTaskFailed",)),
        (b'"one"', ("one",)),
        (b"null", ()),
        (b"", ()),
    ],
)
async def test_the_servers_word_on_failing_tasks_is_read(data: bytes, problems: tuple[str, ...]) -> None:
    assert (await decoded({}, **with_problems(data))).task_problems == problems


async def test_a_run_that_has_ended_fails_no_more() -> None:
    terminated = with_problems(b'["x"]', WorkflowExecutionStatus.TERMINATED)

    assert (await decoded({}, **terminated)).task_problems == ()


@pytest.mark.parametrize("status", WorkflowExecutionStatus)
async def test_only_an_open_run_is_running(status: WorkflowExecutionStatus) -> None:
    row = await decoded({})
    observation = replace(row, status=status)

    assert observation.running == (status is WorkflowExecutionStatus.RUNNING)


async def test_a_memo_that_cannot_be_decoded_makes_an_observation_that_says_so() -> None:
    """B10: one such memo, of anybody in the namespace, ended the operator."""
    row = WorkflowExecutionInfo(status=1)
    row.execution.workflow_id = workflow_id(*KEY)
    row.memo.fields[MEMO_SNAPSHOT].CopyFrom(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"?"))
    client = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)

    observation = await decode(client, KEY, row)

    assert observation.unreadable
    assert "encoding" in observation.unreadable_because


@pytest.mark.parametrize("memo", [{MEMO_INPUT_HASH: 7}, {MEMO_TAKEOVERS: "many"}, {MEMO_ORPHANED: None}])
async def test_a_memo_of_another_shape_is_not_believed(memo: dict[str, Any]) -> None:
    observation = await decoded(memo)

    assert (observation.input_hash, observation.takeovers, observation.orphaned) == (None, 0, False)


async def test_what_is_older_does_not_replace_what_is_newer() -> None:
    """B29: a visibility store that reads back in time let the status go backward."""
    first = await decoded({MEMO_SNAPSHOT: a_snapshot(seq=1).to_memo()})
    second = await decoded({MEMO_SNAPSHOT: a_snapshot(seq=2).to_memo()})
    ended = replace(first, status=WorkflowExecutionStatus.COMPLETED)
    next_run = replace(first, run_id="run-2", start_time=STARTED + timedelta(seconds=1))

    assert first.precedes(second)
    assert not second.precedes(first)
    assert second.precedes(ended)
    assert ended.precedes(next_run)


class FailingWorkflow:
    """A client of a Temporal whose newest events are these failures of tasks."""

    namespace, data_converter = "default", pydantic_data_converter

    def __init__(self, *failures: Failure, refuses: Exception | None = None) -> None:
        self.workflow_service = self
        self._events = [
            HistoryEvent(workflow_task_failed_event_attributes={"failure": failure}) for failure in failures
        ]
        self._refuses = refuses

    async def get_workflow_execution_history_reverse(self, *_: object, **__: object) -> Any:
        if self._refuses is not None:
            raise self._refuses
        answer = GetWorkflowExecutionHistoryReverseResponse()
        answer.history.events.extend([HistoryEvent(), *self._events])
        return answer


def a_failure(error: Exception) -> Failure:
    """As a worker tells of it."""
    failure = Failure()
    pydantic_data_converter.failure_converter.to_failure(error, pydantic_data_converter.payload_converter, failure)
    return failure


async def seen_at(temporal: FailingWorkflow) -> Observation:
    row = WorkflowExecutionInfo(**with_problems(b'["cause=UnhandledFailure"]'))
    row.execution.workflow_id = workflow_id(*KEY)
    return await decode(cast("Client", temporal), KEY, row)


async def test_a_key_that_workers_lack_is_told_by_its_name() -> None:
    run = await seen_at(FailingWorkflow(a_failure(KeyMissing("lost")), a_failure(ValueError("earlier"))))

    problem = failing(run, "order")
    assert problem is not None
    assert problem.reason is Reason.ENCRYPTION_KEY_MISSING
    assert "'lost'" in problem.message


@pytest.mark.parametrize(
    "temporal",
    [
        FailingWorkflow(a_failure(ValueError("a bug")), a_failure(KeyMissing("lost, earlier"))),
        FailingWorkflow(),
        FailingWorkflow(refuses=RPCError("away", RPCStatusCode.UNAVAILABLE, b"")),
    ],
    ids=["a bug", "nothing", "no answer"],
)
async def test_what_fails_for_something_else_is_told_as_the_server_has_it(temporal: FailingWorkflow) -> None:
    problem = failing(await seen_at(temporal), "order")

    assert problem is not None
    assert problem.reason is Reason.WORKFLOW_TASK_FAILED

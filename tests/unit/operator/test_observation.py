from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from builders import NAME, NAMESPACE, UID, a_snapshot
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from order_operator.orders.observation import Observation, decode
from order_operator.temporal.connection import TASK_PROBLEMS, TemporalConnection
from order_operator.temporal.scanner import Follower, ScanKind, Scanner
from order_workflows.contract import (
    MEMO_INPUT_HASH,
    MEMO_ORPHANED,
    MEMO_SNAPSHOT,
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


class OnePage:
    """Temporal, listing these workflows."""

    def __init__(self, *rows: WorkflowExecutionInfo) -> None:
        self.namespace = "default"
        self.rows = rows
        self.queries: list[str] = []
        self.client = self.workflow_service = self
        self.reports_task_problems = False

    async def list_workflow_executions(self, request: ListWorkflowExecutionsRequest, **_: Any) -> Any:
        self.queries.append(request.query)
        return ListWorkflowExecutionsResponse(executions=self.rows)


def a_row(kind: str, workflow_id: str, run_id: str = "run-1") -> WorkflowExecutionInfo:
    row = WorkflowExecutionInfo(status=1)
    row.type.name = kind
    row.execution.workflow_id = workflow_id
    row.execution.run_id = run_id
    return row


async def told(page: OnePage, times: int = 1) -> dict[str, list[str]]:
    """The run ids that each follower was told of in as many scans."""
    found: dict[str, list[str]] = {"A": [], "B": []}
    scanner = Scanner(cast("TemporalConnection", page), "here")
    for kind, runs in found.items():

        async def observed(row: WorkflowExecutionInfo, runs: list[str] = runs) -> None:
            runs.append(row.execution.run_id)

        scanner.followers[kind] = Follower(observed=observed, live=lambda: True, resynced=lambda: None)
    for _ in range(times):
        await scanner._scan(ScanKind.SWEEP, STARTED)
    return found


async def test_one_query_serves_the_followers_of_every_type() -> None:
    page = OnePage(a_row("A", "a/1", "run-a"), a_row("B", "b/1", "run-b"))

    assert await told(page) == {"A": ["run-a"], "B": ["run-b"]}
    assert len(page.queries) == 1
    assert page.queries[0].startswith("WorkflowType IN ('A', 'B') AND OrderCluster = 'here' AND (")


async def test_of_several_runs_of_an_id_only_the_present_one_is_told() -> None:
    page = OnePage(a_row("A", "a/1", "new"), a_row("A", "a/1", "old"))

    assert (await told(page, times=2))["A"] == ["new"]

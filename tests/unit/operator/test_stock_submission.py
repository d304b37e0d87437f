"""How the operator begins the workflow of an article, and where it begins none."""

from pathlib import Path

import pytest
from encryption_keys import ring_file
from stock_shelf import COMPLETED, RUNNING, Shelf, counts, shown, temporal_finds
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from order_codec.settings import data_converter
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.stock_items import submission, tracking
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_operator.work_queue import MAX_BACKOFF_SECONDS
from order_workflows.contract import (
    MEMO_UID,
    stock_workflow_id,
)


async def test_before_the_first_full_scan_nothing_is_started(shelf: Shelf) -> None:
    shelf.scanner.synced.clear()
    shelf.put("a")

    assert await shelf.look("a") is None
    assert shelf.written == []


@pytest.mark.parametrize(
    "words", ["Namespace orders has no mapping defined for search attribute OrderCluster", "the input is too long"]
)
async def test_an_item_whose_workflow_temporal_refused_looks_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """It waited for ever, for a change of its spec."""

    async def refuse(*_: object) -> None:
        raise RPCError(words, RPCStatusCode.INVALID_ARGUMENT, b"")

    monkeypatch.setattr(submission, "start", refuse)
    shelf.put("a")

    again = await shelf.look("a")

    assert again is not None
    assert again <= MAX_BACKOFF_SECONDS


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0], ids=["alike", "the server is ahead", "the server is behind"])
async def test_a_run_that_ended_under_its_item_is_replaced_when_the_pause_is_over_by_whatever_clock(
    shelf: Shelf, starts: list[str], monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """Ten minutes behind the server, nobody kept the article for ten minutes."""
    shelf.put("a")
    await shelf.publish("a", counts(), COMPLETED, ended_before=-ahead)

    again = await shelf.look("a")
    before, said = list(starts), shelf.said()[0]
    monkeypatch.setattr(tracking, "RESTART_SECONDS", 0.0)
    await shelf.look("a")

    assert (again is not None, before, said) == (True, [], Reason.WORKFLOW_TERMINATED)
    assert starts == [stock_workflow_id("here", "a")]


async def test_an_article_whose_workflow_lacks_its_key_is_not_taken_for_anothers(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = stock_workflow_id("here", "a")
    keys = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "lost")), "ORDER_ENCRYPTION_WRITE": "true"}
    writer = data_converter(keys).with_context(WorkflowSerializationContext("default", identifier))
    row = WorkflowExecutionInfo(status=int(RUNNING), task_queue="orders")  # type: ignore[arg-type]
    row.execution.workflow_id = identifier
    (payload,) = await writer.encode(["a"])
    row.memo.fields[MEMO_UID].CopyFrom(payload)
    shelf.connection.client = await Client.connect("127.0.0.1:1", lazy=True, data_converter=data_converter({}))

    async def started(*_: object) -> None:
        """It runs already."""

    async def found(*_: object) -> WorkflowExecutionInfo:
        return row

    monkeypatch.setattr(submission, "start", started)
    temporal_finds(monkeypatch, found)
    shelf.put("a")
    await shelf.look("a")

    reason, message = shelf.said()
    assert reason == Reason.ENCRYPTION_KEY_MISSING
    assert "'lost'" in message


async def test_an_article_is_not_kept_on_the_task_queue_of_another_installation_and_says_so(
    shelf: Shelf, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def problem(_: TaskQueueOwner) -> Problem:
        return Problem(Reason.TASK_QUEUE_TAKEN, "taken", stalled=True)

    monkeypatch.setattr(TaskQueueOwner, "problem", problem)
    shelf.put("a")

    await shelf.look("a")

    assert starts == []
    assert shelf.said() == (Reason.TASK_QUEUE_TAKEN, "taken")


@pytest.mark.parametrize(
    "problem",
    [
        Problem(Reason.TASK_QUEUE_TAKEN, "taken", stalled=True),
        Problem(Reason.ENCRYPTION_KEY_MISSING, "lacks the key", stalled=True),
        Problem(Reason.TEMPORAL_REFUSED, "too long", stalled=True),
    ],
    ids=lambda problem: problem.reason,
)
async def test_an_item_whose_workflow_cannot_be_asked_for_keeps_its_counts(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, problem: Problem
) -> None:
    """An operator that was started without the key took the counts off every article: none was below its minimum."""

    async def cannot_tell(*_: object) -> Problem:
        return problem

    status = await shown(shelf)
    started = Shelf(shelf.connection.client)
    monkeypatch.setattr(started.stock._submission, "_start", cannot_tell)
    started.put("a", status=status)

    again = await started.look("a")

    assert again is not None
    assert started.said() == (problem.reason, problem.message)
    assert (started.written[-1]["onHand"], started.written[-1]["workflow"]) == (5, status["workflow"])


async def test_an_article_that_is_kept_in_another_temporal_namespace_is_not_kept_twice(
    shelf: Shelf, starts: list[str]
) -> None:
    """TEMPORAL_NAMESPACE was changed: a second workflow began, and each ordered at the supplier."""
    status = dict(await shown(shelf))
    status["workflow"] = {**status["workflow"], "namespace": "another"}
    started = Shelf(shelf.connection.client)
    started.put("a", status=status)

    await started.look("a")

    assert starts == []
    assert started.said()[0] == Reason.WORKFLOW_ELSEWHERE
    assert (started.written[-1]["onHand"], started.written[-1]["workflow"]["namespace"]) == (5, "another")

"""Articles whose workflow is on another task queue than the operator's present one."""

from typing import Any

import pytest
from stock_shelf import Shelf, counts, temporal_finds
from temporalio.client import Client, WorkflowHandle

from order_domain.stock_item import SupplierOrderRecord
from order_operator.cluster.conditions import Reason
from order_operator.stock_items import queue_change, submission, tracking
from order_operator.stock_items.queue_change import WORKERS_SECONDS
from order_operator.temporal.starting import Start


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Task queues whose tasks a worker asks for."""
    asked: set[str] = set()

    async def has_workers(_: Client, queue: str) -> bool:
        return queue in asked

    monkeypatch.setattr(queue_change, "has_workers", has_workers)
    return asked


@pytest.fixture
def terminated(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Run ids of what was terminated."""
    told: list[str | None] = []

    async def terminate(handle: WorkflowHandle[Any, Any], *_: object, **__: object) -> None:
        told.append(handle.run_id)

    monkeypatch.setattr(WorkflowHandle, "terminate", terminate)
    return told


async def test_an_article_whose_task_queue_has_no_worker_any_more_is_kept_on_the_operators_own(
    shelf: Shelf, queues: set[str], terminated: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting was changed, and the workers moved: nothing was restocked any more."""
    begun: list[Start] = []

    async def start(_client: Client, wanted: Start) -> None:
        begun.append(wanted)

    async def find(*_: object) -> None:
        """No row yet."""

    monkeypatch.setattr(submission, "start", start)
    temporal_finds(monkeypatch, find)
    on_order = SupplierOrderRecord(id="a/1/x", quantity=3)
    queues.add("orders")
    shelf.put("a")
    await shelf.publish("a", counts(supplier_order=on_order), cluster="here", queue="earlier")

    await shelf.look("a")
    said = shelf.said()[0]
    monkeypatch.setattr(tracking, "RESTART_SECONDS", 0.0)
    await shelf.look("a")

    assert (terminated, said) == (["run-1"], Reason.WORKFLOW_TERMINATED)
    assert [(wanted.task_queue, wanted.argument.on_order) for wanted in begun] == [("orders", on_order)]


@pytest.mark.parametrize(
    ("cluster", "asked"),
    [("here", {"orders", "earlier"}), ("here", set()), ("there", {"orders"})],
    ids=["it has workers", "ours has none", "another installation's"],
)
async def test_an_article_on_another_task_queue_is_left_where_somebody_may_keep_it(
    shelf: Shelf, queues: set[str], terminated: list[str | None], cluster: str, asked: set[str]
) -> None:
    queues |= asked
    shelf.put("a")
    await shelf.publish("a", counts(), cluster=cluster, queue="earlier")

    again = await shelf.look("a")

    assert terminated == []
    assert shelf.said()[0] == Reason.KEPT
    assert again == (WORKERS_SECONDS if cluster == "here" else None)

"""What lists and rows tell the operator of stock items, and what becomes of it."""

import asyncio

import pytest
from stock_shelf import Keeper, Shelf, counts, temporal_finds
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.api import Listed
from order_operator.cluster.conditions import Reason
from order_operator.stock_items import orphans
from order_operator.temporal.connection import UNREACHABLE
from order_operator.temporal.runs import Run
from order_operator.work_queue import TryLater
from order_workflows.contract import (
    former_stock_workflow_id,
    stock_workflow_id,
)


async def test_an_older_row_does_not_bring_back_older_counts(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = await shelf.row("a", counts(seq=2, on_hand=4))

    async def find(*_: object) -> WorkflowExecutionInfo:
        return newest

    temporal_finds(monkeypatch, find)
    shelf.put("a")
    await shelf.publish("a", counts(seq=2, on_hand=4))
    await shelf.publish("a", counts(seq=1))

    await shelf.look("a")

    assert [status["onHand"] for status in shelf.written] == [4]


async def test_a_run_that_goes_on_under_another_id_is_no_end(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.publish("a", counts(), WorkflowExecutionStatus.CONTINUED_AS_NEW)

    await shelf.look("a")

    assert shelf.said()[0] == Reason.KEPT


async def test_a_list_tells_of_what_the_watch_has_not_brought(shelf: Shelf) -> None:
    shelf.put("a")
    known, newer, unknown = (
        Listed("a", "shop", "a", 1),
        Listed("a", "shop", "a", 2),
        Listed("b", "shop", "b", 1),
    )

    assert shelf.stock.intake.compare({"a": known}, 9) == []
    assert shelf.stock.intake.compare({"a": newer, "b": unknown}, 9) == [newer, unknown]


async def test_an_item_older_than_known_in_a_later_list_is_told_with_the_known_version(shelf: Shelf) -> None:
    shelf.put("a")
    shelf.put("a")
    earlier = Listed("a", "shop", "a", 1)

    assert shelf.stock.intake.compare({"a": earlier}, 9) == [earlier._replace(known_version=2)]
    assert shelf.stock.intake.compare({"a": earlier}, 1) == []


async def test_a_workflow_of_another_installation_is_none_of_ours(shelf: Shelf) -> None:
    shelf.connection.problem = UNREACHABLE
    shelf.put("a")
    await shelf.publish("a", counts(), identifier=stock_workflow_id("there", "a"))

    await shelf.look("a")

    assert "onHand" not in shelf.written[-1]


@pytest.mark.parametrize(("cluster", "cancelled"), [("here", 1), ("there", 0), ("default", 0), (None, 0)])
async def test_only_a_workflow_of_this_installation_is_cancelled_for_want_of_its_item(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, cluster: str | None, cancelled: int
) -> None:
    """B9: two clusters cancelled each other's, whose items they could not see."""
    told: list[str] = []

    async def request_cancel(_client: Client, run: Run) -> bool:
        told.append(run.workflow_id)
        return True

    monkeypatch.setattr(orphans, "request_cancel", request_cancel)
    monkeypatch.setattr(orphans, "TWO_LOOKS_SECONDS", 0.0)
    await shelf.publish("a", counts(), identifier=former_stock_workflow_id("a"), cluster=cluster)

    for _ in range(2):
        shelf.stock.intake.compare({}, 9)
        await asyncio.sleep(0)

    assert len(told) == cancelled


@pytest.mark.parametrize(
    ("later", "released", "times"),
    [(0.0, False, 1), (601.0, False, 2), (601.0, True, 1)],
    ids=["just told", "told long ago", "it shows that it has heard"],
)
async def test_a_workflow_that_does_not_show_that_it_was_told_of_its_items_deletion_is_told_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, later: float, released: bool, times: int
) -> None:
    """Temporal was restored to a moment before: the article was kept for ever by the rules of an item that was gone."""
    told: list[str] = []

    async def request_cancel(_client: Client, run: Run) -> bool:
        told.append(run.workflow_id)
        return True

    monkeypatch.setattr(orphans, "request_cancel", request_cancel)
    monkeypatch.setattr(orphans, "TWO_LOOKS_SECONDS", 0.0)
    await shelf.publish("a", counts(), cluster="here")
    shelf.stock.intake.compare({}, 9)
    await asyncio.sleep(0)
    shelf.stock._tracked._let_go = {run: at - later for run, at in shelf.stock._tracked._let_go.items()}
    await shelf.publish("a", counts(seq=2, released=released), cluster="here")

    shelf.stock.intake.compare({}, 9)
    await asyncio.sleep(0)

    assert len(told) == times


async def test_an_item_that_a_list_takes_away_while_it_is_looked_at_raises_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(*_: object) -> None:
        for number in range(11):
            shelf.put(f"item-{number}")
        shelf.stock.intake.compare({}, 10**6)

    shelf.put("a")
    monkeypatch.setattr(shelf.stock._submission, "_start", start)

    await shelf.look("a")

    assert "a" not in shelf.stock._tracked


@pytest.mark.parametrize(("items", "told"), [(10, 10), (11, 0)])
async def test_many_items_that_a_list_lacks_at_once_are_no_deletions(
    shelf: Shelf, keeper: Keeper, items: int, told: int
) -> None:
    """etcd was restored, and its revisions raised as its manual says: all newer than the backup were let go at once."""
    for number in range(items):
        name = f"item-{number}"
        shelf.put(name)
        await shelf.publish(name, counts(), cluster="here")
        await keeper.of(name, f"shop/{name}", identifier=stock_workflow_id("here", name))

    shelf.stock.intake.compare({}, 1_000_000)
    for number in range(items):
        await shelf.look(f"item-{number}")

    assert len(keeper.cancelled) == told
    assert len(shelf.stock._tracked.runs) == items


async def test_a_deletion_of_which_temporal_cannot_be_told_is_tried_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It filled the log with stack traces."""

    async def away(*_: object) -> None:
        raise RPCError("Timeout expired", RPCStatusCode.CANCELLED, b"")

    temporal_finds(monkeypatch, away)
    shelf.put("a")
    shelf.stock.intake.remove(shelf.body("a"))

    with pytest.raises(TryLater, match="Timeout expired"):
        await shelf.look("a")

"""How edited settings of a stock item reach its workflow."""

from typing import Any

import pytest
from stock_shelf import Shelf, counts, shown, temporal_finds
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.conditions import Reason
from order_operator.stock_items import reconcile
from order_operator.stock_items.resource import StockItemResource
from order_operator.temporal.connection import UNREACHABLE
from order_operator.work_queue import MAX_BACKOFF_SECONDS
from order_workflows.contract import (
    stock_workflow_id,
)


async def test_settings_for_a_run_that_temporal_has_lost_begin_another(
    shelf: Shelf, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row told of an end, and the item waited for its settings until the next full scan."""

    async def lost(*_: object, **__: object) -> None:
        raise RPCError("workflow not found for ID: stock/here/a", RPCStatusCode.NOT_FOUND, b"")

    monkeypatch.setattr(WorkflowHandle, "signal", lost)
    await shown(shelf)
    monkeypatch.setattr(reconcile, "WRITE_INTERVAL_SECONDS", 0.0)
    shelf.put("a", generation=2, status=shelf.written[-1])

    again = await shelf.look("a")
    told = shelf.said()[0], shelf.written[-1]["onHand"]
    await shelf.look("a")

    assert again is not None
    assert again <= MAX_BACKOFF_SECONDS
    assert told == (Reason.SUBMITTING, 5)
    assert starts == [stock_workflow_id("here", "a")]


async def test_an_edit_that_temporal_cannot_be_told_of_is_not_observed_yet(shelf: Shelf) -> None:
    shelf.put("a", generation=2)
    await shelf.publish("a", counts())
    shelf.connection.problem = UNREACHABLE

    again = await shelf.look("a")

    assert again is not None
    assert shelf.written[0]["observedGeneration"] == 1
    assert shelf.said()[0] == Reason.TEMPORAL_UNAVAILABLE


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Settings that were sent."""
    sent: list[Any] = []

    async def signal(_handle: object, _name: str, settings: Any, **_: object) -> None:
        sent.append(settings)

    monkeypatch.setattr(WorkflowHandle, "signal", signal)
    return sent


async def test_an_item_that_a_restored_etcd_set_back_does_not_say_that_its_settings_are_in_force(
    shelf: Shelf, configured: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its edits were ignored until their count passed that of before the restore, and it said `Kept`."""
    monkeypatch.setattr(reconcile, "ANSWER_GRACE_SECONDS", 0.0)
    shelf.put("a", generation=5, minimum=3, target=4)
    shelf.there = shelf.stock._tracked["a"].resource
    await shelf.publish("a", counts(generation=7))

    again = await shelf.look("a")
    told, observed = shelf.said()[0], shelf.written[-1]["observedGeneration"]
    monkeypatch.setattr(reconcile, "WRITE_INTERVAL_SECONDS", 0.0)
    await shelf.publish("a", counts(seq=2, generation=5))
    await shelf.look("a")

    [sent] = configured
    assert again is not None
    assert (told, observed) == (Reason.APPLYING, 4)
    assert (sent.generation, sent.minimum, sent.instead_of) == (5, 3, 7)
    assert (shelf.said()[0], shelf.written[-1]["observedGeneration"]) == (Reason.KEPT, 5)


async def test_settings_of_a_version_that_is_only_late_are_not_sent_back(shelf: Shelf, configured: list[Any]) -> None:
    """Another leader has brought a newer one, which the watch has yet to bring."""
    shelf.put("a", generation=5)
    shelf.there = StockItemResource.from_body(shelf.body("a", generation=7))
    await shelf.publish("a", counts(generation=7))

    await shelf.look("a")

    assert configured == []
    assert shelf.stock._tracked["a"].resource.generation == 7


@pytest.mark.parametrize(("in_temporal", "sent"), [(3, [2]), (5, [])], ids=["restored", "visibility lags"])
async def test_settings_that_a_restored_temporal_has_forgotten_are_sent_again(
    shelf: Shelf, configured: list[Any], monkeypatch: pytest.MonkeyPatch, in_temporal: int, sent: list[int]
) -> None:
    """What the workflow had shown before counted as heard for ever: it kept the article by the former settings."""
    before, after = counts(seq=3), counts(seq=5, generation=2)
    there = await shelf.row("a", before if in_temporal == before.seq else after)

    async def find(*_: object) -> WorkflowExecutionInfo:
        return there

    temporal_finds(monkeypatch, find)
    shelf.put("a", generation=2)
    await shelf.publish("a", after)
    await shelf.publish("a", before)

    await shelf.look("a")

    assert [settings.generation for settings in configured] == sent

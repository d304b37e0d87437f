"""What the operator writes of stock items, and when; nothing here reaches a server."""

import asyncio

import pytest
from kubernetes.aio import client
from stock_shelf import Shelf, counts, shown

from order_operator.cluster.api import ApiRefused
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.stock_items import reconcile
from order_operator.temporal.connection import NOT_ANSWERED, UNREACHABLE


async def test_what_is_shown_already_is_not_written_again(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.look("a")

    assert await shelf.look("a") is None
    assert len(shelf.written) == 1


async def test_a_second_change_is_written_when_the_second_is_over(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.look("a")
    await shelf.publish("a", counts(seq=2, on_hand=4))

    wait = await shelf.look("a")

    assert len(shelf.written) == 1
    assert wait is not None
    assert 0 < wait <= 1
    await asyncio.sleep(wait)
    assert await shelf.look("a") is None
    assert [status["onHand"] for status in shelf.written] == [5, 4]


async def test_a_write_that_meets_newer_versions_is_tried_ever_more_rarely(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B31: items that met one another's writes met again a second later, all at once."""
    monkeypatch.setattr(reconcile, "WRITE_INTERVAL_SECONDS", 0.0)
    shelf.put("a")
    await shelf.publish("a", counts())
    shelf.conflicts = 6
    pauses = [await shelf.look("a") or 0.0 for _ in range(6)]
    await shelf.look("a")
    await shelf.publish("a", counts(seq=2, on_hand=4))
    shelf.conflicts = 1
    after_a_success = await shelf.look("a") or 0.0

    assert [0.5 <= pauses[0] <= 1.0, 4.0 <= pauses[3] <= 8.0, 5.0 <= pauses[5] <= 10.0] == [True, True, True]
    assert 0.5 <= after_a_success <= 1.0


@pytest.mark.parametrize(("status", "told"), [(422, ["StatusRefused"]), (429, [])])
async def test_a_status_that_is_refused_for_its_content_is_told_by_an_event_of_the_item(
    shelf: Shelf, status: int, told: list[str]
) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    shelf.refusal = client.ApiException(status=status, reason="status.onHand: Invalid value")

    with pytest.raises(ApiRefused):
        await shelf.look("a")
    await asyncio.sleep(0)

    assert [event.reason for event in shelf.events] == told
    assert [(event.regarding.kind, event.regarding.name) for event in shelf.events if event.regarding] == [
        ("StockItem", "a") for _ in told
    ]


async def test_the_status_of_a_newer_worker_is_left_alone(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", {"version": 2})

    assert await shelf.look("a") is None
    assert shelf.written == []


async def test_a_spec_that_admission_did_not_check_is_refused_once(shelf: Shelf) -> None:
    shelf.put("a", target=0)

    assert await shelf.look("a") is None
    assert await shelf.look("a") is None
    assert len(shelf.written) == 1
    reason, message = shelf.said()
    assert (reason, "target must be at least minimum" in message) == (Reason.INVALID_SPEC, True)


@pytest.mark.parametrize("target", [2, 0], ids=["valid", "refused by a rule of today"])
@pytest.mark.parametrize(
    ("problem", "synced"), [(NOT_ANSWERED, False), (NOT_ANSWERED, True), (None, False)], ids=["start", "asks", "scans"]
)
async def test_an_item_keeps_its_status_until_its_workflow_can_have_been_seen(
    shelf: Shelf, target: int, problem: Problem | None, synced: bool
) -> None:
    """B2: one whose spec a newer rule refuses lost its counts and its workflow at each start."""
    status = await shown(shelf)
    started = Shelf(shelf.connection.client)
    started.connection.problem = problem
    if not synced:
        started.scanner.synced.clear()
    started.put("a", status=status, target=target)

    assert await started.look("a") is None
    assert started.written == []


async def test_a_refused_item_whose_workflow_is_not_seen_while_temporal_is_away_keeps_its_counts(shelf: Shelf) -> None:
    status = await shown(shelf)
    started = Shelf(shelf.connection.client)
    started.connection.problem = UNREACHABLE
    started.put("a", status=status, target=0)

    again = await started.look("a")

    assert again is not None
    assert started.said()[0] == Reason.TEMPORAL_UNAVAILABLE
    assert (started.written[-1]["onHand"], started.written[-1]["workflow"]) == (5, status["workflow"])


async def test_while_temporal_is_away_the_item_says_so_and_looks_again(shelf: Shelf) -> None:
    shelf.connection.problem = UNREACHABLE
    shelf.put("a")

    again = await shelf.look("a")

    assert again is not None
    assert shelf.said() == (UNREACHABLE.reason, UNREACHABLE.message)

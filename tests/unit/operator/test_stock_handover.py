"""Articles that are kept by another workflow than the item's own."""

from typing import Any

import pytest
from stock_shelf import COMPLETED, Keeper, Shelf, counts
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from order_operator.cluster.conditions import Reason
from order_operator.temporal.connection import UNREACHABLE
from order_workflows.contract import (
    former_stock_workflow_id,
    stock_workflow_id,
)


async def test_the_workflow_of_an_earlier_release_is_shown_until_another_takes_its_place(shelf: Shelf) -> None:
    shelf.connection.problem = UNREACHABLE
    shelf.put("a")
    await shelf.publish("a", counts(), identifier=former_stock_workflow_id("a"))

    again = await shelf.look("a")

    assert again is not None
    assert (shelf.written[-1]["onHand"], shelf.written[-1]["workflow"]["id"]) == (5, "stock/a")


@pytest.mark.usefixtures("keeper")
async def test_an_article_that_another_installation_keeps_is_taken(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=stock_workflow_id("there", "a")))

    await shelf.look("a")

    assert shelf.said()[0] == Reason.SKU_TAKEN
    assert "stock/there/a" in shelf.said()[1]


async def test_an_item_whose_workflow_lets_its_article_go_is_not_called_kept(shelf: Shelf) -> None:
    """It was deleted, and is there again under its uid: nobody keeps the article until its workflow has ended."""
    shelf.put("a")
    await shelf.publish("a", counts(released=True))

    await shelf.look("a")

    assert shelf.said()[0] == Reason.SUBMITTING
    assert [each["status"] for each in shelf.written[-1]["conditions"] if each["type"] == "Ready"] == ["Unknown"]


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the workflows that were told to look at the ledger."""
    told: list[str] = []

    async def signal(handle: WorkflowHandle[Any, Any], _name: str, **_: object) -> None:
        told.append(handle.id)

    monkeypatch.setattr(WorkflowHandle, "signal", signal)
    return told


async def test_an_item_that_was_restored_under_another_uid_has_the_former_ones_workflow_end_once(
    shelf: Shelf, keeper: Keeper
) -> None:
    """Eleven items of a backup waited for ever, each for a StockItem of its own name: the brake held."""
    await keeper.of("former-uid", "shop/a")
    shelf.put("a")
    shelf.there = shelf.stock._tracked["a"].resource

    for _ in range(2):
        await shelf.look("a")

    assert keeper.cancelled == ["run-1"]
    assert shelf.said()[0] == Reason.SKU_TAKEN
    assert "had this name before" in shelf.said()[1]


@pytest.mark.parametrize(
    ("item", "cluster", "there"),
    [("shop/b", "here", True), ("shop/a", "there", True), ("shop/a", "here", False)],
    ids=["another item", "another installation", "it is gone itself"],
)
async def test_a_workflow_that_may_have_its_item_is_not_ended_for_another(
    shelf: Shelf, keeper: Keeper, item: str, cluster: str, there: bool
) -> None:
    await keeper.of("former-uid", item, cluster)
    shelf.put("a")
    if there:
        shelf.there = shelf.stock._tracked["a"].resource

    await shelf.look("a")

    assert keeper.cancelled == []


async def test_the_workflow_that_this_item_had_under_another_identity_hands_the_article_over(
    shelf: Shelf, keeper: Keeper, signalled: list[str]
) -> None:
    """The value `cluster` was changed: every item waited for ever for an installation that is this one."""
    there = stock_workflow_id("there", "a")
    await keeper.of("a", "shop/a", "there", identifier=there)
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=there))

    again = await shelf.look("a")
    before = list(signalled)
    await keeper.of("a", "shop/a", "there", identifier=there, status=COMPLETED)
    await shelf.look("a")

    assert again is not None
    assert (keeper.cancelled, before) == (["run-1"], [])
    assert signalled == [stock_workflow_id("here", "a")]


async def test_an_article_that_a_stopped_workflow_of_another_identity_keeps_is_taken(
    shelf: Shelf, keeper: Keeper, signalled: list[str]
) -> None:
    """It was terminated before it let the article go, and nobody starts it again: it was told every ten seconds."""
    there = stock_workflow_id("there", "a")
    await keeper.of("a", "shop/a", "there", identifier=there, status=WorkflowExecutionStatus.TERMINATED)
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=there))

    await shelf.look("a")

    assert (keeper.cancelled, signalled) == ([], [])
    assert shelf.said()[0] == Reason.SKU_TAKEN


async def test_an_article_that_another_item_keeps_elsewhere_is_left_to_it(
    shelf: Shelf, keeper: Keeper, signalled: list[str]
) -> None:
    there = stock_workflow_id("there", "a")
    await keeper.of("uid-there", "shop/a", "there", identifier=there)
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=there))

    await shelf.look("a")

    assert (keeper.cancelled, signalled) == ([], [])
    assert shelf.said()[0] == Reason.SKU_TAKEN

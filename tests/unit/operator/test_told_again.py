"""What a workflow was told of its deletion, and a Temporal that was restored has forgotten: it is told again."""

import asyncio
import time
from typing import Any

import pytest
from builders import a_snapshot, an_observation, an_order_spec
from one_order_shop import ID, Shop, delete, waiting

from order_domain.snapshot import CompensationState
from order_operator.cluster.api import NotFound
from order_operator.temporal.cancellation import TOLD_AGAIN_SECONDS


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the clock on to when a run is told again."""
    real = time.monotonic
    return lambda: monkeypatch.setattr(time, "monotonic", lambda: real() + TOLD_AGAIN_SECONDS + 1)


async def test_a_cancellation_that_shows_no_effect_is_asked_for_again(shop: Shop, later: Any) -> None:
    """No worker had acted on it when Temporal was restored: the deleted order was carried out, and charged."""
    await waiting(shop)
    await delete(shop)
    assert shop.temporal.calls.count("cancel") == 1
    later()

    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Charge Customer", seq=4)))
    await shop.look()

    assert shop.temporal.calls.count("cancel") == 2


async def test_a_cancellation_whose_effect_shows_is_not_asked_for_again(shop: Shop, later: Any) -> None:
    await waiting(shop)
    await delete(shop)
    undoing = a_snapshot(status="Compensate Order", seq=4, compensation=CompensationState.RUNNING)
    shop.observe(an_observation(workflow_id=ID, snapshot=undoing))
    later()

    await shop.look()

    assert shop.temporal.calls.count("cancel") == 1


async def test_a_release_that_shows_no_effect_is_told_again(shop: Shop, later: Any) -> None:
    """The finalizer never came off."""
    await waiting(shop, spec=an_order_spec(deletion_policy="Orphan").model_dump(mode="json", exclude_none=True))
    await delete(shop)
    assert shop.temporal.calls.count("signal") == 1
    later()

    for _ in range(3):
        await shop.look()

    assert shop.temporal.calls.count("signal") == 2


async def gone(shop: Shop) -> None:
    """Deleted before it had a finalizer: the workflow is told when the resource is no more."""
    shop.orders.intake.put(shop.api.store())
    shop.observe(an_observation(workflow_id=ID, cluster="here", snapshot=a_snapshot(status="Reserve Stock")))
    body, shop.api.body = shop.api.body, None
    assert body is not None
    shop.orders.intake.remove(body)
    await shop.look()
    assert shop.temporal.calls.count("cancel") == 1


async def inventory(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Look at the workflows that have no order; those that are reported."""
    reported: list[Any] = []

    async def nothing(*_: object) -> None:
        raise NotFound("gone")

    monkeypatch.setattr(shop.api, "get", nothing)
    monkeypatch.setattr(shop.orders.intake._orphans, "_report", reported.append)
    shop.orders.intake.compare({}, 10_000)
    for _ in range(5):
        await asyncio.sleep(0)
    return reported


async def test_what_was_told_after_the_resource_had_gone_is_told_again(
    shop: Shop, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gone(shop)
    assert await inventory(shop, monkeypatch) == []
    assert shop.temporal.calls.count("cancel") == 1
    later()

    assert await inventory(shop, monkeypatch) == []

    assert shop.temporal.calls.count("cancel") == 2

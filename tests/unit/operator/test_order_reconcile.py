"""How decisions are carried out, and what is written."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from builders import (
    NAME,
    NAMESPACE,
    UID,
    a_snapshot,
    an_observation,
)
from kubernetes.aio import client
from one_order_shop import (
    ID,
    WAITING,
    Shop,
    waiting,
)

from order_operator.cluster.api import ApiRefused, ApiUnreachable, Listed
from order_operator.orders.resource import OrderResource


async def test_an_order_that_waits_costs_its_finalizer_and_one_status(shop: Shop) -> None:
    await waiting(shop)
    await shop.look()

    assert shop.api.writes == ["finalizer on", "status"]


async def test_a_write_that_meets_a_newer_version_is_made_at_once_on_that(shop: Shop) -> None:
    await waiting(shop)
    shop.api.conflicts = 1
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Compensate Order", seq=3)))

    assert await shop.look() == 0.0
    await shop.look()

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Compensating"


async def test_a_write_whose_answer_was_lost_is_tried_once_more_and_changes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch, which mostly is quicker, brings nothing here."""
    await waiting(shop)
    write, tried = shop.api.write_status, 0

    async def unheard(resource: OrderResource, status: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal tried
        tried += 1
        answer = await write(resource, status)
        if tried == 1:
            raise ApiUnreachable("the API server does not answer")
        return answer

    monkeypatch.setattr(shop.api, "write_status", unheard)
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Compensate Order", seq=3)))
    with pytest.raises(ApiUnreachable):
        await shop.look()
    written = list(shop.api.writes)

    for _ in range(3):
        await shop.look()

    assert tried == 2
    assert shop.api.writes == written


async def test_a_write_that_goes_on_meeting_newer_versions_is_made_ever_more_rarely(shop: Shop) -> None:
    """B31: orders that met one another's writes met again a second later, all at once."""
    await waiting(shop)
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Compensate Order", seq=3)))
    shop.api.conflicts = 5
    pauses = [await shop.look() or 0.0 for _ in range(5)]
    await shop.look()
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Manual Review", seq=4)))
    shop.api.conflicts = 1

    assert [pauses[0] == 0.0, 1.0 <= pauses[1] <= 2.0, 5.0 <= pauses[4] <= 10.0] == [True, True, True]
    assert await shop.look() == 0.0


async def test_an_edit_that_the_watch_brings_before_a_late_answer_is_not_lost(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer's version took its place, and no watch brings a version twice: it came with a list, minutes later."""
    write_status = shop.api.write_status

    async def answered_late(resource: Any, status: Mapping[str, Any]) -> dict[str, Any]:
        answer = await write_status(resource, status)
        monkeypatch.setattr(shop.api, "write_status", write_status)
        shop.api.version += 1
        metadata = {**answer["metadata"], "generation": 2, "resourceVersion": str(shop.api.version)}
        shop.api.body = {**answer, "metadata": metadata, "spec": {**answer["spec"], "deletionPolicy": "Orphan"}}
        shop.orders.intake.put(shop.api.body)
        return answer

    monkeypatch.setattr(shop.api, "write_status", answered_late)

    await waiting(shop)

    assert shop.orders.intake.compare({UID: Listed(UID, NAMESPACE, NAME, shop.api.version)}, 1_000) == []


async def refused(shop: Shop, status: int, reason: str) -> list[client.EventsV1Event]:
    """The events of an order whose status was refused so."""
    shop.orders.intake.put(shop.api.store())
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Reserve Stock")))
    shop.api.refusal = client.ApiException(status=status, reason=reason)
    with pytest.raises(ApiRefused):
        await shop.look()
    await asyncio.sleep(0)
    return shop.api.events


async def test_a_status_that_is_refused_for_its_content_is_told_by_an_event_that_says_why(shop: Shop) -> None:
    """B35: nobody saw why the order stood still."""
    [event] = await refused(shop, 422, "status.phase: Unsupported value")

    assert (event.type, event.reason) == ("Warning", "StatusRefused")
    assert "422 status.phase: Unsupported value" in (event.note or "")


async def test_a_status_that_is_refused_again_for_the_same_reason_is_the_same_event(shop: Shop) -> None:
    await refused(shop, 422, "status.phase: Unsupported value")
    first, second = await refused(shop, 422, "status.phase: Unsupported value")
    [*_, third] = await refused(shop, 422, "status.progress: must be at most 100")

    assert first.metadata is not None
    assert second.metadata is not None
    assert third.metadata is not None
    assert first.metadata.name == second.metadata.name != third.metadata.name


async def test_a_status_that_is_refused_for_the_moment_is_told_by_no_event(shop: Shop) -> None:
    assert await refused(shop, 429, "Too Many Requests") == []


async def test_an_order_whose_finalizer_a_policy_refuses_shows_what_it_waits_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It showed nothing at all: nobody saw that it waits for an approval."""

    async def refuse(*_: Any, **__: Any) -> dict[str, Any]:
        raise ApiRefused("denied by webhook", client.ApiException(status=403, reason="denied by webhook"))

    monkeypatch.setattr(shop.api, "set_finalizer", refuse)
    shop.orders.intake.put(shop.api.store())
    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING))

    again = await shop.look()
    await asyncio.sleep(0)

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Waiting"
    assert again is not None
    assert {"FinalizerRefused", "Waiting"} <= {event.reason for event in shop.api.events}


async def test_a_process_that_does_not_lead_does_nothing(shop: Shop) -> None:
    shop.leads = False
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert (shop.api.writes, shop.temporal.calls) == ([], [])

"""What an OrderClass says of itself."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from order_operator.cluster.api import Conflict, KubernetesApi, NotFound
from order_operator.orders.class_status import ClassStatuses, class_status
from order_operator.orders.classes import OrderClasses, WatchedClasses

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def a_class(*pipeline: str, **changes: Any) -> dict[str, Any]:
    metadata = {
        "name": "standard",
        "generation": 2,
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-02T03:04:00Z",
    }
    return {"metadata": metadata, "spec": {"pipeline": list(pipeline)}, **changes}


GOOD, BAD = a_class("Receive", "Validate"), a_class("Validate", "Receive")


def test_a_class_that_orders_can_follow_is_ready() -> None:
    [ready] = class_status(GOOD, None, NOW)["conditions"]

    assert (ready["type"], ready["status"], ready["reason"], ready["observedGeneration"]) == (
        "Ready",
        "True",
        "Valid",
        2,
    )


def test_a_class_that_orders_cannot_follow_tells_its_flaw() -> None:
    [ready] = class_status(BAD, "pipeline: must start with Receive", NOW)["conditions"]

    assert (ready["status"], ready["reason"]) == ("False", "ClassInvalid")
    assert ready["message"] == "pipeline: must start with Receive"


def test_a_status_that_is_right_is_not_written_again() -> None:
    status = class_status(GOOD, None, NOW)

    assert class_status({**GOOD, "status": status}, None, NOW + timedelta(hours=1)) == status


class Api:
    """The API server's one class."""

    def __init__(self) -> None:
        self.written: list[Mapping[str, Any]] = []
        self.failure: Exception | None = None

    async def write_class_status(self, _: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        self.written.append(status)
        if self.failure is not None:
            raise self.failure


async def watch(api: Api, *bodies: dict[str, Any], leads: bool = True) -> None:
    """Let the watch bring these versions, one after the other."""
    classes = OrderClasses()
    statuses = ClassStatuses(cast("KubernetesApi", api), classes, lambda: leads)
    watched = WatchedClasses(classes, lambda: None, statuses)
    task = asyncio.create_task(statuses.queue.run())
    for body in bodies:
        watched.put(body)
        for _ in range(10):
            await asyncio.sleep(0)
    task.cancel()


async def test_each_version_of_a_class_is_judged_and_told() -> None:
    api = Api()

    await watch(api, BAD, GOOD)

    assert [status["conditions"][0]["status"] for status in api.written] == ["False", "True"]
    assert "Receive" in api.written[0]["conditions"][0]["message"]


async def test_a_class_whose_status_is_right_is_left_alone() -> None:
    api = Api()

    await watch(api, {**GOOD, "status": class_status(GOOD, None, NOW)})

    assert api.written == []


async def test_a_process_that_does_not_lead_writes_no_status() -> None:
    api = Api()

    await watch(api, GOOD, leads=False)

    assert api.written == []


@pytest.mark.parametrize("failure", [Conflict("changed"), NotFound("gone")])
async def test_a_class_that_has_changed_meanwhile_is_written_when_the_watch_brings_it(failure: Exception) -> None:
    api = Api()
    api.failure = failure

    await watch(api, GOOD)

    assert len(api.written) == 1

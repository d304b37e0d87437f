"""What is written names the version that was seen: a write whose answer was lost changes nothing if it is repeated."""

from typing import Any

import pytest
from builders import an_order_resource
from kubernetes.aio import client

from order_operator.cluster.api import KubernetesApi


class Requests:
    """The client of custom objects; remembers what each call was to send."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    async def replace_namespaced_custom_object_status(self, *path: Any, **_: Any) -> dict[str, Any]:
        self.bodies.append(path[-1])
        return {}

    async def patch_namespaced_custom_object(self, *path: Any, **_: Any) -> dict[str, Any]:
        self.bodies.append(path[-1])
        return {}

    async def delete_namespaced_custom_object(self, *_path: Any, body: client.V1DeleteOptions, **_: Any) -> None:
        self.bodies.append(body)


@pytest.fixture
async def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    made = Requests()
    monkeypatch.setattr(client, "CustomObjectsApi", lambda _api: made)
    return made


async def test_a_status_is_written_onto_the_version_that_was_seen(requests: Requests) -> None:
    order = an_order_resource()
    async with client.ApiClient() as api:
        await KubernetesApi(api).write_status(order, {"phase": "Running"})

    assert requests.bodies[0]["metadata"]["resourceVersion"] == order.resource_version


@pytest.mark.parametrize("present", [True, False])
async def test_a_finalizer_is_written_onto_the_version_that_was_seen(present: bool, requests: Requests) -> None:
    order = an_order_resource()
    async with client.ApiClient() as api:
        await KubernetesApi(api).set_finalizer(order, present=present)

    assert requests.bodies[0]["metadata"]["resourceVersion"] == order.resource_version


async def test_exactly_the_version_that_was_seen_is_deleted(requests: Requests) -> None:
    order = an_order_resource()
    async with client.ApiClient() as api:
        await KubernetesApi(api).delete(order)

    exactly = requests.bodies[0].preconditions
    assert (exactly.uid, exactly.resource_version) == (order.uid, order.resource_version)

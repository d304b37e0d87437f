"""What of a customer's orders is deleted, and what is left for the next run of the command."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.aio import client

from order_operator.commands import forget_customer
from order_operator.commands.forget_customer import Forgetting
from order_operator.commands.patience import Patience
from order_operator.orders.resource import OrderResource

ORDER = OrderResource.from_body(
    {
        "metadata": {
            "namespace": "shop",
            "name": "order-1",
            "uid": "u1",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T03:04:00Z",
        },
        "spec": {"customer": {"id": "CUST-1"}},
        "status": {"phase": "Completed"},
    }
)


class Servers:
    """An API server with one ended order, and a Temporal that has its run, if it lists it or not."""

    namespace = "default"

    def __init__(self) -> None:
        self.has_run = True
        self.listed = ["run-1"]
        self.forgotten: list[str] = []
        self.deleted: list[str] = []
        self.workflow_service = self

    async def list_workflows(self, _query: str) -> AsyncIterator[Any]:
        for run_id in self.listed:
            yield SimpleNamespace(id="order/shop/order-1/u1", run_id=run_id)

    async def delete_workflow_execution(self, request: Any) -> None:
        self.forgotten.append(request.workflow_execution.run_id)

    async def delete_namespaced_custom_object(self, *names: Any, **_: Any) -> None:
        self.deleted.append(names[-1])

    async def forget(self) -> bool:
        api, temporal = cast("client.ApiClient", self), cast("Any", self)
        return await Forgetting(api, [temporal], (), Patience(5), lambda _: None).run("CUST-1")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    servers = Servers()

    async def orders(*_: object) -> AsyncIterator[OrderResource]:
        yield ORDER

    async def described(*_: object) -> Any:
        return SimpleNamespace(running=False) if servers.has_run else None

    monkeypatch.setattr(client, "CustomObjectsApi", lambda _: servers)
    monkeypatch.setattr(forget_customer, "all_orders", orders)
    monkeypatch.setattr(forget_customer, "describe_order", described)
    return servers


async def test_an_ended_order_goes_with_its_history(servers: Servers) -> None:
    assert await servers.forget()
    assert (servers.forgotten, servers.deleted) == (["run-1"], ["order-1"])


async def test_an_order_whose_history_temporal_has_and_does_not_list_stays_to_find_it_by(servers: Servers) -> None:
    """The order was deleted, the history stayed, and nothing was left to find it by."""
    servers.listed = []

    assert not await servers.forget()
    assert servers.deleted == []


async def test_an_order_whose_history_is_over_goes_alone(servers: Servers) -> None:
    servers.has_run, servers.listed = False, []

    assert await servers.forget()
    assert servers.deleted == ["order-1"]

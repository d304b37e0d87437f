"""What the command before an uninstall makes of a cluster in which something is gone already."""

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio import client

from order_operator.cluster.api_names import FINALIZER
from order_operator.commands import before_uninstall, patience
from order_operator.commands.before_uninstall import Installation, OpenOrders, Uninstallation
from order_operator.commands.patience import Patience


class Gone:
    """Answers every question by 404, and knows nothing of Orders."""

    async def get_api_versions(self) -> Any:
        return SimpleNamespace(groups=[SimpleNamespace(name="apps")])

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any, **__: Any) -> Any:
            raise client.ApiException(status=404, reason="Not Found")

        return answer


@pytest.mark.parametrize("wish", list(OpenOrders))
async def test_kinds_deployment_and_lease_that_are_gone_hold_nothing_up(
    wish: OpenOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for api in ("CustomObjectsApi", "AppsV1Api", "CoordinationV1Api", "ApisApi"):
        monkeypatch.setattr(client, api, lambda _: Gone())
    said: list[str] = []
    installation = Installation((), "order-platform", "order-platform-operator", "order-platform-operator")

    gone = await Uninstallation(Gone(), installation, Patience(5), said.append).run(wish)  # type: ignore[arg-type]

    assert gone
    assert said == ["the operator is stopped"]


class Cluster:
    """One order, a Deployment of two operators, and a Lease that is given back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for api in ("CustomObjectsApi", "AppsV1Api", "CoordinationV1Api"):
            monkeypatch.setattr(client, api, lambda _: self)
        monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.0)
        self.replicas = 2
        self.orders = [self.an_order("waiting")]
        self.edited: set[str] = set()
        self.refused = 0
        """Status with which the Lease is not to be deleted."""
        self.renewals = 0
        self.holder = ""

    @staticmethod
    def an_order(name: str, **metadata: Any) -> dict[str, Any]:
        names = {"namespace": "shop", "name": name, "uid": name, "creationTimestamp": "2026-01-02T03:04:00Z"}
        return {"metadata": {**names, "resourceVersion": "7", **metadata}, "spec": {}, "status": {"phase": "Waiting"}}

    async def list_cluster_custom_object(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"metadata": {}, "items": self.orders}

    async def patch_namespaced_custom_object(self, *names: Any, **_: Any) -> None:
        *_, name, change = names
        [order] = [each for each in self.orders if each["metadata"]["name"] == name]
        if "deletionTimestamp" in order["metadata"]:
            raise client.ApiException(status=422, reason="no new finalizers can be added")
        if name in self.edited:
            self.edited.remove(name)
            order["metadata"]["resourceVersion"] = "8"
            raise client.ApiException(status=409, reason="Conflict")
        order["metadata"] |= change["metadata"]

    async def read_namespaced_deployment_scale(self, *_: Any) -> Any:
        return SimpleNamespace(spec=SimpleNamespace(replicas=self.replicas))

    async def patch_namespaced_deployment_scale(self, _name: str, _home: str, change: Any, **_: Any) -> None:
        self.replicas = change["spec"]["replicas"]

    async def read_namespaced_lease(self, *_: Any) -> Any:
        self.renewals += bool(self.holder)
        assert self.renewals < 1_000
        metadata = SimpleNamespace(resource_version=str(self.renewals))
        return SimpleNamespace(metadata=metadata, spec=SimpleNamespace(holder_identity=self.holder))

    async def delete_namespaced_lease(self, *_: Any) -> None:
        if self.refused:
            raise client.ApiException(status=self.refused, reason="Forbidden")

    async def before_uninstall(self, wish: OpenOrders) -> tuple[bool, list[str]]:
        said: list[str] = []
        installation = Installation((), "order-platform", "order-platform-operator", "order-platform-operator")
        command = Uninstallation(self, installation, patience.Patience(5), said.append)  # type: ignore[arg-type]
        return await command.run(wish), said


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


async def test_an_order_that_somebody_edits_meanwhile_is_held_all_the_same(cluster: Cluster) -> None:
    """The command failed, and left the installation without an operator."""
    cluster.edited = {"waiting"}

    gone, said = await cluster.before_uninstall(OpenOrders.LEAVE)

    assert (gone, said) == (True, ["the operator is stopped; 1 open orders stay, each held"])
    assert cluster.orders[0]["metadata"]["finalizers"] == [FINALIZER]


async def test_an_order_that_is_being_deleted_takes_no_finalizer_and_holds_nothing_up(cluster: Cluster) -> None:
    deleted = {"deletionTimestamp": "2026-01-02T03:04:00Z", "finalizers": ["foregroundDeletion"]}
    cluster.orders.append(cluster.an_order("deleted", **deleted))

    gone, _ = await cluster.before_uninstall(OpenOrders.LEAVE)

    assert gone
    assert [order["metadata"]["finalizers"] for order in cluster.orders] == [[FINALIZER], ["foregroundDeletion"]]


async def test_orders_that_come_faster_than_they_are_held_end_the_command_and_the_operator_goes_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on until the Job was killed, with the operator stopped."""
    clock = iter(range(1_000))
    monkeypatch.setattr(before_uninstall, "running_clock", lambda: float(next(clock)))
    orders = cluster.list_cluster_custom_object

    async def another_each_time(*arguments: object, **settings: object) -> dict[str, Any]:
        cluster.orders.append(cluster.an_order(f"order-{len(cluster.orders)}"))
        return await orders(*arguments, **settings)

    monkeypatch.setattr(cluster, "list_cluster_custom_object", another_each_time)

    gone, said = await cluster.before_uninstall(OpenOrders.LEAVE)

    assert (gone, cluster.replicas) == (False, 2)
    assert said[-1].endswith("could not be held in time: let nobody order meanwhile")


async def test_a_command_that_fails_with_the_operator_stopped_starts_it_again(cluster: Cluster) -> None:
    cluster.refused = 403

    with pytest.raises(client.ApiException):
        await cluster.before_uninstall(OpenOrders.LEAVE)

    assert cluster.replicas == 2


async def test_an_operator_that_goes_on_is_not_waited_for_for_ever(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Job was killed at its deadline, and nothing started the operator again."""
    monkeypatch.setattr(before_uninstall, "STOP_SECONDS", 0.0)
    cluster.holder = "a pod that does not end"

    gone, [said] = await cluster.before_uninstall(OpenOrders.LEAVE)

    assert (gone, cluster.replicas) == (False, 2)
    assert "a pod that does not end" in said


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_command_that_is_told_to_end_starts_the_operator_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    """The Job's deadline, or the deletion of its pod, left the installation without an operator, its orders held."""
    waits, scaled = asyncio.Event(), asyncio.Event()
    scale = cluster.patch_namespaced_deployment_scale

    async def for_ever(*_: object) -> None:
        waits.set()
        await asyncio.Event().wait()

    async def slowly(*arguments: Any, **settings: Any) -> None:
        if waits.is_set():
            scaled.set()
            await asyncio.sleep(0.01)
        await scale(*arguments, **settings)

    monkeypatch.setattr(cluster, "read_namespaced_lease", for_ever)
    monkeypatch.setattr(cluster, "patch_namespaced_deployment_scale", slowly)
    command = asyncio.create_task(cluster.before_uninstall(OpenOrders.LEAVE))
    await waits.wait()
    assert cluster.replicas == 0

    os.kill(os.getpid(), signal.SIGTERM)
    if signals > 1:
        await scaled.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    gone, said = await command
    assert (gone, cluster.replicas) == (False, 2)
    assert said == ["told to end before the operator was stopped: it goes on; uninstall again"]


async def test_a_command_that_is_told_to_end_while_it_stops_the_operator_starts_it_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the very request was lost, and with it how many operators there had been."""
    scale = cluster.patch_namespaced_deployment_scale

    async def unanswered(*arguments: Any, **settings: Any) -> None:
        monkeypatch.setattr(cluster, "patch_namespaced_deployment_scale", scale)
        await scale(*arguments, **settings)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(cluster, "patch_namespaced_deployment_scale", unanswered)

    gone, _ = await cluster.before_uninstall(OpenOrders.LEAVE)

    assert (gone, cluster.replicas) == (False, 2)

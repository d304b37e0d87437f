"""What the watch missed is found by the list that does not depend on it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from order_operator.cluster.api import KubernetesApi, Listed, NotFound
from order_operator.cluster.inventory import EVERYWHERE, Cache, Inventory, WentBack, interval
from order_operator.work_queue import TryLater


class OneOrder:
    """The cluster: one order, at a version."""

    def __init__(self, *namespaces: str) -> None:
        self.version = 7
        self.list_version = 100
        self.namespaces = namespaces
        self.refused: set[str | None] = set()
        self.missing: set[str] = set()
        self.lost: list[int] = []
        self.classes: list[tuple[Sequence[Mapping[str, Any]], int]] = []

    async def list_order_classes(self) -> tuple[list[dict[str, Any]], int]:
        if "orderclasses" in self.refused:
            raise TryLater("403 Forbidden")
        return [{"metadata": {"name": "standard"}}], self.list_version

    async def list_metadata(self, plural: str, namespace: str | None) -> tuple[dict[str, Listed], int]:
        if plural in self.missing:
            raise NotFound("404 page not found")
        if namespace in self.refused:
            raise TryLater("403 Forbidden")
        if namespace not in (None, "shop"):
            return {}, self.list_version
        return {"u1": Listed("u1", "shop", "order", self.version)}, self.list_version

    async def get(self, *_: str) -> dict[str, Any]:
        return {"metadata": {"uid": "u1", "resourceVersion": str(self.version)}}


class Watched:
    """What the watch has brought: versions by uid."""

    plural = "orders"

    def __init__(self, **versions: int) -> None:
        self.versions = versions
        self.covered: list[str] = []

    def compare(self, listed: Mapping[str, Listed], _: int, covers: Callable[[str], bool]) -> list[Listed]:
        self.covered = [name for name in ("shop", "outlet") if covers(name)]
        return [item for item in listed.values() if self.versions.get(item.uid, 0) < item.resource_version]

    def put(self, body: Mapping[str, Any]) -> None:
        self.versions[body["metadata"]["uid"]] = int(body["metadata"]["resourceVersion"])


def inventory(cluster: OneOrder, *caches: Cache, listed: bool = True) -> Inventory:
    return Inventory(
        cast("KubernetesApi", cluster),
        caches,
        cluster.namespaces,
        asyncio.Event(),
        lambda bodies, version: cluster.classes.append((bodies, version)),
        lambda *_: listed,
        lambda: cluster.lost.append(cluster.list_version),
    )


async def test_a_watch_that_is_only_slow_is_left_alone() -> None:
    watched = Watched()
    stock = inventory(OneOrder(), watched)

    await stock.take()

    assert watched.versions == {}
    assert stock.problem is None


async def test_an_order_that_stays_unseen_is_fetched_and_the_watch_is_called_dead() -> None:
    watched = Watched()
    stock = inventory(OneOrder(), watched)

    await stock.take()
    await stock.take()

    assert watched.versions == {"u1": 7}
    assert stock.problem is not None


async def test_a_watch_that_is_not_through_with_its_first_list_has_missed_nothing() -> None:
    """At a start with 100,000 orders each was fetched one by one, and the process was killed as deaf."""
    watched = Watched()
    stock = inventory(OneOrder(), watched, listed=False)

    await stock.take()
    await stock.take()

    assert watched.versions == {}
    assert stock.problem is None


async def test_a_watch_that_has_caught_up_is_alive_again() -> None:
    watched = Watched()
    stock = inventory(OneOrder(), watched)
    for _ in range(3):
        await stock.take()

    assert stock.problem is None


async def test_a_namespace_that_may_not_be_listed_holds_up_no_other_and_proves_nothing() -> None:
    """B11: the inventory of all namespaces was left out while one was refused."""
    cluster, watched = OneOrder("shop", "outlet"), Watched(u1=7)
    cluster.refused.add("outlet")

    await inventory(cluster, watched).take()

    assert watched.covered == ["shop"]


async def test_without_chosen_namespaces_all_are_covered() -> None:
    watched = Watched()

    await inventory(OneOrder(), watched).take()

    assert watched.covered == ["shop", "outlet"]


async def test_an_api_server_whose_data_went_back_is_no_basis_to_go_on() -> None:
    """B37: after etcd was restored every older version was ignored, and nothing was found to be gone."""
    cluster = OneOrder()
    stock = inventory(cluster, Watched())
    await stock.take()
    cluster.list_version = 99

    with pytest.raises(WentBack):
        await stock.take()


class Restored(Watched):
    """The list has an earlier version of the order than the watch had brought."""

    def compare(self, listed: Mapping[str, Listed], *_: object) -> list[Listed]:
        return [item._replace(known_version=self.versions[item.uid]) for item in listed.values()]


async def test_one_object_that_went_back_is_no_basis_to_go_on_either() -> None:
    """etcd was restored with a higher revision: the list was later than all before, and its objects were not."""
    with pytest.raises(WentBack, match="resourceVersion 7 of orders shop/order after 8"):
        await inventory(OneOrder(), Restored(u1=8)).take()


async def test_a_list_that_is_late_with_one_object_is_no_restore() -> None:
    cluster = OneOrder()
    stock, late = inventory(cluster, watched := Restored(u1=8)), cluster.version
    real = cluster.list_metadata

    async def list_metadata(plural: str, namespace: str | None) -> tuple[dict[str, Listed], int]:
        cluster.version = late
        listed = await real(plural, namespace)
        cluster.version = 8
        return listed

    cluster.list_metadata = list_metadata  # type: ignore[method-assign]
    await stock.take()

    assert (watched.versions, stock.problem) == ({"u1": 8}, None)


async def test_before_a_fresh_start_on_data_that_went_back_it_is_kept_that_orders_may_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next process found the workflows of the last minutes without orders, and cancelled them."""
    monkeypatch.setattr("order_operator.cluster.inventory.INTERVAL_SECONDS", 0.001)
    cluster = OneOrder()
    stock = inventory(cluster, Watched())
    await stock.take()
    cluster.list_version = 99

    with pytest.raises(WentBack):
        await stock.run()

    assert cluster.lost == [99]


async def test_classes_are_compared_as_well() -> None:
    """B21: a class that the watch had lost stayed lost until a restart."""
    cluster = OneOrder()

    await inventory(cluster, Watched()).take()

    assert cluster.classes == [([{"metadata": {"name": "standard"}}], 100)]


def figure(name: str, namespace: str) -> float | None:
    """None where there is no such figure."""
    return REGISTRY.get_sample_value(name, {"order_namespace": namespace})


@pytest.mark.parametrize(
    ("chosen", "refused", "told"),
    [(("shop", "outlet"), "outlet", "outlet"), ((), None, EVERYWHERE), (("shop",), "orderclasses", EVERYWHERE)],
    ids=["a namespace", "all namespaces", "the classes"],
)
async def test_what_may_not_be_listed_is_told_by_a_figure_of_its_own_and_never_as_nothing_unseen(
    chosen: tuple[str, ...], refused: str | None, told: str
) -> None:
    """A namespace that was created again without its Role: orders in it were not seen, and every figure was 0."""
    cluster = OneOrder(*chosen)
    stock = inventory(cluster, Watched(u1=7))
    await stock.take()
    before = figure("orders_operator_unlisted", told)
    cluster.refused.add(refused)
    await stock.take()
    unlisted, unseen = figure("orders_operator_unlisted", told), figure("orders_unobserved", told)
    cluster.refused.clear()
    await stock.take()

    assert (before, unlisted, unseen) == (0, 1, None)
    assert figure("orders_operator_unlisted", told) == 0


async def test_classes_that_may_not_be_listed_hold_up_no_order() -> None:
    """No order that the watch had missed was found while the right to list classes was lost."""
    cluster, watched = OneOrder(), Watched()
    cluster.refused.add("orderclasses")
    stock = inventory(cluster, watched)

    await stock.take()
    await stock.take()

    assert watched.versions == {"u1": 7}


class Items(Watched):
    """Of another kind."""

    plural = "stockitems"


async def test_a_kind_that_is_gone_holds_up_no_other() -> None:
    cluster, orders, items = OneOrder(), Watched(), Items()
    cluster.missing.add("stockitems")
    stock = inventory(cluster, items, orders)

    await stock.take()
    await stock.take()

    assert (items.versions, orders.versions) == ({}, {"u1": 7})


@pytest.mark.parametrize(("cost", "seconds"), [(0.2, 60.0), (1.5, 150.0), (60.0, 300.0)])
def test_a_list_that_costs_much_is_made_more_rarely(cost: float, seconds: float) -> None:
    assert interval(cost) == seconds

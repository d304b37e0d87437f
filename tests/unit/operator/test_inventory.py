"""What the watch missed is found by the list that does not depend on it."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from order_operator.cluster.api import KubernetesApi, Listed
from order_operator.cluster.inventory import Books, Inventory


class OneOrder:
    """The cluster: one order, at a version."""

    def __init__(self) -> None:
        self.version = 7

    async def list_metadata(self, _plural: str, _namespace: str | None) -> tuple[dict[str, Listed], int]:
        return {"u1": Listed("u1", "shop", "order", self.version)}, 100

    async def get(self, *_: str) -> dict[str, Any]:
        return {"metadata": {"uid": "u1", "resourceVersion": str(self.version)}}


class Watched:
    """What the watch has brought: versions by uid."""

    plural = "orders"

    def __init__(self, **versions: int) -> None:
        self.versions = versions

    def compare(self, listed: Mapping[str, Listed], _: int) -> list[Listed]:
        return [item for item in listed.values() if self.versions.get(item.uid, 0) < item.resource_version]

    def put(self, body: Mapping[str, Any]) -> None:
        self.versions[body["metadata"]["uid"]] = int(body["metadata"]["resourceVersion"])


def inventory(cluster: OneOrder, *books: Books) -> Inventory:
    return Inventory(cast("KubernetesApi", cluster), books, [], asyncio.Event())


async def test_a_watch_that_is_only_slow_is_left_alone() -> None:
    watched = Watched()
    stock = inventory(OneOrder(), watched)

    await stock.take()

    assert watched.versions == {}
    assert stock.watch_alive


async def test_an_order_that_stays_unseen_is_fetched_and_the_watch_is_called_dead() -> None:
    watched = Watched()
    stock = inventory(OneOrder(), watched)

    await stock.take()
    await stock.take()

    assert watched.versions == {"u1": 7}
    assert not stock.watch_alive


async def test_a_watch_that_has_caught_up_is_alive_again() -> None:
    watched = Watched()
    stock = inventory(OneOrder(), watched)
    for _ in range(3):
        await stock.take()

    assert stock.watch_alive

"""What the operator waits for before it acts, and how it says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from order_operator import preconditions
from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.crd.order import order_crd
from order_operator.crd.order_class import order_class_crd
from order_operator.crd.stock_item import stock_item_crd
from order_operator.crd.structural_schema import Schema
from order_operator.orders.classes import OrderClasses
from order_operator.preconditions import Preconditions
from order_operator.work_queue import TryLater

ORDERS = "orders.order-platform.dev"


class Cluster:
    """Serves the kinds of this release, unless a test takes some away."""

    def __init__(self) -> None:
        self.kinds: dict[str, Schema] = {}
        self.refusal: str | None = None
        self.looked = asyncio.Event()
        for crd in (order_crd(), order_class_crd(), stock_item_crd()):
            established = {"conditions": [{"type": "Established", "status": "True"}]}
            self.kinds[crd["metadata"]["name"]] = {**crd, "status": established}

    async def definition(self, name: str) -> Schema:
        self.looked.set()
        if self.refusal:
            raise TryLater(self.refusal)
        if name not in self.kinds:
            raise NotFound(name)
        return self.kinds[name]

    async def list_order_classes(self) -> tuple[list[dict[str, Any]], int]:
        return [], 1

    async def cluster_identity(self) -> str:
        return "uid-of-kube-system"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "POLL_SECONDS", 0.0)


@contextlib.asynccontextmanager
async def waiting(cluster: Cluster) -> AsyncIterator[tuple[Preconditions, "asyncio.Task[None]"]]:
    """Preconditions that have said what they wait for."""
    conditions = Preconditions(cast("KubernetesApi", cluster))
    task = asyncio.create_task(conditions.kinds())
    while conditions.problem is None and not task.done():  # noqa: ASYNC110 - nothing tells of a problem but itself
        await asyncio.sleep(0)
    try:
        yield conditions, task
    finally:
        task.cancel()


async def test_kinds_of_this_release_are_waited_for_by_nobody() -> None:
    conditions = Preconditions(cast("KubernetesApi", Cluster()))

    await asyncio.wait_for(conditions.kinds(), timeout=5)

    assert conditions.problem is None


async def test_a_kind_that_is_not_there_is_waited_for() -> None:
    cluster = Cluster()
    there = cluster.kinds.pop(ORDERS)

    async with waiting(cluster) as (conditions, task):
        assert conditions.problem == f"the cluster has no {ORDERS}: install the chart order-platform-crds"
        cluster.kinds[ORDERS] = there
        await asyncio.wait_for(task, timeout=5)

    assert conditions.problem is None


async def test_a_kind_of_an_earlier_release_is_waited_for_by_the_name_of_the_field(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """B35: its status was refused for ever, or lost the field without a word."""
    cluster = Cluster()
    kept = order_crd()
    del kept["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["progress"]
    cluster.kinds[ORDERS] = {**kept, "status": cluster.kinds[ORDERS]["status"]}

    async with waiting(cluster) as (conditions, task):
        assert not task.done()
        assert conditions.problem is not None
        assert f"{ORDERS} in the cluster is older than this operator, it lacks status.progress" in conditions.problem
        assert "helm upgrade order-platform-crds" in conditions.problem
    assert conditions.problem in caplog.text


async def test_an_answer_that_is_no_answer_is_asked_for_again() -> None:
    cluster = Cluster()
    cluster.refusal = "get customresourcedefinitions: 429 Too Many Requests"

    async with waiting(cluster) as (conditions, task):
        assert conditions.problem == cluster.refusal
        cluster.refusal = None
        await asyncio.wait_for(task, timeout=5)


async def test_a_problem_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    del cluster.kinds[ORDERS]

    async with waiting(cluster):
        for _ in range(3):
            cluster.looked.clear()
            await cluster.looked.wait()

    assert caplog.text.count("waiting: ") == 1


async def test_without_an_identity_of_its_own_an_installation_is_the_clusters() -> None:
    conditions = Preconditions(cast("KubernetesApi", Cluster()))

    assert await conditions.classes(OrderClasses(), "") == "uid-of-kube-system"
    assert await conditions.classes(OrderClasses(), "shop") == "shop"

"""What becomes of workflows whose StockItem is gone."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.settings import Settings
from order_operator.stock_items import orphans
from order_operator.stock_items.orphans import StockOrphans
from order_operator.stock_items.run import StockRun
from order_operator.temporal.cancellation import BRAKE_NUMBER, MAX_PER_LOOK, request_cancel
from order_operator.temporal.connection import UNREACHABLE, TemporalConnection
from order_operator.temporal.runs import Run


def runs(number: int) -> list[StockRun]:
    return [
        StockRun(
            sku=f"PROD-{index}",
            owner=f"uid-{index}",
            item=f"shop/item-{index}",
            cluster="here",
            workflow_id=f"stock/here/PROD-{index}",
            run_id=f"run-{index}",
            status=WorkflowExecutionStatus.RUNNING,
            task_queue="orders",
        )
        for index in range(number)
    ]


def an_item(run: StockRun, **changes: Any) -> dict[str, Any]:
    namespace, _, name = run.item.partition("/")
    metadata = {"namespace": namespace, "name": name, "uid": run.owner, "generation": 1, "resourceVersion": "7"}
    return {"metadata": {**metadata, "creationTimestamp": "2026-01-02T03:04:00Z", **changes}, "spec": {"sku": run.sku}}


class Servers:
    """An API server with the items that it is given, and a Temporal that notes what it is asked to cancel."""

    def __init__(self) -> None:
        self.problem: object = None
        self.client = None
        self.items: dict[str, dict[str, Any]] = {}
        self.found: list[Any] = []
        self.told: list[str] = []
        self.cancelled: list[str] = []
        self.asked: list[str] = []
        self.failures = 0
        self.ended: set[str] = set()
        """Run ids that Temporal has no open run of any more."""

    async def get(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        self.asked.append(name)
        if f"{namespace}/{name}" not in self.items:
            raise NotFound(plural, name)
        return self.items[f"{namespace}/{name}"]

    async def cancel(self, _client: object, run: Run) -> bool:
        if self.failures:
            self.failures -= 1
            raise RPCError("no", RPCStatusCode.UNAVAILABLE, b"")
        self.cancelled.append(run.run_id)
        return run.run_id not in self.ended

    def orphans(self, **settings: Any) -> StockOrphans:
        return StockOrphans(
            cast("TemporalConnection", self),
            cast("KubernetesApi", self),
            Settings(cluster="here", **settings),
            item_found=self.found.append,
            told=self.told.append,
        )


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    servers = Servers()
    monkeypatch.setattr(orphans, "request_cancel", servers.cancel)
    return servers


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks are far enough apart."""
    monkeypatch.setattr(orphans, "TWO_LOOKS_SECONDS", 0.0)


async def test_a_workflow_without_its_item_is_cancelled_at_a_look_that_is_minutes_later(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B27: one list that lacked it was enough."""
    there = servers.orphans()
    await there.look(runs(1), 100)
    await there.look(runs(1), 100)
    at_once = list(servers.cancelled)
    monkeypatch.setattr(orphans, "TWO_LOOKS_SECONDS", 0.0)
    await there.look(runs(1), 100)

    assert (at_once, servers.cancelled, servers.told) == ([], ["run-0"], ["run-0"])


async def test_a_workflow_whose_item_was_seen_in_between_begins_anew(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = servers.orphans()
    clock = 0.0
    monkeypatch.setattr(orphans, "time", SimpleNamespace(monotonic=lambda: clock))
    await there.look(runs(1), 100)
    await there.look([], 100)
    clock = 300.0
    await there.look(runs(1), 100)

    assert servers.cancelled == []


@pytest.mark.usefixtures("later")
async def test_only_a_few_workflows_without_their_items_are_cancelled_at_each_look(servers: Servers) -> None:
    """B27: two thousand were asked for and cancelled in one moment."""
    await servers.orphans().look(runs(BRAKE_NUMBER), 1_000)

    assert (len(servers.asked), len(servers.cancelled)) == (MAX_PER_LOOK, MAX_PER_LOOK)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(("number", "open_runs", "touched"), [(11, 11, 0), (60, 1_000, 0), (10, 10, 5), (50, 1_000, 5)])
async def test_none_is_cancelled_while_many_have_no_item_at_once(
    servers: Servers, number: int, open_runs: int, touched: int
) -> None:
    await servers.orphans().look(runs(number), open_runs)

    assert len(servers.cancelled) == touched


@pytest.mark.usefixtures("later")
async def test_a_person_who_has_looked_releases_the_brake_of_articles_too(servers: Servers) -> None:
    await servers.orphans(cancel_orphans=True).look(runs(60), 60)

    assert len(servers.cancelled) == MAX_PER_LOOK


@pytest.mark.usefixtures("later")
async def test_the_api_server_is_asked_for_the_item_before_its_workflow_is_cancelled(servers: Servers) -> None:
    there, other = runs(2)
    servers.items = {there.item: an_item(there), other.item: an_item(other, uid="uid-of-the-next")}

    await servers.orphans().look([there, other], 100)

    assert (servers.found, servers.cancelled) == ([servers.items[there.item]], [other.run_id])


@pytest.mark.usefixtures("later")
async def test_a_cancellation_that_fails_holds_up_no_other(servers: Servers) -> None:
    servers.failures = 1

    await servers.orphans().look(runs(2), 100)

    assert (servers.cancelled, servers.told) == (["run-1"], ["run-1"])


@pytest.mark.usefixtures("later")
async def test_none_is_cancelled_while_temporal_cannot_be_asked(servers: Servers) -> None:
    servers.problem = UNREACHABLE

    await servers.orphans().look(runs(1), 100)

    assert servers.asked == []


@pytest.mark.usefixtures("later")
async def test_a_workflow_that_had_ended_was_not_cancelled(servers: Servers) -> None:
    servers.ended = {"run-0"}

    await servers.orphans().look(runs(2), 100)

    assert servers.told == ["run-1"]


async def test_only_the_run_that_was_seen_is_cancelled_since_the_next_may_be_another_items() -> None:
    """The next item of the article had its workflow ended, by a request that came late."""
    asked: list[tuple[str, str | None]] = []

    class Handle:
        async def cancel(self, **_: object) -> None:
            """Taken."""

    class Client:
        def get_workflow_handle(self, workflow_id: str, *, run_id: str | None = None) -> Handle:
            asked.append((workflow_id, run_id))
            return Handle()

    [run] = runs(1)

    assert await request_cancel(cast("Any", Client()), run)
    assert asked == [("stock/here/PROD-0", "run-0")]

"""Real servers for the integration tests."""

import json
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from access import MERGE, ROOT, APIServer
from cluster import Cluster
from lasting_servers import lasting
from order_history import OrderHistory
from ordering_rights import STANDARD, Shop, grant
from wiring import Wiring, wiring

from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.errors import DevstackError
from order_devstack.stack import Stack

_namespaces = count(1)
_LINES_SHOWN = 60


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """etcd, kube-apiserver and temporal, for the whole session: leave nothing behind that another test could see."""
    with lasting(request, tmp_path_factory.mktemp("servers"), "etcd", "kube-apiserver", "temporal") as stack:
        yield stack


@pytest.fixture(scope="session")
def api_server(servers: Stack) -> Iterator[APIServer]:
    """With both charts installed, and the people of `ordering_rights` in their roles."""
    servers.install_charts()
    server = APIServer(servers)
    grant(server)
    shop = Shop(server, "first-writes", {"order-platform.dev/policies": "enforced"})
    shop.place("order", STANDARD)
    # An API server that has just met a kind refuses, for a few seconds, what a mutating policy applies to.
    wait_until_nothing_is_missing(
        lambda: str(server.send(ROOT, "PATCH", shop.path("order"), {"spec": {"suspend": True}}, content=MERGE).message),
        within_seconds=60.0,
        say=print,
    )
    yield server
    server.close()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything: servers, charts, operator, worker. A test that stops a process starts it again."""
    stack = Stack(tmp_path_factory.mktemp("platform"), ui=False)
    try:
        stack.up()
        yield stack
    finally:
        stack.clean()


@pytest.fixture
def cluster(platform: Stack) -> Iterator[Cluster]:
    """A namespace of its own on the running platform; whatever a test stopped runs again afterwards."""
    cluster = Cluster(platform, f"test-{next(_namespaces)}")
    yield cluster
    if any(process.pid is None for process in platform.status()):
        platform.up()


@pytest.fixture
def elsewhere(cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """A second cluster on the Temporal of the first."""
    second = Stack(tmp_path / "second", ui=False)
    of_the_operator = {
        "TEMPORAL_ADDRESS": cluster.stack.addresses["temporal"],
        "ORDER_OPERATOR_SHARE_TASK_QUEUE": "true",  # workers and ledger are the first one's
    }
    second = second.with_environment({"operator": of_the_operator})
    try:
        second.up(["etcd", "kube-apiserver", "operator"])
        yield Cluster(second, cluster.namespace)
    finally:
        second.clean()


@pytest.fixture(scope="session")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    """A platform of its own, whose operator reaches both servers through proxies."""
    with wiring(tmp_path_factory.mktemp("wired")) as it:
        yield it


@pytest.fixture
def shop(wired: Wiring) -> Iterator[Cluster]:
    """A namespace of its own there, in which no fault is left of another test, and whose operator has been through its
    first scan of Temporal: what is broken next is not broken in its start."""
    wired.ready()
    shop = Cluster(wired.stack, f"wired-{next(_namespaces)}")
    shop.until(lambda: shop.scans("full") > 0)
    yield shop
    wired.api.mend()


@pytest.fixture
def history(shop: Cluster, tmp_path: Path) -> Iterator[OrderHistory]:
    """Every version of the shop's orders."""
    history = OrderHistory(shop, tmp_path)
    with history.recording():
        yield history


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure comes what the orders looked like, and what was logged of them."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    cluster = fixtures.get("cluster") or fixtures.get("shop")
    if report.failed and isinstance(cluster, Cluster):
        with suppress(DevstackError, OSError):
            report.sections.extend(_what_became_of(cluster))
    return report


def _what_became_of(cluster: Cluster) -> Iterator[tuple[str, str]]:
    found = json.loads(cluster.kubectl("get", "orders.order-platform.dev", "--output=json"))["items"]
    statuses = {order["metadata"]["name"]: order.get("status") for order in found}
    yield f"orders of {cluster.namespace}", json.dumps(statuses)
    for process in cluster.stack.status():
        if process.name in ("operator", "worker"):
            of_these = [line for line in process.log.read_text().splitlines() if cluster.namespace in line]
            yield f"log of the {process.name}", "\n".join(of_these[-_LINES_SHOWN:])

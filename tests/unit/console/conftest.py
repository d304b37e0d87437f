"""A console on a cluster in memory, and browsers of several people."""

from collections.abc import Iterator

import pytest
from console_pieces import Browser, ByHeader
from fake_cluster import FakeCluster
from starlette.testclient import TestClient

from order_console.access import Access
from order_console.app import application
from order_console.classes import Classes
from order_console.console import Console
from order_console.reflector import Reflector
from order_console.sessions import Sessions


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.allow("console", "list", "watch")
    cluster.allow("maria", "list", "get", "patch", "create", "update", "approve", "reject", "cancel", "retry")
    cluster.allow("viewer", "list", "get")
    return cluster


@pytest.fixture
def console(cluster: FakeCluster) -> Console:
    return Console(
        identity=ByHeader(cluster),
        access=Access(),
        classes=Classes(),
        reflector=Reflector(cluster.as_user("console"), ()),  # type: ignore[arg-type]
        own_rights=True,
        ledger_url=None,
        logs_in=True,
    )


@pytest.fixture
def browser(console: Console, cluster: FakeCluster) -> Iterator[Browser]:
    """A browser of the person named; orders that the cluster had before are known to the console."""
    sessions = Sessions(None, secure=False)
    with TestClient(application(console, sessions, {"testserver"}), follow_redirects=False) as client:
        deadline = 200
        while console.reflector.problem is not None and deadline:
            deadline -= 1
            client.get("/readyz")

        def of(user: str) -> TestClient:
            client.headers["user"] = user
            return client

        yield of

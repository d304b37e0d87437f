"""A console on a cluster in memory, and browsers of several people."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_cluster import FakeCluster
from starlette.requests import Request
from starlette.testclient import TestClient

from order_console.access import Access
from order_console.app import application
from order_console.classes import Classes
from order_console.console import Console
from order_console.identity import Caller, NotLoggedIn
from order_console.reflector import Reflector
from order_console.sessions import Session, Sessions

SECRET = "of a test"


class ByHeader:
    """Everybody is whom the header `user` names."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    async def caller(self, request: Request) -> Caller:
        user = request.headers.get("user")
        if not user:
            raise NotLoggedIn("say who you are")
        return Caller(user, (), self._cluster.as_user(user), Session(SECRET + user))  # type: ignore[arg-type]


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.allow("console", "list", "watch")
    cluster.allow("maria", "list", "get", "patch", "create", "update", "approve", "reject", "cancel", "retry")
    cluster.allow("viewer", "list", "get")
    return cluster


Browser = Callable[[str], TestClient]


@pytest.fixture
def console(cluster: FakeCluster) -> Console:
    return Console(
        identity=ByHeader(cluster),
        access=Access(),
        classes=Classes(),
        reflector=Reflector(cluster.as_user("console"), None),  # type: ignore[arg-type]
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


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a state of what runs in the same loop."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


def proof(user: str) -> str:
    """What the forms of this person carry."""
    return Session(SECRET + user).proof()


def an_order(name: str = "order-1500", **changes: Any) -> dict[str, Any]:
    """Waits for approval of 1500.00 USD."""
    status = {
        "phase": "Waiting",
        "orderStatus": "Await Approval",
        "progress": 33,
        "message": "waits for approval of 1500.00 USD until 28 Nov 19:13 UTC, then expires",
        "currentStep": "Approval",
        "className": "threshold",
        "totalMinor": 150_000,
        "approval": {"required": True, "requires": "approve", "deadline": "2099-11-28T19:13:04Z"},
        "pendingAction": {"kind": "Approve", "deadline": "2099-11-28T19:13:04Z", "message": "approve it"},
        "conditions": [],
        "steps": [
            {
                "name": "Receive",
                "state": "Succeeded",
                "attempts": 1,
                "startedAt": "2026-11-26T10:00:00Z",
                "finishedAt": "2026-11-26T10:00:00.500Z",
            },
            {"name": "Approval", "state": "Waiting", "startedAt": "2026-11-26T10:00:01Z"},
            {"name": "ChargePayment", "state": "Pending"},
        ],
    }
    spec = {
        "className": "threshold",
        "customer": {"id": "CUST-12345", "email": "ana@example.com"},
        "currency": "USD",
        "lines": [
            {"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 75_000},
            {"lineID": "2", "sku": "PROD-002", "quantity": 1, "unitPriceMinor": 75_000},
        ],
        "shippingAddress": {
            "name": "Ana Torres",
            "line1": "1 Main Street",
            "city": "Springfield",
            "postalCode": "62701",
            "country": "US",
        },
        "payment": {"method": "tok_visa"},
    }
    return {
        "metadata": {
            "name": name,
            "namespace": changes.pop("namespace", "shop"),
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": "2026-11-26T10:00:00Z",
        },
        "spec": {**spec, **changes.pop("spec", {})},
        "status": {**status, **changes.pop("status", {})},
    }

"""What tests of the console are made of: people, orders, and waiting for a state."""

import asyncio
from collections.abc import Callable
from typing import Any

from fake_cluster import FakeCluster
from starlette.requests import Request
from starlette.testclient import TestClient

from order_console.identity import Caller, NotLoggedIn
from order_console.sessions import Session

SECRET = "of a test"

Browser = Callable[[str], TestClient]
"""A browser of the person named."""


class ByHeader:
    """Everybody is whom the header `user` names."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    async def caller(self, request: Request) -> Caller:
        user = request.headers.get("user")
        if not user:
            raise NotLoggedIn("say who you are")
        return Caller(user, (), self._cluster.as_user(user), Session(SECRET + user))  # type: ignore[arg-type]


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

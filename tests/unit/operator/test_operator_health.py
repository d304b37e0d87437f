"""What /livez and /readyz say of which trouble."""

import asyncio

import pytest

from order_operator import http_endpoints
from order_operator.http_endpoints import Health


async def test_a_loop_that_turns_is_healthy() -> None:
    health = Health()
    beating = asyncio.create_task(health.run())
    await asyncio.sleep(0)

    assert health.problem() is None
    beating.cancel()


async def test_a_loop_that_does_not_turn_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_endpoints, "LOOP_STALL_SECONDS", -1.0)

    assert Health().problem() == "the event loop is stuck"


async def test_a_deaf_watch_is_neither_healthy_nor_ready() -> None:
    health = Health()
    health.watch_problem = lambda: "the watch of orders has not been answered for 91 s"

    assert health.problem() == health.readiness_problem() == "the watch of orders has not been answered for 91 s"


async def test_what_the_cluster_lacks_is_named_by_readiness_and_no_reason_for_a_restart() -> None:
    health = Health()
    health.unmet = lambda: "it lacks status.sold"

    assert health.readiness_problem() == "it lacks status.sold"
    assert health.problem() is None


async def test_a_lease_that_cannot_be_read_is_no_reason_for_a_restart() -> None:
    health = Health()
    health.lease_problem = lambda: "the Lease cannot be read"

    assert health.readiness_problem() == "the Lease cannot be read"
    assert health.problem() is None

"""What the operator's HTTP says: /livez and /readyz on one port, /metrics on another."""

import asyncio
import time
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from order_process.probes import Page, probes

LOOP_STALL_SECONDS = 30.0
"""An event loop that has not turned for this long is stuck, and a restart is the cure."""


class Health:
    """Healthy means two things: the event loop ran within 30 s (a mostly blocked loop can answer a probe), and the
    watches hear. Ready means that this process leads, or could, and that
    the cluster has what it needs."""

    def __init__(self) -> None:
        self._beat = time.monotonic()
        self.watch_problem: Callable[[], str | None] = lambda: None
        self.unmet: Callable[[], str | None] = lambda: None
        self.lease_problem: Callable[[], str | None] = lambda: None

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(1)

    def problem(self) -> str | None:
        """What is wrong, None if nothing is."""
        if time.monotonic() - self._beat > LOOP_STALL_SECONDS:
            return "the event loop is stuck"
        return self.watch_problem()

    def readiness_problem(self) -> str | None:
        """Why this process is not ready, None if it is."""
        return self.problem() or self.unmet() or self.lease_problem()


def pages(health: Health) -> Mapping[str, Page]:
    """The probes, by their paths."""

    async def alive() -> str | None:
        return health.problem()

    async def ready() -> str | None:
        return health.readiness_problem()

    return probes(alive=alive, ready=ready)


async def prometheus_page() -> web.Response:
    """All metrics in Prometheus' text format."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

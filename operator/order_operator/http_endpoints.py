"""The operator's HTTP: /healthz and /readyz on one port, /metrics on another."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from order_operator.settings import Address

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


@asynccontextmanager
async def serving(address: Address | None, routes: dict[str, Callable[[], web.Response]]) -> AsyncIterator[None]:
    """Serve `routes` (path to handler) on `address`; nothing if there is none."""
    if address is None:
        yield
        return
    app = web.Application()
    for path, respond in routes.items():
        app.router.add_get(path, _handler(respond))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
        yield
    finally:
        await runner.cleanup()


def _handler(respond: Callable[[], web.Response]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return respond()

    return handle


def prometheus_page() -> web.Response:
    """All metrics in Prometheus' text format."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def probe(problem: str | None) -> web.Response:
    """200 or 503 with a word for people."""
    return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

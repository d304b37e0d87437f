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


class Heartbeat:
    """Proves that the event loop turns: a handler that answers at all is no proof of a loop that is mostly blocked."""

    def __init__(self) -> None:
        self._beat = time.monotonic()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(1)

    @property
    def alive(self) -> bool:
        """Whether the last beat is recent."""
        return time.monotonic() - self._beat < LOOP_STALL_SECONDS


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


def probe(healthy: bool, text: str) -> web.Response:
    """200 or 503 with a word for people."""
    return web.Response(text=f"{text}\n", status=200 if healthy else 503)

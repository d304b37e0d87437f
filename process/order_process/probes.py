"""HTTP of a program, by aiohttp: the kubelet's probes, and whatever else a program shows.

/livez     200 while the process works; a restart is the cure for anything else
/readyz    200 while it can do what it is there for; else 503 and, in words, what is missing
/healthz   the same as /livez, as the operator's charts of earlier releases ask
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from order_process.settings import Address, SettingsError

ANSWER_SECONDS = 2.0
"""Longest time for finding a problem; below the time that a probe usually has, 3 s."""

Problem = Callable[[], Awaitable[str | None]]
"""What is wrong, None if nothing is."""
Page = Callable[[], Awaitable[web.Response]]


def probes(*, alive: Problem, ready: Problem) -> Mapping[str, Page]:
    """By their paths."""
    return {"/livez": _probe(alive), "/healthz": _probe(alive), "/readyz": _probe(ready)}


@asynccontextmanager
async def serving(address: Address | None, pages: Mapping[str, Page], *, variable: str) -> AsyncIterator[int | None]:
    """Serve `pages` on `address`, the value of `variable`; nothing if there is none. Gives the port. Raises
    SettingsError if the address cannot be listened on."""
    if address is None:
        yield None
        return
    app = web.Application()
    for path, page in pages.items():
        app.router.add_get(path, _handler(page))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise SettingsError(f"{variable} is {str(address)!r}: {error.strerror or error}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _handler(page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return await page()

    return handle


def _probe(find: Problem) -> Page:
    async def page() -> web.Response:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                problem = await find()
        except TimeoutError:
            problem = "no answer in time"
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    return page

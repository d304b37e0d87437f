"""The application: its addresses, what runs beside it, and what guards it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from order_console.console import Console, endpoint
from order_console.headers import Guarded
from order_console.pages import auditing, events, listing, login, placing, tracking
from order_console.sessions import Sessions

STATIC = Path(__file__).parent / "static"
ORDER = "/orders/{namespace}/{name}"


def application(console: Console, sessions: Sessions, hosts: Collection[str]) -> ASGIApp:
    """`hosts`: the names by which browsers may call it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(console.reflector.run())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    routes = [
        Route("/", endpoint(listing.show_list, to_nobody_in_particular=True)),
        Route("/inbox", endpoint(listing.show_inbox)),
        Route("/new", endpoint(placing.show_form)),
        Route("/new", endpoint(placing.place), methods=["POST"]),
        Route("/events", endpoint(events.stream, to_nobody_in_particular=True)),
        Route(ORDER, endpoint(tracking.show_order, to_nobody_in_particular=True)),
        Route(f"{ORDER}/audit", endpoint(auditing.show_trail)),
        Route(f"{ORDER}/{{action}}", endpoint(tracking.act), methods=["POST"]),
        Route("/start", login.start),
        Route("/login", login.login, methods=["GET", "POST"]),
        Route("/logout", login.logout, methods=["POST"]),
        Route("/livez", _alive),
        Route("/readyz", _ready),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.console = console
    app.state.sessions = sessions
    return Guarded(app, hosts)


async def _alive(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _ready(request: Request) -> Response:
    """Not before the orders were read once; later problems are said on the pages."""
    reflector = request.app.state.console.reflector
    if reflector.orders or reflector.problem is None:
        return PlainTextResponse("ok\n")
    return PlainTextResponse(f"{reflector.problem}\n", status_code=503)

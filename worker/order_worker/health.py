"""Probes for the kubelet: GET /livez and GET /readyz."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from order_worker.settings import Address, SettingsError

LOG = logging.getLogger(__name__)

REQUEST_SECONDS = 2.0
"""Longest time for reading a request and for asking the ledger; below a probe's usual timeout of 3 s."""


class Health:
    """Alive while the event loop turns; ready while `problem` finds none."""

    def __init__(self, problem: Callable[[], Awaitable[str | None]]) -> None:
        self._problem = problem

    async def serve(self, address: Address) -> asyncio.Server:
        """Listen until the server is closed. Raises SettingsError if the address cannot be listened on."""
        try:
            return await asyncio.start_server(self._answer, address.host, address.port)
        except OSError as error:
            raise SettingsError(f"ORDER_WORKER_HEALTH_ADDRESS: {error}") from error

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await reader.readline()
                while (await reader.readline()).strip():
                    pass
            status, text = await self._response(request)
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n{text}".encode())
            await writer.drain()
        except (TimeoutError, ConnectionError, ValueError) as error:
            LOG.debug("probe went away: %r", error)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _response(self, request: bytes) -> tuple[str, str]:
        if request.startswith(b"GET /livez "):
            return "200 OK", "ok\n"
        if not request.startswith(b"GET /readyz "):
            return "404 Not Found", "try /livez or /readyz\n"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                problem = await self._problem()
        except TimeoutError:
            problem = "no answer in time"
        return ("200 OK", "ok\n") if problem is None else ("503 Service Unavailable", f"{problem}\n")

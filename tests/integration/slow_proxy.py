"""A TCP proxy on loopback that lets each byte wait, as a server far away would, or that lets none through any more."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def slow_proxy(host: str, port: int, seconds: float) -> Iterator[str]:
    """`host:port` of a proxy to that server, with so many seconds each way."""
    with freezing_proxy(host, port, seconds) as proxy:
        yield proxy.address


@contextmanager
def freezing_proxy(host: str, port: int, seconds: float = 0.0) -> Iterator["Proxy"]:
    """The proxy itself."""
    proxy = Proxy(host, port, seconds)
    # asyncio.run cancels what is open at the end, and closes the loop.
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve()), daemon=True)
    thread.start()
    try:
        assert proxy.started.wait(5)
        yield proxy
    finally:
        proxy.loop.call_soon_threadsafe(proxy.end.set)
        thread.join(5)


class Proxy:
    """What arrives while it is frozen is kept, as on a network that has stopped: no connection ends."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._beyond = (host, port)
        self._seconds = seconds
        self.started = threading.Event()
        self.port = 0
        self.frozen = False
        self.loop: asyncio.AbstractEventLoop
        self.end: asyncio.Event

    @property
    def address(self) -> str:
        """`host:port` where it listens."""
        return f"127.0.0.1:{self.port}"

    async def serve(self) -> None:
        """Until `end` is set."""
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.started.set()
        await self.end.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond_reader, beyond_writer = await asyncio.open_connection(*self._beyond)
        try:
            await asyncio.gather(self._pipe(reader, beyond_writer), self._pipe(beyond_reader, writer))
        finally:
            writer.close()
            beyond_writer.close()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                while self.frozen:  # noqa: ASYNC110 - it is another thread that thaws it
                    await asyncio.sleep(0.05)
                self.loop.call_later(self._seconds, writer.write, data)
        self.loop.call_later(self._seconds, writer.close)

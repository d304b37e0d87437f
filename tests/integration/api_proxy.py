"""An HTTP proxy in front of the API server that knows requests and events, where toxiproxy knows bytes: it loses the
answer to one request, answers in the server's place, holds a request while its sender is killed, cuts a watch in the
middle of a line.

A fault is announced, strikes the requests that it is about, and is over when it has struck often enough.
"""

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import trustme
from aiohttp import web
from yarl import URL

from order_devstack import ports
from order_devstack.ports import HOST

ALWAYS = 1_000_000
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}
_LONGEST_BYTES = 64 * 1024 * 1024
_IDLE_SECONDS = 3600.0
"""Long, so that the proxy does not close a connection that a client is about to use again."""

_CLOSING_SECONDS = 0.25
"""Connections of TLS take some turns of the loop to close, and the loop must not end before."""


@dataclass
class Request:
    """One request of the client."""

    method: str
    path: str
    watch: bool
    body: bytes
    at: float
    """Monotonic time at which it arrived."""
    accept: str = ""
    """The kinds of answer that it wants."""
    status: int | None = None
    """Of the API server's answer, whether or not it was handed on; None if the server was not asked."""
    done: bool = False
    """The client has the whole answer."""

    @property
    def json(self) -> dict[str, Any]:
        """The body; empty if there is none."""
        found: dict[str, Any] = json.loads(self.body) if self.body else {}
        return found


@dataclass(frozen=True)
class Call:
    """Which requests are meant."""

    method: str
    """A pattern."""
    path: str
    """A pattern of the whole path without the query."""
    says: Callable[[dict[str, Any]], bool] = lambda _: True
    """What has to be true of the body."""
    watch: bool = False
    accepts: str = ".*"
    """A pattern of the kinds of answer that it wants."""

    def fits(self, request: Request) -> bool:
        """Whether it is one of them."""
        return (
            request.watch is self.watch
            and re.fullmatch(self.method, request.method) is not None
            and re.fullmatch(self.path, request.path) is not None
            and re.fullmatch(self.accepts, request.accept) is not None
            and self.says(request.json)
        )


@dataclass
class Fault:
    """Strikes `times` requests, of the `call` that it is about, and lets the later ones pass."""

    call: Call
    times: int = 1
    struck: list[Request] = field(default_factory=list)
    happened: threading.Event = field(default_factory=threading.Event)
    """Set when it has struck, and what belongs to it is done."""

    def wait(self, seconds: float = 60.0) -> None:
        """Return when it has struck; fail if it has not in time."""
        assert self.happened.wait(seconds), f"no {self.call.method} {self.call.path} within {seconds:.0f} s"

    def takes(self, request: Request) -> bool:
        """Whether this request is struck."""
        if len(self.struck) >= self.times or not self.call.fits(request):
            return False
        self.struck.append(request)
        return True


@dataclass
class LostAnswer(Fault):
    """The API server does it; the connection breaks before the client hears of it."""


@dataclass
class OtherAnswer(Fault):
    """The API server is not asked."""

    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    """JSON; None for a refusal."""


@dataclass
class Held(Fault):
    """The request waits, before or after the API server has done it, until it is dropped: that is the moment in which
    its sender is killed."""

    after: bool = False
    dropped: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class StreamFault(Fault):
    """Strikes events of watches, also of those that are open already; `containing` is a text of the event."""

    containing: bytes = b""

    def takes_event(self, request: Request, line: bytes) -> bool:
        """Whether this event is struck."""
        return self.containing in line and self.takes(request)


@dataclass
class CutInTheMiddle(StreamFault):
    """The connection ends in the middle of an event."""


@dataclass
class Changed(StreamFault):
    """Something else arrives in place of the event; what follows arrives as it is."""

    into: Callable[[bytes], bytes] = lambda line: line


@dataclass
class Late(StreamFault):
    """The event arrives so many seconds later, and what follows on this connection after it."""

    seconds: float = 0.0


@dataclass
class Silent(StreamFault):
    """Neither the event nor anything after it arrives on this connection, which stays open."""


class ApiProxy:
    """Listens at `address`, with a certificate of `authority`."""

    def __init__(self, server: str, trusted: str) -> None:
        """`server`: URL of the API server; `trusted`: path of the certificate that it has."""
        self.address = f"{HOST}:{ports.choose(['api-proxy'], keep={})['api-proxy']}"
        self.requests: list[Request] = []
        """All, in the order of their arrival."""
        self._server = server
        self._trusted = ssl.create_default_context(cafile=trusted)
        authority = trustme.CA()
        self.authority: bytes = authority.cert_pem.bytes()
        """PEM, for the client."""
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(HOST).configure_cert(self._tls)
        self._faults: list[Fault] = []
        self._started = threading.Event()
        self._session: aiohttp.ClientSession
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    # What a test says.

    def lose_answer(self, call: Call, times: int = 1) -> Fault:
        """See LostAnswer."""
        return self._announce(LostAnswer(call, times))

    def answer(self, call: Call, status: int, headers: Mapping[str, str] | None = None, times: int = 1) -> Fault:
        """See OtherAnswer."""
        return self._announce(OtherAnswer(call, times, status=status, headers=headers or {}))

    def answer_as_before(self, call: Call, body: str, times: int = ALWAYS) -> Fault:
        """See OtherAnswer; `body` is what the API server answered earlier."""
        return self._announce(OtherAnswer(call, times, status=200, body=body))

    def hold(self, call: Call, *, after: bool, times: int = 1) -> Fault:
        """See Held."""
        return self._announce(Held(call, times, after=after))

    def cut(self, path: str, containing: str, times: int = 1) -> Fault:
        """See CutInTheMiddle."""
        return self._announce(CutInTheMiddle(Call("GET", path, watch=True), times, containing=containing.encode()))

    def change(self, path: str, containing: str, into: Callable[[bytes], bytes]) -> Fault:
        """See Changed; `into` is given the line with its end."""
        call = Call("GET", path, watch=True)
        return self._announce(Changed(call, containing=containing.encode(), into=into))

    def delay(self, path: str, containing: str, seconds: float) -> Fault:
        """See Late."""
        call = Call("GET", path, watch=True)
        return self._announce(Late(call, containing=containing.encode(), seconds=seconds))

    def silence(self, path: str, containing: str, times: int = 1) -> Fault:
        """See Silent."""
        return self._announce(Silent(Call("GET", path, watch=True), times, containing=containing.encode()))

    def mend(self) -> None:
        """No fault any more; what was held is dropped."""
        faults, self._faults = self._faults, []
        for fault in faults:
            if isinstance(fault, Held):
                self._loop.call_soon_threadsafe(fault.dropped.set)

    def seen(self, call: Call) -> Sequence[Request]:
        """The requests so far that fit."""
        return [request for request in list(self.requests) if call.fits(request)]

    def _announce(self, fault: Fault) -> Fault:
        self._faults = [*self._faults, fault]
        return fault

    # How it is done, on a thread with a loop of its own.

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Pass requests on, until left."""
        thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        thread.start()
        try:
            assert self._started.wait(5)
            yield
        finally:
            self._loop.call_soon_threadsafe(self._end.set)
            thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=self._trusted, limit=0, force_close=True)
        forever = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=forever, auto_decompress=False, read_bufsize=_LONGEST_BYTES
        ) as self._session:
            server = web.Server(self._handle, keepalive_timeout=_IDLE_SECONDS, access_log=None)
            runner = web.ServerRunner(server, shutdown_timeout=0.1)
            await runner.setup()
            host, _, port = self.address.rpartition(":")
            await web.TCPSite(runner, host, int(port), ssl_context=self._tls).start()
            self._started.set()
            await self._end.wait()
            for connection in server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await runner.cleanup()
        await asyncio.sleep(_CLOSING_SECONDS)

    async def _handle(self, client: web.BaseRequest) -> web.StreamResponse:
        client._client_max_size = _LONGEST_BYTES
        request = Request(
            client.method,
            client.path,
            client.query.get("watch") in {"true", "1"},
            await client.read(),
            time.monotonic(),
            client.headers.get("Accept", ""),
        )
        self.requests.append(request)
        of_requests = [fault for fault in self._faults if not isinstance(fault, StreamFault)]
        fault = next((each for each in of_requests if each.takes(request)), None)
        try:
            return await self._treat(fault, request, client)
        except (aiohttp.ClientError, ConnectionError):  # the API server is away, or the client has gone
            return _break(client)
        finally:
            if fault is not None:
                fault.happened.set()

    async def _treat(self, fault: Fault | None, request: Request, client: web.BaseRequest) -> web.StreamResponse:
        match fault:
            case OtherAnswer(body=str(body)):
                return web.Response(text=body, content_type="application/json")
            case OtherAnswer(status=status, headers=headers):
                refusal = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "code": status,
                    "message": "as asked",
                }
                return web.json_response(refusal, status=status, headers=headers)
            case Held(after=after):
                if after:
                    await self._ask(request, client)
                fault.happened.set()
                await fault.dropped.wait()
                return _break(client)
            case LostAnswer():
                await self._ask(request, client)
                return _break(client)
        return await self._pass_on(request, client)

    def _forward(self, request: Request, client: web.BaseRequest) -> Any:
        headers = {name: text for name, text in client.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = URL(self._server + client.raw_path, encoded=True)
        return self._session.request(request.method, url, headers=headers, data=request.body or None)

    async def _ask(self, request: Request, client: web.BaseRequest) -> None:
        async with self._forward(request, client) as answer:
            await answer.read()
            request.status = answer.status

    async def _pass_on(self, request: Request, client: web.BaseRequest) -> web.StreamResponse:
        async with self._forward(request, client) as answer:
            request.status = answer.status
            headers = {name: text for name, text in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            if not request.watch:
                response.content_length = len(body := await answer.read())
                await response.prepare(client)
                await response.write(body)
                request.done = True
                return response
            await response.prepare(client)
            silent = False
            async for line in answer.content:
                if client.transport is None:  # the client is dead, and must not be struck in another's place
                    break
                fault = next((e for e in self._stream_faults() if e.takes_event(request, line)), None)
                silent = silent or isinstance(fault, Silent)
                match fault:
                    case CutInTheMiddle():
                        await response.write(line[: len(line) // 2])
                        _break(client)
                    case Changed(into=into):
                        await response.write(into(line))
                    case Late(seconds=seconds):
                        await asyncio.sleep(seconds)
                        await response.write(line)
                    case None if not silent:
                        await response.write(line)
                if fault is not None:
                    fault.happened.set()
                if isinstance(fault, CutInTheMiddle):
                    break
            return response

    def _stream_faults(self) -> list[StreamFault]:
        return [fault for fault in self._faults if isinstance(fault, StreamFault)]


@contextmanager
def api_proxy(server: str, trusted: str) -> Iterator[ApiProxy]:
    """In front of the API server at this URL, whose certificate is in this file."""
    proxy = ApiProxy(server, trusted)
    with proxy.serving():
        yield proxy


def _break(client: web.BaseRequest) -> web.StreamResponse:
    """Close the connection without an answer, or in the middle of one."""
    if client.transport is not None:  # else it is closed already
        client.transport.close()
    return web.Response()

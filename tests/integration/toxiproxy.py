"""toxiproxy between a client and a server: it delays, stalls, cuts and refuses what passes, one fault after the other.

https://github.com/Shopify/toxiproxy; the version is in devstack/servers/toxiproxy/go.mod.
"""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from order_devstack import environment, ports, servers
from order_devstack.ports import HOST
from order_devstack.probes import http_ok
from order_devstack.processes import DetachedProcess, Service

ANSWERS = "downstream"
REQUESTS = "upstream"
BOTH_WAYS = (ANSWERS, REQUESTS)


class Link:
    """One proxy: what listens at `address` and passes everything on to one server."""

    def __init__(self, api: str, name: str, address: str) -> None:
        self.address = address
        """host:port for the client."""
        self._api = api
        self._name = name

    @contextmanager
    def latency(self, milliseconds: int) -> Iterator[None]:
        """So much later, each way."""
        with self._toxic("latency", BOTH_WAYS, latency=milliseconds):
            yield

    @contextmanager
    def bandwidth(self, kilobytes_per_second: int) -> Iterator[None]:
        """No more than that, each way."""
        with self._toxic("bandwidth", BOTH_WAYS, rate=kilobytes_per_second):
            yield

    @contextmanager
    def silence(self, *ways: str) -> Iterator[None]:
        """Nothing arrives any more, and no connection is closed: by default both ways. Afterwards all are closed."""
        with self._toxic("timeout", ways or BOTH_WAYS, timeout=0):
            yield

    @contextmanager
    def resets(self) -> Iterator[None]:
        """Every connection is reset by the first byte that the server answers on it."""
        with self._toxic("reset_peer", (ANSWERS,), timeout=0):
            yield

    @contextmanager
    def cut_after(self, count: int) -> Iterator[None]:
        """Every connection is closed after so many bytes of answers."""
        with self._toxic("limit_data", (ANSWERS,), bytes=count):
            yield

    @contextmanager
    def down(self) -> Iterator[None]:
        """Every connection is closed, and none is accepted."""
        self._set({"enabled": False})
        try:
            yield
        finally:
            self._set({"enabled": True})

    @contextmanager
    def _toxic(self, kind: str, ways: tuple[str, ...], **attributes: int) -> Iterator[None]:
        names = [f"{kind}-{way}" for way in ways]
        try:
            for name, way in zip(names, ways, strict=True):
                toxic = {"name": name, "type": kind, "stream": way, "attributes": attributes}
                _call(f"{self._api}/proxies/{self._name}/toxics", "POST", toxic)
            yield
        finally:
            for name in names:
                _call(f"{self._api}/proxies/{self._name}/toxics/{name}", "DELETE")

    def _set(self, fields: dict[str, Any]) -> None:
        _call(f"{self._api}/proxies/{self._name}", "POST", fields)


class Toxiproxy:
    """The server of all links."""

    def __init__(self, api: str) -> None:
        self._api = api

    def link(self, name: str, server: str) -> Link:
        """A new link to `server`, host:port."""
        address = f"{HOST}:{ports.choose(['link'], keep={})['link']}"
        _call(f"{self._api}/proxies", "POST", {"name": name, "listen": address, "upstream": server, "enabled": True})
        return Link(self._api, name, address)


@contextmanager
def toxiproxy(folder: Path) -> Iterator[Toxiproxy]:
    """A toxiproxy whose log is in `folder`."""
    program = servers.obtain(["toxiproxy-server"])["toxiproxy-server"]
    port = ports.choose(["api"], keep={})["api"]
    process = DetachedProcess(folder, "toxiproxy")
    service = Service(
        command=[str(program), "-host", HOST, "-port", str(port)],
        environment=environment.for_processes(folder),
        ports=[port],
        answers=lambda: http_ok(port, "/version"),
    )
    process.spawn(service)
    try:
        process.wait_until_answering(service, service.start_seconds)
        yield Toxiproxy(f"http://{HOST}:{port}")
    finally:
        process.stop(within_seconds=1.0)


def _call(url: str, method: str, body: dict[str, Any] | None = None) -> None:
    request = urllib.request.Request(url, method=method, data=json.dumps(body).encode() if body else None)  # noqa: S310
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310

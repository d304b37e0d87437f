"""What the console alone costs: the API server is played by this program, with orders that were recorded on a real one.

Nothing else runs, so that the figures hold on a busy machine as well; how soon people see something is for console.py.

    python benchmarks/console_alone.py --orders 1000 --namespaces 20 --viewers 50
"""

import argparse
import asyncio
import copy
import json
import random
import tempfile
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web
from console import SETTLE_SECONDS, cpu_during, options_of, ready, serving, watching
from end_to_end import CHECKOUT
from measurements import peak_rss_mib
from rich.console import Console

GROUP = "/apis/order-platform.dev/v1alpha1"
RECORDED = CHECKOUT / "tests" / "unit" / "cli" / "recorded" / "orders.json"
LIKE = "order-1500"
"""An order that waits for a decision."""
CHANGES = 6
"""In a second: as many as an order has on its way."""


class PlayedApiServer:
    """Orders, a watch, and who may list where."""

    def __init__(self, orders: int, namespaces: int, viewers: int) -> None:
        recorded = {each["metadata"]["name"]: each for each in json.loads(RECORDED.read_text())}
        self._orders = [_copy(recorded[LIKE], number, namespaces) for number in range(orders)]
        self._version = orders
        self._watches: list[asyncio.Queue[bytes]] = []
        self.reviews: Counter[str] = Counter()
        names = [f"shop-{number}" for number in range(namespaces)]
        self.people = [
            (f"person-{n}", names if n % 5 == 0 else [names[n % namespaces], names[(n + 7) % namespaces]])
            for n in range(viewers)
        ]
        self._everywhere = {name for name, visible in self.people if len(visible) == namespaces}
        self._visible = {name: set(visible) for name, visible in self.people}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get(f"{GROUP}/orders", self._list_or_watch)
        app.router.add_get(f"{GROUP}/orderclasses", self._no_classes)
        app.router.add_post("/apis/authentication.k8s.io/v1/selfsubjectreviews", self._who)
        app.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._may)
        return app

    def change(self) -> None:
        """Some order says something else."""
        order = random.choice(self._orders)  # noqa: S311 - no secret
        self._version += 1
        order["metadata"]["resourceVersion"] = str(self._version)
        order["status"]["message"] = f"change {self._version}"
        line = json.dumps({"type": "MODIFIED", "object": order}).encode() + b"\n"
        for watch in self._watches:
            watch.put_nowait(line)

    async def _list_or_watch(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"items": self._orders, "metadata": {"resourceVersion": str(self._version)}})
        response = web.StreamResponse()
        await response.prepare(request)
        watch: asyncio.Queue[bytes] = asyncio.Queue()
        self._watches.append(watch)
        while True:
            await response.write(await watch.get())

    async def _no_classes(self, _: web.Request) -> web.Response:
        return web.json_response({"items": []})

    async def _who(self, request: web.Request) -> web.Response:
        self.reviews["who somebody is"] += 1
        return web.json_response({"status": {"userInfo": {"username": _token(request), "groups": []}}})

    async def _may(self, request: web.Request) -> web.Response:
        self.reviews["what somebody may"] += 1
        where = (await request.json())["spec"]["resourceAttributes"].get("namespace")
        who = _token(request)
        allowed = who in self._everywhere or where in self._visible.get(who, set())
        return web.json_response({"status": {"allowed": allowed}})


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _copy(order: dict[str, Any], number: int, namespaces: int) -> dict[str, Any]:
    made = copy.deepcopy(order)
    where = {"name": f"live-{number // namespaces}", "namespace": f"shop-{number % namespaces}"}
    made["metadata"] |= {**where, "uid": str(uuid.uuid4()), "resourceVersion": str(number + 1)}
    return made


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Have everybody look, rest, then let orders change."""
    played = PlayedApiServer(options.orders, options.namespaces, options.viewers)
    runner = web.AppRunner(played.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(_kubeconfig(runner.addresses[0][1])))
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    with serving(kubeconfig, folder) as (address, pid):
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**20) as session:
            await ready(session, address)
            async with watching(session, address, played.people) as pages:
                await asyncio.sleep(SETTLE_SECONDS)
                process, asked = psutil.Process(pid), played.reviews.copy()
                resting = await cpu_during(process, asyncio.sleep(options.seconds))
                told = sum(page.messages for page in pages)
                working = await cpu_during(process, _changes(played, options.seconds))
                told = sum(page.messages for page in pages) - told
                memory, peak = process.memory_info().rss / 2**20, peak_rss_mib(pid)
                all_asked = played.reviews.copy()
    await runner.cleanup()
    return {
        "RSS MiB": memory,
        "peak RSS MiB": peak,
        "CPU % of a core while nothing happens": resting,
        f"CPU % of a core with {CHANGES} changes a second": working,
        "parts sent to the viewers a second, meanwhile": told / options.seconds,
        **{f"questions {what}, until all pages were open": count for what, count in asked.items()},
        **{f"questions {what}, in all": count for what, count in all_asked.items()},
    }


async def _changes(played: PlayedApiServer, seconds: int) -> None:
    for _ in range(seconds * CHANGES):
        played.change()
        await asyncio.sleep(1 / CHANGES)


def _kubeconfig(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "played",
        "contexts": [{"name": "played", "context": {"cluster": "played", "user": "console"}}],
        "clusters": [{"name": "played", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "console", "user": {"token": "console"}}],
    }


def main() -> None:
    """Play, and measure."""
    options = options_of(__doc__)
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        result = asyncio.run(measure(Path(folder), options))
    figures = {"orders": options.orders, "namespaces": options.namespaces, "viewers": options.viewers, **result}
    Console().print_json(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()

"""What the console costs while many people watch many orders, and how soon they see what happens.

All orders wait for approval, spread over the namespaces. Of the people half watch the list, the others the inbox or one
order; four in five may see the orders of two namespaces, one in five those of all. While the bench runs somebody
applies an order each second, and somebody approves it in the page.

    python benchmarks/console.py --orders 1000 --namespaces 20 --viewers 50
"""

import argparse
import asyncio
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from api_server import Orders, orders_of
from at_rest import WAITING_CLASS, until_shown
from end_to_end import an_order, at_most
from measurements import peak_rss_mib, quantile
from rich.console import Console

from order_devstack.stack import Stack
from order_domain.status import OrderStatus

ROLES = ("viewer", "approver", "editor")
FILL_AT_ONCE = 4
"""More, and on a busy machine the operator cannot renew its lease."""
START_SECONDS = 60.0
SETTLE_SECONDS = 10.0
"""Until all pages are open."""
STEP_SECONDS = 1.0
"""Between two orders."""
GIVE_UP_SECONDS = 30.0
_REVIEWS = re.compile(r'^apiserver_request_total\{.*resource="(selfsubject\w+)".*\} (\S+)$', re.MULTILINE)
console = Console()


@dataclass
class Page:
    """An open page of one person, as far as it was read."""

    view: str
    seen: dict[str, float] = field(default_factory=dict)
    """Text -> when it first came."""
    awaited: dict[str, asyncio.Event] = field(default_factory=dict)
    messages: int = 0

    def take(self, text: str) -> None:
        self.messages += 1
        for wanted, event in self.awaited.items():
            if wanted not in self.seen and wanted in text:
                self.seen[wanted] = time.monotonic()
                event.set()

    async def shows(self, text: str) -> float:
        """When it does."""
        event = self.awaited.setdefault(text, asyncio.Event())
        async with asyncio.timeout(GIVE_UP_SECONDS):
            await event.wait()
        return self.seen[text]


async def follow(session: aiohttp.ClientSession, address: str, token: str, page: Page) -> None:
    """Read what the page is told, as a browser does, until cancelled."""
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        async with session.get(f"{address}/events?{page.view}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            async for part in answer.content.iter_any():
                page.take(part.decode(errors="replace"))


@contextmanager
def serving(kubeconfig: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """The console in front of an API server, for people with tokens: its address and process."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{found.getsockname()[1]}"
    variables = {
        "KUBECONFIG": str(kubeconfig),
        "ORDER_CONSOLE_LISTEN": listen,
        "ORDER_CONSOLE_IDENTITY": "token",
    }
    with (folder / "console.log").open("wb") as log:
        command = [sys.executable, "-P", "-m", "order_console"]
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log)
    try:
        yield f"http://{listen}", process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


async def ready(session: aiohttp.ClientSession, address: str) -> None:
    """Once it knows the orders."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with session.get(f"{address}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def people(stack: Stack, namespaces: list[str], count: int) -> list[tuple[str, list[str]]]:
    """Token, and the namespaces whose orders its owner may see and decide about; of every fifth those of all."""
    found: list[tuple[str, str, list[str]]] = []
    objects: list[dict[str, Any]] = []
    for number in range(count):
        home, name = namespaces[number % len(namespaces)], f"person-{number}"
        everywhere = number % 5 == 0
        visible = namespaces if everywhere else [home, namespaces[(number + 7) % len(namespaces)]]
        objects.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": home}})
        for where in [None] if everywhere else visible:
            objects += [_binding(f"{name}-{role}", role, name, home, where) for role in ROLES]
        found.append((name, home, visible))
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    stack.kubectl("apply", "--filename=-", input=text)
    return [(stack.kubectl("create", "token", name, f"--namespace={home}").strip(), seen) for name, home, seen in found]


def _binding(name: str, role: str, account: str, home: str, where: str | None) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if where else "ClusterRoleBinding",
        "metadata": {"name": name, **({"namespace": where} if where else {})},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": f"order-platform-{role}",
        },
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
    }


def view_of(number: int, visible: list[str]) -> str:
    """Half of the people have the list open, the others the inbox or one order."""
    kinds = ["view=list", "view=inbox", "view=list", f"view=order&namespace={visible[0]}&name=live-0"]
    return kinds[number % len(kinds)]


@asynccontextmanager
async def watching(
    session: aiohttp.ClientSession, address: str, known: list[tuple[str, list[str]]]
) -> AsyncIterator[list[Page]]:
    """All have a page open."""
    pages = [Page(view_of(number, visible)) for number, (_, visible) in enumerate(known)]
    tasks = [
        asyncio.create_task(follow(session, address, token, page))
        for page, (token, _) in zip(pages, known, strict=True)
    ]
    try:
        async with asyncio.timeout(START_SECONDS):
            while not all(page.messages for page in pages):  # noqa: ASYNC110 - a page tells nobody
                await asyncio.sleep(0.1)
        yield pages
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def approve(session: aiohttp.ClientSession, address: str, token: str, path: str, seen: asyncio.Event) -> float:
    """Click; seconds until a page shows what the workflow answered."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"{address}{path}", headers=headers) as answer:
        text = await answer.text()
    [proof, *_] = re.findall(r'name="csrf" value="([0-9a-f]+)"', text)
    form = {"csrf": proof, "reason": "bench"}
    clicked = time.monotonic()
    async with session.post(f"{address}{path}/approve", data=form, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
    async with asyncio.timeout(GIVE_UP_SECONDS):
        await seen.wait()
    return time.monotonic() - clicked


async def happen(
    session: aiohttp.ClientSession,
    address: str,
    orders: dict[str, Orders],
    known: list[tuple[str, list[str]]],
    count: int,
) -> tuple[list[float], list[float]]:
    """Orders, one each second, which are approved in the page: seconds until each is visible, and is decided."""
    visible, answered = [], []
    token, namespaces = known[0]

    async def one(number: int) -> None:
        await asyncio.sleep(number * STEP_SECONDS)
        namespace, name = random.choice(namespaces), f"new-{number}"  # noqa: S311 - no secret
        listed = Page(f"view=list&text={name}")
        own = Page(f"view=order&namespace={namespace}&name={name}")
        tasks = [asyncio.create_task(follow(session, address, token, page)) for page in (listed, own)]
        await asyncio.sleep(0.2)
        waits = {**an_order(name), "spec": {**an_order(name)["spec"], "className": "waiting"}}
        in_list = asyncio.create_task(listed.shows(f">{name}<"))
        started = time.monotonic()
        await orders[namespace].create(waits)
        visible.append(await in_list - started)
        await own.shows("Await Approval")
        decided = asyncio.Event()
        own.awaited["The last change was taken"] = decided
        answered.append(await approve(session, address, token, f"/orders/{namespace}/{name}", decided))
        for task in tasks:
            task.cancel()

    await asyncio.gather(*(one(number) for number in range(count)))
    return visible, answered


def reviews(stack: Stack) -> dict[str, float]:
    """How often the API server was asked who somebody is and what they may."""
    counts: dict[str, float] = {}
    for resource, count in _REVIEWS.findall(stack.kubectl("get", "--raw", "/metrics")):
        counts[resource] = counts.get(resource, 0.0) + float(count)
    return counts


async def fill(stack: Stack, namespaces: list[str], count: int, orders: dict[str, Orders]) -> None:
    """Orders that wait, the same number in each namespace."""
    stack.kubectl("apply", "--filename=-", input=json.dumps(WAITING_CLASS))

    async def one(number: int) -> None:
        order = an_order(f"live-{number // len(namespaces)}")
        order["spec"]["className"] = "waiting"
        await orders[namespaces[number % len(namespaces)]].create(order)

    await at_most(FILL_AT_ONCE, count, one)
    await until_shown(stack, OrderStatus.AWAIT_APPROVAL, count)


async def measure(stack: Stack, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Fill the cluster, have everybody look, rest, then let things happen."""
    namespaces = [f"shop-{number}" for number in range(options.namespaces)]
    for namespace in namespaces:
        stack.kubectl("create", "namespace", namespace)
    async with orders_of(stack, namespaces[0]) as first:
        orders = {name: first.beside(name) for name in namespaces}
        await fill(stack, namespaces, options.orders, orders)
        known = people(stack, namespaces, options.viewers)
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        with serving(stack.kubeconfig, folder) as (address, pid):
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**20) as session:
                await ready(session, address)
                async with watching(session, address, known) as pages:
                    await asyncio.sleep(SETTLE_SECONDS)
                    process = psutil.Process(pid)
                    asked = reviews(stack)
                    resting = await cpu_during(process, asyncio.sleep(options.seconds))
                    asked_later = reviews(stack)
                    told = sum(page.messages for page in pages)
                    times = asyncio.create_task(happen(session, address, orders, known, options.seconds))
                    working = await cpu_during(process, times)
                    visible, answered = times.result()
                    told = sum(page.messages for page in pages) - told
                    memory, peak = process.memory_info().rss / 2**20, peak_rss_mib(pid)
    return {
        "RSS MiB": memory,
        "peak RSS MiB": peak,
        "CPU % of a core while nothing happens": resting,
        "CPU % of a core with an order a second": working,
        "messages to the viewers a second, meanwhile": told / options.seconds,
        **{
            f"{name} in 30 s while nothing happens": (count - asked.get(name, 0.0)) * 30 / options.seconds
            for name, count in asked_later.items()
        },
        "apply to visible, p50 seconds": quantile(visible, 0.5),
        "apply to visible, p95 seconds": quantile(visible, 0.95),
        "click to the workflow's answer, p50 seconds": quantile(answered, 0.5),
        "click to the workflow's answer, p95 seconds": quantile(answered, 0.95),
    }


async def cpu_during(process: psutil.Process, what: Any) -> float:
    """Percent of a core that the process used meanwhile."""
    before, started = sum(process.cpu_times()[:2]), time.monotonic()
    await what
    return 100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)


def options_of(description: str | None) -> argparse.Namespace:
    """How large, and for how long."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000, help="that wait (default: %(default)s)")
    parser.add_argument("--namespaces", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--viewers", type=int, default=50, help="people with a page open (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="of each part (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    options = options_of(__doc__)
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        stack = Stack(Path(folder) / "stack", ui=False)
        try:
            stack.up()
            result = asyncio.run(measure(stack, Path(folder), options))
        finally:
            stack.down()
    figures = {"orders": options.orders, "namespaces": options.namespaces, "viewers": options.viewers, **result}
    console.print_json(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()

"""What finished orders cost an operator that has nothing to do, and what they cost the orders that live beside them.

The live orders are real ones that wait for approval; all are applied at once, before the others. The finished ones are
copies of a real one that has completed; they have no workflow.

    python benchmarks/at_rest.py --orders 100000 --live 1000
"""

import argparse
import asyncio
import base64
import json
import re
import tempfile
import time
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from api_server import GROUP, PLURAL, VERSION, Orders, orders_of
from end_to_end import NAMESPACE, an_order, at_most
from measurements import api_writes, peak_rss_mib, quantile
from rich.console import Console

from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.stack import Stack
from order_domain.status import OrderStatus

WAITING_CLASS = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "OrderClass",
    "metadata": {"name": "waiting"},
    "spec": {
        "pipeline": ["Receive", "Validate", "Approval", "ReserveStock", "ChargePayment", "Ship"],
        "approval": {"mode": "Always", "windowSeconds": 86_400},
    },
}
BATCH = 100
"""Orders in one transaction of etcd, which takes 128 at the most."""
IDLE_SECONDS = 120
"""The operator lists all orders once a minute: this holds two of these lists."""
PROBES = 20
"""Live orders that are approved while the operator is away."""
PLACED = 100
"""Orders whose way from the workflow into the status is measured."""
PLACE_SECONDS = 0.7
"""Between two of them: all together take more than a minute."""
GIVE_UP_SECONDS = 600.0
"""Ten times what the start may take."""
console = Console()


def shown(stack: Stack, status: OrderStatus) -> int:
    """How many orders the operator has seen in this state, by its own metric; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(stack.addresses["operator-metrics"], timeout=30) as answer:  # noqa: S310
            page = answer.read().decode()
    except OSError:
        return 0
    found = re.findall(rf'^orders_current\{{.*"{status}"\}} (\S+)$', page, re.MULTILINE)
    return int(sum(map(float, found)))  # of all namespaces


async def until_shown(stack: Stack, status: OrderStatus, count: int) -> float:
    """Seconds until so many orders are."""
    started = time.monotonic()

    def missing() -> str:
        if stack.pid("operator") is None:
            end = (stack.root / "log" / "operator.log").read_text()[-2_000:]
            raise SystemExit(f"the operator has ended:\n{end}")
        known = shown(stack, status)
        return "" if known >= count else f"{count - known} orders of {count} in state {status}"

    await asyncio.to_thread(wait_until_nothing_is_missing, missing, within_seconds=GIVE_UP_SECONDS, say=console.print)
    return time.monotonic() - started


async def apply_live(stack: Stack, orders: Orders, count: int) -> float:
    """All at once; seconds until all wait for approval."""
    stack.kubectl("apply", "--filename=-", input=json.dumps(WAITING_CLASS))
    started = time.monotonic()

    async def one(number: int) -> None:
        order = an_order(f"live-{number}")
        order["spec"]["className"] = "waiting"
        await orders.create(order)

    await at_most(count, count, one)
    await until_shown(stack, OrderStatus.AWAIT_APPROVAL, count)
    return time.monotonic() - started


async def fill(etcd: str, count: int, like: str) -> None:
    """Put copies of the order `like` into etcd as the API server stores them: through the API server a hundred thousand
    take longer than all the rest, and nothing of it is measured."""
    key = f"/registry/{GROUP}/{PLURAL}/{NAMESPACE}/{like}"
    async with aiohttp.ClientSession(etcd) as session:

        async def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
            async with session.post(path, json=body) as answer:
                answer.raise_for_status()
                found: dict[str, Any] = await answer.json()
                return found

        found = await ask("/v3/kv/range", {"key": _base64(key)})
        stored = base64.b64decode(found["kvs"][0]["value"]).decode()
        uid = json.loads(stored)["metadata"]["uid"]

        async def put(batch: int) -> None:
            puts = []
            for number in range(batch * BATCH, min(count, (batch + 1) * BATCH)):
                value = stored.replace(like, f"done-{number}").replace(uid, str(uuid.uuid4()))
                puts.append(
                    {"request_put": {"key": _base64(key.replace(like, f"done-{number}")), "value": _base64(value)}}
                )
            await ask("/v3/kv/txn", {"success": puts})

        await at_most(4, -(-count // BATCH), put)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def lags(orders: Orders, prefix: str) -> list[float]:
    """Seconds from the end of a workflow until the status shows it, of orders that are placed one after the other."""

    async def one(number: int) -> float:
        await asyncio.sleep(number * PLACE_SECONDS)
        await orders.create(an_order(f"{prefix}-{number}"))
        status = await orders.completed(f"{prefix}-{number}")
        return (datetime.now(UTC) - datetime.fromisoformat(status["completionTime"])).total_seconds()

    return list(await asyncio.gather(*(one(number) for number in range(PLACED))))


def written(stack: Stack) -> float:
    """Writes of orders and events so far."""
    return sum(api_writes(stack.kubectl("get", "--raw", "/metrics")).values())


async def start_up(stack: Stack, orders: Orders, count: int, probes: list[str]) -> dict[str, float]:
    """Start the operator on the filled cluster. Somebody has approved the `probes` meanwhile."""
    for name in probes:
        await orders.approve(name)
    started = time.monotonic()
    await asyncio.to_thread(stack.start, "operator")
    serving = asyncio.gather(*(orders.completed(name) for name in probes))
    await until_shown(stack, OrderStatus.ORDER_COMPLETED, count)
    ready = time.monotonic() - started
    pid = stack.pid("operator")
    assert pid is not None
    busy = sum(psutil.Process(pid).cpu_times()[:2])
    await serving
    served = time.monotonic() - started
    return {
        "start-up seconds": ready,
        "start-up CPU seconds": busy,
        "start-up until live orders are served, seconds": served,
    }


async def rest(stack: Stack) -> dict[str, float]:
    """What the operator uses while nothing happens."""
    pid = stack.pid("operator")
    assert pid is not None
    process = psutil.Process(pid)
    writes, before = written(stack), sum(process.cpu_times()[:2])
    await asyncio.sleep(IDLE_SECONDS)
    busy = sum(process.cpu_times()[:2]) - before
    return {
        "idle CPU % of a core": 100 * busy / IDLE_SECONDS,
        "writes while idle": written(stack) - writes,
        "RSS MiB": process.memory_info().rss / 2**20,
        "peak RSS MiB": peak_rss_mib(pid),
    }


async def measure(stack: Stack, count: int, live: int) -> dict[str, float]:
    """Fill the cluster, start the operator on it, let it rest, then let it work."""
    async with orders_of(stack, NAMESPACE) as orders:
        applied = await apply_live(stack, orders, live)
        alone = await lags(orders, "alone")
        await asyncio.to_thread(stack.stop, "operator")
        await fill(stack.addresses["etcd"], count, like="alone-0")
        await orders.settled()
        started = await start_up(stack, orders, count, [f"live-{number}" for number in range(min(PROBES, live))])
        rested = await rest(stack)
        beside = await lags(orders, "beside")
    return {
        "live orders applied at once until all wait, seconds": applied,
        **started,
        **rested,
        "workflow end to status without finished orders, p95 seconds": quantile(alone, 0.95),
        "workflow end to status beside them, p95 seconds": quantile(beside, 0.95),
    }


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=10_000, help="finished orders (default: %(default)s)")
    parser.add_argument("--live", type=int, default=100, help="orders that wait beside them (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        stack = Stack(Path(folder) / "stack", ui=False)
        try:
            stack.start("etcd", "kube-apiserver", "temporal")
            stack.install_charts()
            stack.start("operator", "worker")
            result = asyncio.run(measure(stack, options.orders, options.live))
        finally:
            stack.down()
    figures = {"orders": options.orders, "live": options.live, **result}
    console.print_json(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()

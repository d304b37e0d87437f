"""Orders end to end through Kubernetes against the same workflow driven by a bare Temporal client.

Rounds of both kinds alternate on one stack, so that their ratio survives a noisy machine; absolute figures do not.
A third kind, four trivial remote activities, tells what a plain Temporal application would do here.

    python benchmarks/end_to_end.py --orders 200 --rounds 3
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from four_activities import FourActivities
from kubernetes.aio import client as kubernetes
from kubernetes.aio import config, watch
from measurements import Difference, api_writes, cpu_seconds, peak_rss_mib, quantile
from rich.console import Console
from rich.table import Table
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from order_devstack.stack import Stack
from order_domain.order import OrderSpec
from order_domain.policy import OrderClassSpec
from order_workflows.contract import REVISION, OrderInput, OrderResult, ResourceIdentity, workflow_id

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = CHECKOUT / "benchmarks" / "results"
NAMESPACE = "default"
GROUP, VERSION, PLURAL = "order-platform.dev", "v1alpha1", "orders"
YARDSTICK_QUEUE = "four-activities"
WATCH_SECONDS = 240
"""Longer than a round, and shorter than the patience for an order: one that hears nothing more is noticed."""
console = Console()


@dataclass
class Timeline:
    """When one order reached what, in seconds of this process's clock."""

    created: float
    first_status: float | None = None
    completed: float | None = None
    end_to_status: float | None = None


@dataclass
class Samples:
    """What all rounds of the Kubernetes kind measured."""

    timelines: list[Timeline] = field(default_factory=list)
    writes_per_order: list[dict[str, float]] = field(default_factory=list)
    cpu_ms_per_order: list[dict[str, float]] = field(default_factory=list)


def an_order(name: str) -> dict[str, Any]:
    """An order of class standard that nobody has to approve."""
    spec = {
        "className": "standard",
        "customer": {"id": "CUST-12345", "email": "ana@example.com"},
        "currency": "USD",
        "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 50000}],
        "shippingAddress": {
            "name": "Ana Torres",
            "line1": "1 Main Street",
            "city": "Springfield",
            "postalCode": "62701",
            "country": "US",
        },
        "payment": {"method": "tok_visa"},
    }
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Order", "metadata": {"name": name}, "spec": spec}


async def at_most(limit: int, count: int, one: Callable[[int], Awaitable[None]]) -> float:
    """Run `one` for 0…count-1, `limit` at a time; how many per second."""
    slots = asyncio.Semaphore(limit)

    async def slot(number: int) -> None:
        async with slots:
            await one(number)

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(slot(number))
    return count / (time.monotonic() - started)


async def bare_round(temporal: Client, count: int, limit: int) -> float:
    """The product's own workflow, without Kubernetes."""
    policy = OrderClassSpec.model_validate(
        yaml.safe_load((CHECKOUT / "manifests/classes/standard.yaml").read_text())["spec"]
    )

    async def one(_: int) -> None:
        uid = str(uuid.uuid4())
        name = f"bare-{uid}"
        wanted = OrderInput(
            revision=REVISION,
            identity=ResourceIdentity(cluster="benchmark", namespace=NAMESPACE, name=name, uid=uid),
            spec=OrderSpec.model_validate(an_order(name)["spec"]),
            class_name="standard",
            policy=policy,
            generation=1,
        )
        result: OrderResult = await temporal.execute_workflow(
            "OrderWorkflow",
            wanted,
            id=workflow_id(NAMESPACE, name, uid),
            task_queue="orders",
            result_type=OrderResult,
        )
        if result.status != "Order Completed":
            raise RuntimeError(f"{name} ended as {result.status}: {result.message}")

    return await at_most(limit, count, one)


async def yardstick_round(temporal: Client, count: int, limit: int) -> float:
    """Four remote activities."""

    async def one(_: int) -> None:
        await temporal.execute_workflow(FourActivities.run, id=f"four-{uuid.uuid4()}", task_queue=YARDSTICK_QUEUE)

    return await at_most(limit, count, one)


class OrderWatch:
    """Sees every order's status as a user's watch would."""

    def __init__(self) -> None:
        self.timelines: dict[str, Timeline] = {}
        self._finished: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.failures: list[str] = []

    async def run(self, objects: kubernetes.CustomObjectsApi) -> None:
        """Watch until cancelled. A watch that breaks off begins again: without it nobody would see an order end."""
        while True:
            try:
                async with watch.Watch() as stream:
                    async for event in stream.stream(
                        objects.list_namespaced_custom_object,
                        GROUP,
                        VERSION,
                        NAMESPACE,
                        PLURAL,
                        timeout_seconds=WATCH_SECONDS,
                    ):
                        self._see(event["object"])
            except Exception as broken:  # noqa: BLE001 - whatever it is, the next one shows everything
                console.print(f"the benchmark's watch broke off, and begins again: {broken!r}")

    def _see(self, order: dict[str, Any]) -> None:
        status = order.get("status") or {}
        timeline = self.timelines.get(order["metadata"]["name"])
        if timeline is None or not status:
            return
        now = time.monotonic()
        timeline.first_status = timeline.first_status or now
        ended = status.get("completionTime")
        if ended and timeline.completed is None:
            timeline.completed = now
            timeline.end_to_status = (datetime.now(UTC) - datetime.fromisoformat(ended)).total_seconds()
            if status["phase"] != "Completed":
                self.failures.append(f"{order['metadata']['name']}: {status.get('lastError')}")
            self._finished[order["metadata"]["name"]].set()

    async def finished(self, name: str) -> None:
        """Return when the order's status shows its end."""
        await asyncio.wait_for(self._finished[name].wait(), timeout=300)


async def kubernetes_round(
    objects: kubernetes.CustomObjectsApi, seen: OrderWatch, count: int, limit: int, samples: Samples
) -> float:
    """Orders applied to the API server."""
    prefix = uuid.uuid4().hex[:8]

    async def one(number: int) -> None:
        name = f"bench-{prefix}-{number}"
        seen.timelines[name] = Timeline(created=time.monotonic())
        await objects.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, an_order(name))
        await seen.finished(name)
        samples.timelines.append(seen.timelines[name])

    return await at_most(limit, count, one)


async def measure(stack: Stack, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; returns the figures."""
    await config.load_kube_config(config_file=str(stack.kubeconfig))
    temporal = await Client.connect(stack.addresses["temporal"], data_converter=pydantic_data_converter)
    names = ("etcd", "kube-apiserver", "temporal", "operator", "worker")
    pids = {name: pid for name in names if (pid := stack.pid(name)) is not None}
    samples = Samples()
    rates: dict[str, list[float]] = defaultdict(list)
    async with kubernetes.ApiClient() as api:
        objects = kubernetes.CustomObjectsApi(api)
        seen = OrderWatch()
        watching = asyncio.create_task(seen.run(objects))
        await bare_round(temporal, 20, 10)
        await kubernetes_round(objects, seen, 20, 10, Samples())
        await yardstick_round(temporal, 20, 10)
        for number in range(1, options.rounds + 1):
            rates["bare"].append(await bare_round(temporal, options.orders, options.in_flight))
            cpu, writes = cpu_seconds(pids), api_writes(stack.kubectl("get", "--raw", "/metrics"))
            rates["kubernetes"].append(
                await kubernetes_round(objects, seen, options.orders, options.in_flight, samples)
            )
            await asyncio.sleep(2)  # the finalizers' removal and the events trail the last status
            samples.cpu_ms_per_order.append(Difference(cpu, cpu_seconds(pids)).per(options.orders, 1000))
            after = api_writes(stack.kubectl("get", "--raw", "/metrics"))
            samples.writes_per_order.append(Difference(writes, after).per(options.orders))
            rates["four activities"].append(await yardstick_round(temporal, options.orders, options.in_flight))
            shown = ", ".join(f"{kind} {values[-1]:.1f}/s" for kind, values in rates.items())
            console.print(f"round {number} of {options.rounds}: {shown}")
        watching.cancel()
        if seen.failures:
            raise SystemExit(f"{len(seen.failures)} orders did not complete: {seen.failures[:3]}")
    rss = {name: peak_rss_mib(pid) for name, pid in pids.items()}
    return figures(options, rates, samples, rss)


def figures(
    options: argparse.Namespace, rates: dict[str, list[float]], samples: Samples, rss: dict[str, float]
) -> dict[str, Any]:
    """Medians over the rounds; ratios are formed within a round."""

    def ratio(of: str) -> float:
        pairs = zip(rates["kubernetes"], rates[of], strict=True)
        return statistics.median(mine / other for mine, other in pairs)

    def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
        keys = sorted({key for item in rounds for key in item})
        return {key: statistics.median(item.get(key, 0.0) for item in rounds) for key in keys}

    first = [item.first_status - item.created for item in samples.timelines if item.first_status]
    total = [item.completed - item.created for item in samples.timelines if item.completed]
    lag = [item.end_to_status for item in samples.timelines if item.end_to_status is not None]
    latencies = {"apply to first status": first, "workflow end to status": lag, "create to Completed": total}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "orders": options.orders,
        "rounds": options.rounds,
        "in flight": options.in_flight,
        "orders per second": {kind: statistics.median(values) for kind, values in rates.items()},
        "kubernetes / bare": ratio("bare"),
        "kubernetes / four activities": ratio("four activities"),
        "seconds": {
            name: {"p50": quantile(values, 0.5), "p95": quantile(values, 0.95)} for name, values in latencies.items()
        },
        "API writes per order": medians(samples.writes_per_order),
        "CPU ms per order": medians(samples.cpu_ms_per_order),
        "peak RSS MiB": rss,
    }


def show(result: dict[str, Any]) -> None:
    """The table."""
    table = Table("what", "value", title=f"{result['orders']} orders x {result['rounds']} rounds")
    for kind, rate in result["orders per second"].items():
        table.add_row(f"orders/s, {kind}", f"{rate:.1f}")
    for name in ("kubernetes / bare", "kubernetes / four activities"):
        table.add_row(name, f"{result[name]:.2f}")
    for name, values in result["seconds"].items():
        table.add_row(f"{name}, p50 / p95", f"{values['p50'] * 1000:.0f} / {values['p95'] * 1000:.0f} ms")
    for group, unit in (("API writes per order", ""), ("CPU ms per order", " ms"), ("peak RSS MiB", " MiB")):
        table.add_section()
        for name, value in result[group].items():
            table.add_row(
                f"{group.split(' per')[0].removesuffix(' MiB').removesuffix(' ms')}: {name}", f"{value:.1f}{unit}"
            )
        if group != "peak RSS MiB":
            table.add_row(f"{group}, sum", f"{sum(result[group].values()):.1f}{unit}")
    console.print(table)


@contextmanager
def yardstick_worker(stack: Stack):  # type: ignore[no-untyped-def]
    """A worker process of its own, as the product has one."""
    program = Path(__file__).with_name("four_activities.py")
    environment = {**os.environ, "TEMPORAL_ADDRESS": stack.addresses["temporal"]}
    process = subprocess.Popen([sys.executable, str(program), YARDSTICK_QUEUE], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200, help="orders per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each kind (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=32, help="orders at a time (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        # The orders of the bare client are another installation's.
        shared = {"operator": {"ORDER_OPERATOR_SHARE_TASK_QUEUE": "true"}}
        stack = Stack(Path(folder) / "stack", ui=False, environment=shared)
        try:
            stack.up()
            with yardstick_worker(stack):
                result = asyncio.run(measure(stack, options))
        finally:
            stack.down()
    show(result)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"end-to-end-{result['at'].replace(':', '')}.json"
    file.write_text(json.dumps(result, indent=2))
    console.print(f"written: {file.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()

"""What ten thousand finished orders cost an operator that has nothing to do: start-up, memory, idle CPU, writes.

The orders are created with the status of a completed one, so that no worker and no workflow is needed.

    python benchmarks/at_rest.py --orders 10000
"""

import argparse
import asyncio
import json
import re
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
from end_to_end import GROUP, NAMESPACE, PLURAL, VERSION, an_order, at_most
from kubernetes.aio import client as kubernetes
from kubernetes.aio import config
from measurements import api_writes, peak_rss_mib
from rich.console import Console

from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.stack import Stack

COMPLETED = {
    "phase": "Completed",
    "orderStatus": "Order Completed",
    "progress": 100,
    "observedGeneration": 1,
    "total": "500.00 USD",
    "conditions": [
        {
            "type": name,
            "status": "True",
            "reason": "Completed",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for name in ("Accepted", "Ready", "Reserved", "Charged", "Shipped", "Notified", "Finished", "Complete")
    ],
}
IDLE_SECONDS = 30
START_SECONDS = 300.0
"""Ten times what the start may take: this is where the benchmark gives up."""
console = Console()


async def fill(stack: Stack, count: int) -> None:
    """Create the orders."""
    await config.load_kube_config(config_file=str(stack.kubeconfig))
    async with kubernetes.ApiClient() as api:
        objects = kubernetes.CustomObjectsApi(api)

        async def one(number: int) -> None:
            name = f"done-{number}"
            order = an_order(name)
            await objects.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, order)
            await objects.patch_namespaced_custom_object_status(
                GROUP, VERSION, NAMESPACE, PLURAL, name, {"status": COMPLETED},
                _content_type="application/merge-patch+json",
            )  # fmt: skip
            if number % 1000 == 0:
                console.print(f"{number} of {count} orders created")

        await at_most(32, count, one)


def known_orders(stack: Stack) -> float:
    """How many orders the operator has seen, by its own metric; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(stack.addresses["operator-metrics"], timeout=5) as answer:  # noqa: S310
            page = answer.read().decode()
    except OSError:
        return 0
    found = re.search(r'^orders_current\{.*"Order Completed"\} (\S+)$', page, re.MULTILINE)
    return float(found.group(1)) if found else 0


def measure(stack: Stack, count: int) -> dict[str, float]:
    """Start the operator on the filled cluster and let it rest."""
    started = time.monotonic()
    stack.start("operator")
    wait_until_nothing_is_missing(
        lambda: "" if (known := known_orders(stack)) >= count else f"{count - known:.0f} orders in the metrics",
        within_seconds=START_SECONDS,
        say=console.print,
    )
    ready = time.monotonic() - started
    pid = stack.pid("operator")
    assert pid is not None
    process = psutil.Process(pid)
    writes = sum(api_writes(stack.kubectl("get", "--raw", "/metrics")).values())
    before = sum(process.cpu_times()[:2])
    time.sleep(IDLE_SECONDS)
    busy = sum(process.cpu_times()[:2]) - before
    return {
        "start-up seconds": ready,
        "idle CPU % of a core": 100 * busy / IDLE_SECONDS,
        "RSS MiB": process.memory_info().rss / 2**20,
        "peak RSS MiB": peak_rss_mib(pid),
        "writes while idle": sum(api_writes(stack.kubectl("get", "--raw", "/metrics")).values()) - writes,
    }


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=10_000, help="finished orders (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        stack = Stack(Path(folder) / "stack", ui=False)
        try:
            stack.start("etcd", "kube-apiserver", "temporal")
            stack.install_charts()
            asyncio.run(fill(stack, options.orders))
            result = measure(stack, options.orders)
        finally:
            stack.down()
    console.print_json(json.dumps({"orders": options.orders} | {key: round(value, 1) for key, value in result.items()}))


if __name__ == "__main__":
    main()

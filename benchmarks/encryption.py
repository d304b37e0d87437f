"""What encryption costs: orders end to end with encrypted payloads against the same without, on one stack.

Rounds of both kinds alternate, each after a start of operator and worker; the ratio is formed within a pair, and every
second pair begins with the other kind, so that it survives a machine that grows slower or faster meanwhile.

    python benchmarks/encryption.py --orders 200 --rounds 4
"""

import argparse
import asyncio
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from end_to_end import OrderWatch, Samples, kubernetes_round
from kubernetes.aio import client as kubernetes
from kubernetes.aio import config
from measurements import Difference, cpu_seconds
from rich.console import Console

from order_devstack import encryption
from order_devstack.stack import PROCESSES, Stack

PROGRAMS = ("operator", "worker")
WARM_UP = 40
PLAIN = {name: {"ORDER_ENCRYPTION_KEYS_FILE": "", "ORDER_ENCRYPTION_WRITE": ""} for name in PROGRAMS}
console = Console()


async def one_round(stack: Stack, encrypted: bool, options: argparse.Namespace) -> tuple[float, float]:
    """Orders per second of programs that have just been started, and milliseconds of CPU per order of all of them:
    throughput here is bound by the CPU, and its use moves less with what else the machine does."""
    stack.stop(*PROGRAMS)
    (stack if encrypted else stack.with_environment(PLAIN)).start(*PROGRAMS)
    await config.load_kube_config(config_file=str(stack.kubeconfig))
    async with kubernetes.ApiClient() as api:
        objects = kubernetes.CustomObjectsApi(api)
        seen = OrderWatch()
        watching = asyncio.create_task(seen.run(objects))
        try:
            await kubernetes_round(objects, seen, WARM_UP, options.in_flight, Samples())
            pids = {name: pid for name in PROCESSES if (pid := stack.pid(name)) is not None}
            before = cpu_seconds(pids)
            rate = await kubernetes_round(objects, seen, options.orders, options.in_flight, Samples())
            cpu = sum(Difference(before, cpu_seconds(pids)).per(options.orders, 1000).values())
        finally:
            watching.cancel()
        if seen.failures:
            raise SystemExit(f"{len(seen.failures)} orders did not complete: {seen.failures[:3]}")
    return rate, cpu


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200, help="orders per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of each kind (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=32, help="orders at a time (default: %(default)s)")
    options = parser.parse_args()
    rates: dict[bool, list[float]] = defaultdict(list)
    costs: dict[bool, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        stack = Stack(Path(folder) / "stack", ui=False)
        encryption.switch_on(stack.root)
        try:
            stack.up()
            for number in range(options.rounds):
                for encrypted in (False, True) if number % 2 == 0 else (True, False):
                    rate, cost = asyncio.run(one_round(stack, encrypted, options))
                    rates[encrypted].append(rate)
                    costs[encrypted].append(cost)
                shown = ", ".join(
                    f"{name} {rates[kind][-1]:.1f}/s, {costs[kind][-1]:.0f} ms of CPU an order"
                    for name, kind in (("plain", False), ("encrypted", True))
                )
                console.print(f"round {number + 1} of {options.rounds}: {shown}")
        finally:
            stack.down()
    for what, figures in (("orders/s", rates), ("CPU per order", costs)):
        ratios = [mine / other for mine, other in zip(figures[True], figures[False], strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        console.print(f"{what}, encrypted / plain: {statistics.median(ratios):.2f} ({each})")


if __name__ == "__main__":
    main()

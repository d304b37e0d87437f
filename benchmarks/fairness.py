"""How long an order waits in one namespace while very many are applied at once in another.

An order of the calm namespace is placed alone, and then again and again, one at a time, for as long as the burst lasts.
What a slower machine adds to every order counts as delay too: everything shares two cores here.

    python benchmarks/fairness.py --orders 1000
"""

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api_server import Orders, orders_of
from end_to_end import an_order, at_most
from measurements import quantile
from rich.console import Console

from order_devstack.stack import Stack

BUSY, CALM = "busy", "calm"
ALONE = 10
"""Orders that are placed one after the other before the burst."""
PAUSE_SECONDS = 1.0
"""Between the end of one order of the calm namespace and the next."""
LOOK_SECONDS = 3.0
"""Between two looks at how much of the burst is left; each is a long list."""
GIVE_UP_SECONDS = 900.0
"""Several times what the burst may take."""
console = Console()


@dataclass(frozen=True)
class Way:
    """Of one order: seconds from its creation until each."""

    started: float
    """Its workflow has started: the API server, the watch and the operator's queue."""
    ended: float
    """Its workflow has ended: Temporal and the worker."""
    shown: float
    """Its status shows that: visibility, the scanner and one write."""


async def place(orders: Orders, name: str) -> Way:
    """One order, from its creation to its end."""
    created = datetime.now(UTC)
    await orders.create(an_order(name))
    status = await orders.completed(name)

    def since(instant: str) -> float:
        return (datetime.fromisoformat(instant) - created).total_seconds()

    shown = (datetime.now(UTC) - created).total_seconds()
    return Way(started=since(status["startTime"]), ended=since(status["completionTime"]), shown=shown)


async def beside(orders: Orders, burst: asyncio.Task[float]) -> list[Way]:
    """Orders, one after the other, until the burst is over."""
    ways: list[Way] = []
    while not burst.done():
        ways.append(await place(orders, f"beside-{len(ways)}"))
        await asyncio.sleep(PAUSE_SECONDS)
    return ways


async def apply_all(orders: Orders, count: int) -> float:
    """All at once; seconds until the last has completed."""
    started = time.monotonic()

    async def one(number: int) -> None:
        await orders.create(an_order(f"burst-{number}"))

    await at_most(count, count, one)
    console.print(f"{count} orders applied in {time.monotonic() - started:.1f} s")
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            if not await orders.unfinished():
                return time.monotonic() - started
            await asyncio.sleep(LOOK_SECONDS)


async def measure(stack: Stack, count: int) -> dict[str, Any]:
    """Alone, then beside the burst."""
    for namespace in (BUSY, CALM):
        stack.kubectl("create", "namespace", namespace)
    async with orders_of(stack, BUSY) as busy, orders_of(stack, CALM) as calm:
        await place(calm, "warm-up")
        alone = [await place(calm, f"alone-{number}") for number in range(ALONE)]
        burst = asyncio.create_task(apply_all(busy, count))
        ways = await beside(calm, burst)
        seconds = await burst
    usual = {part: quantile([getattr(way, part) for way in alone], 0.5) for part in ("started", "ended", "shown")}
    return {
        "orders in the burst": count,
        "seconds until the last of them has completed": round(seconds, 1),
        "orders beside it": len(ways),
        "alone, p50 seconds": {part: round(value, 2) for part, value in usual.items()},
        **{
            f"delay until {part}, seconds": {
                name: round(quantile([getattr(way, part) - value for way in ways], share), 2)
                for name, share in (("p50", 0.5), ("p95", 0.95))
            }
            for part, value in usual.items()
        },
    }


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000, help="in the burst (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        stack = Stack(Path(folder) / "stack", ui=False)
        try:
            stack.up()
            result = asyncio.run(measure(stack, options.orders))
        finally:
            stack.down()
    console.print_json(json.dumps(result))


if __name__ == "__main__":
    main()

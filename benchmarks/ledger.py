"""What the ledger's transactions cost, on SQLite and on a PostgreSQL that waits for the disk.

One order after the other: receive, reserve, charge (two transactions and a provider in memory), sell, close, and a
single audit event. Milliseconds as the caller waits; CPU is this process's own, without PostgreSQL's.

    python benchmarks/ledger.py --orders 500
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from measurements import quantile
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection
from temporalio.common import MetricMeter

from order_devstack import postgresql
from order_domain.order import OrderLine
from order_worker.activities.order import LedgerOrders
from order_worker.activities.payment import LedgerPayments
from order_worker.activities.stock import LedgerStock
from order_worker.ledger import audit, schema, stock
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.ledger.locked_order import lock
from order_worker.metrics import Metrics
from order_worker.providers.payment.port import ProviderCharge
from order_worker.providers.payment.simulated import SimulatedPayments
from order_workflows.activities.order import CloseOrder, ReceiveOrder
from order_workflows.activities.payment import Charge
from order_workflows.activities.stock import CommitStock, ReserveStock
from order_workflows.contract import ResourceIdentity

SKU = "PROD-001"
GOAL_MS = 5.0
"""Median of each."""
WARM_UP = 20

Action = Callable[[int], Awaitable[object]]


class PaymentsInMemory(SimulatedPayments):
    """Takes no time, so that only the ledger is measured."""

    def __init__(self) -> None:
        self._charges: dict[str, ProviderCharge] = {}

    async def charge(
        self,
        key: str,
        *,
        amount_minor: int,
        currency: str,  # noqa: ARG002
        method: str,  # noqa: ARG002
        asked_at: datetime,  # noqa: ARG002
        ordered_at: datetime | None = None,  # noqa: ARG002
    ) -> ProviderCharge:
        return self._charges.setdefault(key, ProviderCharge(f"TX-{key}", amount_minor))

    async def find_charge(self, key: str) -> ProviderCharge | None:
        return self._charges.get(key)


def an_identity(number: int) -> ResourceIdentity:
    """Of one order."""
    uid = f"7f9c2ba4-e88f-4270-8d3c-{number:012d}"
    return ResourceIdentity(cluster="bench", namespace="shop", name=f"order-{number}", uid=uid)


def actions(ledger: Ledger) -> dict[str, Action]:
    """What is measured, in the order in which one order goes through it."""
    metrics = Metrics(MetricMeter.noop)
    orders, pieces = LedgerOrders(ledger), LedgerStock(ledger, metrics)
    payments = LedgerPayments(ledger, PaymentsInMemory(), metrics)
    line = OrderLine(line_id="1", sku=SKU, quantity=1, unit_price_minor=750)

    def effect(number: int, step: str) -> dict[str, object]:
        order = an_identity(number)
        return {"order": order, "operation_id": f"{order.uid}/{step}"}

    async def receive(number: int) -> None:
        fields = effect(number, "receive") | {"order_id": f"ORDER-{number}", "customer_id": "CUST-1"}
        await orders.receive(ReceiveOrder.model_validate(fields | {"currency": "USD", "total_minor": 750}))

    async def reserve(number: int) -> None:
        await pieces.reserve(ReserveStock.model_validate(effect(number, "reserve") | {"lines": [line]}))

    async def charge(number: int) -> None:
        fields = effect(number, "charge") | {"amount_minor": 750, "currency": "USD", "method": "tok_visa"}
        await payments.charge(Charge.model_validate(fields))

    async def commit(number: int) -> None:
        fields = effect(number, "commit") | {"reserve_operation_id": f"{an_identity(number).uid}/reserve"}
        await pieces.commit(CommitStock.model_validate(fields))

    async def close(number: int) -> None:
        await orders.close(CloseOrder.model_validate(effect(number, "close") | {"status": "Order Completed"}))

    async def append(number: int) -> None:
        def write(tx: Connection) -> None:
            audit.append(tx, lock(tx, an_identity(number)), "bench", {"operationID": "bench", "state": "done"})

        await ledger.transaction(write)

    return {
        "receive": receive,
        "reserve": reserve,
        "charge": charge,
        "commit": commit,
        "close": close,
        "audit append": append,
    }


async def measure(url: str, orders: int) -> dict[str, tuple[float, float, float]]:
    """Median, p95 and CPU per call in milliseconds, by action."""
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
    ledger = await Ledger.open(url)
    results = {}
    try:
        await ledger.transaction(lambda tx: stock.ensure(tx, {SKU: 10 * orders}))
        for name, action in actions(ledger).items():
            for number in range(WARM_UP):
                await action(number)
            waits, cpu = [], time.process_time()
            for number in range(WARM_UP, WARM_UP + orders):
                started = time.perf_counter()
                await action(number)
                waits.append(1000 * (time.perf_counter() - started))
            cpu = 1000 * (time.process_time() - cpu) / orders
            results[name] = (quantile(waits, 0.5), quantile(waits, 0.95), cpu)
    finally:
        await ledger.close()
    return results


def main() -> None:
    """Measure both databases and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=500, help="orders on each database (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="order-bench-") as folder:
        on_sqlite = asyncio.run(measure(f"sqlite:///{Path(folder) / 'ledger.db'}", options.orders))
    with postgresql.running() as server:
        server.create("ledger")
        on_postgresql = asyncio.run(measure(server.url("ledger"), options.orders))
    columns = ("median ms", "p95 ms", "CPU ms")
    table = Table("", *(f"{database} {column}" for database in ("SQLite", "PostgreSQL") for column in columns))
    for name in on_sqlite:
        table.add_row(name, *(f"{value:.2f}" for value in (*on_sqlite[name], *on_postgresql[name])))
    Console(width=120).print(table)
    slow = [name for results in (on_sqlite, on_postgresql) for name, figures in results.items() if figures[0] > GOAL_MS]
    if slow:
        raise SystemExit(f"median above {GOAL_MS} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()

"""What becomes of orders when an ordinary service carries them: the same steps and failures, without durable execution.

The service is a function that calls the steps one after another, as a request handler or a queue's consumer would, on
this project's simulated payment company, carrier and fraud check; books and stock are two tables. Some attempts fail
before they have any effect, and in some orders the process dies between two lines. How an order has ended is not asked
of the service but of what the companies and the tables have on record.

    python benchmarks/without_durable_execution.py --orders 100 --errors 33 --deaths 5 --seed 0
"""

import argparse
import asyncio
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

from order_domain.errors import ProviderUnavailable
from order_domain.order import Address
from order_domain.pipeline import StepName
from order_worker.interceptors.simulated_faults import draw
from order_worker.providers.fraud.simulated import SimulatedFraudCheck
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_worker.providers.store import ProviderStore

PRICE_MINOR = 5_000
ADDRESS = Address(name="Ana Torres", line1="1 Main Street", city="Springfield", postal_code="62701", country="US")
STEPS = (
    StepName.RECEIVE,
    StepName.CHECK_FRAUD,
    StepName.RESERVE_STOCK,
    StepName.CHARGE_PAYMENT,
    StepName.SHIP,
    StepName.UPDATE_ORDER_STATUS,
)
SCHEMA = """
CREATE TABLE books (number TEXT PRIMARY KEY, status TEXT NOT NULL);
CREATE TABLE reservations (request TEXT PRIMARY KEY, state TEXT NOT NULL);
"""


class Service(NamedTuple):
    """One way to write it."""

    name: str
    attempts_per_step: int
    undoes: bool = False
    """Whether the handler, when a step has failed for good, undoes the steps before it."""
    resent: bool = False
    """Whether a customer who got an error sends the order once more."""


SERVICES = (
    Service("one attempt", 1),
    Service("three attempts", 3),
    Service("three attempts, sent again by the customer", 3, resent=True),
    Service("three attempts, undone in `except`", 3, undoes=True),
    Service("three attempts, undone in `except`, sent again", 3, undoes=True, resent=True),
)


class End(StrEnum):
    """What has become of an order. The first is as it should be, the second cost no more than the sale."""

    FINISHED = "finished"
    REFUSED = "refused, nothing left behind"
    STOCK_HELD = "stock held for ever"
    NOT_IN_THE_BOOKS = "shipped, not in the books"
    NOT_SHIPPED = "charged, not shipped"
    CHARGED_TWICE = "charged twice"


class ProcessDied(BaseException):
    """No `except Exception` of a service sees its own process die."""


class Faults:
    """What goes wrong with one order: the same for every service, as far as each of them gets."""

    def __init__(self, seed: int, number: str, *, errors: int, deaths: int) -> None:
        self._key = (seed, number)
        self._errors = errors
        self._attempts: Counter[str] = Counter()
        dies = draw(*self._key, "dies") < deaths
        self._last_moment = draw(*self._key, "moment") * 2 * len(STEPS) // 100 if dies else None

    def attempt(self, what: str) -> None:
        """Raises ProviderUnavailable if this attempt is one of those that fail."""
        self._attempts[what] += 1
        if draw(*self._key, what, self._attempts[what]) < self._errors:
            raise ProviderUnavailable(what)

    def moment(self, passed: int) -> None:
        """Raises ProcessDied, once, at the order's last moment; there is one before each step and one after it."""
        if passed == self._last_moment:
            self._last_moment = None
            raise ProcessDied


class Shop:
    """What the service calls, and its two tables."""

    def __init__(self, store: ProviderStore, tables: sqlite3.Connection) -> None:
        self._store = store
        self._tables = tables
        self._fraud = SimulatedFraudCheck()
        self._payments = SimulatedPayments(store)
        self._carrier = SimulatedCarrier(store)

    async def do(self, step: StepName, number: str, request: str) -> None:
        """One step. Charge and parcel carry the request as their key, the same at each of its attempts."""
        match step:
            case StepName.RECEIVE:
                self._write("INSERT INTO books VALUES (?, 'open') ON CONFLICT DO NOTHING", number)
            case StepName.CHECK_FRAUD:
                await self._fraud.check(customer_id="CUST-1", total_minor=PRICE_MINOR, currency="USD", country="US")
            case StepName.RESERVE_STOCK:
                self._write("INSERT INTO reservations VALUES (?, 'held')", request)
            case StepName.CHARGE_PAYMENT:
                await self._payments.charge(
                    request, amount_minor=PRICE_MINOR, currency="USD", method="tok_visa", asked_at=datetime.now(UTC)
                )
            case StepName.SHIP:
                now = datetime.now(UTC)
                await self._carrier.dispatch(request, sku="PROD-001", quantity=1, address=ADDRESS, requested_at=now)
            case StepName.UPDATE_ORDER_STATUS:
                self._write("UPDATE reservations SET state = 'sold' WHERE request = ?", request)
                self._write("UPDATE books SET status = 'complete' WHERE number = ?", number)

    async def undo(self, step: StepName, request: str) -> None:
        """Take back a step that has happened."""
        match step:
            case StepName.RESERVE_STOCK:
                self._write("UPDATE reservations SET state = 'released' WHERE request = ?", request)
            case StepName.CHARGE_PAYMENT:
                await self._payments.refund(
                    f"{request}/refund",
                    charge_key=request,
                    transaction_id=None,
                    charged_minor=PRICE_MINOR,
                    amount_minor=PRICE_MINOR,
                    currency="USD",
                    asked_at=datetime.now(UTC),
                )
            case StepName.SHIP:
                await self._carrier.cancel(request, tracking_number=None)

    def is_complete(self, number: str) -> bool:
        """By the books."""
        return bool(_count(self._tables, "books WHERE status = 'complete' AND number = ?", number))

    async def end(self, number: str) -> End:
        """By the records of both companies and both tables."""
        requests = f"{number}/%"
        taken, returned, parcels = await self._store.transaction(
            lambda tx: (
                _count(tx, "charges WHERE state = 'captured' AND key LIKE ?", requests),
                _count(tx, "refunds WHERE charge_key LIKE ?", requests),
                _count(tx, "shipments WHERE state = 'dispatched' AND key LIKE ?", requests),
            )
        )
        charged = taken - returned
        if charged > 1:
            return End.CHARGED_TWICE
        if charged > parcels:
            return End.NOT_SHIPPED
        if parcels and (parcels > charged or not self.is_complete(number)):
            return End.NOT_IN_THE_BOOKS
        if _count(self._tables, "reservations WHERE state = 'held' AND request LIKE ?", requests):
            return End.STOCK_HELD
        return End.FINISHED if parcels else End.REFUSED

    def _write(self, statement: str, value: str) -> None:
        self._tables.execute(statement, (value,))


def _count(tables: sqlite3.Connection, rows: str, value: str) -> int:
    return int(tables.execute(f"SELECT count(*) FROM {rows}", (value,)).fetchone()[0])  # noqa: S608 - constants above


async def handle(shop: Shop, service: Service, faults: Faults, number: str, request: str) -> None:
    """The service's request handler. Raises ProviderUnavailable, which the customer sees."""
    done: list[StepName] = []
    try:
        for index, step in enumerate(STEPS):
            faults.moment(2 * index)
            await attempts(service, faults, step, partial(shop.do, step, number, request))
            done.append(step)
            faults.moment(2 * index + 1)
    except ProviderUnavailable:
        for step in reversed(done if service.undoes else []):
            with suppress(ProviderUnavailable):  # an undo that fails is logged, in such a service
                await attempts(service, faults, f"undo {step}", partial(shop.undo, step, request))
        raise


async def attempts(service: Service, faults: Faults, what: str, work: Callable[[], Awaitable[None]]) -> None:
    """As often as the service tries; without pauses, which change no figure."""
    for number in range(1, service.attempts_per_step + 1):
        try:
            faults.attempt(what)
            await work()
        except ProviderUnavailable:
            if number == service.attempts_per_step:
                raise
        else:
            return


async def place(shop: Shop, service: Service, faults: Faults, number: str) -> None:
    """One customer's order. A process that died and a step that failed look alike from outside."""
    for request in range(2 if service.resent else 1):
        if shop.is_complete(number):
            return
        with suppress(ProviderUnavailable, ProcessDied):
            await handle(shop, service, faults, number, f"{number}/{request}")


async def run(service: Service, options: argparse.Namespace, folder: Path) -> Counter[End]:
    """How the orders end with this service."""
    store = await ProviderStore.open(folder / "providers.db")
    tables = sqlite3.connect(":memory:", isolation_level=None)
    tables.executescript(SCHEMA)
    shop = Shop(store, tables)
    ends: Counter[End] = Counter()
    for number in (f"ORDER-{index:06}" for index in range(options.orders)):
        faults = Faults(options.seed, number, errors=options.errors, deaths=options.deaths)
        await place(shop, service, faults, number)
        ends[await shop.end(number)] += 1
    tables.close()
    await store.close()
    return ends


def main() -> None:
    """Let every service carry the same orders; print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100, help="orders (default: %(default)s)")
    parser.add_argument("--errors", type=int, default=33, help="percent of attempts that fail (default: %(default)s)")
    parser.add_argument("--deaths", type=int, default=5, help="percent of orders it dies in (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one, other failures (default: %(default)s)")
    options = parser.parse_args()
    print(f"| {options.orders} orders | {' | '.join(End)} |\n|---|{'---:|' * len(End)}")
    for service in SERVICES:
        with tempfile.TemporaryDirectory(prefix="order-contrast-") as folder:
            ends = asyncio.run(run(service, options, Path(folder)))
        print(f"| {service.name} | {' | '.join(str(ends[end]) for end in End)} |")


if __name__ == "__main__":
    main()

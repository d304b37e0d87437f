"""A shop for tests: a migrated ledger, providers that remember what they did, and requests to both."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, select
from temporalio.common import MetricMeter

from order_domain.order import Address, OrderCharge, OrderLine, sum_minor
from order_worker.activities.fraud import LedgerFraudChecks
from order_worker.activities.notification import LedgerNotifications
from order_worker.activities.order import LedgerOrders
from order_worker.activities.payment import LedgerPayments
from order_worker.activities.shipping import LedgerShipping
from order_worker.activities.shop_data import ShopData
from order_worker.activities.stock import LedgerStock
from order_worker.activities.stock_item import LedgerStockItems
from order_worker.activities.warehouse import LedgerWarehouse
from order_worker.bootstrap import Providers
from order_worker.ledger import stock, tables
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_workflows.activities.fraud import CheckFraud
from order_workflows.activities.notification import Notice
from order_workflows.activities.order import ChangeLines, CloseOrder, HaltOrder, ReceiveOrder, SellLines, UpdateStatus
from order_workflows.activities.payment import Charge, Refund
from order_workflows.activities.shipping import CancelShipment, Ship
from order_workflows.activities.stock import CommitStock, ReleaseStock, ReserveStock
from order_workflows.activities.warehouse import PackLines, UnpackLines
from order_workflows.contract import ResourceIdentity

SKU = "PROD-001"
REQUESTED_AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ADDRESS = Address(name="Ana", line1="1 Main St", city="Springfield", postal_code="12345", country="US")


@dataclass
class Buyer:
    """One order, and what its workflow asks for."""

    uid: str = "uid-1"
    name: str = "order-1"
    order_id: str = "ORDER-1"
    identity: ResourceIdentity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = ResourceIdentity(cluster="test", namespace="shop", name=self.name, uid=self.uid)

    def _effect(self, step: str) -> dict[str, Any]:
        return {"order": self.identity, "operation_id": f"{self.uid}/{step}"}

    def receive(
        self,
        *lines: OrderLine,
        total_minor: int = 750,
        charges: Sequence[OrderCharge] = (),
        charged: bool | None = None,
    ) -> ReceiveOrder:
        """With lines, as the newest workflows do; without, as older ones."""
        return ReceiveOrder(
            **self._effect("receive"),
            order_id=self.order_id,
            customer_id="CUST-1",
            currency="USD",
            total_minor=sum_minor(lines, charges) if lines else total_minor,
            lines=list(lines),
            charges=list(charges),
            charged=charged,
        )

    def update_status(self, status: str = "Update Order Status") -> UpdateStatus:
        return UpdateStatus(**self._effect("status"), status=status)

    def close(self, status: str = "Order Completed", **fields: Any) -> CloseOrder:
        return CloseOrder(**self._effect("close"), status=status, **fields)

    def halt(self, *, pivot_passed: bool = False, **fields: Any) -> HaltOrder:
        return HaltOrder(**self._effect("halt"), received=self.receive(), pivot_passed=pivot_passed, **fields)

    def sell_lines(self, *line_ids: str) -> SellLines:
        return SellLines(**self._effect("sell"), line_ids=list(line_ids))

    def fraud_check(self, customer_id: str = "CUST-1") -> CheckFraud:
        return CheckFraud(
            **self._effect("fraud"), customer_id=customer_id, currency="USD", total_minor=750, country="US"
        )

    def reserve(self, quantity: int = 2, *, sku: str = SKU, step: str = "reserve", **fields: Any) -> ReserveStock:
        return ReserveStock(**self._effect(step), lines=[a_line("1", quantity, sku=sku)], **fields)

    def reserve_lines(self, *lines: OrderLine, step: str = "reserve", **fields: Any) -> ReserveStock:
        return ReserveStock(**self._effect(step), lines=list(lines), **fields)

    def change_lines(self, *lines: OrderLine, step: str = "lines/2", replaces: str | None = "reserve") -> ChangeLines:
        return ChangeLines(
            **self._effect(step),
            lines=list(lines),
            total_minor=sum(line.amount_minor for line in lines),
            replaces=replaces and f"{self.uid}/{replaces}",
        )

    def release(self, reservation: str = "reserve", *, step: str | None = None, **kept: int) -> ReleaseStock:
        """The underscore of an article's name stands for a dash."""
        suffix = "" if reservation == "reserve" else f"/{reservation}"
        return ReleaseStock(
            **self._effect(step or f"release{suffix}"),
            reserve_operation_id=f"{self.uid}/{reservation}",
            kept={sku.replace("_", "-"): count for sku, count in kept.items()},
        )

    def commit(self, reservation: str = "reserve") -> CommitStock:
        return CommitStock(**self._effect("commit"), reserve_operation_id=f"{self.uid}/{reservation}")

    def charge(self, *, amount_minor: int = 750, method: str = "tok_visa", step: str = "charge") -> Charge:
        return Charge(**self._effect(step), amount_minor=amount_minor, currency="USD", method=method)

    def refund(self, *, step: str = "refund", **fields: Any) -> Refund:
        return Refund(**self._effect(step), charge_operation_id=f"{self.uid}/charge", reason="Cancelled", **fields)

    def pack(self, *quantities: int) -> PackLines:
        lines = [a_line(str(number), quantity) for number, quantity in enumerate(quantities, start=1)]
        return PackLines(**self._effect("pack"), lines=lines)

    def unpack(self) -> UnpackLines:
        return UnpackLines(**self._effect("unpack"), pack_operation_id=f"{self.uid}/pack")

    def ship(
        self, *, quantity: int = 2, postal_code: str = "12345", line: OrderLine | None = None, **fields: Any
    ) -> Ship:
        address = ADDRESS.model_copy(update={"postal_code": postal_code})
        shipped = line or a_line("1", quantity)
        effect = self._effect(f"ship/{shipped.line_id}")
        return Ship(**effect, line=shipped, address=address, requested_at=REQUESTED_AT, **fields)

    def cancel_shipment(self, line_id: str = "1", **fields: Any) -> CancelShipment:
        effect = self._effect(f"ship/{line_id}/cancel")
        return CancelShipment(**effect, ship_operation_id=f"{self.uid}/ship/{line_id}", **fields)

    def notice(self, *, body: str = "On its way.") -> Notice:
        return Notice(
            **self._effect("notify"), order_id=self.order_id, email="ana@example.com", subject="Yours", body=body
        )


def a_line(line_id: str, quantity: int, *, sku: str = SKU) -> OrderLine:
    return OrderLine(line_id=line_id, sku=sku, quantity=quantity, unit_price_minor=375)


@dataclass
class Shop:
    """The worker's activities without Temporal."""

    ledger: Ledger
    providers: Providers
    metrics: Metrics = field(default_factory=lambda: Metrics(MetricMeter.noop))

    def __post_init__(self) -> None:
        self.orders = LedgerOrders(self.ledger)
        self.stock = LedgerStock(self.ledger, self.metrics)
        self.fraud = LedgerFraudChecks(self.ledger, self.providers.fraud)
        self.payments = LedgerPayments(self.ledger, self.providers.payments, self.metrics)
        self.shop_data = ShopData(self.providers.shop)
        self.warehouse = LedgerWarehouse(self.ledger, self.providers.warehouse)
        self.shipping = LedgerShipping(self.ledger, self.providers.carrier)
        self.stock_items = LedgerStockItems(self.ledger, self.providers.supplier, self.metrics)
        self.notifications = LedgerNotifications(self.ledger, self.providers.mailer, self.metrics)

    async def buyer(self, number: int = 1) -> Buyer:
        """An order that the ledger has received."""
        buyer = Buyer(uid=f"uid-{number}", name=f"order-{number}", order_id=f"ORDER-{number}")
        await self.orders.receive(buyer.receive())
        return buyer

    async def stocked(self, **pieces: int) -> None:
        """Adds articles; the underscore of a name stands for a dash."""
        wanted = {sku.replace("_", "-"): count for sku, count in pieces.items()}
        await self.ledger.transaction(lambda tx: stock.ensure(tx, wanted))

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        """All rows of a table of the ledger."""

        def read(tx: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in tx.execute(select(table)).mappings()]

        return await self.ledger.transaction(read)

    async def counts(self, sku: str = SKU) -> tuple[int, int, int]:
        """On hand, reserved, sold."""
        for row in await self.rows(tables.stock):
            if row["sku"] == sku:
                return row["on_hand"], row["reserved"], row["sold"]
        raise AssertionError(f"no stock of {sku}")

    async def provider_log(self, table: str) -> list[dict[str, Any]]:
        """What the simulated providers did, from their own file."""

        def read(tx: sqlite3.Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in tx.execute(f"SELECT * FROM {table}")]  # noqa: S608

        assert self.providers.store is not None
        return await self.providers.store.transaction(read)

    async def insert(self, table: Table, **values: Any) -> None:
        """One row, past all code."""
        await self.ledger.transaction(lambda tx: tx.execute(insert(table).values(**values)).rowcount)

"""The outside world of an order, in memory: keeps what was done to it, by operation, and fails when told to.

Like the ledger it is idempotent: an operation repeated changes nothing, and what was undone first never happens.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity

from order_domain.audit_note import AuditNote
from order_domain.errors import (
    DuplicateOrder,
    InvalidOrder,
    OperationCancelled,
    OutOfStock,
    ProviderUnavailable,
)
from order_domain.order import Address, OrderLine
from order_domain.snapshot import ItemRecord
from order_domain.status import OrderStatus
from order_workflows.activities.effect import EffectKind, Outcome
from order_workflows.activities.fraud import CheckFraud, FraudActivities
from order_workflows.activities.notification import Notice, NotificationActivities
from order_workflows.activities.order import (
    BegunEffect,
    ChangeLines,
    CloseOrder,
    Halted,
    HaltOrder,
    LinesChanged,
    LinesSold,
    OrderActivities,
    ReceiveOrder,
    SellLines,
    UpdateStatus,
)
from order_workflows.activities.payment import Charge, PaymentActivities, Receipt, Refund, Refunded
from order_workflows.activities.shipping import CancelShipment, Ship, ShipmentCancelled, Shipped, ShippingActivities
from order_workflows.activities.shop_data import (
    FetchProfile,
    FetchRecommendations,
    GetItems,
    Items,
    Profile,
    Recommendations,
    ShopDataActivities,
)
from order_workflows.activities.stock import (
    CheckAvailability,
    CommitStock,
    ReleaseStock,
    Reserved,
    ReserveStock,
    StockActivities,
    ValidateLines,
)
from order_workflows.activities.warehouse import PackLines, UnpackLines, WarehouseActivities

INITIAL_STOCK = 100
TIERS = {"CUST-1": "Gold"}
"""By customer; everybody else is Bronze."""


@dataclass
class Hold:
    """Calls of one activity wait here, before they have any effect."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let the calls go on, and all later ones."""
        self.released.set()


@dataclass
class Fault:
    """`times` calls raise `error`; None: all of them."""

    error: Exception
    times: int | None


@dataclass(frozen=True)
class Parcel:
    """What the carrier took."""

    line_id: str
    address: Address


class World(
    OrderActivities,
    ShopDataActivities,
    FraudActivities,
    StockActivities,
    WarehouseActivities,
    PaymentActivities,
    ShippingActivities,
    NotificationActivities,
):
    """An activity is named as Temporal knows it; one line's shipment also as `ship_line/<lineID>`."""

    def __init__(self) -> None:
        self.most_at_once: Counter[str] = Counter()
        """By activity, how many calls of it there were at the same time."""
        self._now: Counter[str] = Counter()
        self.calls: list[str] = []
        """Every attempt of every activity."""
        self.numbers: dict[tuple[str, str], str] = {}
        """Uid by namespace and order number."""
        self.ends: dict[str, str] = {}
        """Final status by uid."""
        self.checked: list[int] = []
        """Totals that the fraud check was asked about."""
        self.countries: list[str] = []
        """Countries that it was asked about."""
        self.on_hand: Counter[str] = Counter({"PROD-001": INITIAL_STOCK, "PROD-002": INITIAL_STOCK})
        self.sold: Counter[str] = Counter()
        self.reserved: dict[str, list[OrderLine]] = {}
        """By the reservation's operation; empty once released or sold."""
        self.packed: dict[str, list[str]] = {}
        """Line ids by the packing's operation, until it is undone."""
        self.statuses: list[str] = []
        """Written back to the shop's books."""
        self.charged: dict[str, int] = {}
        self.refunded: Counter[str] = Counter()
        """Both by the charge's operation."""
        self.refund_reasons: list[str] = []
        self.refund_requests: list[Refund] = []
        self.parcels: dict[str, Parcel] = {}
        self.called_back: set[str] = set()
        """Both by the shipment's operation."""
        self.mails: list[Notice] = []
        self.sold_lines: list[str] = []
        self.notes: list[AuditNote] = []
        self.delivered_at_once: set[str] = set()
        """Ids of lines whose parcels can never be called back."""
        self.refused_calls_back: set[str] = set()
        """By the shipment's operation."""
        self.halts: dict[str, HaltOrder] = {}
        """The first one of each order, by uid."""
        self.committed: set[str] = set()
        """Uids of orders past their pivot."""
        self._undone: set[str] = set()
        self._faults: dict[str, Fault] = {}
        self._lost: dict[str, Fault] = {}
        self._holds: dict[str, Hold] = {}

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """What a worker needs."""
        orders = [self.receive, self.change_lines, self.update_status, self.sell_lines, self.close, self.halt]
        stock = [self.validate, self.available, self.reserve, self.release, self.commit, self.pack, self.unpack]
        shop_data = [self.items, self.profile, self.recommendations]
        money = [self.check, self.charge, self.refund]
        return [*orders, *stock, *shop_data, *money, self.ship, self.cancel, self.notify]

    def fail(self, name: str, error: Exception, *, times: int | None = None) -> None:
        """Calls of `name` raise `error`, the first `times` or all."""
        self._faults[name] = Fault(error, times)

    def repair(self, name: str) -> None:
        """Calls of `name` succeed again."""
        del self._faults[name]

    def lose_answers(self, name: str, *, times: int | None = None) -> None:
        """Calls of `name`, the first `times` or all, do what they should and then seem to have failed."""
        self._lost[name] = Fault(ProviderUnavailable("the connection broke"), times)

    def hold(self, name: str) -> Hold:
        """Calls of `name` wait until released."""
        return self._holds.setdefault(name, Hold())

    def release_all(self) -> None:
        """Nothing waits any more."""
        for hold in self._holds.values():
            hold.release()

    @property
    def balance(self) -> int:
        """Money kept, in minor units."""
        return sum(self.charged.values()) - sum(self.refunded.values())

    @property
    def delivered(self) -> dict[str, Address]:
        """Where the parcels that were not called back went, by line."""
        return {
            parcel.line_id: parcel.address
            for operation, parcel in self.parcels.items()
            if operation not in self.called_back
        }

    @property
    def untouched(self) -> bool:
        """Whether no money is kept, no piece is held or sold and no parcel is out."""
        whole = all(count == INITIAL_STOCK for count in self.on_hand.values())
        return whole and not self.balance and not self.delivered and not self.packed

    def count(self, name: str) -> int:
        """Attempts of `name`."""
        return self.calls.count(name)

    async def _called(self, *names: str) -> None:
        self.calls.append(names[0])
        for name in names:
            hold = self._holds.get(name)
            if hold is not None:
                hold.reached.set()
                await hold.released.wait()
            self._raise(self._faults.get(name))

    @staticmethod
    def _raise(fault: Fault | None) -> None:
        if fault is not None and fault.times != 0:
            if fault.times is not None:
                fault.times -= 1
            raise fault.error

    @activity.defn(name="receive_order")
    async def receive(self, request: ReceiveOrder) -> Outcome:
        await self._called("receive_order")
        uid = request.order.uid
        first = self.numbers.setdefault((request.order.namespace, request.order_id), uid)
        if first != uid:
            raise DuplicateOrder(request.order_id, first)
        return Outcome()

    @activity.defn(name="change_lines")
    async def change_lines(self, request: ChangeLines) -> LinesChanged:
        await self._called("change_lines")
        self._refuse_unknown(request.lines)
        if request.replaces is None:
            return LinesChanged()
        if request.operation_id not in self.reserved:
            earlier = self.reserved[request.replaces]
            wanted, held = _pieces(request.lines), _pieces(earlier)
            if not wanted <= self.on_hand + held:
                raise OutOfStock("not enough pieces are free")
            self.on_hand.update(held)
            self.on_hand.subtract(wanted)
            del self.reserved[request.replaces]
            self.reserved[request.operation_id] = request.lines
        return LinesChanged(reservation_id=f"RES-{request.operation_id}")

    @activity.defn(name="update_order_status")
    async def update_status(self, request: UpdateStatus) -> Outcome:
        await self._called("update_order_status")
        self.statuses.append(request.status)
        return Outcome()

    @activity.defn(name="get_items")
    async def items(self, request: GetItems) -> Items:
        await self._called("get_items")
        lines = sorted(request.lines, key=lambda line: line.line_id)
        return Items(
            items=[
                ItemRecord(line_id=line.line_id, sku=line.sku, quantity=line.quantity, description=f"a {line.sku}")
                for line in lines
            ]
        )

    @activity.defn(name="fetch_customer_profile")
    async def profile(self, request: FetchProfile) -> Profile:
        await self._called("fetch_customer_profile")
        return Profile(tier=TIERS.get(request.customer_id, "Bronze"))

    @activity.defn(name="fetch_recommendations")
    async def recommendations(self, request: FetchRecommendations) -> Recommendations:
        await self._called("fetch_recommendations")
        return Recommendations(names=[f"like {sku}" for sku in request.skus])

    @activity.defn(name="close_order")
    async def close(self, request: CloseOrder) -> Outcome:
        await self._called("close_order")
        self.notes += request.notes
        self.ends[request.order.uid] = request.status
        return Outcome()

    @activity.defn(name="sell_lines")
    async def sell_lines(self, request: SellLines) -> LinesSold:
        await self._called("sell_lines")
        self.sold_lines = request.line_ids
        for lines in self.reserved.values():
            for line in lines:
                self.sold[line.sku] += line.quantity
        self.reserved.clear()
        return LinesSold(total_minor=self.balance, owed_minor=self.balance)

    @activity.defn(name="halt_order")
    async def halt(self, request: HaltOrder) -> Halted:
        await self._called("halt_order")
        uid = request.order.uid
        self.notes += request.notes
        completed = self.ends.get(uid) == OrderStatus.ORDER_COMPLETED
        if uid in self.ends and not completed:
            return Halted(ended=self.ends[uid])
        pivot_passed = request.pivot_passed or uid in self.committed or completed
        if not pivot_passed:
            self.halts.setdefault(uid, request)
        first = self.halts.get(uid, request)
        return Halted(
            status=first.status,
            error_type=first.error_type,
            message=first.message,
            pivot_passed=pivot_passed,
            begun=self._begun(uid),
        )

    def _begun(self, uid: str) -> list[BegunEffect]:
        """What is not undone."""
        left = {
            EffectKind.RESERVE: list(self.reserved),
            EffectKind.PACK: list(self.packed),
            EffectKind.CHARGE: [charge for charge, amount in self.charged.items() if amount > self.refunded[charge]],
            EffectKind.SHIP: [parcel for parcel in self.parcels if parcel not in self.called_back],
        }
        return [
            BegunEffect(
                kind=kind,
                operation_id=operation,
                line_id=self.parcels[operation].line_id if kind is EffectKind.SHIP else None,
                sold=operation in self.refused_calls_back,
            )
            for kind, operations in left.items()
            for operation in operations
            if operation.startswith(f"{uid}/")
        ]

    @activity.defn(name="check_fraud")
    async def check(self, request: CheckFraud) -> Outcome:
        await self._called("check_fraud")
        self.checked.append(request.total_minor)
        self.countries.append(request.country)
        return Outcome()

    @activity.defn(name="validate_lines")
    async def validate(self, request: ValidateLines) -> Outcome:
        await self._called("validate_lines")
        if request.flaws:
            raise InvalidOrder("; ".join(request.flaws))
        self._refuse_unknown(request.lines)
        return Outcome()

    @activity.defn(name="check_availability")
    async def available(self, request: CheckAvailability) -> Outcome:
        await self._called("check_availability")
        if not _pieces(request.lines) <= self.on_hand:
            raise OutOfStock("not enough pieces are free")
        return Outcome()

    @activity.defn(name="reserve_stock")
    async def reserve(self, request: ReserveStock) -> Reserved:
        await self._called("reserve_stock")
        self._refuse_undone(request.operation_id)
        if request.operation_id not in self.reserved:
            wanted = _pieces(request.lines)
            if not wanted <= self.on_hand:
                raise OutOfStock("not enough pieces are free")
            self.on_hand.subtract(wanted)
            self.reserved[request.operation_id] = request.lines
        self._raise(self._lost.get("reserve_stock"))
        return Reserved(reservation_id=f"RES-{request.order.uid[:8]}")

    @activity.defn(name="release_stock")
    async def release(self, request: ReleaseStock) -> Outcome:
        await self._called("release_stock")
        held = self.reserved.pop(request.reserve_operation_id, [])
        kept = [line for line in held if line.sku in request.kept]
        for line in held:
            if line not in kept:
                self.on_hand[line.sku] += line.quantity
        if kept:
            self.reserved[request.reserve_operation_id] = kept
        return Outcome()

    @activity.defn(name="commit_stock")
    async def commit(self, request: CommitStock) -> Outcome:
        await self._called("commit_stock")
        self.committed.add(request.order.uid)
        for line in self.reserved.pop(request.reserve_operation_id or "", []):
            self.sold[line.sku] += line.quantity
        return Outcome()

    @activity.defn(name="pack_lines")
    async def pack(self, request: PackLines) -> Outcome:
        await self._called("pack_lines")
        self._refuse_undone(request.operation_id)
        self.packed[request.operation_id] = [line.line_id for line in request.lines]
        self._raise(self._lost.get("pack_lines"))
        return Outcome()

    @activity.defn(name="unpack_lines")
    async def unpack(self, request: UnpackLines) -> Outcome:
        await self._called("unpack_lines")
        self._undone.add(request.pack_operation_id)
        self.packed.pop(request.pack_operation_id, None)
        return Outcome()

    @activity.defn(name="charge_payment")
    async def charge(self, request: Charge) -> Receipt:
        await self._called("charge_payment")
        self.notes += request.notes
        self._refuse_undone(request.operation_id)
        self.charged[request.operation_id] = request.amount_minor
        self._raise(self._lost.get("charge_payment"))
        return Receipt(transaction_id=f"TXN-{request.order.uid[:8]}", captured_minor=request.amount_minor)

    @activity.defn(name="refund_payment")
    async def refund(self, request: Refund) -> Refunded:
        self.refund_requests.append(request)
        await self._called("refund_payment")
        charge = request.charge_operation_id
        self._undone.add(charge)
        captured = self.charged.get(charge)
        if captured is None:
            return Refunded()
        left = captured - self.refunded[charge]
        amount = left if request.amount_minor is None else request.amount_minor
        self.refunded[charge] += amount
        self.refund_reasons.append(request.reason)
        return Refunded(
            refund_id=f"REFUND-{request.order.uid[:8]}",
            refunded_minor=amount,
            transaction_id=f"TXN-{request.order.uid[:8]}",
            captured_minor=captured,
            total_refunded_minor=self.refunded[charge],
        )

    @activity.defn(name="ship_line")
    async def ship(self, request: Ship) -> Shipped:
        self._now["ship_line"] += 1
        self.most_at_once["ship_line"] = max(self.most_at_once["ship_line"], self._now["ship_line"])
        try:
            await asyncio.sleep(0)
            await self._called("ship_line", f"ship_line/{request.line.line_id}")
        finally:
            self._now["ship_line"] -= 1
        self._refuse_undone(request.operation_id)
        self.parcels[request.operation_id] = Parcel(request.line.line_id, request.address)
        self._raise(self._lost.get("ship_line"))
        return Shipped(
            tracking_number=f"TRACK-{request.order.uid[:8]}-{request.line.line_id}",
            carrier="fake",
            estimated_delivery=request.requested_at + timedelta(days=3),
        )

    @activity.defn(name="cancel_shipment")
    async def cancel(self, request: CancelShipment) -> ShipmentCancelled:
        line_id = request.ship_operation_id.split("/")[2]
        await self._called("cancel_shipment", f"cancel_shipment/{line_id}")
        parcel = self.parcels.get(request.ship_operation_id)
        if parcel is not None and parcel.line_id in self.delivered_at_once:
            self.refused_calls_back.add(request.ship_operation_id)
            return ShipmentCancelled(too_late=True)
        self._undone.add(request.ship_operation_id)
        if parcel is not None:
            self.called_back.add(request.ship_operation_id)
        return ShipmentCancelled()

    @activity.defn(name="notify_customer")
    async def notify(self, request: Notice) -> Outcome:
        await self._called("notify_customer")
        self.mails.append(request)
        return Outcome()

    def _refuse_unknown(self, lines: list[OrderLine]) -> None:
        unknown = [line.line_id for line in lines if line.sku not in self.on_hand]
        if unknown:
            raise InvalidOrder(f"lines {', '.join(unknown)}: no such article")

    def _refuse_undone(self, operation_id: str) -> None:
        if operation_id in self._undone or operation_id.split("/", maxsplit=1)[0] in self.halts:
            raise OperationCancelled(f"{operation_id} was undone before it happened")


def _pieces(lines: list[OrderLine]) -> Counter[str]:
    pieces: Counter[str] = Counter()
    for line in lines:
        pieces[line.sku] += line.quantity
    return pieces

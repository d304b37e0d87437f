"""The outside world as the workflow wants it. The worker implements these; an override needs its own `@activity.defn`.

Every effect carries an `operation_id`, made of the order's uid, the step and the business attempt and never of the
activity's attempt, so that repeating a call repeats nothing in the world.
"""

from abc import ABC, abstractmethod
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import Field
from temporalio import activity

from order_domain.order import Address, OrderLine
from order_domain.snapshot import ItemRecord
from order_domain.stock_item import SupplierOrderRecord
from order_domain.value import Value
from order_workflows.contract import ResourceIdentity


class Effect(Value):
    """What every effect needs to be recorded under the right order."""

    order: ResourceIdentity
    operation_id: str
    """Also the provider's idempotency key. Same id with other parameters raises OperationConflict."""

    @classmethod
    def among(cls, *arguments: object) -> Self | None:
        """The one among an activity's arguments; None for an activity that asks without changing anything."""
        return next((argument for argument in arguments if isinstance(argument, cls)), None)


class Outcome(Value):
    """What every activity reports besides its result."""

    attempts: int = 1
    """Which attempt of the activity this answer comes from; 1 is the first."""
    last_error: str | None = None
    """What an earlier attempt failed with, the last one of which the worker of this answer knows. None where the first
    attempt succeeded, where the others ran on another worker, or where the worker has restarted since."""


class EffectKind(StrEnum):
    """What can be undone, by the kind of its operation in the ledger."""

    RESERVE = "reserve"
    PACK = "pack"
    CHARGE = "charge"
    SHIP = "ship"


class ReceiveOrder(Effect):
    """Make the order known to the ledger."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int


class ValidateLines(Value):
    """Ask whether the stock ledger knows every article; changes nothing."""

    lines: list[OrderLine]


class GetItems(Value):
    """Ask the shop's catalogue what the lines are; changes nothing."""

    lines: list[OrderLine]


class Items(Outcome):
    """The lines as the catalogue knows them."""

    items: list[ItemRecord]
    """Sorted by line id."""


class CheckAvailability(Value):
    """Ask whether enough pieces are free now; holds none."""

    lines: list[OrderLine]


class FetchProfile(Value):
    """Ask who the customer is to the shop."""

    customer_id: str


class Profile(Outcome):
    """The customer's standing."""

    tier: str


class FetchRecommendations(Value):
    """Ask what the customer may like as well."""

    customer_id: str
    skus: list[str]


class Recommendations(Outcome):
    """Names of articles, the best first."""

    names: list[str]


class CheckFraud(Effect):
    """Ask whether the order may go on."""

    customer_id: str
    currency: str
    total_minor: int
    country: str


class ReserveStock(Effect):
    """Hold pieces for the order until they are released or committed."""

    lines: list[OrderLine]


class ChangeLines(Effect):
    """Let the order have other lines: in one step its total and, where pieces are held, the reservation."""

    lines: list[OrderLine]
    total_minor: int
    """Of the new lines."""
    replaces: str | None = None
    """Operation id of the reservation in force. None: nothing is held, and nothing will be held hereby. Otherwise the
    pieces of the new lines are held under this request's own `operation_id`, and the earlier ones are given back."""


class LinesChanged(Outcome):
    """The new lines are in force."""

    reservation_id: str | None = None
    """Of the pieces that are held now."""


class Reserved(Outcome):
    """Pieces are held."""

    reservation_id: str


class ReleaseStock(Effect):
    """Give held pieces back; `operation_id` is that of the release."""

    reserve_operation_id: str
    """The reservation to give up. One that never happened, or was released before, is fine."""


class CommitStock(Effect):
    """Turn held pieces into sold ones; `operation_id` is that of the commit."""

    reserve_operation_id: str


class PackLines(Effect):
    """Pick and pack the pieces of these lines."""

    lines: list[OrderLine]


class UnpackLines(Effect):
    """Take packed lines apart again; `operation_id` is that of the unpacking."""

    pack_operation_id: str
    """The packing to undo. One that never happened, or only in part, is fine."""


class Charge(Effect):
    """Take money."""

    amount_minor: int
    currency: str
    method: str
    """The provider's token."""


class Receipt(Outcome):
    """Money was taken."""

    transaction_id: str
    captured_minor: int


class Refund(Effect):
    """Give back what a charge took; `operation_id` is that of the refund."""

    charge_operation_id: str
    """The charge to undo. One that never happened is fine, and then nothing is refunded."""
    reason: str


class Refunded(Outcome):
    """The charge is undone."""

    refund_id: str | None = None
    """None when nothing had been charged."""
    refunded_minor: int = 0


class Ship(Effect):
    """Hand one line to the carrier."""

    line: OrderLine
    address: Address
    requested_at: datetime
    """Workflow time of the request; the estimated delivery counts from it."""


class Shipped(Outcome):
    """The carrier took the parcel."""

    tracking_number: str
    carrier: str
    estimated_delivery: datetime


class CancelShipment(Effect):
    """Call one parcel back; `operation_id` is that of the cancellation."""

    ship_operation_id: str
    """The shipment to undo. One that never happened is fine."""


class Notice(Effect):
    """Tell the customer how the order went."""

    order_id: str
    email: str
    subject: str
    body: str


class UpdateStatus(Effect):
    """Write the order's status back to the shop's books."""

    status: str
    """An `OrderStatus` value."""


class CloseOrder(Effect):
    """Record how the order ended."""

    status: str
    """An `OrderStatus` value."""
    message: str | None = None


class HaltOrder(Effect):
    """Let nothing of the order begin any more that would have to be undone, whoever still tries."""

    received: ReceiveOrder
    """As the order was, or still may be, made known: one that the ledger has not heard of is halted as well."""
    pivot_passed: bool
    """The order has gone too far to be undone, as far as its workflow has said so."""


class BegunEffect(Value):
    """Something that was asked for, and not refused; it may have been undone since."""

    kind: EffectKind
    operation_id: str
    line_id: str | None = None
    """Of a shipment."""


class Halted(Outcome):
    """What the ledger knows of an order whose workflow is gone."""

    ended: str | None = None
    """The end on record, an `OrderStatus` value other than that of a completed order: all is undone."""
    message: str | None = None
    """Why it ended so."""
    pivot_passed: bool = False
    """The order has gone too far to be undone, or is completed; it is not halted."""
    begun: list[BegunEffect] = Field(default_factory=list)
    """In the order in which they began."""


class KeepStock(Value):
    """Keep an article's stock by these rules, from now on."""

    sku: str
    initial_on_hand: int
    """Used only if the ledger does not have the article yet."""
    minimum: int
    target: int


class StockLevel(Outcome):
    """The ledger's counts of one article, and its open order at the supplier."""

    on_hand: int
    """Free pieces."""
    reserved: int
    sold: int
    supplier_order: SupplierOrderRecord | None = None
    backorders: bool = False
    """Whether an order waits for this article that the free pieces could serve now."""


class SupplierOrder(Value):
    """Names an open order at the supplier."""

    id: str


class Supplies(Outcome):
    """How an order at the supplier stands."""

    delivered: bool
    expected_at: datetime | None = None
    """When to ask again; None once it is delivered."""


class Article(Value):
    """Names an article."""

    sku: str


class OrderActivities(ABC):
    """The ledger's record of the order itself."""

    @activity.defn(name="receive_order")
    @abstractmethod
    async def receive(self, request: ReceiveOrder) -> Outcome:
        """Insert the order. Raises DuplicateOrder if another order of the namespace has this order number."""

    @activity.defn(name="change_lines")
    @abstractmethod
    async def change_lines(self, request: ChangeLines) -> LinesChanged:
        """All or nothing. Raises InvalidOrder naming unknown articles, or OutOfStock; both are final, and everything
        stays as it was."""

    @activity.defn(name="update_order_status")
    @abstractmethod
    async def update_status(self, request: UpdateStatus) -> Outcome:
        """Raises PermanentError for a status that cannot follow the present one."""

    @activity.defn(name="close_order")
    @abstractmethod
    async def close(self, request: CloseOrder) -> Outcome:
        """Record the final status."""

    @activity.defn(name="halt_order")
    @abstractmethod
    async def halt(self, request: HaltOrder) -> Halted:
        """From now on the order's effects are refused with OperationCancelled unless they had begun."""


class ShopDataActivities(ABC):
    """What the shop knows of its articles and customers."""

    @activity.defn(name="get_items")
    @abstractmethod
    async def items(self, request: GetItems) -> Items:
        """Raises ProviderUnavailable."""

    @activity.defn(name="fetch_customer_profile")
    @abstractmethod
    async def profile(self, request: FetchProfile) -> Profile:
        """Raises ProviderUnavailable."""

    @activity.defn(name="fetch_recommendations")
    @abstractmethod
    async def recommendations(self, request: FetchRecommendations) -> Recommendations:
        """Raises ProviderUnavailable."""


class FraudActivities(ABC):
    """The fraud check."""

    @activity.defn(name="check_fraud")
    @abstractmethod
    async def check(self, request: CheckFraud) -> Outcome:
        """Raises FraudSuspected (final) or ProviderUnavailable (worth retrying)."""


class StockActivities(ABC):
    """Stock in the ledger."""

    @activity.defn(name="validate_lines")
    @abstractmethod
    async def validate(self, request: ValidateLines) -> Outcome:
        """Raises InvalidOrder naming the lines whose `sku` does not exist."""

    @activity.defn(name="check_availability")
    @abstractmethod
    async def available(self, request: CheckAvailability) -> Outcome:
        """Raises OutOfStock naming what is short."""

    @activity.defn(name="reserve_stock")
    @abstractmethod
    async def reserve(self, request: ReserveStock) -> Reserved:
        """Hold all lines or none. Raises UnknownSku or OutOfStock, both final."""

    @activity.defn(name="release_stock")
    @abstractmethod
    async def release(self, request: ReleaseStock) -> Outcome:
        """Twice adds once."""

    @activity.defn(name="commit_stock")
    @abstractmethod
    async def commit(self, request: CommitStock) -> Outcome:
        """Twice sells once."""


class WarehouseActivities(ABC):
    """Picking and packing."""

    @activity.defn(name="pack_lines")
    @abstractmethod
    async def pack(self, request: PackLines) -> Outcome:
        """Heartbeats after each line; a later attempt goes on with the line after the last one recorded. Raises
        ProviderUnavailable."""

    @activity.defn(name="unpack_lines")
    @abstractmethod
    async def unpack(self, request: UnpackLines) -> Outcome:
        """Twice unpacks once."""


class PaymentActivities(ABC):
    """Money."""

    @activity.defn(name="charge_payment")
    @abstractmethod
    async def charge(self, request: Charge) -> Receipt:
        """At most once per `operation_id`. Raises PaymentDeclined (final) or ProviderUnavailable."""

    @activity.defn(name="refund_payment")
    @abstractmethod
    async def refund(self, request: Refund) -> Refunded:
        """Learns first whether the charge happened, then undoes exactly that."""


class ShippingActivities(ABC):
    """Parcels."""

    @activity.defn(name="ship_line")
    @abstractmethod
    async def ship(self, request: Ship) -> Shipped:
        """Raises Undeliverable (final) or ProviderUnavailable."""

    @activity.defn(name="cancel_shipment")
    @abstractmethod
    async def cancel(self, request: CancelShipment) -> Outcome:
        """Twice cancels once."""


class NotificationActivities(ABC):
    """Mail to the customer."""

    @activity.defn(name="notify_customer")
    @abstractmethod
    async def notify(self, request: Notice) -> Outcome:
        """Raises ProviderUnavailable."""


class StockItemActivities(ABC):
    """Keeping an article in stock. There is at most one open order at the supplier per article."""

    @activity.defn(name="keep_stock")
    @abstractmethod
    async def keep(self, request: KeepStock) -> StockLevel:
        """Put the article under these rules and count it. If fewer than `minimum` are free and nothing is on order, an
        order at the supplier over `target` less the free pieces is opened in the same step."""

    @activity.defn(name="order_supplies")
    @abstractmethod
    async def order(self, request: SupplierOrder) -> Supplies:
        """Ask the supplier, at most once per id. Raises ProviderUnavailable."""

    @activity.defn(name="receive_supplies")
    @abstractmethod
    async def receive(self, request: SupplierOrder) -> Supplies:
        """Ask whether the pieces have come and, if so, add them to the free ones, once. Raises ProviderUnavailable."""

    @activity.defn(name="wake_backorders")
    @abstractmethod
    async def wake(self, request: Article) -> Outcome:
        """Tell the orders that wait for this article, the longest-waiting first, as many as there are pieces for."""

    @activity.defn(name="release_article")
    @abstractmethod
    async def let_go(self, request: Article) -> StockLevel:
        """Keep the article by no rules any more; its counts and an open order at the supplier stay."""

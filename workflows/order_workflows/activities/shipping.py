"""Parcels, as the workflow wants them sent."""

from abc import ABC, abstractmethod
from datetime import datetime

from temporalio import activity

from order_domain.order import Address, OrderLine
from order_workflows.activities.effect import Effect, Outcome


class Ship(Effect):
    """Hand one line to the carrier."""

    line: OrderLine
    address: Address
    requested_at: datetime
    """Workflow time of the request; the estimated delivery counts from it."""
    lines_digest: str | None = None
    """Of the order's lines and charges, as the workflow knows them."""


class Shipped(Outcome):
    """The carrier took the parcel."""

    tracking_number: str
    carrier: str
    estimated_delivery: datetime
    asked_for: str | None = None
    """What the shipment's workflow was asked for, as `ShipmentInput` had it. None of an activity, and from an older
    worker."""


class CancelShipment(Effect):
    """Call one parcel back; `operation_id` is that of the cancellation."""

    ship_operation_id: str
    """The shipment to undo. One that never happened is fine."""
    tracking_number: str | None = None
    """Of the parcel, where the run knows it."""


class ShipmentCancelled(Outcome):
    """The carrier's last word about a parcel."""

    too_late: bool = False
    """It cannot be called back: the line is sold."""


class ShippingActivities(ABC):
    """Parcels."""

    @activity.defn(name="ship_line")
    @abstractmethod
    async def ship(self, request: Ship) -> Shipped:
        """Raises Undeliverable (final), LinesDiffer if the ledger holds other lines for the order, OperationReversed
        for a parcel that was called back since, or ProviderUnavailable."""

    @activity.defn(name="cancel_shipment")
    @abstractmethod
    async def cancel(self, request: CancelShipment) -> ShipmentCancelled:
        """Twice cancels once. Raises BooksDisagree if the carrier does not know a parcel that it had taken."""

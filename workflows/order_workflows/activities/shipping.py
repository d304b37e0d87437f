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


class Shipped(Outcome):
    """The carrier took the parcel."""

    tracking_number: str
    carrier: str
    estimated_delivery: datetime


class CancelShipment(Effect):
    """Call one parcel back; `operation_id` is that of the cancellation."""

    ship_operation_id: str
    """The shipment to undo. One that never happened is fine."""


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

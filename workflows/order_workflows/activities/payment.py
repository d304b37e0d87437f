"""Money, as the workflow wants it moved."""

from abc import ABC, abstractmethod

from temporalio import activity

from order_workflows.activities.effect import Effect, Outcome


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

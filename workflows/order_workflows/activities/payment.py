"""Money, as the workflow wants it moved."""

from abc import ABC, abstractmethod
from datetime import datetime

from pydantic import Field
from temporalio import activity

from order_domain.audit_note import AuditNote
from order_workflows.activities.effect import Effect, Outcome


class Charge(Effect):
    """Take money."""

    amount_minor: int
    currency: str
    method: str
    """The provider's token."""
    lines_digest: str | None = None
    """Of the order's lines and charges, as the workflow knows them."""
    reservation_id: str | None = None
    """Of the units that the workflow knows to be held."""
    ordered_at: datetime | None = None
    """When the order began, as far as the workflow knows. None from an older one."""
    notes: list[AuditNote] = Field(default_factory=list)
    """Recorded in the same transaction as the intent."""


class Receipt(Outcome):
    """Money was taken."""

    transaction_id: str
    captured_minor: int


class Refund(Effect):
    """Give back what a charge took beyond what the order still owes; `operation_id` is that of the refund."""

    charge_operation_id: str
    """The charge to undo. Where nobody knows of money, one that never happened is fine, and nothing is refunded."""
    reason: str
    transaction_id: str | None = None
    """Of the charge, where the run knows it."""
    captured_minor: int = 0
    """What the charge took, as far as the run knows."""
    amount_minor: int | None = None
    """What this operation is to give back; None: all that is left."""
    refunded_minor: int | None = None
    """What the run knew to be given back when it came to that; None of one of an earlier release."""
    kept_lines: list[str] = Field(default_factory=list)
    """Line ids that the customer still pays for: their parcels cannot be called back, or are not back yet."""
    ordered_at: datetime | None = None
    """As in `Charge`."""


class Refunded(Outcome):
    """The money is given back."""

    refund_id: str | None = None
    """None when there was nothing to give back."""
    refunded_minor: int = 0
    """By this operation."""
    transaction_id: str | None = None
    """Of the charge, as the provider knows it; None when nothing had been charged."""
    captured_minor: int = 0
    """What the charge took, as the provider knows it."""
    total_refunded_minor: int = 0
    """By all refunds of the order."""


class PaymentActivities(ABC):
    """Money."""

    @activity.defn(name="charge_payment")
    @abstractmethod
    async def charge(self, request: Charge) -> Receipt:
        """At most once per `operation_id`. Raises PaymentDeclined (final), LinesDiffer if the order owes another
        amount, OperationReversed for a charge that was given back since, BooksDisagree if the ledger has none of the
        units that the workflow knows to be held, or ProviderUnavailable."""

    @activity.defn(name="refund_payment")
    @abstractmethod
    async def refund(self, request: Refund) -> Refunded:
        """Learns first what the charge took, then gives back what is too much. Raises BooksDisagree where the ledger,
        the provider and the run do not agree about the money."""

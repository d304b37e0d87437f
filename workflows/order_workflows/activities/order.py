"""The ledger's record of the order itself, as the workflow wants it."""

from abc import ABC, abstractmethod

from pydantic import Field
from temporalio import activity

from order_domain.order import OrderLine
from order_domain.value import Value
from order_workflows.activities.effect import Effect, EffectKind, Outcome


class ReceiveOrder(Effect):
    """Make the order known to the ledger."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int


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

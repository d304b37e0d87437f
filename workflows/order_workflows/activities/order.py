"""The ledger's record of the order itself, as the workflow wants it."""

from abc import ABC, abstractmethod

from pydantic import Field
from temporalio import activity

from order_domain.audit_note import AuditNote
from order_domain.order import OrderCharge, OrderLine
from order_domain.status import OrderStatus
from order_domain.value import Value
from order_workflows.activities.effect import Effect, EffectKind, Outcome


class BegunEffect(Value):
    """Something that was asked for, and not refused."""

    kind: EffectKind
    operation_id: str
    line_id: str | None = None
    """Of a shipment."""
    state: str = "done"
    """`intent`: whether it happened is not known yet. `done`: it happened."""
    reversed: bool = False
    """It was undone."""
    sold: bool = False
    """A shipment that the carrier does not call back any more."""


class KnownEffects(Value):
    """What a run knows of its effects, for the ledger to compare."""

    received: bool = False
    """The ledger had received the order."""
    transaction_id: str | None = None
    """Of the charge."""
    captured_minor: int = 0
    refunded_minor: int = 0
    reservation_id: str | None = None
    packed: bool = False
    """The lines are packed."""
    shipped_lines: list[str] = Field(default_factory=list)
    """Line ids whose parcels the carrier took."""
    unanswered: list[BegunEffect] = Field(default_factory=list)
    """What was asked for outside the ledger, and has no answer that the run heard of. Empty from an older workflow."""


class ReceiveOrder(Effect):
    """Make the order known to the ledger."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int
    lines: list[OrderLine] = Field(default_factory=list)
    """The lines in force. Empty from an older workflow: the ledger then knows the total alone."""
    charges: list[OrderCharge] = Field(default_factory=list)
    """The charges in force."""
    charged: bool | None = None
    """Whether the pipeline takes money: the order owes its total then, and 0 otherwise. None from an older workflow:
    what the order owes is unknown."""
    known: KnownEffects = KnownEffects()
    """What is known of an earlier run of this order that Temporal has lost."""
    begins_again: str | None = None
    """Uid of an order that this one may be, restored from a backup: it is a duplicate while that one has its number,
    in whatever installation."""


class Received(Outcome):
    """The ledger knows the order."""

    ended: str | None = None
    """`OrderStatus` of an order that the ledger holds as completed: an earlier run carried it out, whose history
    Temporal has lost. Nothing is to be done any more. None from an older worker."""


class ChangeLines(Effect):
    """Let the order have other lines: in one step its total and, where units are held, the reservation."""

    lines: list[OrderLine]
    total_minor: int
    """Of the new lines and charges."""
    charges: list[OrderCharge] = Field(default_factory=list)
    """The new charges."""
    replaces: str | None = None
    """Operation id of the reservation in force, as the workflow knows it; None where it knows of none. The ledger
    replaces what the order really holds. The units of the new lines are then held under this request's own
    `operation_id`, and the earlier ones are given back."""


class LinesChanged(Outcome):
    """The new lines are in force."""

    reservation_id: str | None = None
    """Of the units that are held now."""


class UpdateStatus(Effect):
    """Write the order's status back to the shop's books."""

    status: str
    """An `OrderStatus` value."""


class CloseOrder(Effect):
    """Record how the order ended."""

    status: str
    """An `OrderStatus` value."""
    error_type: str | None = None
    """Why it did not complete, or completed in part only."""
    message: str | None = None
    received: bool = False
    """The run knows that the ledger had received the order. A ledger without its row has lost it then."""
    notes: list[AuditNote] = Field(default_factory=list)
    """Recorded in the same transaction."""


class HaltOrder(Effect):
    """Fence the order: refuse each new effect that would need compensation, also from attempts that still run."""

    received: ReceiveOrder
    """As the order was, or still may be, made known: one that the ledger has not heard of is halted as well."""
    pivot_passed: bool
    """The order has gone too far to be undone, as far as its workflow has said so."""
    status: str = OrderStatus.ORDER_CANCELLED.value
    """The end that this run wants, an `OrderStatus` value."""
    error_type: str = "WorkflowTerminated"
    message: str | None = None
    known: KnownEffects = KnownEffects()
    notes: list[AuditNote] = Field(default_factory=list)
    """Recorded in the same transaction."""


class OrderBooks(Value):
    """What the ledger holds of the order's money and stock."""

    owed_minor: int | None = None
    """What the customer has to pay in the end if the order completes now. None: an older workflow did not say."""
    captured_minor: int = 0
    refunded_minor: int = 0
    transaction_id: str | None = None
    """Of the charge."""
    refund_id: str | None = None
    """Of the last refund."""
    currency: str | None = None
    held: bool = False
    """Units are held."""
    sold_lines: list[str] = Field(default_factory=list)
    """Line ids whose parcels the carrier does not call back any more."""


class LinesInForce(Value):
    """What the order is for, as the ledger keeps it."""

    lines: list[OrderLine]
    """Without their descriptions."""
    charges: list[OrderCharge] = Field(default_factory=list)
    digest: str
    """`order_domain.order.lines_digest` of the lines with their descriptions, and the charges."""
    total_minor: int
    """Of an order that was sold in part, less than the sum of lines and charges."""


class Halted(Outcome):
    """What the ledger knows of an order that is to end, and how it is to end."""

    ended: str | None = None
    """The end on record, an `OrderStatus` value: nothing is left to be done. An order that completed as a whole is none
    of these; its run goes forward, and the ledger answers as it did."""
    status: str = OrderStatus.ORDER_CANCELLED.value
    """The end to give the order: what the first halt wanted, or the end on record."""
    error_type: str = "WorkflowTerminated"
    """Why it ends so."""
    message: str | None = None
    """The same as a sentence."""
    pivot_passed: bool = False
    """The order has gone too far to be undone, or is completed; it is not halted, and goes on forward only."""
    begun: list[BegunEffect] = Field(default_factory=list)
    """In the order in which they began."""
    books: OrderBooks = OrderBooks()
    in_force: LinesInForce | None = None
    """Of an order that goes on forward only, or was sold in part: a run that was reset may have forgotten a change."""


class SellLines(Effect):
    """Let the order be for these lines alone: their parcels cannot be called back."""

    line_ids: list[str]


class LinesSold(Outcome):
    """The order is for the sold lines alone."""

    total_minor: int
    """Of the sold lines and their share of the charges."""
    owed_minor: int
    """What the customer pays for them in the end."""


class OrderActivities(ABC):
    """The ledger's record of the order itself."""

    @activity.defn(name="receive_order")
    @abstractmethod
    async def receive(self, request: ReceiveOrder) -> Received:
        """Insert the order; for one that is there already, put the lines, charges and total in force that the request
        names. Raises DuplicateOrder if the number belongs to another order, OperationCancelled if this order is halted
        or has ended other than Completed. Lines that are charged or sold stay as they are. Tells of an order that has
        completed. Raises BooksDisagree where more is known of its money than the ledger has."""

    @activity.defn(name="change_lines")
    @abstractmethod
    async def change_lines(self, request: ChangeLines) -> LinesChanged:
        """All or nothing. Raises InvalidOrder naming unknown articles, or OutOfStock; both are final, and everything
        stays as it was."""

    @activity.defn(name="update_order_status")
    @abstractmethod
    async def update_status(self, request: UpdateStatus) -> Outcome:
        """Raises PermanentError for a status that cannot follow the present one."""

    @activity.defn(name="halt_order")
    @abstractmethod
    async def halt(self, request: HaltOrder) -> Halted:
        """From now on the order's effects are refused with OperationCancelled, also those that happened already.
        Raises BooksDisagree where the run knows of an effect that the ledger does not have."""

    @activity.defn(name="sell_lines")
    @abstractmethod
    async def sell_lines(self, request: SellLines) -> LinesSold:
        """For a halted order. Raises BooksDisagree if units of other lines are still held."""

    @activity.defn(name="close_order")
    @abstractmethod
    async def close(self, request: CloseOrder) -> Outcome:
        """Record the final status. Raises BooksDisagree, with the figures, for an end that does not fit the books."""

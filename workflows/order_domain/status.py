"""The one vocabulary of an order's progress: search attribute, status column, phase and metric label come from here."""

from collections.abc import Collection, Sequence
from enum import StrEnum

from order_domain.pipeline import StepName


class Phase(StrEnum):
    """The coarse state, for people and selectors."""

    PENDING = "Pending"
    RUNNING = "Running"
    WAITING = "Waiting"
    SUSPENDED = "Suspended"
    COMPENSATING = "Compensating"
    MANUAL_REVIEW = "ManualReview"
    COMPLETED = "Completed"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    DUPLICATE = "Duplicate"
    INVALID = "Invalid"
    FAILED = "Failed"


TERMINAL_PHASES = frozenset(
    {
        Phase.COMPLETED,
        Phase.REJECTED,
        Phase.CANCELLED,
        Phase.EXPIRED,
        Phase.DUPLICATE,
        Phase.INVALID,
        Phase.FAILED,
    }
)


class OrderStatus(StrEnum):
    """The `OrderStatus` search attribute, value for value."""

    ORDER_RECEIVED = "Order Received"
    VALIDATE_ORDER = "Validate Order"
    ENRICH_ORDER = "Enrich Order"
    CHECK_FRAUD = "Check Fraud"
    RESERVE_STOCK = "Reserve Stock"
    AWAIT_STOCK = "Await Stock"
    AWAIT_APPROVAL = "Await Approval"
    PREPARE_SHIPMENT = "Prepare Shipment"
    CHARGE_CUSTOMER = "Charge Customer"
    AWAIT_ADDRESS = "Await Address"
    SHIP_ORDER = "Ship Order"
    UPDATE_ORDER_STATUS = "Update Order Status"
    NOTIFY_CUSTOMER = "Notify Customer"
    COMPENSATE_ORDER = "Compensate Order"
    ORDER_COMPLETED = "Order Completed"
    ORDER_REJECTED = "Order Rejected"
    ORDER_CANCELLED = "Order Cancelled"
    ORDER_EXPIRED = "Order Expired"
    ORDER_DUPLICATE = "Order Duplicate"
    ORDER_INVALID = "Order Invalid"
    ORDER_FAILED = "Order Failed"
    MANUAL_REVIEW = "Manual Review"

    @property
    def phase(self) -> Phase:
        """The coarse phase that this status belongs to."""
        return _PHASES.get(self, Phase.RUNNING)

    @property
    def terminal(self) -> bool:
        """True when nothing more will happen to the order."""
        return self.phase in TERMINAL_PHASES


_PHASES = {
    OrderStatus.AWAIT_STOCK: Phase.WAITING,
    OrderStatus.AWAIT_APPROVAL: Phase.WAITING,
    OrderStatus.AWAIT_ADDRESS: Phase.WAITING,
    OrderStatus.COMPENSATE_ORDER: Phase.COMPENSATING,
    OrderStatus.MANUAL_REVIEW: Phase.MANUAL_REVIEW,
    OrderStatus.ORDER_COMPLETED: Phase.COMPLETED,
    OrderStatus.ORDER_REJECTED: Phase.REJECTED,
    OrderStatus.ORDER_CANCELLED: Phase.CANCELLED,
    OrderStatus.ORDER_EXPIRED: Phase.EXPIRED,
    OrderStatus.ORDER_DUPLICATE: Phase.DUPLICATE,
    OrderStatus.ORDER_INVALID: Phase.INVALID,
    OrderStatus.ORDER_FAILED: Phase.FAILED,
}


def progress(pipeline: Sequence[StepName], finished: Collection[StepName], status: OrderStatus) -> int:
    """Percent of the pipeline's steps that are finished; 100 only for a completed order."""
    if status is OrderStatus.ORDER_COMPLETED:
        return 100
    done = sum(step in finished for step in pipeline)
    return min(99, 100 * done // len(pipeline))

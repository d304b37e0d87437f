"""The words of an Order's status that this program relies on. They are those of order_domain, which it does not import;
tests/contract/test_order_cli_words.py compares them."""

ORDERS = "orders.order-platform.dev"
CLASSES = "orderclasses.order-platform.dev"
STOCK_ITEMS = "stockitems.order-platform.dev"
GROUP = "order-platform.dev"

PENDING, RUNNING, WAITING, SUSPENDED = "Pending", "Running", "Waiting", "Suspended"
COMPENSATING, MANUAL_REVIEW = "Compensating", "ManualReview"
COMPLETED, REJECTED, CANCELLED, EXPIRED = "Completed", "Rejected", "Cancelled", "Expired"
DUPLICATE, INVALID, FAILED = "Duplicate", "Invalid", "Failed"

TERMINAL_PHASES = (COMPLETED, REJECTED, CANCELLED, EXPIRED, DUPLICATE, INVALID, FAILED)
PHASES = (PENDING, RUNNING, WAITING, SUSPENDED, COMPENSATING, MANUAL_REVIEW, *TERMINAL_PHASES)
BAD_PHASES = (MANUAL_REVIEW, INVALID, DUPLICATE, FAILED)
"""Of which an order does not get out by itself, and in which it was not meant to be."""

STATUSES = (
    "Order Received",
    "Validate Order",
    "Enrich Order",
    "Check Fraud",
    "Reserve Stock",
    "Await Stock",
    "Await Approval",
    "Prepare Shipment",
    "Charge Customer",
    "Await Address",
    "Ship Order",
    "Update Order Status",
    "Notify Customer",
    "Compensate Order",
    "Order Completed",
    "Order Rejected",
    "Order Cancelled",
    "Order Expired",
    "Order Duplicate",
    "Order Invalid",
    "Order Failed",
    "Manual Review",
)

STEP_PENDING, STEP_RUNNING, STEP_WAITING, STEP_SUCCEEDED = "Pending", "Running", "Waiting", "Succeeded"
STEP_SKIPPED, STEP_FAILED, STEP_COMPENSATED, STEP_STUCK = "Skipped", "Failed", "Compensated", "CompensationFailed"
STEP_STATES = (
    STEP_PENDING,
    STEP_RUNNING,
    STEP_WAITING,
    STEP_SUCCEEDED,
    STEP_SKIPPED,
    STEP_FAILED,
    STEP_COMPENSATED,
    STEP_STUCK,
)

SPEC_APPLIED, FINISHED, COMPLETE, STALLED, APPROVED = "SpecApplied", "Finished", "Complete", "Stalled", "Approved"
CONDITIONS = (SPEC_APPLIED, FINISHED, COMPLETE, STALLED, APPROVED)

APPROVE, REJECT, CANCEL, RETRY = "approve", "reject", "cancel", "retry"
APPROVE_HIGH = "approve-high"
"""Verbs on orders, beside those of Kubernetes."""

TO_APPROVE = "Approve"
"""Kind of `status.pendingAction`: somebody has to decide."""

NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split()
THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND".split()
"""Currencies that have no, or three, digits after the point; all others have two."""

"""The names of what a workflow itself refuses or stops for. Errors of activities are named by order_domain.errors."""

from enum import StrEnum

from order_domain.errors import InvalidOrder


class RefusalType(StrEnum):
    """Why an Update or a signal is refused. A refused edit shows it as the reason of the condition SpecApplied."""

    ORDER_ENDING = "OrderEnding"
    INVALID_MESSAGE = "InvalidMessage"
    ALREADY_DECIDED = "AlreadyDecided"
    TOO_LATE = "TooLate"
    STALE_DECISION = "StaleDecision"
    APPROVAL_NOT_REQUIRED = "ApprovalNotRequired"
    ALREADY_SHIPPED = "AlreadyShipped"
    INVALID_ADDRESS = "InvalidAddress"
    INVALID_ORDER = InvalidOrder.__name__
    LINES_FIXED = "LinesFixed"
    AMOUNT_NOT_STATED = "AmountNotStated"
    COUNTRY_FIXED = "CountryFixed"
    TEMPORAL_CLIENT_REFUSED = "TemporalClientRefused"
    DECIDER_UNKNOWN = "DeciderUnknown"
    REQUESTER_UNKNOWN = "RequesterUnknown"
    EDITOR_UNKNOWN = "EditorUnknown"
    OWN_ORDER = "OwnOrder"
    OWN_EDIT = "OwnEdit"


class EndType(StrEnum):
    """Why an order ends, or waits for a repair, where no activity failed."""

    CANCELLED = "Cancelled"
    REJECTED = "Rejected"
    APPROVAL_EXPIRED = "ApprovalExpired"
    BACKORDER_EXPIRED = "BackorderExpired"
    ADDRESS_NOT_CONFIRMED = "AddressNotConfirmed"
    WORKFLOW_TERMINATED = "WorkflowTerminated"
    COMPENSATION_FAILED = "CompensationFailed"
    CANCELLED_IN_PART = "CancelledInPart"
    ALREADY_SHIPPED = "AlreadyShipped"

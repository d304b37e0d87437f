"""The names of what a workflow itself refuses or stops for. Errors of activities are named by order_domain.errors."""

from order_domain.errors import InvalidOrder
from order_domain.explained import Explained


class RefusalType(Explained):
    """Why an Update or a signal is refused. A refused edit shows it as the reason of the condition SpecApplied."""

    ORDER_ENDING = "OrderEnding", "The order ends already, or has ended.", "Create another order."
    INVALID_MESSAGE = (
        "InvalidMessage",
        "A field of the message is missing or breaks a rule.",
        "Correct the field that the message names.",
    )
    ALREADY_DECIDED = "AlreadyDecided", "The first decision is final.", "Set the decision back to the first one."
    TOO_LATE = (
        "TooLate",
        "The decision came after the deadline, which the message names.",
        "Delete the order and apply it again.",
    )
    STALE_DECISION = (
        "StaleDecision",
        "The decision is about an earlier version of the order.",
        "Look at the order and decide again, or take the decision back.",
    )
    APPROVAL_NOT_REQUIRED = "ApprovalNotRequired", "Nobody has to decide about this order.", "Remove the decision."
    ALREADY_SHIPPED = "AlreadyShipped", "The change came after the parcels were handed over.", "Ask the carrier."
    INVALID_ADDRESS = (
        "InvalidAddress",
        "The class of the order does not take such an address.",
        "Correct the address as the message says.",
    )
    INVALID_ORDER = (
        InvalidOrder.__name__,
        "The order would break a rule with this change.",
        "Correct the field that the message names.",
    )
    LINES_FIXED = (
        "LinesFixed",
        "Lines and charges cannot change once the order is decided about, prepared or charged.",
        "Set them back, or cancel the order and create another.",
    )
    OVERTAKEN = (
        "Overtaken",
        "Many changes of lines waited for the step under way, and later ones have taken the place of this one.",
        "Look at what is in force.",
    )
    AMOUNT_NOT_STATED = (
        "AmountNotStated",
        "Lines or charges have changed, and the decision does not say about which amount it is.",
        "Add `spec.approval.totalMinor`.",
    )
    TOO_MANY_EDITS = (
        "TooManyEdits",
        "The order was changed as often as its workflow can hold; the message says how it came to that.",
        "Set the fields back to what is in force. Decisions and a cancellation are still heard.",
    )
    SUPERSEDED = (
        "Superseded",
        "The resource has asked for something else since; this edit came late.",
        "Edit the order once more if it shows something else than its spec says.",
    )
    COUNTRY_FIXED = (
        "CountryFixed",
        "The order is past its pivot, and was checked for its present country.",
        "Set the country back; order again for another one.",
    )
    TEMPORAL_CLIENT_REFUSED = (
        "TemporalClientRefused",
        "The class takes no decision from clients of Temporal.",
        "Decide in `spec.approval` of the order.",
    )
    DECIDER_UNKNOWN = (
        "DeciderUnknown",
        "The class has four eyes, and the decision names nobody.",
        "Decide in `spec.approval` of the order.",
    )
    REQUESTER_UNKNOWN = (
        "RequesterUnknown",
        "The class has four eyes, and the order does not say who ordered.",
        "Set `spec.requestedBy`, or cancel the order and order again.",
    )
    EDITOR_UNKNOWN = (
        "EditorUnknown",
        "The class has four eyes, and the order does not say who edited it.",
        "Set `spec.editedBy`, or edit the order by its resource.",
    )
    OWN_ORDER = "OwnOrder", "The class has four eyes, and who ordered decided.", "Let somebody else decide."
    OWN_EDIT = "OwnEdit", "The class has four eyes, and the last editor decided.", "Let somebody else decide."


class EndType(Explained):
    """Why an order ends, or waits for a repair, where no activity failed."""

    CANCELLED = "Cancelled", "Somebody cancelled the order, or deleted it."
    REJECTED = "Rejected", "Somebody rejected the order."
    APPROVAL_EXPIRED = (
        "ApprovalExpired",
        "Nobody decided before the deadline.",
        "Delete the order and apply it again.",
    )
    BACKORDER_EXPIRED = (
        "BackorderExpired",
        "The missing units did not come before the deadline.",
        "Delete the order and apply it again once there is stock.",
    )
    ADDRESS_NOT_CONFIRMED = (
        "AddressNotConfirmed",
        "Nobody confirmed the address before the deadline.",
        "Delete the order and apply it again.",
    )
    WORKFLOW_TERMINATED = (
        "WorkflowTerminated",
        "Somebody terminated the workflow; the next run undoes what it had done.",
    )
    COMPENSATION_FAILED = (
        "CompensationFailed",
        "Something could not be undone; the message says what.",
        "See the runbook on manual review.",
    )
    CANCELLED_IN_PART = (
        "CancelledInPart",
        "Parcels that could not be called back are sold; the rest is refunded.",
    )
    ALREADY_SHIPPED = (
        "AlreadyShipped",
        "The order was to be undone, but every parcel had left; all lines are sold.",
        "Ask the carrier.",
    )

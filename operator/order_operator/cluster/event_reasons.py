"""The reasons of Kubernetes Events, beside the phases that an order comes to."""

from order_domain.explained import Explained


class EventReason(Explained):
    """What people are told of, each occasion once."""

    NOT_ACCEPTED = (
        "NotAccepted",
        "The order cannot be started.",
        "Correct the field, the class or the setting that the message names.",
    )
    STEP_RETRYING = (
        "StepRetrying",
        "A step failed and is tried again; told once for a step.",
        "If it does not pass, repair what the message names.",
    )
    DECIDED = "Decided", "A person decided about the order; the message says who, and how far the name is proven."
    EDIT_REFUSED = (
        "EditRefused",
        "An edit of the spec had no effect.",
        "See the reason of the condition `SpecApplied`.",
    )
    SIGNAL_IGNORED = "SignalIgnored", "A Signal to the workflow had no effect.", "See `.status.lastRefusal`."
    NOTIFICATION_FAILED = "NotificationFailed", "The customer could not be written to. The order goes on without."
    COMPLETED_IN_PART = (
        "CompletedInPart",
        "Parcels that could not be called back are sold, the rest was refunded.",
    )
    DELETION_DECIDED = (
        "DeletionDecided",
        "The order was deleted while under way; the message says by which policy, and what becomes of its workflow.",
    )
    STATUS_REFUSED = (
        "StatusRefused",
        "The API server refuses the status of the order or the stock item, which therefore stands still.",
        "Update the chart `order-platform-crds`.",
    )
    FINALIZER_REFUSED = (
        "FinalizerRefused",
        "The API server refuses to let the operator put its finalizer on the order, or to take it off.",
        "Change the admission policy or webhook that the message names.",
    )
    WORKFLOW_WITHOUT_ORDER = (
        "WorkflowWithoutOrder",
        "Somebody took the finalizer off an order by force. Its workflow goes on.",
        "Cancel the workflow if the order is to be undone.",
    )

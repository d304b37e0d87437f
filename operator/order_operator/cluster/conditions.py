"""Condition types and reasons: a public API, named here once. Messages carry no data that changes by itself."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from order_domain.explained import Explained
from order_domain.refusals import RefusalType
from order_domain.snapshot import ShortText
from order_domain.value import Value
from order_operator.problem import Problem

MAX_MESSAGE = 1024
"""As the status schema bounds it."""

MAX_CONDITIONS = 20
"""Room for the documented condition types and a few to come."""


class ConditionType(Explained):
    """What can be said of an order, of a class or of a stock item."""

    ACCEPTED = "Accepted", "A workflow carries the order."
    READY = "Ready", "Accepted, and progressing or done. `helm --wait`, Flux and Argo CD look at this one."
    RECONCILING = "Reconciling", "Something outside holds the resource up for now; it goes on by itself."
    STALLED = "Stalled", "Nothing happens until somebody acts."
    APPROVED = "Approved", "The order may go on: somebody approved it, or nobody had to."
    RESERVED = "Reserved", "The units of the order are held in stock."
    CHARGED = "Charged", "The customer has paid."
    SHIPPED = "Shipped", "The parcels were handed to the carrier."
    NOTIFIED = "Notified", "The customer was written to."
    COMPENSATED = "Compensated", "Everything that can be undone is undone."
    COMPENSATION_FAILED = "CompensationFailed", "Something could not be undone; a person has to look."
    SPEC_APPLIED = "SpecApplied", "The workflow works with what the spec says."
    FINISHED = "Finished", "The order has ended, however."
    COMPLETE = "Complete", "The order has ended well."
    REPLENISHING = "Replenishing", "An order at the supplier is open."


class Reason(Explained):
    """Why. Terminal phases are reasons of Finished and Complete as well, as are the workflow's error types."""

    SUBMITTED = "Submitted", "The order has a workflow."
    SUBMITTING = "Submitting", "The operator has not finished starting the workflow, or no worker has counted yet."
    PROGRESSING = "Progressing", "The order works on one of its steps."
    STEP_RETRYING = (
        "StepRetrying",
        "A step has failed and is tried again; `.status.steps` says how often, why and when.",
        "If it does not pass, repair what the message names.",
    )
    NO_WORKER = (
        "NoWorker",
        "Tasks wait, and no worker asks for them; the message names the task queue.",
        "Start a worker for that task queue.",
    )
    WAITING = (
        "Waiting",
        "The order waits for a person or for stock.",
        "`.status.pendingAction` says what to do and until when.",
    )
    SUSPENDED = "Suspended", "Somebody holds the order.", "Set `spec.suspend` to false."
    NOT_FINISHED = "NotFinished", "The order has not ended."
    INVALID_SPEC = (
        "InvalidSpec",
        "The spec breaks a rule that the API server did not check.",
        "Correct the field that the message names.",
    )
    CLASS_NOT_FOUND = "ClassNotFound", "The class does not exist.", "Create it; the message lists those that exist."
    CLASS_INVALID = (
        "ClassInvalid",
        "Orders cannot follow the class; the message names the flaw.",
        "Correct the class; the orders go on by themselves.",
    )
    VALID = "Valid", "Orders can follow the class."
    NO_DEFAULT_CLASS = (
        "NoDefaultClass",
        "The order names no class, and there is no default class, or more than one.",
        "Mark one class as the default.",
    )
    TEMPORAL_UNAVAILABLE = (
        "TemporalUnavailable",
        "Temporal does not answer. The operator tries again by itself.",
        "See the runbook on Temporal being away.",
    )
    TEMPORAL_NAMESPACE_NOT_FOUND = (
        "TemporalNamespaceNotFound",
        "Temporal does not have the namespace.",
        "Create it; the message names it.",
    )
    TEMPORAL_REFUSED = (
        "TemporalRefused",
        "Temporal refused the call; the message has its words.",
        "Correct what the message names.",
    )
    TEMPORAL_PERMISSION_DENIED = (
        "TemporalPermissionDenied",
        "Temporal does not let the operator do this: its key or certificate counts no more, or lacks rights.",
        "Renew the key or certificate, or give it the rights that the message names.",
    )
    TEMPORAL_UNAUTHENTICATED = (
        "TemporalUnauthenticated",
        "Temporal does not know the operator.",
        "Give the operator a valid API key or certificate.",
    )
    TEMPORAL_RATE_LIMITED = (
        "TemporalRateLimited",
        "Temporal has no room for more requests now. The operator goes on more slowly.",
        "Raise the limits of the Temporal namespace if it lasts.",
    )
    SEARCH_ATTRIBUTES_MISSING = (
        "SearchAttributesMissing",
        "The Temporal namespace lacks search attributes that orders need.",
        "Register those that the message names.",
    )
    SEARCH_ATTRIBUTE_TYPE_MISMATCH = (
        "SearchAttributeTypeMismatch",
        "A search attribute of that name has another type.",
        "Use another Temporal namespace, or remove the attribute and register it with the type that the message names.",
    )
    TASK_QUEUE_TAKEN = (
        "TaskQueueTaken",
        "Another installation's workers ask for the tasks of this task queue.",
        "Give this installation a task queue of its own; the message says how, and when it may be shared.",
    )
    WORKFLOW_MISMATCH = (
        "WorkflowMismatch",
        "The workflow was started with another spec. The operator does not touch it.",
        "Delete the order and create it again.",
    )
    WORKFLOW_TERMINATED = (
        "WorkflowTerminated",
        "Somebody stopped the workflow. A stock item's starts again by itself; an order's input cannot be read.",
        "Compare ledger and provider: `order-worker reconcile`.",
    )
    WORKFLOW_TASK_FAILED = (
        "WorkflowTaskFailed",
        "The code of the workflow fails. The order stays where it is.",
        "Deploy a worker without the fault; see the runbook on failed workflow tasks.",
    )
    MANUAL_REVIEW = (
        "ManualReview",
        "Something could not be undone.",
        "Repair what the message names; see the runbook on manual review.",
    )
    NOT_REQUIRED = "NotRequired", "The order does not need this step or this decision."
    PENDING = "Pending", "It has not happened yet."
    DONE = "Done", "It has happened."
    UNDONE = "Undone", "It had happened, and was undone."
    NOT_UNDONE = (
        "NotUndone",
        "The step or its undo failed, and its effect is still there: money taken, a parcel on its way.",
        "Follow `.status.message`; the operator and the worker go on trying.",
    )
    FAILED = "Failed", "It could not be done."
    APPLIED = "Applied", "The last edit is in force."
    APPLYING = "Applying", "No worker has answered the last edit yet."
    LINES_NOT_APPLIED = (
        "LinesNotApplied",
        "An approval counts for the lines of the spec, and these are not in force.",
        "Correct the lines, as the condition's message says.",
    )
    PROOF_REQUIRED = (
        "ProofRequired",
        "The operator takes only decisions whose name a policy holds true, and nothing proves this one.",
        "Take the decision back, and decide where the policy is in force.",
    )
    CHANGED_BY_CLIENT = (
        "ChangedByClient",
        "A client of the workflow has changed lines or suspension since, and its change is in force.",
        "Write into the spec what is to hold.",
    )
    REFUSED = "Refused", "The workflow refused and gave no reason of its own.", "Read the message."
    WORKER_TOO_OLD = (
        "WorkerTooOld",
        "The worker that answered is of an earlier release. It is asked again by itself.",
        "Finish the roll-out of the workers.",
    )
    ASKING_LEDGER = (
        "AskingLedger",
        "Temporal has lost the history of the order. A new run asks the ledger what was done.",
        "Make sure that a worker runs.",
    )
    WORKFLOW_ELSEWHERE = (
        "WorkflowElsewhere",
        "The order or stock item has a workflow in another Temporal namespace than the one that the operator uses now.",
        "Set the operator's Temporal namespace back, or do as the message says.",
    )
    RESTORED_ELSEWHERE = (
        "RestoredElsewhere",
        "Another installation started a workflow for this order.",
        "Set `spec.adoptFrom` as the message says.",
    )
    PREDECESSOR_ENDING = (
        "PredecessorEnding",
        "The workflow of an earlier order of this name is still being undone; this one begins after it.",
    )
    ADOPTING = "Adopting", "The restored order takes over its workflow; no worker has answered yet."
    ADOPTED_ELSEWHERE = (
        "AdoptedElsewhere",
        "A restored order has taken over the workflow of this one.",
        "Delete this one; that does no harm. Or set `spec.adoptFrom` as the message says, to take it back.",
    )
    DELETION_BLOCKED = (
        "DeletionBlocked",
        "The deletion waits for an order in manual review.",
        "Repair the cause and raise `spec.retry`, or set `deletionPolicy: Orphan`.",
    )
    ENCRYPTION_KEY_MISSING = (
        "EncryptionKeyMissing",
        "What Temporal keeps of the order is encrypted with a key that operator or worker lacks; the message names it.",
        "Put the key back into the Secret, and the order goes on. If nobody ever had it, see docs/encryption.md.",
    )
    SNAPSHOT_UNREADABLE = (
        "SnapshotUnreadable",
        "The operator cannot read what the workflow has published: a newer release wrote it, or it is encrypted.",
        "Roll out an operator that can read it.",
    )
    RUN_STOPPED = (
        "RunStopped",
        "The workflow stopped again and again without an end of the order. Its next run begins by itself.",
        "Read the worker's log if it goes on.",
    )
    PAUSED = (
        "Paused",
        "The operator starts no new orders; those that have a workflow go on.",
        "Set the Helm value `operator.paused` to false.",
    )
    ORDER_FINISHED = (
        "OrderFinished",
        "The order ended before the edit had an effect; the message names the field.",
        "Create another order if it is still wanted.",
    )
    TOO_LATE = RefusalType.TOO_LATE.value, RefusalType.TOO_LATE.meaning, RefusalType.TOO_LATE.remedy
    KEPT = "Kept", "The article is kept by these settings."
    SKU_TAKEN = (
        "SkuTaken",
        "Another StockItem, or another installation on the same ledger, keeps the article; the message names it.",
        "Delete one of the two; this one then takes over by itself.",
    )
    PLANNED = "Planned", "The supplier is about to be asked."
    ORDERED = "Ordered", "The supplier has the order."
    SUPPLIER_FAILED = (
        "SupplierFailed",
        "The supplier cannot be asked at the moment, and is asked again; the message says why.",
    )
    NOTHING_ON_ORDER = "NothingOnOrder", "There is enough in stock, or the supplier has delivered."
    UNKNOWN = "Unknown", "The error came without a name."


def _as_reason(name: str) -> str:
    """Error types come from any worker in any language; Kubernetes takes only CamelCase words as reasons."""
    words = re.sub(r"[^A-Za-z0-9_]+", "_", name)[:64].strip("_0123456789")
    return words or Reason.UNKNOWN


class ConditionSet:
    """Builds the conditions of one status; keeps a transition's time while the condition's status stays."""

    def __init__(self, existing: Sequence[Mapping[str, Any]], generation: int, now: datetime) -> None:
        self._existing = {str(item.get("type")): item for item in existing}
        self._generation = generation
        self._now = now.replace(microsecond=0).isoformat().replace("+00:00", "Z")
        self._conditions: list[dict[str, Any]] = []

    def set(self, kind: ConditionType, holds: bool | None, reason: str, message: str = "") -> None:
        """`holds`: True, False, or None for Unknown."""
        status = {True: "True", False: "False", None: "Unknown"}[holds]
        before = self._existing.get(kind, {})
        kept = before.get("lastTransitionTime") if before.get("status") == status else None
        condition = {
            "type": kind.value,
            "status": status,
            "reason": reason.value if isinstance(reason, StrEnum) else _as_reason(reason),
            "observedGeneration": self._generation,
            "lastTransitionTime": kept or self._now,
        }
        if message:
            condition["message"] = message[:MAX_MESSAGE]
        self._conditions.append(condition)

    def build(self) -> list[dict[str, Any]]:
        """In the order in which they were set, as JSON of `status.Condition`."""
        return self._conditions


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Value):
    """One aspect of the resource's state, in the form that `kubectl wait --for=condition=...` understands."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """Which aspect, for example `Charged`."""
    status: ConditionStatus
    """`True`, `False` or `Unknown`."""
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$")
    ]
    """Why, as one stable word for programs."""
    message: ShortText = ""
    """Why, as a sentence for people; it carries no times or amounts, so that it changes only with the reason."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """metadata.generation that this condition speaks of."""
    last_transition_time: datetime
    """When `status` last changed."""


def held_up(status: Mapping[str, Any], problem: Problem | None, now: datetime) -> dict[str, Any]:
    """The status as it is, saying only what keeps its resource from being followed; `now` in UTC."""
    if problem is None:
        return dict(status)
    # Each once, and ours alone: beside twenty of others there is no room to say anything.
    existing = {item["type"]: item for item in status.get("conditions") or [] if item["type"] in _TYPES}
    conditions = ConditionSet(list(existing.values()), int(status.get("observedGeneration") or 0), now)
    conditions.set(ConditionType.READY, False if problem.stalled else None, problem.reason, problem.message)
    conditions.set(ConditionType.RECONCILING, not problem.stalled, problem.reason, problem.message)
    conditions.set(ConditionType.STALLED, problem.stalled, problem.reason, problem.message)
    told = {item["type"]: item for item in conditions.build()}
    others = [told.pop(kind, item) for kind, item in existing.items()]
    return {**status, "conditions": [*others, *told.values()]}


_TYPES = frozenset(ConditionType)

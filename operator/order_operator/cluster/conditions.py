"""Condition types and reasons: a public API, named here once. Messages carry no data that changes by itself."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from order_domain.refusals import RefusalType
from order_domain.snapshot import ShortText
from order_domain.value import Value
from order_operator.problem import Problem

MAX_MESSAGE = 1024
"""As the status schema bounds it."""

MAX_CONDITIONS = 20
"""Room for the documented condition types and a few to come."""


class ConditionType(StrEnum):
    """What can be said of an order, or of a stock item."""

    ACCEPTED = "Accepted"
    """The operator understood the order and a workflow carries it."""
    READY = "Ready"
    """Accepted, and progressing or done: what `helm --wait`, Flux and Argo CD look at."""
    RECONCILING = "Reconciling"
    """Something is still to happen by itself."""
    STALLED = "Stalled"
    """Nothing will happen until somebody acts."""
    APPROVED = "Approved"
    RESERVED = "Reserved"
    CHARGED = "Charged"
    SHIPPED = "Shipped"
    NOTIFIED = "Notified"
    COMPENSATED = "Compensated"
    """Everything that was done is undone."""
    COMPENSATION_FAILED = "CompensationFailed"
    SPEC_APPLIED = "SpecApplied"
    """The workflow works with what the spec says."""
    FINISHED = "Finished"
    """The order has ended, however."""
    COMPLETE = "Complete"
    """The order has ended well."""
    REPLENISHING = "Replenishing"
    """An order at the supplier is open; of stock items only."""


class Reason(StrEnum):
    """Why. Terminal phases are reasons of Finished and Complete as well, as are the workflow's error types."""

    SUBMITTED = "Submitted"
    SUBMITTING = "Submitting"
    PROGRESSING = "Progressing"
    STEP_RETRYING = "StepRetrying"
    NO_WORKER = "NoWorker"
    WAITING = "Waiting"
    SUSPENDED = "Suspended"
    NOT_FINISHED = "NotFinished"
    INVALID_SPEC = "InvalidSpec"
    CLASS_NOT_FOUND = "ClassNotFound"
    CLASS_INVALID = "ClassInvalid"
    VALID = "Valid"
    NO_DEFAULT_CLASS = "NoDefaultClass"
    TEMPORAL_UNAVAILABLE = "TemporalUnavailable"
    TEMPORAL_NAMESPACE_NOT_FOUND = "TemporalNamespaceNotFound"
    TEMPORAL_REFUSED = "TemporalRefused"
    TEMPORAL_PERMISSION_DENIED = "TemporalPermissionDenied"
    TEMPORAL_UNAUTHENTICATED = "TemporalUnauthenticated"
    TEMPORAL_RATE_LIMITED = "TemporalRateLimited"
    SEARCH_ATTRIBUTES_MISSING = "SearchAttributesMissing"
    SEARCH_ATTRIBUTE_TYPE_MISMATCH = "SearchAttributeTypeMismatch"
    WORKFLOW_MISMATCH = "WorkflowMismatch"
    WORKFLOW_TERMINATED = "WorkflowTerminated"
    WORKFLOW_TASK_FAILED = "WorkflowTaskFailed"
    MANUAL_REVIEW = "ManualReview"
    NOT_REQUIRED = "NotRequired"
    PENDING = "Pending"
    DONE = "Done"
    UNDONE = "Undone"
    NOT_UNDONE = "NotUndone"
    FAILED = "Failed"
    APPLIED = "Applied"
    APPLYING = "Applying"
    LINES_NOT_APPLIED = "LinesNotApplied"
    PROOF_REQUIRED = "ProofRequired"
    CHANGED_BY_CLIENT = "ChangedByClient"
    REFUSED = "Refused"
    WORKER_TOO_OLD = "WorkerTooOld"
    ASKING_LEDGER = "AskingLedger"
    RESTORED_ELSEWHERE = "RestoredElsewhere"
    PREDECESSOR_ENDING = "PredecessorEnding"
    ADOPTING = "Adopting"
    ADOPTED_ELSEWHERE = "AdoptedElsewhere"
    DELETION_BLOCKED = "DeletionBlocked"
    SNAPSHOT_UNREADABLE = "SnapshotUnreadable"
    RUN_STOPPED = "RunStopped"
    PAUSED = "Paused"
    ORDER_FINISHED = "OrderFinished"
    TOO_LATE = RefusalType.TOO_LATE.value
    KEPT = "Kept"
    SKU_TAKEN = "SkuTaken"
    PLANNED = "Planned"
    ORDERED = "Ordered"
    SUPPLIER_FAILED = "SupplierFailed"
    NOTHING_ON_ORDER = "NothingOnOrder"
    UNKNOWN = "Unknown"


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

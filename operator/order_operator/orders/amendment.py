"""An edit of a running order's spec as it is sent to the workflow, and the refusal of one."""

from dataclasses import dataclass
from enum import StrEnum

from order_domain.refusals import RefusalType
from order_domain.value import Value


class Group(StrEnum):
    """The fields of a spec that can change while the order runs."""

    APPROVAL = "approval"
    CANCELLATION = "cancellation"
    LINES = "lines"
    ADDRESS = "shippingAddress"
    SUSPEND = "suspend"
    RETRY = "retry"
    ADOPTION = "adoption"


@dataclass(frozen=True)
class Amendment:
    """One wanted change that the workflow does not have yet."""

    group: Group
    update: str
    argument: Value | None
    update_id: str
    """Deterministic, so that the server recognises a repetition."""
    shown: bool = True
    """Whether the order shows what it has of it; else its answer is all that there is to see."""
    repeats: str | None = None
    """The id under which Temporal answers only with what the same edit was answered once before."""


@dataclass(frozen=True)
class Refusal:
    """The No of a workflow."""

    group: Group
    reason: str
    message: str
    again_at: float | None = None
    """Monotonic time from which it is asked again; None if its answer is final."""


FOR_THE_DECIDER = frozenset({RefusalType.OWN_ORDER, RefusalType.OWN_EDIT})
"""Refusals of a decision for who made it. An edit by somebody else must not bring it into force."""

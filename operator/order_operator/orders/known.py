"""All that is known of one order, at one moment: what its next action is decided from."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from order_operator.cluster.policies import NO_EVIDENCE, Evidence
from order_operator.orders.adoption import Predecessor
from order_operator.orders.classes import OrderClass
from order_operator.orders.edit_state import EditState
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import PendingWork
from order_operator.orders.resource import OrderResource
from order_operator.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Known:
    """The facts. Where nothing is said, nothing is known."""

    order: OrderResource
    """The newest version that the watch or a write of our own has brought."""
    now: datetime
    clock: float
    """Monotonic time, in seconds."""
    since: float = float("-inf")
    """Monotonic time at which this reconciliation began: whatever was asked in it was asked later."""
    gone: bool = False
    """The resource is deleted, says the watch or a complete list."""
    exists: bool = False
    """The API server was asked in this reconciliation, and has this very resource."""
    observation: Observation | None = None
    others: Sequence[str] = ()
    """Ids of open workflows that visibility shows under this name and another uid."""
    asked_others: Container[str] = ()
    """Those that Temporal itself was asked about in this reconciliation."""
    predecessor: Predecessor | None = None
    """What Temporal itself, asked in this reconciliation, told of the one that decides what becomes of the order."""
    work: PendingWork | None = None
    """What the present step of the run waits for, if that was asked."""
    without_worker: frozenset[str] = frozenset()
    """Task queues in which tasks wait and for which nobody asks."""
    asked: bool = False
    """Temporal itself was asked in this reconciliation, not visibility. Without an observation its answer was that it
    has no such run."""
    doubted: bool = False
    """Something says that the observation may be wrong: a run that a full scan did not list, a call that did not find
    it, a status that somebody else changed."""
    told: bool = False
    """The present run was told that its resource is being deleted, or is gone, with the policy that it has now."""
    synced: bool = True
    """The first full scan is through: open runs have been seen."""
    paused: bool = False
    """No new order is to be started."""
    connection: Problem | None = None
    """Why Temporal cannot be asked."""
    order_class: OrderClass | Problem
    refused: Problem | None = None
    """Why Temporal has just refused to start the workflow."""
    unguarded: bool = False
    """The API server has just refused our finalizer: the status does not wait for it."""
    takeover_problem: Problem | None = None
    """Why the present run could not be taken over."""
    takeover_again_at: float = float("-inf")
    """Monotonic time from which that is tried again."""
    evidence: Evidence | None = NO_EVIDENCE
    """How far the name of who decides is proven; None until the first look at the policies of the namespace."""
    require_proof: bool = False
    """A decision by the resource whose name is not proven does not count."""
    edits: EditState = field(default_factory=EditState)
    written_at: float = float("-inf")
    """Monotonic time of the last status write."""
    status_seen_at: float = float("-inf")
    """Monotonic time at which the workflow's present OrderStatus was seen first."""
    quiet: bool = True
    """So little is written at the moment that progress may be shown (`WriteBudget`)."""
    cluster: str
    """Identity of this installation."""
    temporal_namespace: str
    temporal_ui: str = ""
    """Address of Temporal's Web UI, if it is known."""

    @property
    def adopted_elsewhere(self) -> bool:
        """Whether the workflow says that it belongs to another resource now."""
        return self.observation is not None and self.observation.key.uid != self.order.uid

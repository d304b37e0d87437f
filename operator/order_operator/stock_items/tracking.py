"""What the operator remembers of items, and of the workflows that keep their articles; all of it may be lost at any
time."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import StockRun
from order_operator.temporal.cancellation import TOLD_AGAIN_SECONDS

RESTART_SECONDS = 10.0
"""Before a run that ended while its item lives is replaced: one that ends again and again must not spin."""


@dataclass
class Tracked:
    """What is known of one item, under its uid."""

    resource: StockItemResource
    gone: bool = False
    """The resource was deleted; its workflow may still have to be told."""
    written_at: float = float("-inf")
    """Monotonic time of the last status write."""
    conflicts: int = 0
    """In a row: writes that met a newer version, or none."""
    configured: int = 0
    """Newest metadata.generation whose settings were sent."""
    configured_at: float = float("-inf")
    """Monotonic time at which they were sent last."""
    ended: str | None = None
    """Id of the run whose end under the item was seen last."""
    ended_at: float = float("-inf")
    """Monotonic time at which it was."""

    def ended_just_now(self, run: StockRun | None) -> Problem | None:
        """The item's own run has ended under it, and is not replaced yet. Counted from when that was seen: the server
        that dates the end may be minutes away from our clock."""
        if run is None or run.running:
            return None
        now = time.monotonic()
        if self.ended != run.run_id:
            self.ended, self.ended_at = run.run_id, now
        if now - self.ended_at >= RESTART_SECONDS:
            return None
        message = f"the workflow ended as {run.status.name.title()} although the item is there: it is started again"
        return Problem(Reason.WORKFLOW_TERMINATED, message)


class TrackedItems(dict[str, Tracked]):
    """By uid; and the runs of their articles."""

    def __init__(self, cluster: str) -> None:
        """`cluster`: the identity of this installation."""
        super().__init__()
        self._cluster = cluster
        self.runs: dict[str, StockRun] = {}
        """By workflow id."""
        self._let_go: dict[str, float] = {}
        """By id of an open run: monotonic time at which it was told that its item is gone."""

    def put(self, item: StockItemResource) -> bool:
        """Take in a version of a StockItem; whether it is to be looked at."""
        tracked = self.get(item.uid)
        if tracked is None:
            self[item.uid] = Tracked(item)
        elif item.version <= tracked.resource.version:
            return False
        else:
            tracked.resource = item
        return True

    def below_minimum(self) -> Mapping[str, int]:
        """How many articles have fewer free pieces than their minimum, by namespace, as the statuses show them."""
        short: Counter[str] = Counter()
        for tracked in self.values():
            item = tracked.resource
            on_hand, minimum = item.status.get("onHand"), item.spec.get("minimum")
            if isinstance(on_hand, int) and isinstance(minimum, int):
                short[item.namespace] += on_hand < minimum and not tracked.gone
        return short

    def own_run(self, uid: str) -> StockRun | None:
        """The item's workflow. Until there is one, the workflow of an earlier release. None for an item that a list has
        taken away meanwhile."""
        tracked = self.get(uid)
        if tracked is None:
            return None
        identifier, _ = tracked.resource.workflow_ids(self._cluster)
        present = self.runs.get(identifier)
        return present if present is not None and present.owner == uid else self.former_run(uid)

    def former_run(self, uid: str) -> StockRun | None:
        """The open workflow that an earlier release started for the item."""
        tracked = self.get(uid)
        if tracked is None:
            return None
        _, identifier = tracked.resource.workflow_ids(self._cluster)
        former = self.runs.get(identifier)
        return former if former is not None and former.running and former.owner == uid else None

    def owner_of(self, run: StockRun) -> str | None:
        """The uid of the item that it runs for, if that is here."""
        return run.owner if run.owner in self else None

    def awaits_worker(self, item: StockItemResource) -> bool:
        """Whether a worker is about to tell the counts for the first time, or to take over edited settings."""
        run = self.own_run(item.uid)
        if run is None or not run.running or run.unreadable:
            return False
        return run.snapshot is None or run.snapshot.generation != item.generation

    def any_awaits_worker(self) -> bool:
        """Whether that is so of one of them."""
        return any(self.awaits_worker(tracked.resource) for tracked in self.values())

    def learn(self, run: StockRun) -> None:
        """Take in what is true of a run. Nothing is kept of one that has ended, and whose item is not here."""
        self.runs[run.workflow_id] = run
        if not run.running:
            self._let_go.pop(run.run_id, None)
            if self.owner_of(run) is None:
                del self.runs[run.workflow_id]

    def lost(self, run: StockRun) -> None:
        """Temporal itself has no such open run. The scanner brings its end, if it has one; a run that is lost has none,
        and the next look starts another."""
        if self.runs.get(run.workflow_id) is run:
            del self.runs[run.workflow_id]

    def told(self, run_id: str) -> None:
        """That its item is gone."""
        self._let_go[run_id] = time.monotonic()

    def has_heard(self, run: StockRun) -> bool:
        """Whether the run knows that its item is gone, or was told so of late. Temporal forgets it where it is restored
        from a backup, and the run is open as before."""
        if run.snapshot is not None and run.snapshot.released:
            return True
        return time.monotonic() - self._let_go.get(run.run_id, float("-inf")) < TOLD_AGAIN_SECONDS

"""How a workflow makes its state visible: search attributes and one memo, written together and only on a change."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

from order_domain.snapshot import OrderSnapshot
from order_domain.stock_item import StockSnapshot
from order_workflows.contract import ORDER_CLUSTER, ORDER_SEQ, ORDER_UPDATED_AT

Snapshot = TypeVar("Snapshot", OrderSnapshot, StockSnapshot)

AttributeUpdates = list[SearchAttributeUpdate[Any]]

SHOW_AFTER = timedelta(seconds=1)
"""How long a step runs before it is shown."""


class Publisher(Generic[Snapshot]):
    """Gives each published snapshot its number and its time."""

    def __init__(
        self,
        cluster: Callable[[], str],
        memo: Callable[[Snapshot, Snapshot | None], dict[str, object]],
        attributes: Callable[[Snapshot, Snapshot | None], AttributeUpdates],
        *,
        last: Snapshot | None = None,
        seq: int = 0,
    ) -> None:
        """`cluster` is the identity of the installation that the run belongs to. `memo` is what to write for a
        snapshot, and `attributes` are the search attributes of its own; both are given also the snapshot that this run
        published before, None for the first. An earlier run published `last`, or, where that is not known, the numbers
        up to `seq`."""
        self.last: Snapshot | None = last
        """The last published snapshot, of this run or an earlier one."""
        self.seq = last.seq if last is not None else seq
        """The number of the last published snapshot."""
        self._cluster = cluster
        self._memo: Callable[[Snapshot, Snapshot | None], dict[str, object]] = memo
        self._attributes: Callable[[Snapshot, Snapshot | None], AttributeUpdates] = attributes
        self._of_this_run: Snapshot | None = None
        self._cluster_shown: str | None = None

    def publish(self, snapshot: Snapshot) -> None:
        """In the workflow task that runs anyway; nothing changed, nothing written."""
        updated_at = self.last.updated_at if self.last is not None else None
        if snapshot.model_copy(update={"seq": self.seq, "updated_at": updated_at}) == self.last:
            return
        now = workflow.now()
        self.seq += 1
        snapshot = snapshot.model_copy(update={"seq": self.seq, "updated_at": now})
        updates: AttributeUpdates = [ORDER_SEQ.value_set(self.seq), ORDER_UPDATED_AT.value_set(now)]
        cluster = self._cluster()
        if cluster != self._cluster_shown:  # search attributes are each run's own
            updates.append(ORDER_CLUSTER.value_set(cluster))
            self._cluster_shown = cluster
        workflow.upsert_search_attributes(updates + self._attributes(snapshot, self._of_this_run))
        workflow.upsert_memo(self._memo(snapshot, self._of_this_run))
        self.last = self._of_this_run = snapshot


class Debounce:
    """Calls `publish` once after `SHOW_AFTER`, unless it is cancelled before.

    Of several steps in one workflow task only the last state is ever seen outside. Showing the others would only add
    events. A step that lasts, since its local activity is being retried, is shown by a timer. A timer that is cancelled
    in the task that started it costs nothing."""

    def __init__(self, publish: Callable[[], None]) -> None:
        self._publish = publish
        self._pending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Without effect while a call is pending."""
        if self._pending is None:
            self._pending = asyncio.create_task(self._publish_later())

    def cancel(self) -> None:
        """Somebody published just now."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    async def _publish_later(self) -> None:
        await workflow.sleep(SHOW_AFTER, summary="show a step that lasts")
        self._pending = None
        self._publish()

"""Tells the metrics what the worker uses and what its ledger has written; nothing of it waits for the database."""

from temporalio.plugin import SimplePlugin

from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_worker.periodic import periodic
from order_worker.process_metrics import ProcessMetrics
from order_worker.workflow_slots import WorkflowSlots

PERIOD_SECONDS = 5.0
"""A third of the shortest interval at which anybody scrapes."""


class UsageWatch:
    """Looks while the worker runs."""

    def __init__(
        self, ledger: Ledger, task_queue: str, slots: WorkflowSlots, metrics: Metrics, process: ProcessMetrics
    ) -> None:
        self._ledger = ledger
        self._task_queue = task_queue
        self._slots = slots
        self._metrics = metrics
        self._process = process

    def plugin(self) -> SimplePlugin:
        """What a worker needs."""
        return periodic("usage-watch", self.look, PERIOD_SECONDS)

    async def look(self) -> None:
        """Once."""
        self._process.look()
        self._metrics.free_workflow_slots(self._task_queue, self._slots.free)
        for state, number in self._ledger.connections().items():
            self._metrics.ledger_connections(state, number)
        for result, number in self._ledger.audit_writes.taken().items():
            self._metrics.audit_writes(result, number)

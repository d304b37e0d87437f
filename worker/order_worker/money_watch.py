"""Tells the metrics twice a minute which money is in doubt, by one short query of the ledger."""

import logging
from datetime import UTC, datetime
from functools import partial

from temporalio.plugin import SimplePlugin

from order_domain.errors import TransientError
from order_worker.ledger import open_intents
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_worker.periodic import periodic

LOG = logging.getLogger(__name__)

PERIOD_SECONDS = 30.0


class MoneyWatch:
    """Counts open intents while the worker runs."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics

    def plugin(self) -> SimplePlugin:
        """What a worker needs."""
        return periodic("money-watch", self.look, PERIOD_SECONDS)

    async def look(self) -> None:
        """Once. A ledger that does not answer leaves the figures of before."""
        self._metrics.audit_keyed(self._ledger.audit_keyed)
        try:
            counted = await self._ledger.transaction(partial(open_intents.count, now=datetime.now(UTC)))
        except TransientError as error:
            LOG.warning("open intents are not counted: %s", error)
            return
        for (kind, age), number in counted.items():
            self._metrics.open_intents(kind, age, number)

"""Tells the metrics every half a minute which money is in doubt, by one short query of the ledger."""

import asyncio
import logging
from datetime import UTC, datetime
from functools import partial

from order_domain.errors import TransientError
from order_worker.ledger import open_intents
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics

LOG = logging.getLogger(__name__)

PERIOD_SECONDS = 30.0


async def watch(ledger: Ledger, metrics: Metrics, period: float = PERIOD_SECONDS) -> None:
    """Until cancelled. A ledger that does not answer leaves the last figures."""
    while True:
        try:
            counted = await ledger.transaction(partial(open_intents.count, now=datetime.now(UTC)))
        except TransientError as error:
            LOG.warning("open intents are not counted: %s", error)
        else:
            for (kind, age), number in counted.items():
                metrics.open_intents(kind, age, number)
        await asyncio.sleep(period)

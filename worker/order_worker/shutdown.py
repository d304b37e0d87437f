"""Stopping a worker within a bound, whatever the SDK does."""

import asyncio
import logging
from datetime import timedelta

from temporalio.worker import Worker

LOG = logging.getLogger(__name__)

SLACK = timedelta(seconds=10)
"""How long the SDK may take beyond the grace of the activities: less than the 15 s that the chart's termination grace
period leaves. temporalio 1.35 sometimes never returns from finalize_shutdown() where an activity ends as the worker
stops, with all results reported and no call to the server outstanding."""


async def stop(worker: Worker, running: asyncio.Task[None], grace: timedelta, slack: timedelta = SLACK) -> None:
    """Ends `running`, which is `worker.run()`. An activity that is cut off is tried again by another worker, like one
    whose worker was killed. Raises what `running` raises."""
    try:
        async with asyncio.timeout((grace + slack).total_seconds()):
            await worker.shutdown()
            await running
    except TimeoutError:
        LOG.warning(
            "the worker did not stop within %s, leaving it: Temporal gives what it held to another", grace + slack
        )
        running.cancel()

"""Telling a workflow that its resource is gone or going; safe to repeat, and fine if the workflow has ended."""

from collections.abc import Awaitable

from temporalio.client import Client
from temporalio.service import RPCError

from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import RPC_TIMEOUT, Run
from order_workflows.contract import SIGNAL_ORPHAN

TWO_LOOKS_SECONDS = 120.0
"""Least time between the first look without the resource and the cancellation."""
TOLD_AGAIN_SECONDS = 600.0
"""Before a run that shows nothing of what it was told is told again: a Temporal that was restored may have forgotten
it."""
MAX_PER_LOOK = 5
"""Cancellations for want of a resource at each look, which is once a minute."""
BRAKE_NUMBER = 10
BRAKE_SHARE = 0.05
"""Nothing is cancelled while more runs than both of these look orphaned: a number, and a share of all open runs."""


def too_many(orphans: int, open_runs: int) -> bool:
    """Whether so many of all open runs look orphaned that something else must be wrong."""
    return orphans > max(BRAKE_NUMBER, BRAKE_SHARE * open_runs)


async def request_cancel(client: Client, run: Run) -> bool:
    """Ask the workflow to stop and undo what it did. Needs no worker to be accepted. False if there is no open run;
    where its id is shared, if this very one is not open, which may go on under another run id."""
    handle = client.get_workflow_handle(run.workflow_id, run_id=run.run_id if run.shares_id else None)
    return await _unless_ended(handle.cancel(rpc_timeout=RPC_TIMEOUT))


async def mark_orphaned(client: Client, run: Run) -> bool:
    """Let the workflow go on without its resource: no inventory may cancel it. False if there is no open run."""
    handle = client.get_workflow_handle(run.workflow_id)
    return await _unless_ended(handle.signal(SIGNAL_ORPHAN, rpc_timeout=RPC_TIMEOUT))


async def _unless_ended(call: Awaitable[None]) -> bool:
    try:
        await call
    except RPCError as failed:
        if not is_no_such_run(failed):
            raise
        return False
    return True

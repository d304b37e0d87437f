"""What Temporal says of one order's workflow."""

import logging
from dataclasses import dataclass

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client

from order_domain.snapshot import SNAPSHOT_VERSION, OrderSnapshot
from order_operator.temporal.runs import Run, find, memo_values, readable, run_fields
from order_workflows.contract import MEMO_INPUT_HASH, MEMO_ORPHANED, MEMO_SNAPSHOT, RunKey

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Observation(Run):
    """The newest known state of one order's workflow."""

    key: RunKey
    snapshot: OrderSnapshot | None = None
    """None until the workflow has published, or when it wrote a format that this operator does not know."""
    input_hash: str | None = None
    orphaned: bool = False


async def decode(client: Client, key: RunKey, row: WorkflowExecutionInfo) -> Observation:
    """A row of visibility, or of a describe, as an observation."""
    values = await memo_values(client, row, (MEMO_SNAPSHOT, MEMO_INPUT_HASH, MEMO_ORPHANED))
    snapshot = None
    if MEMO_SNAPSHOT in values:
        snapshot = readable(values[MEMO_SNAPSHOT], OrderSnapshot, SNAPSHOT_VERSION)
        if snapshot is None:
            logger.warning("a newer worker's snapshot, left alone: %s", row.execution.workflow_id)
    return Observation(
        key=key,
        snapshot=snapshot,
        input_hash=values.get(MEMO_INPUT_HASH),
        orphaned=bool(values.get(MEMO_ORPHANED)),
        unreadable=MEMO_SNAPSHOT in values and snapshot is None,
        **run_fields(row),
    )


async def describe(client: Client, key: RunKey, workflow_id: str) -> Observation | None:
    """The strongly consistent state of one order; for what visibility cannot know. None if there is no such run."""
    row = await find(client, workflow_id)
    return await decode(client, key, row) if row is not None else None

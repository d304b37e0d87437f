"""What Temporal says of one order's workflow."""

from dataclasses import dataclass
from datetime import datetime

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client

from order_domain.pipeline import StepName
from order_domain.snapshot import SNAPSHOT_VERSION, OrderSnapshot
from order_operator.temporal.runs import (
    Run,
    Unreadable,
    cluster_of,
    find,
    memo_values,
    missing_key,
    readable,
    run_fields,
)
from order_workflows.contract import (
    MEMO_INPUT_HASH,
    MEMO_ORPHANED,
    MEMO_PIPELINE,
    MEMO_SNAPSHOT,
    MEMO_TAKEOVERS,
    RunKey,
)

MEMO_KEYS = (MEMO_SNAPSHOT, MEMO_PIPELINE, MEMO_INPUT_HASH, MEMO_ORPHANED, MEMO_TAKEOVERS)


@dataclass(frozen=True, kw_only=True)
class Observation(Run):
    """The newest known state of one order's workflow."""

    key: RunKey
    """Of the resource that the workflow belongs to; the uid differs from that in the workflow's id once it was
    adopted."""
    snapshot: OrderSnapshot | None = None
    """None until the workflow has published, or when it wrote a format that this operator does not know."""
    input_hash: str | None = None
    orphaned: bool = False
    cluster: str | None = None
    """Identity of the installation that started it; None if the run does not tell."""
    pipeline: tuple[StepName, ...] = ()
    """The order's steps; empty of a run that has not told them."""
    takeovers: int = 0
    """How many runs before this one stopped without an end of their order."""

    @property
    def seq(self) -> int:
        """See the base class."""
        return self.snapshot.seq if self.snapshot else -1

    @property
    def order_began(self) -> datetime | None:
        """When the order's first run began, as far as this one tells: a run that was reset or continued starts later.
        None if it does not tell."""
        if self.start_time is None or self.takeovers:
            return None
        steps = self.snapshot.steps if self.snapshot is not None else ()
        return min([self.start_time, *(step.started_at for step in steps if step.started_at is not None)])

    @property
    def tells_of_adoption(self) -> bool:
        """Whether its workflow knows that another resource than the first has ever adopted it."""
        return self.snapshot is not None and self.snapshot.owner is not None

    @property
    def was_never_adopted(self) -> bool:
        """Whether its workflow says that no other resource has. By a worker of an earlier release it does not tell one
        that was never adopted from one that its first resource has taken back."""
        return self.snapshot is not None and self.snapshot.tells_owner and self.snapshot.owner is None

    @property
    def is_undoing(self) -> bool:
        """Whether the run has begun to undo its order, or has done so."""
        return self.snapshot is not None and self.snapshot.compensation is not None


async def decode(client: Client, key: RunKey, row: WorkflowExecutionInfo) -> Observation:
    """A row of visibility, or of a describe, as an observation; `key` is that in the workflow's id."""
    snapshot, values, because, lacks_key = None, {}, "", False
    try:
        values = await memo_values(client, row, MEMO_KEYS)
    except Unreadable as unreadable:
        because, lacks_key = str(unreadable), unreadable.lacks_key
    if MEMO_SNAPSHOT in values:
        snapshot = readable(values[MEMO_SNAPSHOT], OrderSnapshot, SNAPSHOT_VERSION)
        if snapshot is None:
            because = "it has a format that this operator does not know"
        elif snapshot.owner is not None:
            key = key._replace(uid=snapshot.owner.uid)
    input_hash, takeovers = values.get(MEMO_INPUT_HASH), values.get(MEMO_TAKEOVERS)
    return Observation(
        key=key,
        snapshot=snapshot,
        input_hash=input_hash if isinstance(input_hash, str) else None,
        orphaned=bool(values.get(MEMO_ORPHANED)),
        cluster=cluster_of(row),
        pipeline=_pipeline(values.get(MEMO_PIPELINE)),
        takeovers=takeovers if isinstance(takeovers, int) else 0,
        unreadable=bool(because),
        unreadable_because=because,
        lacks_key=lacks_key,
        workers_lack=await missing_key(client, row),
        **run_fields(row),
    )


def _pipeline(names: object) -> tuple[StepName, ...]:
    """Without steps of a newer release."""
    known = set(StepName)
    return tuple(StepName(name) for name in names if name in known) if isinstance(names, list) else ()


async def describe(client: Client, key: RunKey, workflow_id: str) -> Observation | None:
    """The strongly consistent state of one order; for what visibility cannot know. None if there is no such run."""
    row = await find(client, workflow_id)
    return await decode(client, key, row) if row is not None else None

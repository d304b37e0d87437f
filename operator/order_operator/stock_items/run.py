"""An article's workflow, as Temporal shows it."""

from dataclasses import dataclass

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client

from order_domain.stock_item import STOCK_SNAPSHOT_VERSION, StockSnapshot
from order_operator.temporal.runs import Run, Unreadable, cluster_of, memo_values, missing_key, readable, run_fields
from order_workflows.contract import MEMO_STOCK_SNAPSHOT, MEMO_UID, parse_stock_workflow_id

MEMO_ITEM = "item"
"""Memo key of `<namespace>/<name>` of the item, which tells who keeps an article. Only the operator reads it."""


@dataclass(frozen=True, kw_only=True)
class StockRun(Run):
    """The newest known run of an article's workflow."""

    sku: str
    owner: str | None
    """uid of the item that it runs for."""
    item: str
    """`<namespace>/<name>` of that item; empty if the run does not tell."""
    cluster: str | None = None
    """Identity of the installation that started it; None if the run does not tell."""
    former: bool = False
    """Its id is that of an earlier release: a run of the present form takes its place."""
    snapshot: StockSnapshot | None = None
    """None until the workflow has published, or when it wrote a format that this operator does not know."""

    @property
    def shares_id(self) -> bool:
        """See the base class. The id has the article, which one item keeps after the other."""
        return True

    @property
    def seq(self) -> int:
        """See the base class."""
        return self.snapshot.seq if self.snapshot else -1


async def decode_stock(client: Client, row: WorkflowExecutionInfo) -> StockRun | None:
    """A row of visibility, or of a describe; None if its id is no stock item's."""
    key = parse_stock_workflow_id(row.execution.workflow_id)
    if key is None:
        return None
    memo, because, lacks_key = {}, "", False
    try:
        memo = await memo_values(client, row, (MEMO_STOCK_SNAPSHOT, MEMO_UID, MEMO_ITEM))
    except Unreadable as unreadable:
        because, lacks_key = str(unreadable), unreadable.lacks_key
    published = MEMO_STOCK_SNAPSHOT in memo
    snapshot = readable(memo[MEMO_STOCK_SNAPSHOT], StockSnapshot, STOCK_SNAPSHOT_VERSION) if published else None
    return StockRun(
        sku=key.sku,
        former=key.cluster is None,
        owner=str(memo[MEMO_UID]) if MEMO_UID in memo else None,
        item=str(memo.get(MEMO_ITEM) or ""),
        cluster=cluster_of(row),
        snapshot=snapshot,
        unreadable=bool(because) or (published and snapshot is None),
        unreadable_because=because,
        lacks_key=lacks_key,
        workers_lack=await missing_key(client, row),
        **run_fields(row),
    )

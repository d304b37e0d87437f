"""What Temporal's visibility holds of an order: a memo, and search attributes to find it by."""

from order_domain.snapshot import OrderSnapshot
from order_workflows.contract import (
    MEMO_PIPELINE,
    MEMO_SNAPSHOT,
    ORDER_APPROVAL_DEADLINE,
    ORDER_CUSTOMER_TIER,
    ORDER_ID,
    ORDER_STATUS,
    ORDER_TOTAL_MINOR,
    OrderInput,
)
from order_workflows.publishing import AttributeUpdates

MAX_KEYWORD = 100
"""Characters of a text in a search attribute: visibility on PostgreSQL keeps no more than 255."""


def memo(order: OrderInput, snapshot: OrderSnapshot, before: OrderSnapshot | None) -> dict[str, object]:
    """The whole snapshot; the pipeline once for each run."""
    pipeline = {MEMO_PIPELINE: order.policy.pipeline} if before is None else {}
    return {MEMO_SNAPSHOT: snapshot.model_copy(update={"tells_owner": True}).to_memo(), **pipeline}


def search_attributes(order: OrderInput, snapshot: OrderSnapshot, before: OrderSnapshot | None) -> AttributeUpdates:
    """What has changed since `before`."""
    updates: AttributeUpdates = [ORDER_STATUS.value_set(snapshot.status)]
    if before is None:
        updates.append(ORDER_ID.value_set(order.order_id))
    if before is None or before.total_minor != snapshot.total_minor:
        updates.append(ORDER_TOTAL_MINOR.value_set(snapshot.total_minor))
    tier = snapshot.enrichment.tier if snapshot.enrichment else None
    if tier is not None and (before is None or before.enrichment != snapshot.enrichment):
        updates.append(ORDER_CUSTOMER_TIER.value_set(tier[:MAX_KEYWORD]))
    deadline = snapshot.approval.deadline
    if deadline is not None and (before is None or before.approval.deadline != deadline):
        updates.append(ORDER_APPROVAL_DEADLINE.value_set(deadline))
    return updates

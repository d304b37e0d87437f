"""A StockItem as the watch delivers it."""

from dataclasses import dataclass

from order_domain.stock_item import StockItemSpec
from order_operator.cluster.api_names import STOCK_ITEM_KIND, STOCK_ITEMS
from order_operator.cluster.conditions import Reason
from order_operator.cluster.resource import Resource
from order_operator.problem import Problem
from order_workflows.contract import former_stock_workflow_id, stock_workflow_id


@dataclass(frozen=True)
class StockItemResource(Resource):
    """One version of a StockItem."""

    plural = STOCK_ITEMS
    kind = STOCK_ITEM_KIND

    @property
    def sku(self) -> str:
        """The article, readable even when the rest of the spec is not; empty if it is not."""
        sku = self.spec.get("sku")
        return sku if isinstance(sku, str) else ""

    def workflow_ids(self, cluster: str) -> tuple[str, str]:
        """Of the workflow that keeps its article in the installation `cluster`, and of that of an earlier release."""
        return stock_workflow_id(cluster, self.sku), former_stock_workflow_id(self.sku)

    def elsewhere(self, temporal_namespace: str) -> Problem | None:
        """What to tell of an item whose status names a workflow in another namespace of Temporal than the operator's.
        Both would be the same keeper for the ledger, and each would order at the supplier."""
        shown = self.other_namespace(temporal_namespace)
        if shown is None:
            return None
        why = (
            f"this article is kept by a workflow in Temporal's namespace {shown!r}, and the operator uses "
            f"{temporal_namespace!r}. Set that back; or end that workflow, or make sure that it is gone for good, and "
            "take `workflow` off the status: a new one asks the ledger what is on order"
        )
        return Problem(Reason.WORKFLOW_ELSEWHERE, why, stalled=True)

    def parse_spec(self) -> StockItemSpec:
        """Raises InvalidSpec."""
        return self._parse(StockItemSpec)

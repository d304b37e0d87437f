"""A StockItem as the watch delivers it."""

from dataclasses import dataclass

from order_domain.stock_item import StockItemSpec
from order_operator.cluster.api_names import STOCK_ITEM_KIND, STOCK_ITEMS
from order_operator.cluster.resource import Resource


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

    def parse_spec(self) -> StockItemSpec:
        """Raises InvalidSpec."""
        return self._parse(StockItemSpec)

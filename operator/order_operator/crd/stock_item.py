"""The kind StockItem: what its models cannot say."""

from order_domain.stock_item import StockItemSpec
from order_operator.cluster.api_names import STOCK_ITEM_KIND, STOCK_ITEMS
from order_operator.crd.definition import Column, Rule, definition, fixed, resource, status_schema, with_rules
from order_operator.crd.structural_schema import Schema, structural_schema
from order_operator.stock_items.status import StockItemStatus

_ONCE_THE_ITEM_EXISTS = "once the item exists: delete this item, or create another StockItem"

STOCK_ITEM_RULES = (
    fixed("sku", _ONCE_THE_ITEM_EXISTS),
    fixed("initialOnHand", _ONCE_THE_ITEM_EXISTS),
    Rule(
        at="spec",
        rule="self.target >= self.minimum",
        message="target must be at least minimum, or every delivery would leave too few: raise target or lower minimum",
        field="target",
    ),
)


def stock_item_crd() -> Schema:
    """The CustomResourceDefinition of StockItem."""
    schema = resource(
        "An article whose stock is kept between a minimum and a target: with fewer free pieces than the minimum the "
        "supplier is asked for as many as the target lacks, one order at a time.",
        spec=structural_schema(StockItemSpec),
        status=status_schema(StockItemStatus),
    )
    return definition(
        kind=STOCK_ITEM_KIND,
        plural=STOCK_ITEMS,
        short_name="stock",
        scope="Namespaced",
        schema=with_rules(schema, STOCK_ITEM_RULES),
        columns=[
            Column("SKU", ".spec.sku"),
            Column("On-Hand", ".status.onHand", "integer"),
            Column("Reserved", ".status.reserved", "integer"),
            Column("On-Order", ".status.onOrder", "integer"),
            Column("Minimum", ".spec.minimum", "integer"),
            Column("Target", ".spec.target", "integer"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Sold", ".status.sold", "integer", wide=True),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True),
        ],
        selectable=[".spec.sku"],
    )

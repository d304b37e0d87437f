"""The `.status` of a StockItem: what the operator writes there and nobody else. A projection of the workflow's
`StockSnapshot`, restored when wiped or forged."""

from typing import Annotated

from pydantic import Field

from order_domain.snapshot import ErrorRecord
from order_domain.stock_item import SupplierOrderRecord
from order_domain.value import Value
from order_operator.cluster.conditions import MAX_CONDITIONS, Condition
from order_operator.temporal.runs import WorkflowRef

Count = Annotated[int, Field(ge=0)]


class StockItemStatus(Value):
    """How the article stands, as last seen in the item's workflow. Empty counts are not known yet."""

    observed_generation: Count | None = None
    """Newest metadata.generation that was dealt with: its settings are in force, or were refused."""
    on_hand: Count | None = None
    """Free pieces."""
    reserved: Count | None = None
    """Pieces that orders hold."""
    sold: Count | None = None
    """Pieces of orders that passed their pivot."""
    on_order: Count | None = None
    """Pieces that the supplier is asked for; 0 while nothing is on order."""
    supplier_order: SupplierOrderRecord | None = None
    """The one open order at the supplier."""
    conditions: Annotated[list[Condition], Field(max_length=MAX_CONDITIONS)] = Field(default_factory=list)
    """The aspects of the item's state; keyed by `type`."""
    workflow: WorkflowRef | None = None
    """Where to look further."""
    last_error: ErrorRecord | None = None
    """Why the supplier could not be asked, since the last time it could."""

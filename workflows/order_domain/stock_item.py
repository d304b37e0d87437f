"""StockItem: an article whose stock is kept between a minimum and a target."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from order_domain.judgement import Judged, rule
from order_domain.order import Identifier
from order_domain.snapshot import ErrorRecord
from order_domain.value import Value

MAX_PIECES = 1_000_000_000
Pieces = Annotated[int, Field(ge=0, le=MAX_PIECES)]
JudgedPieces = Annotated[int, Judged(Field(ge=0, le=MAX_PIECES))]

STOCK_SNAPSHOT_VERSION = 1


class StockItemSpec(Value):
    """What is kept of one article. The counts themselves live in the ledger and are shown in the status."""

    sku: Identifier
    """The article, as order lines name it. Immutable. Of several items for one article the first keeps the stock."""
    initial_on_hand: Pieces = 0
    """Pieces at the beginning, of an article that the ledger does not have yet. Immutable."""
    minimum: Pieces
    """Fewer free pieces than this, and the supplier is asked for more."""
    target: Pieces
    """How many free pieces there are after a delivery, if nobody orders meanwhile: the supplier is asked for `target`
    less those that are there."""

    @rule
    def _target_is_enough(self) -> None:
        if self.target < self.minimum:
            raise ValueError("target must be at least minimum, or every delivery would leave too few")


class StockSettings(Value):
    """The part of a StockItemSpec that may change, at a generation of the resource."""

    minimum: JudgedPieces
    target: JudgedPieces
    generation: Annotated[int, Judged(Field(ge=0, le=2**63 - 1))]
    instead_of: Annotated[int, Judged(Field(ge=0, le=2**63 - 1))] | None = None
    """Generation of the settings that these replace although they are of an earlier one: etcd was restored, which set
    the resource back."""


class SupplierOrderRecord(Value):
    """The one open order at the supplier."""

    id: str
    """The ledger's number of it, and the supplier's idempotency key: `<sku>/<n>`."""
    quantity: int
    """Pieces."""
    placed_at: datetime | None = None
    """When the supplier confirmed it; empty until then."""
    expected_at: datetime | None = None
    """When the supplier means to deliver."""


class StockSnapshot(Value):
    """What the workflow of a stock item publishes for everybody to see."""

    version: int = STOCK_SNAPSHOT_VERSION
    seq: int = 0
    """Grows with every published change, over all runs of the workflow."""
    updated_at: datetime | None = None
    """Workflow time of the change."""
    generation: int = 0
    """metadata.generation of the settings in force."""
    on_hand: int = 0
    """Free pieces."""
    reserved: int = 0
    """Pieces that orders hold."""
    sold: int = 0
    """Pieces of orders that passed their pivot."""
    supplier_order: SupplierOrderRecord | None = None
    """None while nothing is on order."""
    kept_by: str | None = None
    """Id of the workflow that keeps the article, where that is another."""
    last_error: ErrorRecord | None = None
    """Why the supplier could not be asked, since the last time it could."""
    released: bool = False
    """The workflow was told that its item is gone: no rules keep the article, and it ends once nothing is on order."""

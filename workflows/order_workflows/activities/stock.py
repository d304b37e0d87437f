"""Stock of the order's articles, as the workflow wants it."""

from abc import ABC, abstractmethod

from pydantic import Field
from temporalio import activity

from order_domain.order import OrderLine
from order_domain.value import Value
from order_workflows.activities.effect import Effect, Outcome
from order_workflows.contract import ResourceIdentity


class ValidateLines(Value):
    """Ask whether the stock ledger knows every article, and whether the payment provider can take the amount; changes
    nothing."""

    lines: list[OrderLine]
    currency: str | None = None
    total_minor: int | None = None
    """What will be charged. None: nothing will be, or an older workflow asks."""
    flaws: list[str] = Field(default_factory=list)
    """Rules that the order breaks, as sentences with the path of the field. Any makes the order Invalid."""


class CheckAvailability(Value):
    """Ask whether enough units are free now; holds none."""

    lines: list[OrderLine]
    order: ResourceIdentity | None = None
    """Whose own units count as free: a run that begins anew may have them already. None from an older workflow."""


class ReserveStock(Effect):
    """Hold units for the order until they are released or committed. Another reservation of the order that is still
    held is given up in the same step."""

    lines: list[OrderLine]
    lines_digest: str | None = None
    """Of the order's lines and charges, as the workflow knows them."""
    backorder: bool = False
    """The order waits where too few units are free. The ledger then orders at the supplier what is missing."""


class Reserved(Outcome):
    """Units are held."""

    reservation_id: str


class ReleaseStock(Effect):
    """Give held units back; `operation_id` is that of the release."""

    reserve_operation_id: str
    """The reservation to give up. One that never happened, or was released before, is fine."""
    kept: dict[str, int] = Field(default_factory=dict)
    """Units by SKU that stay held, since their parcels are not back. A later release, under another operation id, may
    keep fewer."""


class CommitStock(Effect):
    """Turn held units into sold ones, and mark the order as forward only; `operation_id` is that of the commit."""

    reserve_operation_id: str | None
    """None for an order that reserves nothing: then it is only marked."""
    lines_digest: str | None = None
    """Of the order's lines and charges, as the workflow knows them."""


class StockActivities(ABC):
    """Stock in the ledger."""

    @activity.defn(name="validate_lines")
    @abstractmethod
    async def validate(self, request: ValidateLines) -> Outcome:
        """Raises InvalidOrder naming the lines whose `sku` does not exist, or saying why the amount cannot be taken."""

    @activity.defn(name="check_availability")
    @abstractmethod
    async def available(self, request: CheckAvailability) -> Outcome:
        """Raises OutOfStock naming what is short."""

    @activity.defn(name="reserve_stock")
    @abstractmethod
    async def reserve(self, request: ReserveStock) -> Reserved:
        """Hold all lines or none. Raises UnknownSku or OutOfStock, both final; OperationReversed for a reservation
        that was given up since, or, of an order that waits, that was refused for want of units before; LinesDiffer if
        the ledger holds other lines for the order."""

    @activity.defn(name="release_stock")
    @abstractmethod
    async def release(self, request: ReleaseStock) -> Outcome:
        """Twice adds once."""

    @activity.defn(name="commit_stock")
    @abstractmethod
    async def commit(self, request: CommitStock) -> Outcome:
        """Twice sells once. Raises LinesDiffer if the ledger holds other lines for the order, or holds units that are
        not those of its lines."""

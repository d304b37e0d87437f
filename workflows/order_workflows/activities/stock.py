"""Stock of the order's articles, as the workflow wants it."""

from abc import ABC, abstractmethod

from temporalio import activity

from order_domain.order import OrderLine
from order_domain.value import Value
from order_workflows.activities.effect import Effect, Outcome


class ValidateLines(Value):
    """Ask whether the stock ledger knows every article; changes nothing."""

    lines: list[OrderLine]


class CheckAvailability(Value):
    """Ask whether enough pieces are free now; holds none."""

    lines: list[OrderLine]


class ReserveStock(Effect):
    """Hold pieces for the order until they are released or committed."""

    lines: list[OrderLine]


class Reserved(Outcome):
    """Pieces are held."""

    reservation_id: str


class ReleaseStock(Effect):
    """Give held pieces back; `operation_id` is that of the release."""

    reserve_operation_id: str
    """The reservation to give up. One that never happened, or was released before, is fine."""


class CommitStock(Effect):
    """Turn held pieces into sold ones; `operation_id` is that of the commit."""

    reserve_operation_id: str


class StockActivities(ABC):
    """Stock in the ledger."""

    @activity.defn(name="validate_lines")
    @abstractmethod
    async def validate(self, request: ValidateLines) -> Outcome:
        """Raises InvalidOrder naming the lines whose `sku` does not exist."""

    @activity.defn(name="check_availability")
    @abstractmethod
    async def available(self, request: CheckAvailability) -> Outcome:
        """Raises OutOfStock naming what is short."""

    @activity.defn(name="reserve_stock")
    @abstractmethod
    async def reserve(self, request: ReserveStock) -> Reserved:
        """Hold all lines or none. Raises UnknownSku or OutOfStock, both final."""

    @activity.defn(name="release_stock")
    @abstractmethod
    async def release(self, request: ReleaseStock) -> Outcome:
        """Twice adds once."""

    @activity.defn(name="commit_stock")
    @abstractmethod
    async def commit(self, request: CommitStock) -> Outcome:
        """Twice sells once."""

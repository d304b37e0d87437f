"""Keeping an article in stock, as the workflow of a StockItem wants it."""

from abc import ABC, abstractmethod
from datetime import datetime

from temporalio import activity

from order_domain.stock_item import SupplierOrderRecord
from order_domain.value import Value
from order_workflows.activities.effect import Outcome


class KeepStock(Value):
    """Keep an article's stock by these rules, from now on."""

    sku: str
    initial_on_hand: int
    """Used only if the ledger does not have the article yet."""
    minimum: int
    target: int
    keeper: str | None = None
    """Id of the workflow that keeps it. None from a run of an earlier release."""
    follows: str | None = None
    """Id of the workflow whose place it takes."""
    on_order: SupplierOrderRecord | None = None
    """What the keeper knows of the open order at the supplier: a ledger that was restored may not have it."""


class StockLevel(Outcome):
    """The ledger's counts of one article, and its open order at the supplier."""

    on_hand: int
    """Free pieces."""
    reserved: int
    sold: int
    supplier_order: SupplierOrderRecord | None = None
    backorders: bool = False
    """Whether an order waits for this article that the free pieces could serve now."""
    kept_by: str | None = None
    """Id of the workflow that keeps the article, where that is another: its rules stay in force, and what is on
    order is its own, not told here."""
    unlisted: bool = False
    """The ledger does not have the order that the keeper named. `supplier_order` is another one: nothing tells which of
    the two came first."""


class SupplierOrder(Value):
    """Names an open order at the supplier."""

    id: str


class Supplies(Outcome):
    """How an order at the supplier stands."""

    delivered: bool
    expected_at: datetime | None = None
    """When to ask again; None once it is delivered."""


class Article(Value):
    """Names an article."""

    sku: str
    keeper: str | None = None
    """Id of the workflow that has kept it. None from a run of an earlier release."""
    on_order: SupplierOrderRecord | None = None
    """As in `KeepStock`."""


class StockItemActivities(ABC):
    """Keeping an article in stock. There is at most one open order at the supplier per article."""

    @activity.defn(name="keep_stock")
    @abstractmethod
    async def keep(self, request: KeepStock) -> StockLevel:
        """Put the article under these rules, unless another workflow keeps it, and count it. If fewer than `minimum`
        are free and nothing is on order, an order at the supplier over `target` less the free pieces is opened in the
        same step. An open order that the keeper names and the ledger does not have is put back before."""

    @activity.defn(name="order_supplies")
    @abstractmethod
    async def order(self, request: SupplierOrder) -> Supplies:
        """Ask the supplier, at most once per id. Raises ProviderUnavailable."""

    @activity.defn(name="receive_supplies")
    @abstractmethod
    async def receive(self, request: SupplierOrder) -> Supplies:
        """Ask whether the pieces have come and, if so, add them to the free ones, once. Raises ProviderUnavailable."""

    @activity.defn(name="wake_backorders")
    @abstractmethod
    async def wake(self, request: Article) -> Outcome:
        """Tell the orders that wait for this article, the longest-waiting first, as many as there are pieces for."""

    @activity.defn(name="release_article")
    @abstractmethod
    async def let_go(self, request: Article) -> StockLevel:
        """Keep the article by no rules any more, unless another workflow keeps it; its counts and an open order at the
        supplier stay."""

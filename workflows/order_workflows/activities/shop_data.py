"""What the shop knows of its articles and customers, as the workflow asks for it."""

from abc import ABC, abstractmethod

from temporalio import activity

from order_domain.order import OrderLine
from order_domain.snapshot import ItemRecord
from order_domain.value import Value
from order_workflows.activities.effect import Outcome


class GetItems(Value):
    """Ask the shop's catalogue what the lines are; changes nothing."""

    lines: list[OrderLine]


class Items(Outcome):
    """The lines as the catalogue knows them."""

    items: list[ItemRecord]
    """Sorted by line id."""


class FetchProfile(Value):
    """Ask who the customer is to the shop."""

    customer_id: str


class Profile(Outcome):
    """The customer's standing."""

    tier: str


class FetchRecommendations(Value):
    """Ask what the customer may like as well."""

    customer_id: str
    skus: list[str]


class Recommendations(Outcome):
    """Names of articles, the best first."""

    names: list[str]


class ShopDataActivities(ABC):
    """What the shop knows of its articles and customers."""

    @activity.defn(name="get_items")
    @abstractmethod
    async def items(self, request: GetItems) -> Items:
        """Raises ProviderUnavailable."""

    @activity.defn(name="fetch_customer_profile")
    @abstractmethod
    async def profile(self, request: FetchProfile) -> Profile:
        """Raises ProviderUnavailable."""

    @activity.defn(name="fetch_recommendations")
    @abstractmethod
    async def recommendations(self, request: FetchRecommendations) -> Recommendations:
        """Raises ProviderUnavailable."""

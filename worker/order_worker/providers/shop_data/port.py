"""What the platform asks of the shop's own catalogue and customer base."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

MAX_RECOMMENDATIONS = 3
"""A confirmation has room for no more."""


class ShopSystem(ABC):
    """Every method only reads, and may raise ProviderUnavailable."""

    @abstractmethod
    async def describe(self, skus: Sequence[str]) -> dict[str, str]:
        """What each article is called, by sku. An article that the catalogue does not have is called by its sku."""

    @abstractmethod
    async def tier(self, customer_id: str) -> str:
        """The customer's standing, for example `Gold`."""

    @abstractmethod
    async def recommendations(self, customer_id: str, skus: Sequence[str]) -> list[str]:
        """What a buyer of these articles may like as well: at most `MAX_RECOMMENDATIONS` names, the best first."""

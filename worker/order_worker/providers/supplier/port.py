"""What the platform asks of the company that sells it its articles."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Confirmation:
    """The supplier took an order."""

    reference: str
    """The supplier's own number of it."""
    expected_at: datetime
    """When it means to deliver."""


class Supplier(ABC):
    """Both methods may raise ProviderUnavailable: whether the order was taken is unknown then, and the same call may be
    repeated."""

    @abstractmethod
    async def order(self, key: str, *, sku: str, quantity: int) -> Confirmation:
        """Order pieces, at most once per `key`; the same key again gives the first answer. Raises OperationConflict if
        the key is known with other parameters."""

    @abstractmethod
    async def delivered(self, key: str) -> bool:
        """Whether the pieces have come. False for a key that the supplier has never seen."""

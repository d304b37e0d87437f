"""What the platform asks of a company that judges orders."""

from abc import ABC, abstractmethod


class FraudCheck(ABC):
    """A question without an effect; it may be asked again."""

    @abstractmethod
    async def check(self, *, customer_id: str, total_minor: int, currency: str, country: str) -> None:
        """Returns if the order may go on. Raises FraudSuspected (final) or ProviderUnavailable."""

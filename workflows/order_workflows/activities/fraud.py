"""The fraud check, as the workflow asks for it."""

from abc import ABC, abstractmethod

from temporalio import activity

from order_workflows.activities.effect import Effect, Outcome


class CheckFraud(Effect):
    """Ask whether the order may go on."""

    customer_id: str
    currency: str
    total_minor: int
    country: str


class FraudActivities(ABC):
    """The fraud check."""

    @activity.defn(name="check_fraud")
    @abstractmethod
    async def check(self, request: CheckFraud) -> Outcome:
        """Raises FraudSuspected (final) or ProviderUnavailable (worth retrying)."""

"""Mail to the customer, as the workflow wants it sent."""

from abc import ABC, abstractmethod

from temporalio import activity

from order_workflows.activities.effect import Effect, Outcome


class Notice(Effect):
    """Tell the customer how the order went."""

    order_id: str
    email: str
    subject: str
    body: str


class NotificationActivities(ABC):
    """Mail to the customer."""

    @activity.defn(name="notify_customer")
    @abstractmethod
    async def notify(self, request: Notice) -> Outcome:
        """Raises ProviderUnavailable."""

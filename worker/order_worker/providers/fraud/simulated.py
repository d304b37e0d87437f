"""A fraud check that suspects every customer whose id starts with `FRAUD-`, and nobody else."""

from order_domain.errors import FraudSuspected
from order_worker.providers.fraud.port import FraudCheck

SUSPECTED_PREFIX = "FRAUD-"


class SimulatedFraudCheck(FraudCheck):
    """Looks at the customer's id alone."""

    async def check(self, *, customer_id: str, total_minor: int, currency: str, country: str) -> None:  # noqa: ARG002
        """The verdict on a customer never changes."""
        if customer_id.startswith(SUSPECTED_PREFIX):
            raise FraudSuspected(f"customer {customer_id} is suspected of fraud")

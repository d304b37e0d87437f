"""The fraud check, whose first recorded verdict counts."""

from temporalio import activity

from order_worker.ledger.database import Ledger
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, ask
from order_worker.providers.fraud.port import FraudCheck
from order_workflows.activities.effect import Outcome
from order_workflows.activities.fraud import CheckFraud, FraudActivities


class LedgerFraudChecks(FraudActivities):
    """Asks the provider and keeps the answer."""

    def __init__(self, ledger: Ledger, provider: FraudCheck) -> None:
        self._ledger = ledger
        self._provider = provider

    @activity.defn(name="check_fraud")
    async def check(self, request: CheckFraud) -> Outcome:
        operation = Operation(
            request.order,
            request.operation_id,
            OperationKind.CHECK_FRAUD,
            {
                "customerID": request.customer_id,
                "currency": request.currency,
                "totalMinor": request.total_minor,
                "country": request.country,
            },
        )

        async def verdict() -> Outcome:
            await self._provider.check(
                customer_id=request.customer_id,
                total_minor=request.total_minor,
                currency=request.currency,
                country=request.country,
            )
            return Outcome()

        return await ask(self._ledger, operation, Outcome, verdict)

"""Mail to the customer."""

from temporalio import activity

from order_domain.errors import OrderError
from order_worker.ledger.database import Ledger
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, carry_out, fingerprint
from order_worker.metrics import Metrics
from order_worker.providers.notification.port import Mailer
from order_workflows.activities.effect import Outcome
from order_workflows.activities.notification import Notice, NotificationActivities


class LedgerNotifications(NotificationActivities):
    """The mail service behind the ledger's protocol."""

    def __init__(self, ledger: Ledger, mailer: Mailer, metrics: Metrics) -> None:
        self._ledger = ledger
        self._mailer = mailer
        self._metrics = metrics

    @activity.defn(name="notify_customer")
    async def notify(self, request: Notice) -> Outcome:
        operation = Operation(
            request.order,
            request.operation_id,
            OperationKind.NOTIFY,
            {
                "orderID": request.order_id,
                "recipient": fingerprint(request.email),
                "mail": fingerprint(f"{request.subject}\n\n{request.body}"),
            },
        )

        async def find() -> Outcome | None:
            return Outcome() if await self._mailer.was_sent(request.operation_id) else None

        async def call() -> Outcome:
            await self._mailer.send(
                request.operation_id, recipient=request.email, subject=request.subject, body=request.body
            )
            return Outcome()

        try:
            settled = await carry_out(self._ledger, operation, Outcome, find=find, call=call)
        except OrderError:
            self._metrics.notification("error")
            raise
        self._metrics.notification("sent")
        return settled.outcome

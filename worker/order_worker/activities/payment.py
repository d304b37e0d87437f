"""Money: taken at most once, given back at most once, and never taken after it was given back."""

from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection
from temporalio import activity

from order_worker.ledger import notes, payments
from order_worker.ledger.database import Ledger
from order_worker.ledger.locked_order import LockedOrder
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, asked_at, carry_out, fingerprint
from order_worker.ledger.refunds import Given, Wanted, give_back
from order_worker.metrics import Metrics
from order_worker.providers.payment.port import PaymentProvider, ProviderCharge
from order_workflows.activities.payment import Charge, PaymentActivities, Receipt, Refund, Refunded


class LedgerPayments(PaymentActivities):
    """The payment provider behind the ledger's protocol."""

    def __init__(self, ledger: Ledger, provider: PaymentProvider, metrics: Metrics) -> None:
        self._ledger = ledger
        self._provider = provider
        self._metrics = metrics

    @activity.defn(name="charge_payment")
    async def charge(self, request: Charge) -> Receipt:
        operation = Operation(
            request.order,
            request.operation_id,
            OperationKind.CHARGE,
            {
                "amountMinor": request.amount_minor,
                "currency": request.currency,
                "method": fingerprint(request.method),
            },
            lines_digest=request.lines_digest,
        )

        ordered_at: datetime | None = None

        def note(tx: Connection, order: LockedOrder) -> None:
            nonlocal ordered_at
            ordered_at = order.began(request.ordered_at)
            notes.record(tx, order, request.notes)

        first_asked_at = datetime.now(UTC)

        async def find() -> Receipt | None:
            nonlocal first_asked_at
            first_asked_at = await self._ledger.transaction(partial(asked_at, operation_id=request.operation_id))
            charge = await self._provider.find_charge(request.operation_id)
            return None if charge is None else _receipt(charge)

        async def call() -> Receipt:
            with self._metrics.payment_duration("capture"):
                charge = await self._provider.charge(
                    request.operation_id,
                    amount_minor=request.amount_minor,
                    currency=request.currency,
                    method=request.method,
                    asked_at=first_asked_at,
                    ordered_at=ordered_at,
                )
            return _receipt(charge)

        with self._metrics.payment_request("capture") as request_result:
            settled = await carry_out(
                self._ledger,
                operation,
                Receipt,
                find=find,
                call=call,
                note=note,
                intend=lambda tx, order: payments.intend_charge(tx, order, request),
                book=lambda tx, receipt: payments.book_charge(tx, request.order.uid, receipt),
            )
            request_result.replayed = settled.replayed
        if not settled.replayed:
            self._metrics.captured(settled.outcome.captured_minor, request.currency)
        return settled.outcome

    @activity.defn(name="refund_payment")
    async def refund(self, request: Refund) -> Refunded:
        currency: str | None = None

        async def ask(wanted: Wanted) -> Given | None:
            nonlocal currency
            currency = wanted.currency
            with self._metrics.payment_duration("refund"):
                refund = await self._provider.refund(
                    wanted.operation.operation_id,
                    charge_key=wanted.charge_operation_id,
                    transaction_id=wanted.transaction_id,
                    charged_minor=wanted.charged_minor,
                    amount_minor=wanted.amount_minor,
                    currency=wanted.currency,
                    asked_at=wanted.asked_at,
                    ordered_at=wanted.ordered_at,
                )
            return None if refund is None else Given(refund.refund_id, _receipt(refund.charge))

        with self._metrics.payment_request("refund") as request_result:
            settled = await give_back(self._ledger, request, ask)
            request_result.replayed = settled.replayed
        if not settled.replayed and currency is not None:
            self._metrics.refunded(settled.outcome.refunded_minor, currency)
        return settled.outcome


def _receipt(charge: ProviderCharge) -> Receipt:
    return Receipt(transaction_id=charge.transaction_id, captured_minor=charge.amount_minor)

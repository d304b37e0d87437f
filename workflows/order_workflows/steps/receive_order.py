"""Make the order known to the ledger, which holds order numbers unique within a namespace."""

from order_domain.pipeline import StepName
from order_domain.snapshot import PaymentRecord
from order_domain.status import OrderStatus
from order_workflows import local_activities
from order_workflows.activities.order import KnownEffects, OrderActivities, ReceiveOrder
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """Raises DuplicateOrder through the activity when the number is taken, OrderEnded if the ledger holds the order as
    completed, BooksDisagree if the order's status shows money that the ledger does not know."""
    outcome = await local_activities.as_class_says(
        OrderActivities.receive, request(order), order.retry(StepName.RECEIVE), failed=order.show_retry
    )
    order.attempted(outcome)
    if outcome.ended is not None:
        raise OrderEnded(OrderStatus(outcome.ended), on_record=True)
    if order.input.begins_again is not None:
        order.follow_the_cancellation_of_the_spec()


def request(order: OrderRun) -> ReceiveOrder:
    """The order as the ledger gets to know it."""
    return ReceiveOrder(
        order=order.input.identity,
        operation_id=order.operation("receive"),
        order_id=order.input.order_id,
        customer_id=order.spec.customer.id,
        currency=order.spec.currency,
        total_minor=order.total_minor,
        lines=order.lines,
        charges=order.charges,
        charged=StepName.CHARGE_PAYMENT in order.input.policy.pipeline,
        known=_known(order.input.shown_payment),
        begins_again=order.input.begins_again,
    )


def _known(shown: PaymentRecord | None) -> KnownEffects:
    if shown is None:
        return KnownEffects()
    return KnownEffects(
        transaction_id=shown.transaction_id,
        captured_minor=shown.captured_minor,
        refunded_minor=shown.refunded_minor,
    )


STEP = Step(name=StepName.RECEIVE, run=run, status=OrderStatus.ORDER_RECEIVED, activities=("receive_order",))

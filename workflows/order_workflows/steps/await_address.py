"""Leave the customer a while to correct the address before the parcels leave."""

from datetime import timedelta

from temporalio import workflow

from order_domain import moments
from order_domain.pipeline import StepName
from order_domain.policy import AddressExpiry
from order_domain.refusals import EndType
from order_domain.snapshot import ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """Where the address was changed before, or can no longer count, nothing is waited for. Raises OrderEnded when the
    window passes unused and the class says that this fails the order."""
    if order.address_changed or _is_too_late(order):
        order.skip()
        return
    policy = order.input.policy.address_window
    window = timedelta(seconds=policy.seconds)
    deadline = workflow.now() + window
    otherwise = "fails" if policy.on_expiry is AddressExpiry.FAIL else "ships to the present one"
    message = f"waits for another shipping address until {moments.minute(deadline)}, then {otherwise}"
    order.waiting(OrderStatus.AWAIT_ADDRESS, PendingAction(kind="ChangeAddress", deadline=deadline, message=message))
    try:
        await workflow.wait_condition(lambda: order.address_changed, timeout=window, timeout_summary="address window")
    except TimeoutError:
        if policy.on_expiry is AddressExpiry.FAIL and not order.address_changed:
            error = ErrorRecord(type=EndType.ADDRESS_NOT_CONFIRMED, message=f"no address within {window}")
            raise OrderEnded(OrderStatus.ORDER_FAILED, error) from None


def _is_too_late(order: OrderRun) -> bool:
    """An order that the ledger says has gone further than this run: to a pivot after this step, or to the carrier."""
    policy = order.input.policy
    opens_before_the_pivot = policy.pipeline.index(StepName.ADDRESS_WINDOW) < policy.pipeline.index(policy.pivot)
    return bool(order.ship_operations) or (order.pivot_passed and opens_before_the_pivot)


STEP = Step(name=StepName.ADDRESS_WINDOW, run=run)

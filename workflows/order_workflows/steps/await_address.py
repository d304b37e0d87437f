"""Leave the customer a while to correct the address before the parcels leave."""

from datetime import timedelta

from temporalio import workflow

from order_domain.policy import AddressExpiry
from order_domain.refusals import EndType
from order_domain.snapshot import ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows.order_run import OrderEnded, OrderRun


async def run(order: OrderRun) -> None:
    """An address that was changed before is the answer already. Raises OrderEnded when the window passes unused and
    the class says that this fails the order."""
    if order.address_changed:
        order.skip()
        return
    policy = order.input.policy.address_window
    window = timedelta(seconds=policy.seconds)
    deadline = workflow.now() + window
    order.waiting(
        OrderStatus.AWAIT_ADDRESS,
        PendingAction(kind="ChangeAddress", deadline=deadline, message="the shipping address may still change"),
    )
    try:
        await workflow.wait_condition(lambda: order.address_changed, timeout=window, timeout_summary="address window")
    except TimeoutError:
        if policy.on_expiry is AddressExpiry.FAIL and not order.address_changed:
            error = ErrorRecord(type=EndType.ADDRESS_NOT_CONFIRMED, message=f"no address within {window}")
            raise OrderEnded(OrderStatus.ORDER_FAILED, error) from None

"""Have all lines picked and packed before they are paid for and shipped."""

from order_domain.pipeline import StepName
from order_workflows import packing
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises ProviderUnavailable through the activity."""
    identity = order.input.identity
    order.on_failure(StepName.PREPARE_SHIPMENT, lambda: packing.unpack(identity, identity.uid))
    order.publish()
    outcome = await packing.pack(identity, identity.uid, order.lines, order.retry(StepName.PREPARE_SHIPMENT))
    order.attempted(outcome)
    order.packed = True

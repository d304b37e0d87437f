"""Have all lines picked and packed before they are paid for and shipped."""

from collections.abc import Collection

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import packing
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect
from order_workflows.order_run import OrderRun
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """Raises ProviderUnavailable through the activity."""
    identity = order.input.identity
    order.begins(BegunEffect(kind=EffectKind.PACK, operation_id=packing.operation_of(identity.uid)))
    order.publish()
    retry = order.retry(StepName.PREPARE_SHIPMENT)
    outcome = await packing.pack(
        identity, identity.uid, order.lines, retry, lines_digest=order.lines_digest, waits=order.show_retry
    )
    order.attempted(outcome)
    order.packed = True


async def unpack(order: OrderRun, pack: BegunEffect, kept: Collection[str]) -> None:
    """Take the lines apart again, except those `kept`."""
    await packing.unpack(order.input.identity, packing.scope_of(pack.operation_id), kept)


STEP = Step(
    name=StepName.PREPARE_SHIPMENT,
    run=run,
    status=OrderStatus.PREPARE_SHIPMENT,
    activities=("pack_lines",),
    effect=EffectKind.PACK,
    undo=unpack,
)

"""The shipment of one line: a child workflow of its order, or behind a Nexus operation."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import FailureError

from order_domain.errors import Undeliverable
from order_workflows import contract, packing, timing
from order_workflows.activities.shipping import Ship, Shipped, ShippingActivities
from order_workflows.activity_failures import reason_of
from order_workflows.contract import ShipmentInput
from order_workflows.patches import KEEPS_PACKED
from order_workflows.remote_activities import Waits, carried_out, nobody_is_told


@workflow.defn(name=contract.SHIPMENT_WORKFLOW_TYPE)
class ShipmentWorkflow:
    """Packs and dispatches. Its id is `contract.shipment_workflow_id`."""

    @workflow.run
    async def run(self, shipment: ShipmentInput) -> Shipped:
        """Raises what the activities raise, with its own packing undone, unless the order asks for the parcel again: a
        packing that is undone is never done again. A dispatch without an answer is the order's to call back."""
        if shipment.packed:
            shipped = await dispatch(shipment)
        else:
            try:
                shipped = await _pack_and_dispatch(shipment)
            except (FailureError, asyncio.CancelledError) as failure:
                stays = shipment.forward_only and _is_asked_again(failure) and workflow.patched(KEEPS_PACKED)
                if not stays:
                    await _undo_packing(shipment)
                raise
        return shipped.model_copy(update={"asked_for": shipment.asked_for})


async def _pack_and_dispatch(shipment: ShipmentInput) -> Shipped:
    await packing.pack(shipment.order, shipment.ship_operation_id, [shipment.line], shipment.retry)
    if workflow.cancellation_reason() is not None:
        # The packing was too far gone to be stopped; what follows is not.
        raise asyncio.CancelledError
    return await dispatch(shipment)


async def dispatch(shipment: ShipmentInput, waits: Waits = nobody_is_told) -> Shipped:
    """Hand the line to the carrier. Raises Undeliverable through the activity."""
    return await carried_out(
        ShippingActivities.ship,
        Ship(
            order=shipment.order,
            operation_id=shipment.ship_operation_id,
            line=shipment.line,
            address=shipment.address,
            requested_at=shipment.requested_at,
            lines_digest=shipment.lines_digest,
        ),
        timing.remote(shipment.retry),
        waits=waits,
    )


def _is_asked_again(failure: BaseException) -> bool:
    """Whether the order asks for the parcel under the same operation. One that was refused has another one next."""
    return not isinstance(failure, FailureError) or reason_of(failure).type != Undeliverable.__name__


async def _undo_packing(shipment: ShipmentInput) -> None:
    undo = asyncio.ensure_future(packing.unpack(shipment.order, shipment.ship_operation_id))
    try:
        try:
            await asyncio.shield(undo)
        except asyncio.CancelledError:
            await undo  # a workflow is cancelled once at most
    except FailureError as failure:
        # The order tries again, with the same operation, and asks a person for help if need be.
        workflow.logger.error("packing not undone", extra={"cause": reason_of(failure).type})

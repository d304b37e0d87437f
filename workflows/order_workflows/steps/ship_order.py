"""Hand every line to the carrier, all at once: in this workflow, in one of its own each, or behind a Nexus endpoint."""

from temporalio import workflow
from temporalio.exceptions import FailureError
from temporalio.workflow import ChildWorkflowCancellationType, NexusOperationCancellationType

from order_domain.errors import Undeliverable
from order_domain.order import OrderLine
from order_domain.pipeline import StepName
from order_domain.policy import ParentClosePolicy, ShippingMode
from order_domain.snapshot import ShipmentRecord, ShipmentState
from order_workflows import contract, packing, timing
from order_workflows.activities.shipping import CancelShipment, Shipped, ShippingActivities
from order_workflows.activity_failures import failures_of, raise_first, reason_of
from order_workflows.contract import ShipmentInput
from order_workflows.order_run import OrderRun
from order_workflows.shipment_workflow import ShipmentWorkflow, dispatch

PARENT_CLOSE_POLICIES = {
    ParentClosePolicy.TERMINATE: workflow.ParentClosePolicy.TERMINATE,
    ParentClosePolicy.REQUEST_CANCEL: workflow.ParentClosePolicy.REQUEST_CANCEL,
    ParentClosePolicy.ABANDON: workflow.ParentClosePolicy.ABANDON,
}


async def run(order: OrderRun) -> None:
    """Raises Undeliverable through the activity, after every line's answer is known. May be tried again: lines that
    have shipped are left alone then."""
    order.shipping_started = True
    shipments = [
        ShipmentInput(
            order=order.input.identity,
            line=line,
            address=order.address,
            requested_at=workflow.now(),
            ship_operation_id=_operation(order, line),
            packed=order.packed,
            retry=order.retry(StepName.SHIP),
            simulation=order.input.policy.simulation,
        )
        for line in order.lines
        if line.line_id not in order.shipments
    ]
    order.on_failure(StepName.SHIP, lambda: _call_all_back(order, shipments))
    order.publish()
    failures = await failures_of(_ship(order, shipment) for shipment in shipments)
    # In the order of the lines, not of the answers.
    order.shipments = {
        line.line_id: order.shipments[line.line_id] for line in order.lines if line.line_id in order.shipments
    }
    refused = [
        shipment.line.line_id
        for shipment, failure in zip(shipments, failures, strict=True)
        if isinstance(failure, FailureError) and reason_of(failure).type == Undeliverable.__name__
    ]
    order.refused_shipments.update(refused)
    if refused and len(refused) == sum(failure is not None for failure in failures):
        # Every line is either shipped or refused for good: another address can still help.
        order.shipping_started = False
    raise_first(failures)


def _operation(order: OrderRun, line: OrderLine) -> str:
    refused = order.refused_shipments[line.line_id]
    attempt = f"/{refused + 1}" if refused else ""
    return order.operation(f"ship/{line.line_id}{attempt}")


async def _ship(order: OrderRun, shipment: ShipmentInput) -> None:
    match order.input.policy.shipping.mode:
        case ShippingMode.ACTIVITIES:
            shipped = await dispatch(shipment)
        case ShippingMode.CHILD_WORKFLOWS:
            shipped = await _by_child_workflow(order, shipment)
        case ShippingMode.NEXUS:
            shipped = await _by_nexus(order, shipment)
    order.attempted(shipped)
    order.shipments[shipment.line.line_id] = ShipmentRecord(
        line_id=shipment.line.line_id,
        state=ShipmentState.DISPATCHED,
        tracking_number=shipped.tracking_number,
        carrier=shipped.carrier,
        estimated_delivery=shipped.estimated_delivery,
    )


# A cancelled order does not wait until a shipment of the following two kinds has stopped: there may be no worker to
# stop it. Once called back, the same operation is refused by the ledger and the carrier, however late it comes.


async def _by_child_workflow(order: OrderRun, shipment: ShipmentInput) -> Shipped:
    policy = order.input.policy.shipping
    return await workflow.execute_child_workflow(
        ShipmentWorkflow.run,
        shipment,
        id=contract.shipment_workflow_id(shipment.order, shipment.line.line_id),
        task_queue=policy.task_queue,
        parent_close_policy=PARENT_CLOSE_POLICIES[policy.parent_close_policy],
        cancellation_type=ChildWorkflowCancellationType.TRY_CANCEL,
    )


async def _by_nexus(order: OrderRun, shipment: ShipmentInput) -> Shipped:
    shipping = workflow.create_nexus_client(
        service=contract.NEXUS_SERVICE, endpoint=order.input.policy.shipping.endpoint
    )
    return await shipping.execute_operation(
        contract.NEXUS_OPERATION,
        shipment,
        output_type=Shipped,
        cancellation_type=NexusOperationCancellationType.TRY_CANCEL,
    )


async def _call_all_back(order: OrderRun, shipments: list[ShipmentInput]) -> None:
    """Every line is called back, since one without an answer may have been taken all the same."""
    raise_first(await failures_of(_cancel(order, shipment) for shipment in shipments))


async def _cancel(order: OrderRun, shipment: ShipmentInput) -> None:
    await call_back(order, shipment.line.line_id, shipment.ship_operation_id)
    packs_itself = order.input.policy.shipping.mode is not ShippingMode.ACTIVITIES and not shipment.packed
    if packs_itself:
        # It undoes that itself, too, but may be terminated or have no worker.
        await packing.unpack(shipment.order, shipment.ship_operation_id)


async def call_back(order: OrderRun, line_id: str, ship_operation_id: str) -> None:
    """Take one line's parcel back from the carrier, or make sure that the carrier never takes it."""
    await workflow.execute_activity_method(
        ShippingActivities.cancel,
        CancelShipment(
            order=order.input.identity,
            operation_id=f"{ship_operation_id}/cancel",
            ship_operation_id=ship_operation_id,
        ),
        **timing.UNDO,
    )
    record = order.shipments.get(line_id)
    if record is not None:
        order.shipments[line_id] = record.model_copy(update={"state": ShipmentState.CANCELLED})

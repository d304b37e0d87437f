"""Hand every line to the carrier, all at once: in this workflow, in one of its own each, or behind a Nexus endpoint."""

import asyncio
from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, NexusOperationCancellationType

from order_domain.errors import OperationConflict, OrderError, Undeliverable
from order_domain.order import OrderLine
from order_domain.pipeline import StepName
from order_domain.policy import ParentClosePolicy, ShippingMode
from order_domain.snapshot import ShipmentRecord, ShipmentState
from order_domain.status import OrderStatus
from order_workflows import contract, packing, questions, timing
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect
from order_workflows.activities.shipping import CancelShipment, Shipped, ShippingActivities
from order_workflows.activity_failures import failures_of, raise_first, reason_of
from order_workflows.contract import ShipmentInput
from order_workflows.order_run import OrderRun
from order_workflows.patches import (
    ASKS_AFTER_A_TAKEOVER,
    ASKS_FOR_EACH_COUNTRY,
    PUTS_ADDRESSES_BACK,
    WAITS_FOR_SHIPMENTS,
)
from order_workflows.shipment_workflow import ShipmentWorkflow, dispatch
from order_workflows.step import Step
from order_workflows.waiting import in_this_history

PARENT_CLOSE_POLICIES = {
    ParentClosePolicy.TERMINATE: workflow.ParentClosePolicy.TERMINATE,
    ParentClosePolicy.REQUEST_CANCEL: workflow.ParentClosePolicy.REQUEST_CANCEL,
    ParentClosePolicy.ABANDON: workflow.ParentClosePolicy.ABANDON,
}


async def run(order: OrderRun) -> None:
    """Raises FraudSuspected if the parcels would go to another country than was checked, and Undeliverable after every
    line's answer is known, both through the activity. May be tried again: lines that have shipped are left alone
    then."""
    await _ask_about_the_country(order)
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
            lines_digest=order.lines_digest,
            asked_for=contract.asked_for(_operation(order, line), line, order.address),
            forward_only=order.pivot_passed,
        )
        for line in order.lines
        if line.line_id not in order.shipments
    ]
    for shipment in shipments:
        _begins(order, shipment)
    order.publish()
    limit = asyncio.Semaphore(timing.MAX_CONCURRENT_SHIPMENTS if order.input.revision > 2 else len(shipments) or 1)
    failures = await failures_of(_ship(order, shipment, limit) for shipment in shipments)
    # In the order of the lines, not of the answers.
    order.shipments = {
        line.line_id: order.shipments[line.line_id] for line in order.lines if line.line_id in order.shipments
    }
    refused = _lines_with(Undeliverable, shipments, failures)
    order.refused_shipments.update(refused)
    for line_id in refused:
        order.ship_operations.pop(line_id, None)
    asked_before = _lines_with(OperationConflict, shipments, failures)
    if failed := sum(failure is not None for failure in failures):
        # Every line is either shipped or refused for good, or was asked for with an address of before: another address
        # can still help.
        settled = len(refused) == failed
        if settled or (len(refused) + len(asked_before) == failed and workflow.patched(PUTS_ADDRESSES_BACK)):
            order.shipping_started = False
    raise_first(failures)


def _lines_with(
    error: type[OrderError], shipments: Sequence[ShipmentInput], failures: Sequence[BaseException | None]
) -> list[str]:
    """Ids of the lines whose shipment failed with it."""
    return [
        shipment.line.line_id
        for shipment, failure in zip(shipments, failures, strict=True)
        if isinstance(failure, FailureError) and reason_of(failure).type == error.__name__
    ]


async def _ask_about_the_country(order: OrderRun) -> None:
    """A verdict holds for the country that it was asked about; the address may change while it is asked. A No past the
    pivot leads to Manual Review: the address can still be put back."""
    again = order.pivot_passed
    if _has_forgotten_the_country(order) and workflow.patched(ASKS_AFTER_A_TAKEOVER):
        order.attempted(await questions.fraud_verdict(order, order.lines, order.charges))
    while order.checked_country not in (None, order.address.country) and order.input.revision > 2:
        if again and not workflow.patched(ASKS_FOR_EACH_COUNTRY):
            return
        order.attempted(await questions.fraud_verdict(order, order.lines, order.charges))
        again = True


def _has_forgotten_the_country(order: OrderRun) -> bool:
    """Whether an earlier run had asked, and a parcel is still to be handed over."""
    left = [line for line in order.lines if line.line_id not in {*order.shipments, *order.ship_operations}]
    return bool(left) and order.checked_country is None and order.steps.is_over(StepName.CHECK_FRAUD)


def _operation(order: OrderRun, line: OrderLine) -> str:
    if line.line_id in order.ship_operations:
        return order.ship_operations[line.line_id]
    refused = order.refused_shipments[line.line_id]
    attempt = f"/{refused + 1}" if refused else ""
    return order.operation(f"ship/{line.line_id}{attempt}")


def _begins(order: OrderRun, shipment: ShipmentInput) -> None:
    packs_itself = order.input.policy.shipping.mode is not ShippingMode.ACTIVITIES and not shipment.packed
    if packs_itself:
        pack = packing.operation_of(shipment.ship_operation_id)
        order.begins(BegunEffect(kind=EffectKind.PACK, operation_id=pack))
    order.begins(
        BegunEffect(kind=EffectKind.SHIP, operation_id=shipment.ship_operation_id, line_id=shipment.line.line_id)
    )


async def _ship(order: OrderRun, shipment: ShipmentInput, limit: asyncio.Semaphore) -> None:
    async with limit:
        match order.input.policy.shipping.mode:
            case ShippingMode.ACTIVITIES:
                shipped = await dispatch(shipment, order.show_retry)
            case ShippingMode.CHILD_WORKFLOWS:
                shipped = await _by_child_workflow(order, shipment)
            case ShippingMode.NEXUS:
                shipped = await _by_nexus(order, shipment)
    _refuse_another(shipment, shipped)
    order.attempted(shipped)
    order.shipments[shipment.line.line_id] = ShipmentRecord(
        line_id=shipment.line.line_id,
        state=ShipmentState.DISPATCHED,
        tracking_number=shipped.tracking_number,
        carrier=shipped.carrier,
        estimated_delivery=shipped.estimated_delivery,
    )


def _refuse_another(shipment: ShipmentInput, shipped: Shipped) -> None:
    """A run that was reset joins the shipment that an earlier one has under way. Raises OperationConflict if that was
    for another address or other units: nobody may believe that this one was shipped."""
    if shipped.asked_for not in (None, shipment.asked_for):
        raise ApplicationError(
            f"parcel {shipped.tracking_number} of line {shipment.line.line_id} was handed over for another address or "
            "other units: an earlier run of this order had asked for it",
            type=OperationConflict.__name__,
            non_retryable=True,
        )


# A cancelled order does not wait until a shipment of the following two kinds has stopped: there may be no worker to
# stop it. Once called back, the same operation is refused by the ledger and the carrier, however late it comes.


async def _by_child_workflow(order: OrderRun, shipment: ShipmentInput) -> Shipped:
    """A shipment that a run before a reset has begun is no failure: its end is waited for, and then the ledger answers
    for the line."""
    tries = 0
    while True:
        try:
            return await _child_workflow(order, shipment)
        except WorkflowAlreadyStartedError:
            if not workflow.patched(WAITS_FOR_SHIPMENTS):
                raise
        tries += 1
        pause = in_this_history(timing.ask_for_shipment_again(tries), tries)
        await workflow.sleep(pause, summary="an earlier run's shipment is under way")


async def _child_workflow(order: OrderRun, shipment: ShipmentInput) -> Shipped:
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


async def call_back(order: OrderRun, parcel: BegunEffect) -> bool:
    """Take one line's parcel back from the carrier, or make sure that the carrier never takes it. True if it is too
    late: the line is sold."""
    record = order.shipments.get(parcel.line_id or "")
    answer = await workflow.execute_activity_method(
        ShippingActivities.cancel,
        CancelShipment(
            order=order.input.identity,
            operation_id=f"{parcel.operation_id}/cancel",
            ship_operation_id=parcel.operation_id,
            tracking_number=record.tracking_number if record else None,
        ),
        **timing.UNDO,
    )
    if record is not None and not answer.too_late:
        order.shipments[record.line_id] = record.model_copy(update={"state": ShipmentState.CANCELLED})
    return answer.too_late


STEP = Step(
    name=StepName.SHIP,
    run=run,
    status=OrderStatus.SHIP_ORDER,
    activities=("ship_line",),
    effect=EffectKind.SHIP,
)

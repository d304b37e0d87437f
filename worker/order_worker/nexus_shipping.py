"""Shipping as a Nexus service, for orders of another Temporal namespace."""

from nexusrpc.handler import service_handler
from temporalio import nexus
from temporalio.common import WorkflowIDConflictPolicy

from order_workflows import contract
from order_workflows.activities.shipping import Shipped
from order_workflows.contract import ShipmentInput
from order_workflows.shipment_workflow import ShipmentWorkflow


@service_handler(name=contract.NEXUS_SERVICE)
class ShippingService:
    """Starts a workflow per line on the task queue of the worker that serves it."""

    @nexus.workflow_run_operation(name=contract.NEXUS_OPERATION)
    async def ship_item(
        self, ctx: nexus.WorkflowRunOperationContext, shipment: ShipmentInput
    ) -> nexus.WorkflowHandle[Shipped]:
        """Asked again for the same line while that is under way, joins it."""
        return await ctx.start_workflow(
            ShipmentWorkflow.run,
            shipment,
            id=contract.shipment_workflow_id(shipment.order, shipment.line.line_id),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

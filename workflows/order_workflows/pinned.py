"""The same workflows for workers that tell Temporal their version: a run ends on the version that it began on.

The wish stands in the definition, and a server refuses it of a worker without a version: hence classes of their own.
The workflow of a StockItem is none of these, since it never ends: it goes on with the next version, and its code keeps
to what replay allows.
"""

from temporalio import workflow
from temporalio.common import VersioningBehavior

from order_workflows import contract
from order_workflows.activities.shipping import Shipped
from order_workflows.contract import OrderInput, OrderResult, ShipmentInput
from order_workflows.order_workflow import OrderWorkflow
from order_workflows.shipment_workflow import ShipmentWorkflow


@workflow.defn(name=contract.WORKFLOW_TYPE, versioning_behavior=VersioningBehavior.PINNED)
class PinnedOrderWorkflow(OrderWorkflow):
    """Carries one order."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderResult:
        """See the base class."""
        return await super().run(order)


@workflow.defn(name=contract.SHIPMENT_WORKFLOW_TYPE, versioning_behavior=VersioningBehavior.PINNED)
class PinnedShipmentWorkflow(ShipmentWorkflow):
    """Packs and dispatches."""

    @workflow.run
    async def run(self, shipment: ShipmentInput) -> Shipped:
        """See the base class."""
        return await super().run(shipment)

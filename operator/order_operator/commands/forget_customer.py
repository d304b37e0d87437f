"""`order-operator forget-customer`: takes a customer's ended orders out of Temporal and out of the cluster.

The ledger keeps money and has a command of its own, which comes first: `order-worker erase-customer`. The resource goes
last, since by it the rest is found when the command is run again. A status can be forged, and deleting the history of a
workflow ends it: whether an order has ended Temporal itself is asked.
"""

import re
from collections.abc import Callable, Sequence

from kubernetes.aio import client
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.api_names import GROUP, ORDERS, VERSION
from order_operator.commands.order_list import all_orders
from order_operator.commands.patience import Patience
from order_operator.orders.adoption import describe_order
from order_operator.orders.resource import OrderResource
from order_workflows.contract import RunKey, workflow_id

_PLAIN = re.compile(r"[A-Za-z0-9./-]+")


class Forgetting:
    """One run of the command."""

    def __init__(
        self,
        api: client.ApiClient,
        temporals: Sequence[Client],
        namespaces: Sequence[str],
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        """`temporals`: a client for each Temporal namespace in which workflows of orders or shipments are; orders are
        in the first."""
        self._objects = client.CustomObjectsApi(api)
        self._temporals = temporals
        self._namespaces = namespaces
        self._patience = patience
        self._say = say

    async def run(self, customer_id: str) -> bool:
        """Whether nothing of the customer's orders is left in the cluster and in Temporal. Raises ApiException,
        RPCError."""
        gone, under_way = 0, 0
        async for order in all_orders(self._objects, self._namespaces, self._patience):
            customer = order.spec.get("customer")
            if not isinstance(customer, dict) or customer.get("id") != customer_id:
                continue
            found = await describe_order(self._temporals[0], order)
            if not order.ended or (found is not None and found.running):
                self._say(f"{order.namespace}/{order.name}: under way, and needs its data")
                under_way += 1
                continue
            keys = {RunKey(order.namespace, order.name, order.uid)}
            if found is not None and order.named_workflow is not None:  # the order was restored, and has adopted it
                keys.add(order.named_workflow)
            histories = [await self._forget_histories(temporal, key) for temporal in self._temporals for key in keys]
            if found is not None and not any(histories[: len(keys)]):
                self._say(f"{order.namespace}/{order.name}: Temporal has its history, and its lists do not have it yet")
                under_way += 1
                continue
            await self._delete(order)
            self._say(f"{order.namespace}/{order.name}: deleted, with {sum(histories)} histories")
            gone += 1
        self._say(f"{gone or 'no'} orders deleted" + (f", {under_way} are left: run this again" if under_way else ""))
        return under_way == 0

    async def _forget_histories(self, temporal: Client, key: RunKey) -> int:
        """Of an order's workflow and of its shipments; how many."""
        identifier = workflow_id(*key)
        shipments = f"shipment/{key.namespace}/{key.name}/{key.uid}/"
        if not _PLAIN.fullmatch(identifier):  # as the API server has them; nothing else goes into a query
            raise ValueError(f"{identifier!r} is no id of an order")
        query = f"WorkflowId = '{identifier}' OR WorkflowId STARTS_WITH '{shipments}'"
        deleted = 0
        async for run in temporal.list_workflows(query):
            execution = WorkflowExecution(workflow_id=run.id, run_id=run.run_id)
            request = DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=execution)
            try:
                await temporal.workflow_service.delete_workflow_execution(request)
            except RPCError as failed:
                if failed.status is not RPCStatusCode.NOT_FOUND:
                    raise
            deleted += 1
        return deleted

    async def _delete(self, order: OrderResource) -> None:
        """This one, not another that has its name since."""
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=order.uid))
        try:
            await self._objects.delete_namespaced_custom_object(
                GROUP, VERSION, order.namespace, ORDERS, order.name, body=options
            )
        except client.ApiException as refused:
            if refused.status != 404:
                raise

"""Make sure that exactly one workflow runs for an Order; safe to repeat at any time."""

import logging

from temporalio.client import WorkflowExecutionStatus
from temporalio.common import (
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from order_domain.order import OrderSpec
from order_domain.snapshot import OrderSnapshot
from order_operator.orders.classes import OrderClass
from order_operator.orders.observation import Observation, describe
from order_operator.orders.resource import OrderResource
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.starting import Start, start
from order_workflows.contract import (
    MEMO_INPUT_HASH,
    MEMO_UID,
    REVISION,
    WORKFLOW_TYPE,
    OrderInput,
    ResourceIdentity,
    RunKey,
    input_hash,
    workflow_id,
)

logger = logging.getLogger(__name__)


def order_input(
    order: OrderResource, spec: OrderSpec, order_class: OrderClass, cluster: str, *, to_undo: bool = False
) -> OrderInput:
    """What the workflow of `order`, whose spec is `spec`, starts with. `to_undo`: it is not to be carried out."""
    return OrderInput.of(
        revision=REVISION,
        identity=ResourceIdentity(cluster=cluster, namespace=order.namespace, name=order.name, uid=order.uid),
        spec=(spec.with_lines(spec.lines, spec.charges) if spec.charges else spec).model_copy(
            update={"adopt_from": None}
        ),
        class_name=order_class.name,
        class_generation=order_class.generation,
        policy=order_class.spec,
        generation=order.generation,
        shown_payment=order.shown_payment,
        ordered_at=order.ordered_at,
        begins_again=named.uid if (named := order.named_workflow) and spec.adopt_from != cluster else None,
        abandoned=OrderSnapshot() if to_undo else None,
    )


async def ensure_started(connection: TemporalConnection, wanted: OrderInput, task_queue: str) -> Observation:
    """Start the workflow, or find the one that is there: open or closed, it is this order's only one.

    Raises temporalio.service.RPCError when Temporal does not answer; whether it started is then unknown, and the next
    call finds out.
    """
    identity = wanted.identity
    key = RunKey(identity.namespace, identity.name, identity.uid)
    identifier = workflow_id(*key)
    try:
        handle = await start(
            connection.client,
            Start(
                workflow_type=WORKFLOW_TYPE,
                workflow_id=identifier,
                argument=wanted,
                task_queue=task_queue,
                cluster=identity.cluster,
                memo={MEMO_UID: identity.uid, MEMO_INPUT_HASH: input_hash(wanted.spec)},
                namespace=identity.namespace,
                summary=f"Order {identity.namespace}/{identity.name}",
                after_an_end=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            ),
        )
        logger.info("workflow started", extra={"workflow_id": identifier, "run_id": handle.result_run_id})
    except WorkflowAlreadyStartedError:
        closed = await describe(connection.client, key, identifier)
        if closed is None:
            raise
        return closed
    return Observation(
        key=key,
        workflow_id=identifier,
        run_id=handle.result_run_id or "",
        status=WorkflowExecutionStatus.RUNNING,
        task_queue=task_queue,
        cluster=identity.cluster,
    )

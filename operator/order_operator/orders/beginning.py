"""What a run was started with, as its history tells it: for an order whose resource is gone, nobody else knows."""

import logging

from temporalio.client import Client
from temporalio.service import RPCError

from order_domain.order import DeletionPolicy
from order_operator.temporal.runs import RPC_TIMEOUT, Run, converter_of, in_a_line
from order_workflows.contract import OrderInput

logger = logging.getLogger(__name__)


async def deletion_policy(client: Client, run: Run) -> DeletionPolicy | None:
    """What is to happen to the order when its resource is deleted, as the resource said when the run began; None if it
    cannot be read. Costs one request. Raises RPCError."""
    handle = client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
    try:
        async for event in handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT):
            payloads = event.workflow_execution_started_event_attributes.input.payloads
            (wanted,) = await converter_of(client, run.workflow_id).decode(payloads, [OrderInput])
            return DeletionPolicy(wanted.spec.deletion_policy)
    except RPCError:
        raise
    except Exception as unreadable:  # noqa: BLE001 - whatever a converter raises at foreign bytes
        about = {"workflow_id": run.workflow_id}
        logger.warning("what a run began with cannot be read: %s", in_a_line(unreadable), extra=about)
    return None

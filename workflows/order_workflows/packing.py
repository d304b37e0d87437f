"""Having lines packed and unpacked, for a whole order or for one shipment of it."""

from datetime import timedelta

from temporalio import workflow

from order_domain.order import OrderLine
from order_domain.retry import StepRetry
from order_workflows import timing
from order_workflows.activities.effect import Outcome
from order_workflows.activities.warehouse import PackLines, UnpackLines, WarehouseActivities
from order_workflows.contract import ResourceIdentity

HEARTBEAT_TIMEOUT = timedelta(seconds=15)
"""How soon a lost worker is noticed; packing one line must take less."""


async def pack(order: ResourceIdentity, scope: str, lines: list[OrderLine], retry: StepRetry) -> Outcome:
    """`scope` starts the ids of the operations: the order's uid, or the operation id of a shipment."""
    config = timing.remote(retry)
    config["heartbeat_timeout"] = HEARTBEAT_TIMEOUT
    request = PackLines(order=order, operation_id=_pack_id(scope), lines=lines)
    return await workflow.execute_activity_method(WarehouseActivities.pack, request, **config)


async def unpack(order: ResourceIdentity, scope: str) -> None:
    """Make sure that nothing is packed in this scope, now and later."""
    request = UnpackLines(order=order, operation_id=f"{scope}/unpack", pack_operation_id=_pack_id(scope))
    await workflow.execute_activity_method(WarehouseActivities.unpack, request, **timing.UNDO)


def _pack_id(scope: str) -> str:
    return f"{scope}/pack"


def scope_of(pack_operation_id: str) -> str:
    """The inverse of how `pack` names its operation."""
    return pack_operation_id.removesuffix("/pack")

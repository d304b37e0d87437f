"""Having lines packed and unpacked, for a whole order or for one shipment of it."""

from collections.abc import Collection
from datetime import timedelta

from temporalio import workflow

from order_domain.order import OrderLine
from order_domain.retry import StepRetry
from order_workflows import timing
from order_workflows.activities.effect import Outcome
from order_workflows.activities.warehouse import PackLines, UnpackLines, WarehouseActivities
from order_workflows.contract import ResourceIdentity
from order_workflows.kept_lines import kept_suffix
from order_workflows.remote_activities import Waits, carried_out, nobody_is_told

HEARTBEAT_TIMEOUT = timedelta(seconds=15)
"""How soon a lost worker is noticed; packing one line must take less."""


async def pack(
    order: ResourceIdentity,
    scope: str,
    lines: list[OrderLine],
    retry: StepRetry,
    *,
    lines_digest: str | None = None,
    waits: Waits = nobody_is_told,
) -> Outcome:
    """`scope` starts the ids of the operations: the order's uid, or the operation id of a shipment."""
    config = timing.remote(retry)
    config["heartbeat_timeout"] = HEARTBEAT_TIMEOUT
    request = PackLines(order=order, operation_id=operation_of(scope), lines=lines, lines_digest=lines_digest)
    return await carried_out(WarehouseActivities.pack, request, config, waits=waits)


async def unpack(order: ResourceIdentity, scope: str, kept: Collection[str] = ()) -> None:
    """Make sure that nothing is packed in this scope, now and later, except the lines with the ids `kept`."""
    lines = sorted(kept)
    request = UnpackLines(
        order=order,
        operation_id=f"{scope}/unpack{kept_suffix(lines)}",
        pack_operation_id=operation_of(scope),
        kept_lines=lines,
    )
    await workflow.execute_activity_method(WarehouseActivities.unpack, request, **timing.UNDO)


def operation_of(scope: str) -> str:
    """The id of the packing of this scope."""
    return f"{scope}/pack"


def scope_of(pack_operation_id: str) -> str:
    """The inverse of `operation_of`."""
    return pack_operation_id.removesuffix("/pack")

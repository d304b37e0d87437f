"""Picking and packing: each line at most once, and none after the packing was undone."""

from pydantic import JsonValue
from temporalio import activity

from order_worker.ledger.database import Ledger
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, carry_out
from order_worker.ledger.undoing import Reversal, Target, undo
from order_worker.providers.warehouse.port import Warehouse
from order_workflows.activities.effect import Outcome
from order_workflows.activities.warehouse import PackLines, UnpackLines, WarehouseActivities


class LedgerWarehouse(WarehouseActivities):
    """The warehouse behind the ledger's protocol; all lines of a request are one operation."""

    def __init__(self, ledger: Ledger, warehouse: Warehouse) -> None:
        self._ledger = ledger
        self._warehouse = warehouse

    @activity.defn(name="pack_lines")
    async def pack(self, request: PackLines) -> Outcome:
        operation = Operation(
            request.order,
            request.operation_id,
            OperationKind.PACK,
            {"lines": [{"lineID": line.line_id, "sku": line.sku, "quantity": line.quantity} for line in request.lines]},
            lines_digest=request.lines_digest,
        )

        async def find() -> Outcome | None:
            # How far an earlier attempt came only `call` can tell; the warehouse packs no line twice.
            return None

        async def call() -> Outcome:
            done = _lines_recorded()
            for number, line in enumerate(request.lines[done:], start=done + 1):
                await self._warehouse.pack(
                    request.operation_id, line_id=line.line_id, sku=line.sku, quantity=line.quantity
                )
                activity.heartbeat(number)
            return Outcome()

        settled = await carry_out(self._ledger, operation, Outcome, find=find, call=call)
        return settled.outcome

    @activity.defn(name="unpack_lines")
    async def unpack(self, request: UnpackLines) -> Outcome:
        params: dict[str, JsonValue] = {"packing": request.pack_operation_id}
        if request.kept_lines:
            params["kept"] = [*sorted(request.kept_lines)]
        operation = Operation(request.order, request.operation_id, OperationKind.UNPACK, params)

        async def call(_: Target) -> Reversal[Outcome]:
            # A packing that is still open in the ledger is recorded as cancelled, even if some lines were packed.
            await self._warehouse.unpack(request.pack_operation_id, keep=request.kept_lines)
            return Reversal(Outcome(), whole=not request.kept_lines)

        settled = await undo(self._ledger, operation, request.pack_operation_id, Outcome(), call)
        return settled.outcome


def _lines_recorded() -> int:
    details = activity.info().heartbeat_details
    return int(details[0]) if details else 0

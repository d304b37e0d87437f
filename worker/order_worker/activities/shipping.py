"""Parcels: each handed over at most once, and none after it was called back."""

from temporalio import activity

from order_domain.order import digest
from order_worker.ledger.database import Ledger
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, carry_out
from order_worker.ledger.undoing import Reversal, Target, undo
from order_worker.providers.shipping.port import Carrier, Dispatch, TooLate
from order_workflows.activities.shipping import CancelShipment, Ship, ShipmentCancelled, Shipped, ShippingActivities


class LedgerShipping(ShippingActivities):
    """The carrier behind the ledger's protocol."""

    def __init__(self, ledger: Ledger, carrier: Carrier) -> None:
        self._ledger = ledger
        self._carrier = carrier

    @activity.defn(name="ship_line")
    async def ship(self, request: Ship) -> Shipped:
        """The time of the request is no parameter: a workflow that was reset asks at another time."""
        operation = Operation(
            request.order,
            request.operation_id,
            OperationKind.SHIP,
            {
                "lineID": request.line.line_id,
                "sku": request.line.sku,
                "quantity": request.line.quantity,
                "address": digest(request.address),
            },
            lines_digest=request.lines_digest,
        )

        async def find() -> Shipped | None:
            parcel = await self._carrier.find(request.operation_id)
            return None if parcel is None else _shipped(parcel)

        async def call() -> Shipped:
            parcel = await self._carrier.dispatch(
                request.operation_id,
                sku=request.line.sku,
                quantity=request.line.quantity,
                address=request.address,
                requested_at=request.requested_at,
            )
            return _shipped(parcel)

        settled = await carry_out(self._ledger, operation, Shipped, find=find, call=call)
        return settled.outcome

    @activity.defn(name="cancel_shipment")
    async def cancel(self, request: CancelShipment) -> ShipmentCancelled:
        operation = Operation(
            request.order, request.operation_id, OperationKind.CANCEL_SHIPMENT, {"shipment": request.ship_operation_id}
        )

        async def call(target: Target) -> Reversal[ShipmentCancelled] | None:
            known = target.outcome.get("trackingNumber") or request.tracking_number
            try:
                parcel = await self._carrier.cancel(request.ship_operation_id, tracking_number=known)
            except TooLate as answer:
                return Reversal(ShipmentCancelled(too_late=True), target=_shipped(answer.parcel), whole=False)
            return None if parcel is None else Reversal(ShipmentCancelled(), target=_shipped(parcel))

        settled = await undo(
            self._ledger,
            operation,
            request.ship_operation_id,
            ShipmentCancelled(),
            call,
            evidence=request.tracking_number and f"the workflow knows of parcel {request.tracking_number}",
        )
        return settled.outcome


def _shipped(parcel: Dispatch) -> Shipped:
    return Shipped(
        tracking_number=parcel.tracking_number,
        carrier=parcel.carrier,
        estimated_delivery=parcel.estimated_delivery,
    )

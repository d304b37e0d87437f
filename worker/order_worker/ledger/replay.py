"""What the books of an order have to be, by its audit events alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from order_domain.status import OrderStatus

HELD, RELEASED, COMMITTED = "held", "released", "committed"


Reservation = dict[str, tuple[int, str]]
"""Quantity and state by SKU, of the pieces that one operation took out of stock."""


@dataclass
class Replay:
    """Feed it the events in their order; every field is then what the ledger must hold."""

    status: str | None = None
    total_minor: int | None = None
    captured_minor: int = 0
    refunded_minor: int = 0
    reservations: dict[str, Reservation] = field(default_factory=dict)
    erased: bool = False
    unknown: set[str] = field(default_factory=set)
    """Kinds of events that this code does not know: the books cannot be judged where there are any."""

    def apply(self, kind: str, data: Mapping[str, Any]) -> None:
        """One event. An intent and a refusal change nothing, save that a refused receipt does not exist."""
        step = _STEPS.get(kind)
        if step is None:
            self.unknown.add(kind)
        elif data.get("state", "done") == "done":
            step(self, data.get("params") or {}, data)

    def _receive(self, params: Mapping[str, Any], _: Mapping[str, Any]) -> None:
        self.status, self.total_minor = OrderStatus.ORDER_RECEIVED, params["totalMinor"]

    def _update_status(self, params: Mapping[str, Any], _: Mapping[str, Any]) -> None:
        self.status = params["status"]

    def _halt(self, _: Mapping[str, Any], __: Mapping[str, Any]) -> None:
        self.status = OrderStatus.COMPENSATE_ORDER

    def _reserve(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self._end_all(RELEASED)
        self.reservations[data["operationID"]] = {sku: (count, HELD) for sku, count in params["pieces"].items()}

    def _change_lines(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.total_minor = params["totalMinor"]
        if data.get("reservationID") is not None:
            self._reserve(params, data)
        elif "pieces" in (data.get("before") or {}) and self._held() != params["pieces"]:
            self._end_all(RELEASED)

    def _sell_lines(self, _: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.total_minor = data["totalMinor"]
        self._end_all(COMMITTED)

    def _release(self, params: Mapping[str, Any], _: Mapping[str, Any]) -> None:
        reservation = self.reservations.get(params["reservation"], {})
        for sku, (count, state) in reservation.items():
            kept = (params.get("kept") or {}).get(sku, 0)
            if state == HELD:
                reservation[sku] = (kept, HELD) if kept else (count, RELEASED)

    def _commit(self, _: Mapping[str, Any], __: Mapping[str, Any]) -> None:
        self._end_all(COMMITTED)

    def _end_all(self, state: str) -> None:
        """An order holds pieces under one operation at a time."""
        for reservation in self.reservations.values():
            for sku, (count, before) in reservation.items():
                if before == HELD:
                    reservation[sku] = count, state

    def _held(self) -> dict[str, int]:
        return {
            sku: count
            for reservation in self.reservations.values()
            for sku, (count, state) in reservation.items()
            if state == HELD
        }

    def _charge(self, _: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.captured_minor = data["capturedMinor"]

    def _refund(self, _: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.refunded_minor += data.get("refundedMinor", 0)

    def _refund_failed(self, _: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.refunded_minor -= data["amountMinor"]

    def _refund_by_hand(self, _: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.refunded_minor += data["amountMinor"]

    def _erase(self, _: Mapping[str, Any], __: Mapping[str, Any]) -> None:
        self.erased = True

    def _nothing(self, _: Mapping[str, Any], __: Mapping[str, Any]) -> None:
        pass

    def flaws(self, order: Any, payment: Any | None, reservations: Mapping[str, Reservation]) -> Iterator[str]:
        """A sentence for each difference from the rows. `reservations`: quantity and state by SKU, by operation."""
        if self.unknown:
            kinds = ", ".join(sorted(self.unknown))
            yield f"it has events of kinds that this release does not know ({kinds}): check it with the newest release"
            return
        yield from _differs("status", order.status, self.status)
        yield from _differs("total", order.total_minor, self.total_minor)
        yield from _differs("captured amount", 0 if payment is None else payment.captured_minor, self.captured_minor)
        yield from _differs("refunded amount", 0 if payment is None else payment.refunded_minor, self.refunded_minor)
        for operation_id in sorted(reservations.keys() | self.reservations.keys()):
            held, told = reservations.get(operation_id, {}), self.reservations.get(operation_id, {})
            yield from _differs(f"reservation {operation_id}", dict(held), told)


def _differs(what: str, held: object, told: object) -> Iterator[str]:
    if held != told:
        yield f"its {what} is {held}, its events say {told}"


_STEPS = {
    "receive": Replay._receive,
    "change_lines": Replay._change_lines,
    "update_status": Replay._update_status,
    "close": Replay._update_status,
    "halt": Replay._halt,
    "reserve": Replay._reserve,
    "sell_lines": Replay._sell_lines,
    "release": Replay._release,
    "commit": Replay._commit,
    "charge": Replay._charge,
    "refund": Replay._refund,
    "refund_failed": Replay._refund_failed,
    "refund_by_hand": Replay._refund_by_hand,
    "erased": Replay._erase,
    **dict.fromkeys(
        (
            "chain_closed",
            "check_fraud",
            "pack",
            "unpack",
            "ship",
            "cancel_shipment",
            "notify",
            "prevented",
            "approved",
            "rejected",
            "expired",
            "cancelled",
            "address_changed",
            "lines_changed",
            "suspended",
            "resumed",
            "retried",
            "adopted",
        ),
        Replay._nothing,
    ),
}

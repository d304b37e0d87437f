"""What happened to an order, by time: from its status and its Events."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from order_cli import clock, money
from order_cli.order import Order, visible
from order_cli.vocabulary import STEP_COMPENSATED, STEP_FAILED, STEP_SUCCEEDED, STEP_WAITING


class Entry(NamedTuple):
    """One line."""

    when: datetime
    who: str
    via: str
    what: str
    detail: str


_TOLD_BY_STATUS = {"Waiting", "Decided", "Failed", "Rejected", "Cancelled", "Expired", "Duplicate", "Invalid"}
"""Reasons of Events that say what the status says as well."""


def timeline(order: Order, events: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Oldest first."""
    entries = [*_created(order), *_steps(order), *_decision(order), *_end(order), *_told(events)]
    return sorted(entries, key=lambda entry: entry.when)


def _created(order: Order) -> Iterable[Entry]:
    if order.created:
        total = money.amount(order.spec_total, order.currency) if order.lines else ""
        yield Entry(
            order.created,
            order.requested_by or "-",
            "kubernetes",
            "created",
            total if order.generation == 1 else f"{total}; edited since",
        )


def _steps(order: Order) -> Iterable[Entry]:
    for step in order.steps:
        finished, started = clock.parse(step.get("finishedAt")), clock.parse(step.get("startedAt"))
        state, name = step.get("state"), visible(step.get("name", "?"))
        attempts = int(step.get("attempts", 0))
        detail = [f"{attempts} attempts" if attempts > 1 else "", visible(step.get("lastError") or "")]
        if state == STEP_WAITING and started:
            yield Entry(started, "workflow", "temporal", f"{name} waits", "")
        elif finished and name != "Approval" and state in (STEP_SUCCEEDED, STEP_FAILED, STEP_COMPENSATED):
            word = {STEP_SUCCEEDED: "done", STEP_FAILED: "failed", STEP_COMPENSATED: "done, undone later"}[str(state)]
            more = _effect(order, name)
            yield Entry(finished, "workflow", "temporal", f"{name} {word}", "; ".join(filter(None, [*detail, more])))


def _effect(order: Order, step: str) -> str:
    payment = order.payment
    if step == "ChargePayment" and payment.get("capturedMinor"):
        paid = money.amount(int(payment["capturedMinor"]), order.currency)
        return f"{paid}, {visible(payment.get('transactionID', ''))}"
    if step == "ReserveStock":
        return visible(order.status.get("reservationID") or "")
    if step == "Ship":
        return ", ".join(visible(parcel.get("trackingNumber", "?")) for parcel in order.shipments)
    return ""


def _decision(order: Order) -> Iterable[Entry]:
    approval = order.approval
    when = clock.parse(approval.get("at"))
    if when and approval.get("decision"):
        about = ""
        if approval.get("totalMinor") is not None:
            about = money.amount(int(approval["totalMinor"]), str(approval.get("currency") or order.currency))
        parts = [
            f'"{visible(approval["reason"])}"' if approval.get("reason") else "",
            f"generation {approval['generation']}" if approval.get("generation") else "",
            about,
            f"name {'proven' if approval.get('proof') == 'Policy' else 'only claimed'}" if approval.get("by") else "",
        ]
        who, via = visible(approval.get("by") or "-"), visible(approval.get("via") or "-")
        yield Entry(when, who, via, str(approval["decision"]).lower(), ", ".join(filter(None, parts)))


def _end(order: Order) -> Iterable[Entry]:
    if order.ended and order.finished:
        paid_back = int(order.payment.get("refundedMinor", 0))
        refunded = f"{money.amount(paid_back, order.currency)} refunded" if paid_back else ""
        yield Entry(
            order.ended, "workflow", "temporal", "ended", "; ".join(filter(None, [order.order_status, refunded]))
        )


def _told(events: Sequence[Mapping[str, Any]]) -> Iterable[Entry]:
    for event in events:
        when = clock.parse(event.get("eventTime") or event["metadata"].get("creationTimestamp"))
        if when and event.get("reason") not in _TOLD_BY_STATUS:
            yield Entry(when, "operator", "event", visible(event.get("reason", "")), visible(event.get("note", "")))

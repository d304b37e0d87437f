"""An Order as it was read, by the names that screens and commands use. What the cluster says is made safe to print."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from order_cli import clock, money
from order_cli.vocabulary import (
    COMPENSATING,
    MANUAL_REVIEW,
    PENDING,
    TERMINAL_PHASES,
    TO_APPROVE,
    WAITING,
)


def visible(value: object) -> str:
    """One line without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in str(value))


class Order:
    """Read only; the object itself is `raw`."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        metadata = raw.get("metadata", {})
        self.name = visible(metadata.get("name", ""))
        self.namespace = visible(metadata.get("namespace", ""))
        self.uid = str(metadata.get("uid", ""))
        self.generation = int(metadata.get("generation", 0))
        self.created = clock.parse(metadata.get("creationTimestamp"))
        self.spec: Mapping[str, Any] = raw.get("spec") or {}
        self.status: Mapping[str, Any] = raw.get("status") or {}

    @property
    def key(self) -> str:
        """`shop/order-1500`."""
        return f"{self.namespace}/{self.name}"

    # Where it is

    @property
    def phase(self) -> str:
        """Pending until the operator has seen it."""
        return visible(self.status.get("phase", PENDING))

    @property
    def order_status(self) -> str:
        """`-` until a workflow carries it."""
        return visible(self.status.get("orderStatus", "-"))

    @property
    def progress(self) -> int | None:
        """Percent; None until a workflow carries it."""
        found = self.status.get("progress")
        return None if found is None else int(found)

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it."""
        return self.phase in TERMINAL_PHASES

    @property
    def message(self) -> str:
        """The operator's sentence."""
        return visible(self.status.get("message", "the operator has not seen it yet"))

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        """Of the whole pipeline."""
        return list(self.status.get("steps", []))

    @property
    def retrying(self) -> Mapping[str, Any] | None:
        """The step that failed and is tried again."""
        return next((step for step in self.steps if step.get("state") == "Running" and step.get("lastError")), None)

    def condition(self, kind: str) -> Mapping[str, Any]:
        """Empty if it is not there."""
        conditions = self.status.get("conditions", [])
        return next((found for found in conditions if found.get("type") == kind), {})

    def holds(self, kind: str) -> bool:
        """Whether the condition is True."""
        return self.condition(kind).get("status") == "True"

    # What it waits for

    @property
    def pending(self) -> Mapping[str, Any]:
        """`status.pendingAction`; empty while it waits for nobody."""
        return self.status.get("pendingAction") or {}

    @property
    def awaits_decision(self) -> bool:
        """Whether somebody has to approve or reject it."""
        return self.phase == WAITING and self.pending.get("kind") == TO_APPROVE

    @property
    def needs_person(self) -> bool:
        """Whether it goes on only when a person acts."""
        return self.phase in (WAITING, MANUAL_REVIEW) and self.pending.get("kind") != "Restock"

    @property
    def undoing(self) -> bool:
        """Whether it gives back what it had taken."""
        return self.phase == COMPENSATING

    @property
    def deadline(self) -> datetime | None:
        """Until when it waits."""
        return clock.parse(self.pending.get("deadline"))

    @property
    def approval(self) -> Mapping[str, Any]:
        """`status.approval`."""
        return self.status.get("approval") or {}

    @property
    def waiting_since(self) -> datetime | None:
        """When the step began that waits."""
        waiting = next((step for step in self.steps if step.get("state") == "Waiting"), {})
        return clock.parse(waiting.get("startedAt")) or self.started

    @property
    def requested_by(self) -> str | None:
        """Who ordered."""
        found = self.approval.get("requestedBy") or self.spec.get("requestedBy")
        return visible(found) if found else None

    @property
    def edited_by(self) -> str | None:
        """Who edited last."""
        found = self.approval.get("editedBy") or self.spec.get("editedBy")
        return visible(found) if found else None

    # What is ordered

    @property
    def customer(self) -> str:
        """The shop's identifier."""
        return visible(self.spec.get("customer", {}).get("id", "-"))

    @property
    def class_name(self) -> str:
        """The class in force, else the one that is asked for."""
        return visible(self.status.get("className") or self.spec.get("className") or "-")

    @property
    def currency(self) -> str:
        """ISO 4217."""
        return visible(self.spec.get("currency", ""))

    @property
    def lines(self) -> list[Mapping[str, Any]]:
        """As the spec has them."""
        return list(self.spec.get("lines", []))

    @property
    def spec_total(self) -> int:
        """What lines and charges of the spec cost together, in minor units."""
        return total_of(self.lines, self.spec.get("charges", []))

    @property
    def total(self) -> str:
        """The total in force, for people; `-` until it is known."""
        return visible(self.status.get("total", "-"))

    @property
    def destination(self) -> str:
        """`Springfield, US`: where the parcels go, without whom they go to."""
        address = self.status.get("shippingAddress") or self.spec.get("shippingAddress") or {}
        return ", ".join(visible(address[part]) for part in ("city", "country") if address.get(part))

    def line_text(self, line: Mapping[str, Any]) -> str:
        """`2 × PROD-001 750.00`: quantity, article and price of the whole line."""
        quantity = int(line.get("quantity", 0))
        price = money.number(quantity * int(line.get("unitPriceMinor", 0)), self.currency)
        return f"{quantity} × {visible(line.get('sku', '?'))} {price}"

    # What became of it

    @property
    def payment(self) -> Mapping[str, Any]:
        """Money that moved."""
        return self.status.get("payment") or {}

    @property
    def captured(self) -> int:
        """Minor units that the customer paid and has not got back."""
        return int(self.payment.get("capturedMinor", 0)) - int(self.payment.get("refundedMinor", 0))

    @property
    def shipments(self) -> list[Mapping[str, Any]]:
        """The parcels that are listed."""
        return list(self.status.get("shipments", []))

    @property
    def started(self) -> datetime | None:
        """When the workflow began."""
        return clock.parse(self.status.get("startTime"))

    @property
    def ended(self) -> datetime | None:
        """When it ended."""
        return clock.parse(self.status.get("completionTime"))

    @property
    def workflow(self) -> Mapping[str, Any]:
        """Where to look further."""
        return self.status.get("workflow") or {}


def total_of(lines: list[Mapping[str, Any]], charges: list[Mapping[str, Any]]) -> int:
    """In minor units."""
    goods = sum(int(line.get("quantity", 0)) * int(line.get("unitPriceMinor", 0)) for line in lines)
    return goods + sum(int(charge.get("amountMinor", 0)) for charge in charges)

"""An Order as the pages show it. What the order does, waits for and says comes from its status, word for word."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from order_domain.money import format_amount
from order_domain.status import TERMINAL_PHASES

ENDED = frozenset(phase.value for phase in TERMINAL_PHASES)

MARKS = {
    "Pending": "·",
    "Running": "▶",
    "Waiting": "◔",
    "Succeeded": "✓",
    "Skipped": "-",
    "Failed": "✗",
    "Compensated": "↶",
    "CompensationFailed": "✗",
}
"""Of a step; the word stands beside it, since a sign alone says nothing to a screen reader."""


@dataclass(frozen=True)
class StepView:
    """One step of the pipeline."""

    name: str
    state: str
    mark: str
    current: bool
    started: datetime | None
    seconds: float | None
    """Until it ended; None while it runs."""
    attempts: int
    error: str
    next_attempt: datetime | None


@dataclass(frozen=True, eq=False)
class OrderView:
    """What the templates read, for all viewers. Nothing in it is HTML: the templates escape."""

    order: Mapping[str, Any]

    @cached_property
    def uid(self) -> str:
        return str(self.order["metadata"]["uid"])

    @cached_property
    def version(self) -> str:
        """Of the API server: another one means that something changed."""
        return str(self.order["metadata"].get("resourceVersion", ""))

    @cached_property
    def namespace(self) -> str:
        return str(self.order["metadata"]["namespace"])

    @cached_property
    def name(self) -> str:
        return str(self.order["metadata"]["name"])

    @cached_property
    def path(self) -> str:
        """Of its own page."""
        return f"/orders/{self.namespace}/{self.name}"

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.order.get("spec") or {}
        return spec

    @cached_property
    def status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.order.get("status") or {}
        return status

    @cached_property
    def generation(self) -> int:
        return int(self.order["metadata"].get("generation", 0))

    @cached_property
    def phase(self) -> str:
        return str(self.status.get("phase") or "Pending")

    @cached_property
    def ended(self) -> bool:
        return self.phase in ENDED

    @cached_property
    def shown_status(self) -> str:
        return str(self.status.get("orderStatus") or self.phase)

    @cached_property
    def progress(self) -> int:
        return int(self.status.get("progress") or 0)

    @cached_property
    def total_minor(self) -> int:
        return int(self.status.get("totalMinor", _sum_of(self.spec)))

    @cached_property
    def total(self) -> str:
        return self.amount(self.total_minor)

    @cached_property
    def message(self) -> str:
        return str(self.status.get("message") or "not seen by the operator yet")

    @cached_property
    def created(self) -> datetime:
        return _moment(self.order["metadata"]["creationTimestamp"]) or datetime.now(UTC)

    @cached_property
    def deadline(self) -> datetime | None:
        """Of what somebody has to do."""
        return _moment(self.status.get("pendingAction", {}).get("deadline"))

    @cached_property
    def waits_for_decision(self) -> bool:
        return self.status.get("pendingAction", {}).get("kind") == "Approve" and not self.spec.get("approval")

    @cached_property
    def decision(self) -> tuple[object, ...] | None:
        """For whom it waits depends on this, and on rights; None where it waits for nobody."""
        if not self.waits_for_decision:
            return None
        return self.generation, self.status.get("approval", {}).get("requires"), self.class_name

    @cached_property
    def offers(self) -> str:
        """What may be done about it depends on this, and on rights."""
        return f"{self.phase}/{self.generation}/{self.waits_for_decision}"

    @cached_property
    def requester(self) -> str:
        return str(self.spec.get("requestedBy") or "")

    @cached_property
    def class_name(self) -> str:
        """In force, or else wanted."""
        return str(self.status.get("className") or self.spec.get("className") or "")

    @cached_property
    def answer(self) -> tuple[str, str]:
        """What the workflow says to the last change of the spec: `pending`, `taken`, `refused` or nothing, and a
        sentence. Nobody is told of a change that they did not make: a new order has none."""
        edit = self.conditions.get("SpecApplied", {})
        seen = min(int(self.status.get("observedGeneration", 0)), int(edit.get("observedGeneration", 0)))
        if self.generation <= 1:
            return "", ""
        if seen < self.generation:
            return ("", "") if self.ended else ("pending", "The last change is on its way to the order.")
        if edit.get("status") == "False":
            return "refused", f"The last change was refused ({edit.get('reason', '')}): {edit.get('message', '')}"
        return "taken", "The last change was taken."

    @cached_property
    def searched(self) -> str:
        """What a text is looked for in, in small letters."""
        said = (self.name, self.spec.get("orderID") or "", self.spec["customer"]["id"], self.shown_status)
        return "\n".join(map(str, said)).lower()

    @cached_property
    def steps(self) -> list[StepView]:
        """All steps of the pipeline, those to come as well."""
        current = self.status.get("currentStep")
        return [_step(step, current=step["name"] == current) for step in self.status.get("steps", [])]

    @cached_property
    def conditions(self) -> Mapping[str, Mapping[str, Any]]:
        return {each["type"]: each for each in self.status.get("conditions", [])}

    def amount(self, minor: int) -> str:
        """For people: `750.00 USD`."""
        return format_amount(minor, str(self.spec.get("currency", "")))

    def forbidden_to(self, caller: str, verb: str) -> str:
        """Why somebody without the verb may not."""
        return f"you ({caller}) may not: this needs the verb {verb} on orders.order-platform.dev in {self.namespace}"


def _step(step: Mapping[str, Any], *, current: bool) -> StepView:
    started, finished = _moment(step.get("startedAt")), _moment(step.get("finishedAt"))
    return StepView(
        name=step["name"],
        state=step["state"],
        mark=MARKS.get(step["state"], "·"),
        current=current,
        started=started,
        seconds=(finished - started).total_seconds() if started and finished else None,
        attempts=int(step.get("attempts") or 0),
        error=str(step.get("lastError") or ""),
        next_attempt=_moment(step.get("nextAttemptAt")),
    )


def _sum_of(spec: Mapping[str, Any]) -> int:
    lines = sum(int(line["quantity"]) * int(line["unitPriceMinor"]) for line in spec.get("lines", []))
    return lines + sum(int(charge["amountMinor"]) for charge in spec.get("charges", []))


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None

"""The state of one order while its workflow runs, and the only writer of its progress."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

from order_domain.order import Address, DecisionKind, OrderLine, digest
from order_domain.pipeline import StepName
from order_domain.retry import StepRetry
from order_domain.snapshot import (
    MAX_LISTED_SHIPMENTS,
    ApprovalRecord,
    CompensationState,
    DecisionOutcome,
    EnrichmentRecord,
    ErrorRecord,
    ItemRecord,
    OrderSnapshot,
    PaymentRecord,
    PendingAction,
    ShipmentRecord,
    StepRecord,
    StepState,
)
from order_domain.status import OrderStatus, progress
from order_workflows.activities.effect import Outcome
from order_workflows.contract import (
    MEMO_SNAPSHOT,
    ORDER_APPROVAL_DEADLINE,
    ORDER_CLUSTER,
    ORDER_CUSTOMER_ID,
    ORDER_CUSTOMER_TIER,
    ORDER_ID,
    ORDER_SEQ,
    ORDER_STATUS,
    ORDER_TOTAL_MINOR,
    ORDER_UPDATED_AT,
    CancelRequest,
    Decision,
    LinesChange,
    OrderInput,
    OrderResult,
)


class OrderEnded(Exception):
    """The order ends here for a reason of business; what was done is undone."""

    def __init__(self, status: OrderStatus, error: ErrorRecord | None = None, attempts: int = 0) -> None:
        super().__init__(status)
        self.status = status
        self.error = error
        self.attempts = attempts


@dataclass(frozen=True)
class Undo:
    """How to take back one step, whether or not it happened."""

    step: StepName
    action: Callable[[], Awaitable[None]]


class WantedLines:
    """A change of lines that waits for the order to come to a point where it can be made."""

    def __init__(self, change: LinesChange) -> None:
        self.change = change
        self.settled = False
        self.refusal: ErrorRecord | None = None

    def settle(self, refusal: ErrorRecord | None = None) -> None:
        """The change is in force, or refused."""
        self.settled, self.refusal = True, refusal


class OrderRun:
    """What the steps read and write. Changes become visible with `publish`."""

    def __init__(self, order: OrderInput) -> None:
        self.input = order
        self.spec = order.spec
        self.address: Address = order.spec.shipping_address
        self.address_changed = False
        self.address_digest = digest(self.address)
        self.lines: list[OrderLine] = order.spec.lines
        self.lines_generation = order.generation
        self.lines_revision = 1
        self.wanted_lines: deque[WantedLines] = deque()
        self.items: list[ItemRecord] = []
        self.enrichment: EnrichmentRecord | None = None
        self.status = OrderStatus.ORDER_RECEIVED
        self.suspended = order.spec.suspend
        self.under_review = False
        self.cancellation: CancelRequest | None = None
        self.approval = ApprovalRecord(required=self.approval_required)
        self.reservations: list[str] = []
        """Operation ids of every attempt to hold pieces; the last one may be in force."""
        self.reservation_id: str | None = None
        self.restocked = False
        self.packed = False
        self.payment = PaymentRecord()
        self.shipments: dict[str, ShipmentRecord] = {}
        self.shipping_started = False
        self.refused_shipments: Counter[str] = Counter()
        """How often the carrier refused a line for good, by line id: the next try is an operation of its own."""
        self.pivot_passed = False
        self.notified: bool | None = None
        self.pending_action: PendingAction | None = None
        self.compensation: CompensationState | None = None
        self.last_error: ErrorRecord | None = None
        self.undos: list[Undo] = []
        self._steps: dict[StepName, StepRecord] = {}
        self._current: StepName | None = None
        self._lines_digest = digest(self.lines)
        self._published: OrderSnapshot | None = None
        self._publishing: asyncio.Task[None] | None = None
        if order.abandoned is not None:
            self._continue(order.abandoned)

    def _continue(self, abandoned: OrderSnapshot) -> None:
        """Show on from where an earlier run stopped, and take no more changes."""
        self.cancellation = CancelRequest(reason="the workflow was terminated")
        if abandoned == OrderSnapshot():  # it had shown nothing yet
            return
        self.status = abandoned.status
        self.suspended = abandoned.suspended
        self.address = abandoned.shipping_address or self.address
        self.address_digest = abandoned.address_digest or self.address_digest
        self.approval = abandoned.approval
        self.items, self.enrichment = abandoned.items, abandoned.enrichment
        self.reservation_id = abandoned.reservation_id
        self.payment = abandoned.payment or PaymentRecord()
        self.shipments = {record.line_id: record for record in abandoned.shipments}
        self.notified = abandoned.notified
        self._steps = {record.name: record for record in abandoned.steps}
        self.packed = self.has_done(StepName.PREPARE_SHIPMENT)
        self.pivot_passed = self._is_over(self.input.policy.pivot)
        self._published = abandoned

    @property
    def total_minor(self) -> int:
        """Of the lines in force, in minor units."""
        return sum(line.amount_minor for line in self.lines)

    @property
    def approval_required(self) -> bool:
        """Whether a person must decide about this order."""
        gated = StepName.APPROVAL in self.input.policy.pipeline
        return gated and self.input.policy.approval.required(self.total_minor, self.spec.currency)

    @property
    def approval_window(self) -> timedelta:
        """How long a decision is awaited."""
        return timedelta(seconds=self.input.policy.approval.window_seconds)

    @property
    def lines_fixed(self) -> bool:
        """Whether the order has gone too far for other lines: decided about, or at a step that acts on them."""
        if self.approval.decision is not None or self.pivot_passed:
            return True
        gate = self._steps.get(StepName.APPROVAL)
        return (gate is not None and gate.finished_at is not None) or any(step in self._steps for step in _USE_LINES)

    def has_done(self, step: StepName) -> bool:
        """Whether `step` ran and succeeded."""
        record = self._steps.get(step)
        return record is not None and record.state is StepState.SUCCEEDED

    def replace_lines(self, change: LinesChange) -> None:
        """The order is for these lines now; whether it needs approval may change with the total."""
        self.lines = change.lines
        self.lines_generation = max(self.lines_generation, change.generation)
        self._lines_digest = digest(change.lines)
        self.approval = self.approval.model_copy(update={"required": self.approval_required})

    def retry(self, step: StepName) -> StepRetry:
        """The class's retry policy of `step`."""
        return self.input.policy.retry.of(step)

    def operation(self, step: str) -> str:
        """Idempotency key of an effect of this order: the same however often the step is tried."""
        return f"{self.input.identity.uid}/{step}"

    def on_failure(self, step: StepName, action: Callable[[], Awaitable[None]]) -> None:
        """Registered before the step acts: a step that seems to have failed may still have happened."""
        self.undos.append(Undo(step, action))

    def decide(self, kind: DecisionKind, decision: Decision) -> None:
        """Record the final decision about the approval."""
        self.approval = self.approval.model_copy(
            update={
                "decision": DecisionOutcome(kind.value),
                "by": decision.by,
                "at": workflow.now(),
                "reason": decision.reason,
                "generation": decision.generation or None,
            }
        )

    def begin(self, step: StepName, status: OrderStatus | None) -> None:
        """Mark `step` as running and show it."""
        self._current = step
        self._steps[step] = StepRecord(name=step, state=StepState.RUNNING, started_at=workflow.now())
        if status is not None:
            self._publish_if_it_lasts(status)

    def waiting(self, status: OrderStatus, action: PendingAction) -> None:
        """Show that the current step waits for somebody."""
        self.pending_action = action
        assert self._current is not None
        self._mark(self._current, state=StepState.WAITING)
        self.publish(status)

    def attempted(self, outcome: Outcome) -> None:
        """Keep how many attempts the current step took, and what went wrong before the last one."""
        step = self._current
        if step is not None:
            record = self._steps[step]
            last_error = outcome.last_error or record.last_error
            self._mark(step, attempts=max(outcome.attempts, record.attempts), last_error=last_error)

    def finish(
        self, state: StepState = StepState.SUCCEEDED, error: ErrorRecord | None = None, attempts: int = 0
    ) -> None:
        """Close the current step; one that was skipped is closed already."""
        self.pending_action = None
        if self._current is None:
            return
        changes: dict[str, object] = {"state": state, "finished_at": workflow.now()}
        if error is not None:
            changes |= {"last_error": error.message, "attempts": attempts}
        self._mark(self._current, **changes)
        self._current = None

    def skip(self) -> None:
        """Close the current step as not needed for this order."""
        self.finish(StepState.SKIPPED)

    @property
    def steps_ahead(self) -> list[StepName]:
        """Those of the pipeline that are not known to be done. One that an earlier run did without showing it does
        nothing a second time: the ledger answers as it did then."""
        return [step for step in self.input.policy.pipeline if not self._is_over(step)]

    def _is_over(self, step: StepName) -> bool:
        record = self._steps.get(step)
        return record is not None and record.state in _DONE

    def stop_short(self, begun: Iterable[StepName], error: ErrorRecord) -> None:
        """Steps that an earlier run had under way, or had `begun` without showing it, go no further."""
        for step in begun:
            self._steps.setdefault(step, StepRecord(name=step, state=StepState.RUNNING))
        for step, record in self._steps.items():
            if record.state in {StepState.RUNNING, StepState.WAITING}:
                self._mark(step, state=StepState.FAILED, finished_at=workflow.now(), last_error=error.message)

    def undone(self, step: StepName, state: StepState) -> None:
        """Note how the undoing of `step` ended. A step that failed stays so: mostly there was nothing to undo."""
        failed = self._steps[step].state is StepState.FAILED
        if not (failed and state is StepState.COMPENSATED):
            self._mark(step, state=state)

    def _publish_if_it_lasts(self, status: OrderStatus) -> None:
        """Of several steps in one workflow task only the last state is ever seen outside, so that showing the others
        would be events for nobody. A step that does last, since its local activity is being retried, is shown by a
        timer, which costs nothing while it is cancelled in the task that started it."""
        if self.input.revision == 1:
            self.publish(status)
            return
        self.status = status
        if self._publishing is None:
            self._publishing = asyncio.create_task(self._publish_later())

    async def _publish_later(self) -> None:
        await workflow.sleep(_LASTS, summary="show a step that lasts")
        self._publishing = None
        self.publish()

    def publish(self, status: OrderStatus | None = None) -> None:
        """Make the present state visible, in the workflow task that runs anyway; nothing changed, nothing written."""
        if status is not None:
            self.status = status
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
        last = self._published
        snapshot = self.snapshot(seq=last.seq if last else 0, updated_at=last.updated_at if last else None)
        if snapshot == last:
            return
        now = workflow.now()
        snapshot = snapshot.model_copy(update={"seq": snapshot.seq + 1, "updated_at": now})
        if self.input.abandoned is not None and last is self.input.abandoned:
            last = None  # search attributes are each run's own
        attributes: list[SearchAttributeUpdate[Any]] = [
            ORDER_STATUS.value_set(snapshot.status),
            ORDER_SEQ.value_set(snapshot.seq),
            ORDER_UPDATED_AT.value_set(now),
        ]
        if last is None:
            attributes += [
                ORDER_CLUSTER.value_set(self.input.identity.cluster),
                ORDER_ID.value_set(self.input.order_id),
                ORDER_CUSTOMER_ID.value_set(self.spec.customer.id),
            ]
        if last is None or last.total_minor != snapshot.total_minor:
            attributes.append(ORDER_TOTAL_MINOR.value_set(snapshot.total_minor))
        tier = snapshot.enrichment.tier if snapshot.enrichment else None
        if tier is not None and (last is None or last.enrichment != snapshot.enrichment):
            attributes.append(ORDER_CUSTOMER_TIER.value_set(tier))
        deadline = snapshot.approval.deadline
        if deadline is not None and (last is None or last.approval.deadline != deadline):
            attributes.append(ORDER_APPROVAL_DEADLINE.value_set(deadline))
        workflow.upsert_search_attributes(attributes)
        workflow.upsert_memo({MEMO_SNAPSHOT: snapshot.to_memo()})
        self._published = snapshot

    def snapshot(self, **changes: object) -> OrderSnapshot:
        """The present state; `changes` override single fields."""
        done = {step for step, record in self._steps.items() if record.state in _DONE}
        now_at = progress(self.input.policy.pipeline, done, self.status)
        reached = self._published.progress if self._published else 0
        shown = OrderSnapshot(
            status=self.status,
            progress=max(reached, now_at),
            current_step=self._current,
            suspended=self.suspended,
            class_name=self.input.class_name,
            class_generation=self.input.class_generation,
            total_minor=self.total_minor,
            lines_digest=self._lines_digest,
            steps=list(self._steps.values()),
            approval=self.approval,
            pending_action=self.pending_action,
            items=self.items,
            enrichment=self.enrichment,
            reservation_id=self.reservation_id,
            payment=self.payment if self.payment != PaymentRecord() else None,
            shipments=list(self.shipments.values())[:MAX_LISTED_SHIPMENTS],
            shipment_count=len(self.shipments),
            shipping_address=self.address,
            address_digest=self.address_digest,
            compensation=self.compensation,
            notified=self.notified,
            last_error=self.last_error,
        )
        return shown.model_copy(update=changes)

    def result(self) -> OrderResult:
        """What the workflow returns."""
        numbers = [record.tracking_number for record in self.shipments.values() if record.tracking_number]
        return OrderResult(
            status=self.status,
            order_id=self.input.order_id,
            total_minor=self.total_minor,
            reservation_id=self.reservation_id,
            transaction_id=self.payment.transaction_id,
            refund_id=self.payment.refund_id,
            tracking_numbers=numbers,
            shipping_address=self.address,
            message=self.last_error.message if self.last_error else None,
        )

    def _mark(self, step: StepName, **changes: object) -> None:
        self._steps[step] = self._steps[step].model_copy(update=changes)


_LASTS = timedelta(seconds=1)

_USE_LINES = (StepName.PREPARE_SHIPMENT, StepName.CHARGE_PAYMENT, StepName.SHIP)
"""Steps that act on the lines outside the ledger."""

_DONE = frozenset({StepState.SUCCEEDED, StepState.SKIPPED})
"""States that count for progress."""

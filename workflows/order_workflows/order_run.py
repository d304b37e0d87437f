"""The state of one order while its workflow runs, and the only writer of its progress."""

from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from temporalio import workflow

from order_domain import moments
from order_domain.audit_note import NoteKind
from order_domain.errors import LedgerUnavailable
from order_domain.order import Address, DecisionKind, OrderCharge, OrderLine, digest, lines_digest, sum_minor
from order_domain.pipeline import StepName
from order_domain.retry import StepRetry
from order_domain.snapshot import (
    MAX_LISTED_SHIPMENTS,
    ApprovalRecord,
    CompensationState,
    EnrichmentRecord,
    ErrorRecord,
    ItemRecord,
    OrderSnapshot,
    Owner,
    PaymentRecord,
    PendingAction,
    RefusalRecord,
    ShipmentRecord,
    StepState,
)
from order_domain.status import OrderStatus, progress
from order_workflows import approval_record
from order_workflows.activities.effect import EffectKind, Outcome
from order_workflows.activities.order import BegunEffect, LinesInForce
from order_workflows.audit_notes import Notes
from order_workflows.contract import (
    KUBERNETES,
    POLICY,
    TEMPORAL,
    AddressChange,
    Adoption,
    CancelRequest,
    Decision,
    LinesChange,
    OrderInput,
    OrderResult,
)
from order_workflows.details import details
from order_workflows.order_visibility import memo, search_attributes
from order_workflows.patches import CANCELLED_FROM_THE_START, FORGETS_COMPENSATION, SHOWS_FEW_REFUSALS
from order_workflows.publishing import Debounce, Publisher
from order_workflows.step_log import DONE, StepLog
from order_workflows.wanted_lines import WantedLines

SHOWN_REFUSALS = 100


class OrderRun:
    """What the steps read and write. Changes become visible with `publish`."""

    def __init__(self, order: OrderInput) -> None:
        self.input = order
        self.spec = order.ordered
        self.address: Address = self.spec.shipping_address
        self.address_changed = False
        self.address_digest = digest(self.address)
        self.lines: list[OrderLine] = order.spec.lines
        self.charges: list[OrderCharge] = order.spec.charges
        self._sold_for: int | None = None
        self._digest_of_the_ledger: str | None = None
        self.lines_generation = self.address_generation = self.suspend_generation = order.generation
        """metadata.generation of the resource that was heard last, of each."""
        self.checked_country: str | None = None
        """The country that the fraud check was asked about last."""
        self.lines_revision = 1
        self.wanted_lines: deque[WantedLines] = deque()
        self.items: list[ItemRecord] = []
        self.enrichment: EnrichmentRecord | None = None
        self.status = OrderStatus.ORDER_RECEIVED
        self.suspended = order.spec.suspend
        self.tells_requests = False
        """Whether the snapshot tells what the resource asked for last, where a client of the workflow changed it."""
        self._lines_requested: str | None = None
        self._suspend_requested: bool | None = None
        self.under_review = False
        self.reviews = 0
        """How often the order came into Manual Review."""
        self.cancellation: CancelRequest | None = None
        self.editor = self.spec.edited_by
        """Who edited the order last, as far as it is known."""
        self.edited = False
        """Whether lines or address were changed since the order began."""
        self.edits = 0
        """Changes of lines, address and suspension that this run has taken."""
        self._refusals = 0
        """Signals that came in vain."""
        self.edited_by_stranger = False
        """Whether it was a client of Temporal who did so last, and without a name."""
        self.approval = approval_record.asked(ApprovalRecord(), order, self.total_minor, self.editor)
        self.changed_while_waiting = False
        """Whether the lines changed while a decision was awaited: it has to name what it is about then."""
        self.reservations: list[str] = []
        """Operation ids of every attempt to hold pieces; the last one may be in force."""
        self.reservation_id: str | None = None
        self.restocked = False
        self.packed = False
        self.payment = order.shown_payment or PaymentRecord()
        self.shipments: dict[str, ShipmentRecord] = {}
        self.shipping_started = False
        self.refused_shipments: Counter[str] = Counter()
        """How often the carrier refused a line for good, by line id: the next try is an operation of its own."""
        self.pivot_passed = False
        self.ending = False
        """Whether the end is decided, and only to be recorded."""
        self.undone = False
        """Whether it is to end other than completed, and to be undone for that."""
        self.notified: bool | None = None
        self.pending_action: PendingAction | None = None
        self.compensation: CompensationState | None = None
        self._compensation_was_shown = False
        """By an earlier run."""
        self.last_error: ErrorRecord | None = None
        self.last_refusal: RefusalRecord | None = None
        self.begun: list[BegunEffect] = []
        """What this run has begun, each noted before it acts: what seems to have failed may still have happened."""
        self.ship_operations: dict[str, str] = {}
        """By line id, the operation under which an earlier run shipped it."""
        self.notes = Notes(order.identity.uid, order.notes)
        self.owner = Owner(uid=order.identity.uid, cluster=order.identity.cluster)
        self._was_adopted = False
        """By another resource than the first. That may have taken it back since."""
        shown = None if order.abandoned == OrderSnapshot() else order.abandoned  # the default: it had shown nothing yet
        if shown is not None:
            shown = shown.model_copy(update={"tells_owner": False})  # so that only what changed is published
        self.steps = StepLog(order.policy.pipeline, shown.steps if shown is not None else ())
        if shown is not None and shown.owner is not None:
            self.owner, self._was_adopted = shown.owner, True
            if shown.owner.uid != order.identity.uid:
                # Its generations count from one; those of the input are the former resource's.
                self.lines_generation = self.address_generation = self.suspend_generation = 0
        self._publisher: Publisher[OrderSnapshot] = Publisher(
            lambda: self.owner.cluster,
            partial(memo, order),
            partial(search_attributes, order),
            last=shown,
        )
        self._debounce = Debounce(self.publish)
        if order.abandoned is not None:
            self.cancellation = CancelRequest(reason="the workflow was terminated")
        elif order.begins_again is None:  # else the ledger is asked first for the order that it was: that may go on
            self.follow_the_cancellation_of_the_spec()
        if shown is not None:
            self._continue(shown)

    def follow_the_cancellation_of_the_spec(self) -> None:
        """One that the order had when it began; a later one comes as an Update."""
        asked = self.spec.cancellation
        if asked is not None and self.cancellation is None and workflow.patched(CANCELLED_FROM_THE_START):
            self.cancelled_by(CancelRequest(by=asked.by, reason=asked.reason, channel=KUBERNETES))

    def _continue(self, abandoned: OrderSnapshot) -> None:
        """Show on from where an earlier run stopped."""
        self.status = abandoned.status
        self.suspended = abandoned.suspended
        self._lines_requested = abandoned.lines_requested
        self._suspend_requested = abandoned.suspend_requested
        self.address = abandoned.shipping_address or self.address
        self.address_digest = abandoned.address_digest or self.address_digest
        self.approval = abandoned.approval
        self.items, self.enrichment = abandoned.items, abandoned.enrichment
        self.reservation_id = abandoned.reservation_id
        self.payment = abandoned.payment or PaymentRecord()
        self.shipments = {record.line_id: record for record in abandoned.shipments}
        self.notified = abandoned.notified
        self._compensation_was_shown = abandoned.compensation is not None
        self.packed = self.has_done(StepName.PREPARE_SHIPMENT)
        self.pivot_passed = self.steps.is_over(self.input.policy.pivot)

    @property
    def total_minor(self) -> int:
        """Of the lines and charges in force, in minor units."""
        return self._sold_for if self._sold_for is not None else sum_minor(self.lines, self.charges)

    @property
    def lines_digest(self) -> str:
        """Of the lines and charges in force."""
        return self._digest_of_the_ledger or lines_digest(self.lines, self.charges)

    @property
    def may_be_taken_over(self) -> bool:
        """Whether a run that takes over comes to the same end as this one: it undoes an order whose snapshot does not
        show its pivot as done."""
        return (self.undone and not self.pivot_passed) or self.steps.is_over(self.input.policy.pivot)

    @property
    def approval_required(self) -> bool:
        """Whether a person must decide about this order."""
        return approval_record.is_required(self.input, self.total_minor)

    def has_history(self, *, events: int, size: int) -> bool:
        """Whether the run's history has grown to so many events, or bytes."""
        info = workflow.info()
        return info.get_current_history_length() >= events or info.get_current_history_size() >= size

    def edited_by(self, editor: str | None, channel: str) -> None:
        """Lines or address were changed. Who did it is not always told."""
        self.edited, self.editor = True, editor
        self.edited_by_stranger = editor is None and channel != KUBERNETES

    @property
    def began_at(self) -> datetime:
        """When the order began, as far as this run knows."""
        started = workflow.info().start_time
        return min(started, self.input.ordered_at or started)

    @property
    def approval_window(self) -> timedelta:
        """How long a decision is awaited."""
        return timedelta(seconds=self.input.policy.approval.window_seconds)

    @property
    def lines_fixed(self) -> bool:
        """Whether the order has gone too far for other lines: decided about, or at a step that acts on them."""
        if self.approval.decision is not None or self.pivot_passed:
            return True
        return self.steps.is_closed(StepName.APPROVAL) or any(step in self.steps.states for step in _USE_LINES)

    def has_done(self, step: StepName) -> bool:
        """Whether `step` ran and succeeded."""
        return self.steps.has_done(step)

    def charges_after(self, change: LinesChange) -> list[OrderCharge]:
        """Those in force once the change is made."""
        return self.charges if change.charges is None else change.charges

    @property
    def sorted_lines(self) -> list[OrderLine]:
        """Those in force, by line id."""
        return sorted(self.lines, key=lambda line: line.line_id)

    @property
    def lines_to_come(self) -> list[OrderLine]:
        """Those in force once every change that waits is made."""
        return self.wanted_lines[-1].change.lines if self.wanted_lines else self.lines

    def replace_lines(self, change: LinesChange) -> None:
        """The order is for these lines now; whether it needs approval may change with the total."""
        before = self.lines_digest
        self.lines, self.charges = change.lines, self.charges_after(change)
        if self.tells_requests:
            requested = None if change.generation else self._lines_requested or before
            self._lines_requested = None if requested == self.lines_digest else requested
        self.lines_generation = max(self.lines_generation, change.generation)
        self.edited_by(change.by, change.channel)
        self.approval = approval_record.asked(self.approval, self.input, self.total_minor, self.editor)
        about = {"by": change.by, "channel": change.channel, "generation": change.generation or None}
        self._note_since_5(NoteKind.LINES_CHANGED, **about)

    def suspend(self, wanted: bool, *, by_resource: bool) -> None:
        """Hold the order before its next step, or let it go on."""
        if wanted != self.suspended:
            kind = NoteKind.SUSPENDED if wanted else NoteKind.RESUMED
            self._note_since_5(kind, channel=KUBERNETES if by_resource else TEMPORAL)
        requested = self.suspended if self._suspend_requested is None else self._suspend_requested
        self._suspend_requested = None if by_resource or requested == wanted else requested
        self.suspended = wanted

    def keep_only(self, lines: list[OrderLine], total_minor: int) -> None:
        """The order was carried out for these lines alone, for this total."""
        self.lines = lines
        self._sold_for = total_minor

    def nothing_is_left_to_undo(self) -> None:
        """By the ledger's list: this run has undone it, one before, or a person who repaired what had failed."""
        if self.compensation is not None or self._compensation_was_shown:
            self.compensation = CompensationState.DONE
        self.steps.all_undone()

    def pass_pivot(self) -> None:
        """The order only goes forward from here: no wish to end it counts any more."""
        self.pivot_passed = True
        self.ending = self.undone = False
        self.cancellation = None
        if self.compensation is not None and workflow.patched(FORGETS_COMPENSATION):
            self.compensation = None
        self.last_error = None

    def take_over_lines(self, in_force: LinesInForce) -> None:
        """The order is for these lines, though this run has forgotten when they changed."""
        if in_force.digest != self.lines_digest:
            self.lines, self.charges = in_force.lines, in_force.charges
            self._digest_of_the_ledger = in_force.digest
        if in_force.total_minor != self.total_minor:
            self._sold_for = in_force.total_minor

    def take_over_shipments(self, begun: Iterable[BegunEffect]) -> None:
        """Each line is asked for under the operation by which it was shipped."""
        for effect in begun:
            if effect.kind is EffectKind.SHIP and effect.line_id is not None and not effect.reversed:
                self.ship_operations[effect.line_id] = effect.operation_id

    def show_retry(self, attempts: int, error: ErrorRecord, pause: timedelta) -> None:
        """The current step failed so often, and is tried again after `pause`."""
        self.steps.attempted(attempts, error.message, next_attempt_at=workflow.now() + pause)
        self.publish()

    def show_ledger_away(self, attempts: int, error: ErrorRecord, pause: timedelta) -> None:
        """The order is to end, and the ledger does not answer."""
        self.last_error = ErrorRecord(
            type=LedgerUnavailable.__name__,
            message=f"attempt {attempts}: {error.message}; next attempt at {moments.second(workflow.now() + pause)}",
        )
        self.publish(OrderStatus.COMPENSATE_ORDER)

    def retry(self, step: StepName) -> StepRetry:
        """The class's retry policy of `step`."""
        return self.input.policy.retry.of(step)

    def operation(self, step: str) -> str:
        """Idempotency key of an effect of this order: the same however often the step is tried."""
        return f"{self.input.identity.uid}/{step}"

    def begins(self, effect: BegunEffect) -> None:
        """Noted before it acts, once however often it is tried."""
        if effect not in self.begun:
            self.begun.append(effect)

    @property
    def unanswered(self) -> list[BegunEffect]:
        """What this run has asked companies for, without an answer so far."""
        answered = {
            EffectKind.CHARGE: self.payment.transaction_id is not None,
            EffectKind.PACK: self.packed,
            EffectKind.RESERVE: True,  # the ledger's own
        }
        return [
            effect
            for effect in self.begun
            if not (effect.line_id in self.shipments if effect.kind is EffectKind.SHIP else answered[effect.kind])
        ]

    def decide(self, kind: DecisionKind, decision: Decision) -> None:
        """Record the final decision about the approval, and the amount that it is about."""
        now = workflow.now()
        self.approval = approval_record.decided(
            self.approval, self.input, kind, decision, now, total_minor=self.total_minor, editor=self.editor
        )
        about: dict[str, object] = {"generation": decision.generation or None, "channel": decision.channel}
        if self.input.revision > 4:
            record = self.approval
            about |= {"requester": record.requested_by, "editor": record.edited_by, "proof": record.proof}
        self._note(NoteKind(kind.value.lower()), now, by=decision.by, reason=decision.reason, **about)

    def expire(self) -> None:
        """Record that there was no decision in time."""
        now = workflow.now()
        self.approval = approval_record.expired(self.approval, now)
        self._note(NoteKind.EXPIRED, now, channel=POLICY)

    def cancelled_by(self, request: CancelRequest) -> None:
        """Record who wants the order to end."""
        self.cancellation = request
        self._note(NoteKind.CANCELLED, workflow.now(), by=request.by, reason=request.reason, channel=request.channel)

    def refused(self, what: str, reason: str) -> None:
        """Show that a Signal came in vain: its sender has no answer. Many at once are one change. Who sends more than
        `SHOWN_REFUSALS` does not read them."""
        self._refusals += 1
        if self._refusals > SHOWN_REFUSALS and workflow.patched(SHOWS_FEW_REFUSALS):
            return
        self.last_refusal = RefusalRecord(what=what, reason=reason, at=workflow.now())
        self._debounce.start()

    def ship_to(self, address: Address) -> None:
        """The address in force from now on."""
        self.address = address
        self.address_changed = True
        self.publish()

    def note_address(self, change: AddressChange) -> None:
        """Record who wants another address; of the address itself only a digest."""
        self.address_generation = max(self.address_generation, change.generation)
        self.edited_by(change.by, change.channel)
        about = {"digest": digest(change.address), "generation": change.generation or None}
        self.notes.add(NoteKind.ADDRESS_CHANGED, workflow.now(), by=change.by, channel=change.channel, **about)

    def _note(self, kind: NoteKind, at: datetime, **about: object) -> None:
        """With the amount that it is about."""
        amount = {"total_minor": self.total_minor, "currency": self.spec.currency, "digest": self.lines_digest}
        self.notes.add(kind, at, **amount, **about)

    def try_again(self, *, by_resource: bool) -> None:
        """Try now what waits in Manual Review. Without effect on an order that does not."""
        if self.under_review:
            self._note_since_5(NoteKind.RETRIED, channel=KUBERNETES if by_resource else TEMPORAL)
        self.under_review = False

    def _note_since_5(self, kind: NoteKind, **about: object) -> None:
        """The trail of an order of an earlier revision stays as it was."""
        if self.input.revision > 4:
            self._note(kind, workflow.now(), **about)

    def adopt(self, adoption: Adoption) -> None:
        """The order belongs to this resource from now on, whose generations are counted from the beginning. The
        operations keep the uid that they began with."""
        self.owner = Owner(uid=adoption.uid, cluster=adoption.cluster)
        self._was_adopted = self._was_adopted or adoption.uid != self.input.identity.uid
        self.lines_generation = self.address_generation = self.suspend_generation = adoption.generation
        about = {"generation": adoption.generation, "channel": adoption.channel}
        owner = {"owner_uid": adoption.uid, "owner_cluster": adoption.cluster}
        self.notes.add(NoteKind.ADOPTED, workflow.now(), **about, **owner)
        self.publish()

    def begin(self, step: StepName, status: OrderStatus | None) -> None:
        """Mark `step` as running and show it."""
        self.steps.begin(step, workflow.now())
        if status is not None:
            self._publish_if_it_lasts(status)

    def waiting(self, status: OrderStatus, action: PendingAction) -> None:
        """Show that the current step waits for somebody."""
        self.pending_action = action
        self.steps.wait()
        self.publish(status)

    def attempted(self, outcome: Outcome) -> None:
        """Keep how many attempts the current step took, and what went wrong before the last one."""
        self.steps.attempted(outcome.attempts, outcome.last_error)

    def finish(
        self, state: StepState = StepState.SUCCEEDED, error: ErrorRecord | None = None, attempts: int = 0
    ) -> None:
        """Close the current step; one that was skipped is closed already."""
        self.pending_action = None
        changes = {} if error is None else {"last_error": error.message, "attempts": attempts}
        self.steps.finish(state, workflow.now(), **changes)

    def skip(self) -> None:
        """Close the current step as not needed for this order."""
        self.finish(StepState.SKIPPED)

    @property
    def steps_ahead(self) -> list[StepName]:
        """Those of the pipeline that are not known to be done."""
        return self.steps.ahead

    def _publish_if_it_lasts(self, status: OrderStatus) -> None:
        if self.input.revision == 1:
            self.publish(status)
            return
        self.status = status
        self._debounce.start()

    def publish(self, status: OrderStatus | None = None) -> None:
        """Make the present state visible, in the workflow task that runs anyway; nothing changed, nothing written."""
        if status is not None:
            self.status = status
        self._debounce.cancel()
        snapshot = self.snapshot()
        self._publisher.publish(snapshot)
        workflow.set_current_details(details(snapshot))

    @property
    def _adopter(self) -> Owner | None:
        """Also where the first resource has taken the order back: a run without an owner has forgotten its adoption."""
        return self.owner if self._was_adopted else None

    @property
    def shown(self) -> OrderSnapshot:
        """What is visible outside now."""
        return self._publisher.last or OrderSnapshot()

    def snapshot(self) -> OrderSnapshot:
        """The present state; only what is published has a number and a time."""
        done = {step for step, state in self.steps.states.items() if state in DONE}
        now_at = progress(self.input.policy.pipeline, done, self.status)
        last = self._publisher.last
        reached = last.progress if last is not None else 0
        return OrderSnapshot(
            status=self.status,
            progress=max(reached, now_at),
            current_step=self.steps.current,
            suspended=self.suspended,
            suspend_requested=self._suspend_requested,
            owner=self._adopter,
            class_name=self.input.class_name,
            class_generation=self.input.class_generation,
            total_minor=self.total_minor,
            lines_digest=self.lines_digest,
            lines_requested=self._lines_requested,
            steps=self.steps.records,
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
            last_refusal=self.last_refusal,
        )

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


_USE_LINES = (StepName.PREPARE_SHIPMENT, StepName.CHARGE_PAYMENT, StepName.SHIP)
"""Steps that act on the lines outside the ledger."""

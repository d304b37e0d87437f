"""Edits of a running order's spec, brought to its workflow as Updates, each once and each answered."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import product
from typing import Any
from weakref import WeakValueDictionary

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from order_domain.order import Approval, DecisionKind, OrderSpec, Proof, digest
from order_domain.refusals import RefusalType
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_domain.value import Value
from order_operator import backoff, metrics
from order_operator.cluster.conditions import ConditionType, Reason
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_operator.temporal.cancellation import TOLD_AGAIN_SECONDS
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import in_a_line
from order_workflows.contract import (
    KUBERNETES,
    UPDATE_APPROVE,
    UPDATE_CANCEL,
    UPDATE_CHANGE_ADDRESS,
    UPDATE_CHANGE_LINES,
    UPDATE_REJECT,
    UPDATE_RESUME,
    UPDATE_RETRY,
    UPDATE_SUSPEND,
    AddressChange,
    CancelRequest,
    Decision,
    LinesChange,
    generation_of,
    resource_update_id,
)

ANSWER_TIME = timedelta(seconds=10)
"""How long one Update waits for a worker before it is sent again under its id, which repeats nothing."""
MAX_PAUSE_SECONDS = 10.0
"""Longest pause, from half a second on, before an amendment that could not be sent is tried again."""
NO_HANDLER = "RuntimeError"
"""Type of the refusal by a worker that has no handler for an Update: it is of an earlier release."""
FIRST_UPGRADE_SECONDS, MAX_UPGRADE_SECONDS = 30.0, 600.0
"""Pauses before such an Update is sent again: it is heard once workers and servers are such that they take it."""
MAX_IN_FLIGHT, OF_A_NAMESPACE = 100, 25
"""Edits that wait for their answer at once, of all namespaces and of each: of lines, and of everything else. A change
of lines may wait for a step of its order; no decision or cancellation waits behind it."""
ANSWER_GRACE_SECONDS = 2.0
"""An edit that is answered and has its effect within this time is shown in one write, with its effect."""
_AGAIN = "/seq-"

logger = logging.getLogger(__name__)


class Group(StrEnum):
    """The fields of a spec that can change while the order runs."""

    APPROVAL = "approval"
    CANCELLATION = "cancellation"
    LINES = "lines"
    ADDRESS = "shippingAddress"
    SUSPEND = "suspend"
    RETRY = "retry"
    ADOPTION = "adoption"


_SENT_AGAIN = frozenset({Group.SUSPEND, Group.LINES, Group.ADDRESS})
"""What an order follows back and forth, so that the same edit may be meant twice. A cancellation may have been answered
with "only forward from here", and a decision is made once."""


@dataclass(frozen=True)
class Amendment:
    """One wanted change that the workflow does not have yet."""

    group: Group
    update: str
    argument: Value | None
    update_id: str
    """Deterministic, so that the server recognises a repetition."""
    shown: bool = True
    """Whether the order shows what it has of it; else its answer is all that there is to see."""
    repeats: str | None = None
    """The id under which Temporal answers only with what the same edit was answered once before."""


@dataclass(frozen=True)
class Refusal:
    """The No of a workflow."""

    group: Group
    reason: str
    message: str
    again_at: float | None = None
    """Monotonic time from which it is asked again; None if its answer is final."""


def sent_again(change: Amendment, snapshot: OrderSnapshot) -> Amendment:
    """`change` under an id of its own, the same one for as long as the order publishes nothing: it lacks the effect of
    every edit that it had before. The generation is not what the id ends with."""
    return replace(change, update_id=f"{change.update_id}{_AGAIN}{snapshot.seq}", repeats=change.update_id)


def plan(
    parsed: ParsedSpec,
    generation: int,
    uid: str,
    snapshot: OrderSnapshot,
    proof: Proof = Proof.CLAIMED,
    sent: Collection[str] = (),
) -> list[Amendment]:
    """What the workflow must still be told, at most one thing per group; nothing once the order has ended. `proof` says
    how far the name of a decider is proven, `sent` are the ids of edits that may have an effect which is not seen yet:
    what the spec was set back to has to come after them."""
    if snapshot.status.terminal:
        return []
    spec = parsed.spec
    changes: list[Amendment] = []

    def want(group: Group, update: str, argument: Value | None, wanted: str) -> None:
        changes.append(Amendment(group, update, argument, resource_update_id(uid, f"{group}/{wanted}/{generation}")))

    def replaces(group: Group, wanted: str) -> bool:
        ours, same = resource_update_id(uid, f"{group}/"), resource_update_id(uid, f"{group}/{wanted}/")
        return any(key.startswith(ours) and not key.startswith(same) for key in sent)

    undone = snapshot.compensation is not None or snapshot.status is OrderStatus.COMPENSATE_ORDER
    if spec.cancellation is not None and not undone:
        request = CancelRequest(by=spec.cancellation.by, reason=spec.cancellation.reason, channel=KUBERNETES)
        want(Group.CANCELLATION, UPDATE_CANCEL, request, digest(spec.cancellation))
    if asks_for_other_lines(parsed, snapshot) or replaces(Group.LINES, parsed.lines_digest):
        edited = {"generation": generation, "by": spec.edited_by, "channel": KUBERNETES}
        lines = LinesChange(lines=spec.lines, charges=spec.charges, **edited)
        want(Group.LINES, UPDATE_CHANGE_LINES, lines, parsed.lines_digest)
    if _decides(spec, snapshot) and not _awaits_lines(parsed, snapshot):
        assert spec.approval is not None
        decision = _decision(parsed, spec.approval, generation, proof)
        approved = spec.approval.decision is DecisionKind.APPROVED
        want(Group.APPROVAL, UPDATE_APPROVE if approved else UPDATE_REJECT, decision, digest(spec.approval))
    if asks_for_other_address(parsed, snapshot) or replaces(Group.ADDRESS, parsed.address_digest):
        change = AddressChange(
            address=spec.shipping_address, generation=generation, by=spec.edited_by, channel=KUBERNETES
        )
        want(Group.ADDRESS, UPDATE_CHANGE_ADDRESS, change, parsed.address_digest)
    held = str(spec.suspend).lower()
    if _asks_for_other_suspension(spec, snapshot) or replaces(Group.SUSPEND, held):
        want(Group.SUSPEND, UPDATE_SUSPEND if spec.suspend else UPDATE_RESUME, None, held)
    if spec.retry and snapshot.status is OrderStatus.MANUAL_REVIEW:
        retry = resource_update_id(uid, f"{Group.RETRY}/{spec.retry}")
        changes.append(Amendment(Group.RETRY, UPDATE_RETRY, None, retry, shown=False))
    return changes


def _decision(parsed: ParsedSpec, approval: Approval, generation: int, proof: Proof) -> Decision:
    seen = approval.total_minor
    return Decision(
        by=approval.by,
        reason=approval.reason,
        generation=generation,
        total_minor=seen,
        currency=parsed.spec.currency,
        # Who states no total may have patched an order without looking at its lines.
        digest=None if seen is None else parsed.lines_digest,
        requester=parsed.spec.requested_by,
        editor=parsed.spec.edited_by,
        proof=proof,
        channel=KUBERNETES,
    )


# A client of the workflow may change it too. What it has set is not taken back for a spec that nobody has touched
# since: the two would undo each other's work without end. So a spec is compared with what it asked for when it was
# heard last.


def asks_for_other_address(parsed: ParsedSpec, snapshot: OrderSnapshot) -> bool:
    """Whether the spec asks for another address than it did when it was heard last."""
    if snapshot.address_digest is not None:
        return snapshot.address_digest != parsed.address_digest
    return snapshot.shipping_address is not None and snapshot.shipping_address != parsed.spec.shipping_address


def asks_for_other_lines(parsed: ParsedSpec, snapshot: OrderSnapshot) -> bool:
    """The same for lines and charges. An older workflow does not say what it heard, only what is in force."""
    heard = snapshot.lines_requested or snapshot.lines_digest
    return heard is not None and heard != parsed.lines_digest


def _asks_for_other_suspension(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    heard = snapshot.suspended if snapshot.suspend_requested is None else snapshot.suspend_requested
    return spec.suspend != heard


def drifted(parsed: ParsedSpec, snapshot: OrderSnapshot) -> list[Refusal]:
    """What a client of the workflow has changed since the spec was heard, for people who read the resource."""
    found = []
    in_force = snapshot.lines_digest
    if in_force is not None and snapshot.lines_requested == parsed.lines_digest != in_force:
        found.append(Refusal(Group.LINES, Reason.CHANGED_BY_CLIENT, _CHANGED.format("lines or charges")))
    if snapshot.suspend_requested == parsed.spec.suspend != snapshot.suspended:
        found.append(Refusal(Group.SUSPEND, Reason.CHANGED_BY_CLIENT, _CHANGED.format("suspension")))
    return found


_CHANGED = (
    "a client of the workflow has changed the {} since the spec was read, and what it set is in force: edit the spec "
    "to change them again"
)


def deferred_approval(parsed: ParsedSpec, snapshot: OrderSnapshot, refusals: Sequence[Refusal]) -> list[Refusal]:
    """The approval of an order whose lines are not those of the spec, and will not be: it is not even sent."""
    refused = any(refusal.group is Group.LINES for refusal in refusals)
    if not refused or not _decides(parsed.spec, snapshot) or not _awaits_lines(parsed, snapshot):
        return []
    message = "not sent, since the lines that it approves are not in force: remove it, set other lines and decide again"
    return [Refusal(Group.APPROVAL, Reason.LINES_NOT_APPLIED, message)]


FOR_THE_DECIDER = frozenset({RefusalType.OWN_ORDER, RefusalType.OWN_EDIT})
"""Refusals of a decision for who made it. An edit by somebody else must not bring it into force."""


def refused_before(order: OrderResource, parsed: ParsedSpec, edits: "EditState") -> Refusal | None:
    """The refusal of this very decision, for who made it, in this generation or an earlier one; None if there was none,
    or the decision was taken back since. The status tells; an answer that is not shown yet does too."""
    if parsed.spec.approval is None:
        return None
    wanted = digest(parsed.spec.approval)
    prefix = resource_update_id(order.uid, f"{Group.APPROVAL}/{wanted}/")
    answers = [
        (generation_of(key), refusal)
        for key, refusal in edits.refused.items()
        if key.startswith(prefix) and refusal.reason in FOR_THE_DECIDER
    ]
    shown = order.status.get("refusedDecision") == wanted
    newest = max(answers, key=lambda answer: answer[0], default=None)
    if newest is not None and (shown or newest[0] > int(order.status.get("observedGeneration") or 0)):
        return newest[1]
    return _as_shown(order, parsed.spec.approval) if shown else None


def _as_shown(order: OrderResource, approval: Approval) -> Refusal:
    """In the words of the status, where that still has them."""
    conditions = {item["type"]: item for item in order.status.get("conditions") or []}
    applied = conditions.get(ConditionType.SPEC_APPLIED, {})
    said, reason = str(applied.get("message")), str(applied.get("reason"))
    prefix = f"spec.{Group.APPROVAL}: "
    if reason in FOR_THE_DECIDER and said.startswith(prefix):
        return Refusal(Group.APPROVAL, reason, said.removeprefix(prefix).partition("; spec.")[0])
    why = f"{approval.by} may not decide about this order: take the decision back, so that somebody else decides"
    return Refusal(Group.APPROVAL, RefusalType.OWN_EDIT, why)


def unproven_approval(parsed: ParsedSpec, why: str) -> Refusal:
    """Of a decision that is not sent, since its name has to be proven and is not."""
    assert parsed.spec.approval is not None
    message = (
        f"not sent, since nothing proves that {parsed.spec.approval.by} decided: {why}. Take it back, and decide where "
        "the policy is in force; an order that is older than the policy has to be ordered again"
    )
    return Refusal(Group.APPROVAL, Reason.PROOF_REQUIRED, message)


def awaits_decision(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    """Whether the spec has a decision, and the workflow has none."""
    return spec.approval is not None and snapshot.approval.decision is None and not snapshot.status.terminal


def _decides(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    decided = (snapshot.approval.decision, snapshot.approval.by)
    return spec.approval is not None and decided != (spec.approval.decision.value, spec.approval.by)


def _awaits_lines(parsed: ParsedSpec, snapshot: OrderSnapshot) -> bool:
    """An approval counts for the lines of the spec: it is sent once they are in force. A rejection is sent at once."""
    approval = parsed.spec.approval
    approves = approval is not None and approval.decision is DecisionKind.APPROVED
    return approves and snapshot.lines_digest is not None and snapshot.lines_digest != parsed.lines_digest


@dataclass(frozen=True)
class EditState:
    """What became of the edits of one order that were sent, by update id."""

    sent_at: Mapping[str, float] = field(default_factory=dict)
    """Monotonic time of the first attempt, for those that are neither refused nor known to be without a visible
    effect."""
    waiting: frozenset[str] = frozenset()
    """Under way, or accepted. What was accepted TOLD_AGAIN_SECONDS ago and is still wanted is sent again under its id:
    Temporal repeats its answer, unless it was restored since and has forgotten the edit."""
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    accepted: Mapping[str, float] = field(default_factory=dict)
    """Monotonic time of the answer."""

    def is_repeated_in_vain(self, change: Amendment, asked: float) -> bool:
        """Whether `change` was accepted more than ANSWER_GRACE_SECONDS before `asked`, the monotonic time at which the
        order still lacked it. Generations count from an earlier one after a restore of etcd: Temporal recognises the
        id then, and answers what the same edit was answered before. Or the workflow takes a suspension for an earlier
        one and refuses it: under its own id a suspension names no generation."""
        if change.group not in _SENT_AGAIN or change.repeats is not None:
            return False
        refusal = self.refused.get(change.update_id)
        if refusal is not None and change.group is Group.SUSPEND:
            return refusal.reason == RefusalType.SUPERSEDED
        answered = self.accepted.get(change.update_id)
        return answered is not None and answered + ANSWER_GRACE_SECONDS <= asked

    def as_sent(self, change: Amendment) -> Amendment:
        """`change` under the id of its own under which it was sent again, if it was."""
        prefix = f"{change.update_id}{_AGAIN}"
        own = next((key for key in (*self.sent_at, *self.refused) if key.startswith(prefix)), None)
        return change if own is None else replace(change, update_id=own, repeats=change.update_id)

    def is_due(self, change: Amendment, clock: float) -> bool:
        """Whether `change` has to be sent now. `clock`: monotonic time."""
        refusal = self.refused.get(change.update_id)
        asked_again = refusal is None or (refusal.again_at is not None and refusal.again_at <= clock)
        return asked_again and change.update_id not in self.waiting


@dataclass
class _Answers:
    """Of one run. What another run of the order was sent says nothing of this one: it may have lost its history."""

    run_id: str
    sent_at: dict[str, float] = field(default_factory=dict)
    in_flight: set[str] = field(default_factory=set)
    accepted: dict[str, float] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    logged: set[str] = field(default_factory=set)
    """Accepted at any time, and so told of."""
    failures: int = 0
    """In a row, of all of this order's."""
    without_handler: int = 0
    """In a row, of all of this order's: answers of workers that are too old."""

    def keep_only(self, wanted: set[str]) -> None:
        """Forget what is effective by now, or belongs to an earlier generation of the spec."""
        self.sent_at = {key: at for key, at in self.sent_at.items() if key in wanted}
        self.accepted = {key: at for key, at in self.accepted.items() if key in wanted}
        self.refused = {
            key: refusal
            for key, refusal in self.refused.items()
            if key in wanted or refusal.reason in FOR_THE_DECIDER  # until the status shows it
        }


class _Slots:
    """For so many edits at once, of all namespaces and of each. One that waits for its namespace takes no other's."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._namespaces: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, namespace: str) -> AsyncIterator[None]:
        """One of them, as soon as it is free."""
        own = self._namespaces.get(namespace)
        if own is None:
            own = self._namespaces[namespace] = asyncio.Semaphore(OF_A_NAMESPACE)
        async with own, self._all:
            yield


class Amender:
    """Sends amendments without holding up the queue, and remembers the answers.

    `answered` is called with the uid when an answer is in, `vanished` when Temporal has no such open workflow any more.
    Acceptances are remembered until the scanner has seen their effect, so that nothing is sent twice in between, but
    ten minutes at most; refusals for as long as the generation lasts.
    """

    def __init__(
        self,
        connection: TemporalConnection,
        answered: Callable[[str], None],
        vanished: Callable[[str], None],
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_act`: whether this process leads, asked before each edit is sent."""
        self._may_act = may_act
        self._connection = connection
        self._answered = answered
        self._vanished = vanished
        self._slots, self._slots_for_lines = _Slots(), _Slots()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[str, _Answers] = {}

    def send(self, observation: Observation, changes: Sequence[Amendment], wanted: Sequence[Amendment]) -> None:
        """Send `changes`; of the earlier answers only those of this run to `wanted` still count."""
        answers = self._answers.get(observation.key.uid)
        if answers is None or answers.run_id != observation.run_id:
            answers = self._answers[observation.key.uid] = _Answers(observation.run_id)
        answers.keep_only({key for change in wanted for key in (change.update_id, change.repeats) if key is not None})
        for change in changes:
            answers.sent_at.setdefault(change.update_id, time.monotonic())
            answers.in_flight.add(change.update_id)
            task = asyncio.create_task(self._send(observation, change, answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def state(self, uid: str, run_id: str | None) -> EditState:
        """What became so far of the edits that this run of the order was sent; None for an order that has no run yet,
        and asks another one to go on with it."""
        answers = self._answers.get(uid)
        if answers is None or run_id not in (None, answers.run_id):
            return EditState()
        sent_at = {key: at for key, at in answers.sent_at.items() if key not in answers.refused}
        heard = {key for key, at in answers.accepted.items() if time.monotonic() - at < TOLD_AGAIN_SECONDS}
        waiting = frozenset(answers.in_flight | heard)
        return EditState(sent_at, waiting, dict(answers.refused), dict(answers.accepted))

    def forget(self, uid: str) -> None:
        """The order has ended or is gone."""
        self._answers.pop(uid, None)

    async def _send(self, observation: Observation, change: Amendment, answers: _Answers) -> None:
        uid, key = observation.key.uid, change.update_id
        log = {
            "resource": f"{observation.key.namespace}/{observation.key.name}",
            "uid": uid,
            "group": change.group,
            "workflow_id": observation.workflow_id,
            "run_id": observation.run_id,
        }
        try:
            slots = self._slots_for_lines if change.group is Group.LINES else self._slots
            async with slots.of(observation.key.namespace):
                if not self._may_act():
                    return  # a process that was frozen: what it wanted to send may have been taken back since
                await self._ask(observation.workflow_id, change)
        except WorkflowUpdateFailedError as failed:
            refusal = answers.refused[key] = _refusal(change, failed, answers)
            metrics.AMENDMENTS.labels(change.group, "refused").inc()
            logger.info("edit refused", extra={**log, "reason": refusal.reason})  # the message may name a person
        except WorkflowUpdateRPCTimeoutOrCancelledError as late:
            # No worker answered in time. The next attempt, under the same id, repeats nothing.
            logger.info("no worker has answered an edit yet", extra=log)
            if not isinstance(late.__cause__, asyncio.CancelledError):  # else this process ends
                answers.failures += 1
                await asyncio.sleep(backoff.growing(answers.failures, MAX_PAUSE_SECONDS))
        except RPCError as failed:
            await self._not_sent(uid, change, answers, failed, log)
        except Exception as unreadable:  # noqa: BLE001 - whatever a converter raises at foreign bytes
            # Either the edit or the answer. The next attempt, under the same id, repeats nothing.
            logger.warning("edit not sent, or its answer not read", extra={**log, "error": in_a_line(unreadable)})
            answers.failures += 1
            await asyncio.sleep(backoff.growing(answers.failures, MAX_PAUSE_SECONDS))
        else:
            if key not in answers.logged:  # a late look at the workflow may have it sent again
                logger.info("edit accepted", extra=log)
                metrics.AMENDMENTS.labels(change.group, "accepted").inc()
                answers.logged.add(key)
            answers.failures = answers.without_handler = 0
            answers.refused.pop(key, None)
            answers.accepted[key] = time.monotonic()
            if not change.shown:
                answers.sent_at.pop(key, None)
        finally:
            answers.in_flight.discard(key)
            self._answered(uid)

    async def _ask(self, workflow_id: str, change: Amendment) -> None:
        handle = self._connection.client.get_workflow_handle(workflow_id)
        arguments = [] if change.argument is None else [change.argument]
        started = await handle.start_update(
            change.update,
            args=arguments,
            id=change.update_id,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
            rpc_timeout=ANSWER_TIME,
        )
        await started.result(rpc_timeout=ANSWER_TIME)

    async def _not_sent(
        self, uid: str, change: Amendment, answers: _Answers, failed: RPCError, log: dict[str, Any]
    ) -> None:
        if is_no_such_run(failed):
            # It ended, or Temporal has lost it. Which of the two, only Temporal can tell.
            self._vanished(uid)
            return
        logger.warning("edit not sent", extra={**log, "code": failed.status.name, "error": failed.message})
        if failed.status in _PERMANENT:
            answers.refused[change.update_id] = Refusal(change.group, Reason.TEMPORAL_REFUSED, failed.message)
            return
        if failed.status in _OF_THE_SERVER:
            answers.failures += 1
            again_at = time.monotonic() + _seldom(answers.failures)
            answers.refused[change.update_id] = Refusal(change.group, Reason.TEMPORAL_REFUSED, failed.message, again_at)
            return
        if failed.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
            self._connection.lost()
        answers.failures += 1
        await asyncio.sleep(backoff.growing(answers.failures, MAX_PAUSE_SECONDS))


def _refusal(change: Amendment, failed: WorkflowUpdateFailedError, answers: _Answers) -> Refusal:
    cause = failed.cause
    if not isinstance(cause, ApplicationError):
        return Refusal(change.group, Reason.REFUSED, str(cause))
    if cause.type != NO_HANDLER:
        return Refusal(change.group, cause.type or Reason.REFUSED, cause.message)
    answers.without_handler += 1
    pause = _seldom(answers.without_handler)
    why = f"the worker that answered is of an earlier release and does not know the Update {change.update!r}"
    return Refusal(change.group, Reason.WORKER_TOO_OLD, f"{why}: roll out the new one", time.monotonic() + pause)


def _seldom(failures: int) -> float:
    """Seconds until another try of what only a roll-out or an administrator changes."""
    return backoff.growing(failures, MAX_UPGRADE_SECONDS, first=FIRST_UPGRADE_SECONDS)


for _group, _result in product(Group, ("accepted", "refused")):
    metrics.AMENDMENTS.labels(_group, _result)

_PERMANENT = frozenset({RPCStatusCode.INVALID_ARGUMENT})
"""Answers that the same request gets again."""
_OF_THE_SERVER = frozenset({RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.UNIMPLEMENTED})
"""Answers that tell of the server as it is now: its namespace is active in another cluster, Updates are switched off,
or it is older. The same request may be taken later."""

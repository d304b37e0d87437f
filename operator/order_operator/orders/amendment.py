"""Edits of a running order's spec, brought to its workflow as Updates, each once and each answered."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from order_domain.order import Approval, DecisionKind, OrderSpec, digest, lines_digest
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_domain.value import Value
from order_operator.cluster.conditions import Reason
from order_operator.orders.observation import Observation
from order_operator.temporal.connection import TemporalConnection
from order_workflows.contract import (
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
)

ANSWER_SECONDS = 10.0
"""How long one Update waits for a worker before it is sent again under its id, which repeats nothing."""
PAUSE_SECONDS = 1.0
"""Before an amendment that could not be sent is tried again."""
MAX_IN_FLIGHT = 100
CHANNEL = "kubernetes"
"""How what the operator sends has come."""

logger = logging.getLogger(__name__)


class Group(StrEnum):
    """The fields of a spec that can change while the order runs."""

    APPROVAL = "approval"
    CANCELLATION = "cancellation"
    LINES = "lines"
    ADDRESS = "shippingAddress"
    SUSPEND = "suspend"
    RETRY = "retry"


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


@dataclass(frozen=True)
class Refusal:
    """The workflow's final No."""

    group: Group
    reason: str
    message: str


def plan(spec: OrderSpec, generation: int, uid: str, snapshot: OrderSnapshot) -> list[Amendment]:
    """What the workflow must still be told, at most one thing per group; nothing once the order has ended."""
    if snapshot.status.terminal:
        return []
    changes: list[Amendment] = []

    def want(group: Group, update: str, argument: Value | None, wanted: str) -> None:
        changes.append(Amendment(group, update, argument, f"{uid}/{group}/{wanted}/{generation}"))

    if spec.cancellation is not None and snapshot.compensation is None:
        request = CancelRequest(by=spec.cancellation.by, reason=spec.cancellation.reason, channel=CHANNEL)
        want(Group.CANCELLATION, UPDATE_CANCEL, request, digest(spec.cancellation))
    if other_lines(spec, snapshot):
        lines = LinesChange(lines=spec.lines, charges=spec.charges, generation=generation, channel=CHANNEL)
        want(Group.LINES, UPDATE_CHANGE_LINES, lines, lines_digest(spec.lines, spec.charges))
    if _decides(spec, snapshot) and not _awaits_lines(spec, snapshot):
        assert spec.approval is not None
        decision = _decision(spec, spec.approval, generation)
        approved = spec.approval.decision is DecisionKind.APPROVED
        want(Group.APPROVAL, UPDATE_APPROVE if approved else UPDATE_REJECT, decision, digest(spec.approval))
    if other_address(spec, snapshot):
        change = AddressChange(address=spec.shipping_address, generation=generation, channel=CHANNEL)
        want(Group.ADDRESS, UPDATE_CHANGE_ADDRESS, change, digest(spec.shipping_address))
    if spec.suspend != snapshot.suspended:
        want(Group.SUSPEND, UPDATE_SUSPEND if spec.suspend else UPDATE_RESUME, None, str(spec.suspend).lower())
    if spec.retry and snapshot.status is OrderStatus.MANUAL_REVIEW:
        retry = f"{uid}/{Group.RETRY}/{spec.retry}"
        changes.append(Amendment(Group.RETRY, UPDATE_RETRY, None, retry, shown=False))
    return changes


def _decision(spec: OrderSpec, approval: Approval, generation: int) -> Decision:
    seen = approval.total_minor
    return Decision(
        by=approval.by,
        reason=approval.reason,
        generation=generation,
        total_minor=seen,
        currency=spec.currency,
        # Who states no total may have patched an order without looking at its lines.
        digest=None if seen is None else lines_digest(spec.lines, spec.charges),
        channel=CHANNEL,
    )


def other_address(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    """Whether the spec asks for another address than it did when it was heard last. One that a client of the workflow
    has set since, by signal or Update, is not taken back for an address in the spec that nobody has touched."""
    if snapshot.address_digest is not None:
        return snapshot.address_digest != digest(spec.shipping_address)
    return snapshot.shipping_address is not None and snapshot.shipping_address != spec.shipping_address


def other_lines(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    """Whether the spec asks for other lines or charges than those in force, as far as the workflow has said which those
    are."""
    return snapshot.lines_digest is not None and snapshot.lines_digest != lines_digest(spec.lines, spec.charges)


def held_back(spec: OrderSpec, snapshot: OrderSnapshot, refusals: Sequence[Refusal]) -> list[Refusal]:
    """The approval of an order whose lines the workflow refuses: it is not even sent."""
    refused = any(refusal.group is Group.LINES for refusal in refusals)
    if not refused or not _decides(spec, snapshot) or not _awaits_lines(spec, snapshot):
        return []
    message = "not sent, since the lines that it approves are not in force: remove it, set other lines and decide again"
    return [Refusal(Group.APPROVAL, Reason.LINES_NOT_APPLIED, message)]


def _decides(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    decided = (snapshot.approval.decision, snapshot.approval.by)
    return spec.approval is not None and decided != (spec.approval.decision.value, spec.approval.by)


def _awaits_lines(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    """Who approves has seen the lines of the spec, and shall not have approved others. A No holds for any lines."""
    approves = spec.approval is not None and spec.approval.decision is DecisionKind.APPROVED
    return approves and other_lines(spec, snapshot)


@dataclass
class _Answers:
    """What became of one order's amendments, by update id."""

    sent_at: dict[str, float] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    refused: dict[str, Refusal] = field(default_factory=dict)

    def keep_only(self, wanted: set[str]) -> None:
        """Forget what is effective by now, or belongs to an earlier generation of the spec."""
        self.sent_at = {key: at for key, at in self.sent_at.items() if key in wanted}
        self.accepted &= wanted
        self.refused = {key: refusal for key, refusal in self.refused.items() if key in wanted}


class Amender:
    """Sends amendments without holding up the queue, and remembers the answers.

    `answered` is called with the uid when an answer is in. Acceptances are remembered until the scanner has seen
    their effect, so that nothing is sent twice in between; refusals for as long as the generation lasts.
    """

    def __init__(self, connection: TemporalConnection, answered: Callable[[str], None]) -> None:
        self._connection = connection
        self._answered = answered
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, _Answers] = {}

    def send(self, observation: Observation, changes: Sequence[Amendment]) -> list[Refusal]:
        """Send what has no answer yet; what was refused for good comes back."""
        answers = self._answers.setdefault(observation.key.uid, _Answers())
        answers.keep_only({change.update_id for change in changes})
        for change in changes:
            key = change.update_id
            if key not in answers.refused and key not in answers.accepted and key not in self._in_flight:
                answers.sent_at.setdefault(key, time.monotonic())
                self._in_flight[key] = asyncio.create_task(self._send(observation, change, answers))
        return list(answers.refused.values())

    def pending_seconds(self, uid: str) -> float | None:
        """For how long the oldest change has been neither refused nor seen to have its effect; None without one."""
        answers = self._answers.get(uid, _Answers())
        pending = [at for key, at in answers.sent_at.items() if key not in answers.refused]
        return time.monotonic() - min(pending) if pending else None

    def forget(self, uid: str) -> None:
        """The order has ended or is gone."""
        self._answers.pop(uid, None)

    async def _send(self, observation: Observation, change: Amendment, answers: _Answers) -> None:
        log = {"order": f"{observation.key.namespace}/{observation.key.name}", "group": change.group}
        handle = self._connection.client.get_workflow_handle(observation.workflow_id)
        try:
            async with self._slots, asyncio.timeout(ANSWER_SECONDS):
                arguments = [] if change.argument is None else [change.argument]
                await handle.execute_update(change.update, args=arguments, id=change.update_id)
        except WorkflowUpdateFailedError as failed:
            cause = failed.cause
            reason = cause.type if isinstance(cause, ApplicationError) and cause.type else "Refused"
            message = cause.message if isinstance(cause, ApplicationError) else str(cause)
            logger.info("amendment refused: %s", message, extra=log)
            answers.refused[change.update_id] = Refusal(change.group, reason, message)
        except RPCError as failed:
            # NOT_FOUND: the order ended first, which the scanner will tell.
            if failed.status is not RPCStatusCode.NOT_FOUND:
                logger.warning("amendment not sent: %s", failed.message, extra=log)
                self._connection.lost()
            await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            logger.warning("no worker answered an amendment yet", extra=log)
        else:
            logger.info("amendment accepted", extra=log)
            answers.accepted.add(change.update_id)
            if not change.shown:
                answers.sent_at.pop(change.update_id, None)
        finally:
            self._in_flight.pop(change.update_id, None)
            self._answered(observation.key.uid)

"""Sends edits of a running order's spec to its workflow as Updates, each once, and remembers each answer."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import Any
from weakref import WeakValueDictionary

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from order_operator import backoff, metrics
from order_operator.cluster.conditions import Reason
from order_operator.orders.amendment import FOR_THE_DECIDER, Amendment, Group, Refusal
from order_operator.orders.edit_state import EditState
from order_operator.orders.observation import Observation
from order_operator.temporal.cancellation import TOLD_AGAIN_SECONDS
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import in_a_line

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

logger = logging.getLogger(__name__)


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

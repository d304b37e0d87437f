"""Brings one order's workflow and resource into agreement, from what is true now.

`decision.py` says what to do next; here it is done, and the answer becomes part of what is known. Nothing remembers
what happened: the process may die, be repeated or run twice at any point.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, assert_never

from temporalio.client import Client
from temporalio.service import RPCError

from order_codec.undecodable import Undecodable
from order_domain.order import DeletionPolicy
from order_domain.status import TERMINAL_PHASES, Phase
from order_operator import backoff
from order_operator.cluster.api import ApiRefused, Conflict, KubernetesApi, NotFound
from order_operator.cluster.api_names import ORDERS
from order_operator.cluster.events import EventRecorder, finalizer_refused
from order_operator.cluster.policies import Evidence
from order_operator.cluster.policy_watch import PolicyWatch
from order_operator.cluster.status_writer import StatusWriter
from order_operator.figures import OrderFigure
from order_operator.orders.actions import (
    Action,
    Adopt,
    Cancel,
    Confirm,
    Describe,
    DescribeOther,
    Finish,
    Forget,
    Release,
    Send,
    SetFinalizer,
    Start,
    TakeOver,
    Wait,
    WriteStatus,
)
from order_operator.orders.adoption import Predecessor, describe_order, nearest
from order_operator.orders.amender import Amender
from order_operator.orders.classes import OrderClass, OrderClasses
from order_operator.orders.decision import next_action
from order_operator.orders.display import show
from order_operator.orders.edit_plan import awaits_decision
from order_operator.orders.events import deletion_decided, news
from order_operator.orders.intake import Intake
from order_operator.orders.known import Known
from order_operator.orders.namespace_defaults import NamespaceDefaults
from order_operator.orders.observation import Observation, describe
from order_operator.orders.orphans import LastLoss
from order_operator.orders.pending_work import PendingWorkScanner
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_operator.orders.submission import ensure_started, order_input
from order_operator.orders.takeover import NOT_TAKEN_OVER, is_abandoned, take_over, unreadable_beginning
from order_operator.orders.tally import count
from order_operator.orders.tracking import Finished, Look, Told, Tracked, TrackedOrders
from order_operator.orders.write_budget import WriteBudget
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.temporal.cancellation import mark_orphaned, request_cancel
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.scanner import Scanner
from order_operator.temporal.starting import key_missing
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_operator.temporal.task_queues import TaskQueueWatch
from order_operator.work_queue import MAX_BACKOFF_SECONDS, WorkQueue
from order_workflows.contract import OrderInput, RunKey, parse_workflow_id, workflow_id

CONCURRENCY, OF_A_NAMESPACE = 16, 4
"""Orders reconciled at once, of all namespaces and of each; an order waits for at most one answer, so this bounds the
calls in flight. These wait at the servers, where namespaces take no turns. With a server 150 ms away a namespace still
starts 25 orders a second, and all together a hundred."""
TOLD_AFTER_CALLS = 3
"""Failed calls in a row, of one order."""
MAX_ACTIONS = 20
"""In one reconciliation, beside a question about each open workflow under the order's name. The longest way known is
nine; an order that takes more goes back into the queue."""

logger = logging.getLogger(__name__)


class Reconciler:
    """Owns the tracked orders, their queue and the amender."""

    def __init__(
        self,
        api: KubernetesApi,
        connection: TemporalConnection,
        classes: OrderClasses,
        scanner: Scanner,
        settings: Settings,
        may_act: Callable[[], bool] = lambda: True,
        loss: LastLoss | None = None,
    ) -> None:
        """`may_act`: whether this process leads, asked before each action. `loss`: what is kept for the next one that
        does."""
        self._may_act = may_act
        self._api = api
        self._connection = connection
        self._classes = classes
        self._defaults = NamespaceDefaults(api)
        self._settings = settings
        self._tracked = TrackedOrders()
        self._events = EventRecorder(api, settings.identity)
        self._writer = StatusWriter(api, self._events)
        self._budget = WriteBudget()
        self._queue_owner = TaskQueueOwner(connection, settings)
        self._scanner = scanner
        self.queue = WorkQueue(
            self.reconcile,
            concurrency=CONCURRENCY,
            handler=ORDERS,
            about=self._about,
            group=self._tracked.namespace_of,
            of_a_group=OF_A_NAMESPACE,
        )
        self.intake = Intake(
            api,
            connection,
            scanner,
            settings,
            self._tracked,
            self._events,
            look=self.queue.add,
            forget=self._forget,
            loss=loss or LastLoss(),
        )
        self.amender = Amender(connection, answered=self.queue.add, vanished=self.intake.doubt, may_act=may_act)
        self.pending_work = PendingWorkScanner(connection, self.intake)
        self.policies = PolicyWatch(api, changed=self.intake.decisions_proven_otherwise)
        self.task_queues = TaskQueueWatch(connection, self.intake.queues_in_use, changed=self.intake.look_at_all)

    def figures(self) -> Iterable[OrderFigure]:
        """Every order, for the gauges."""
        return self._tracked.figures(datetime.now(UTC))

    def finished(self) -> Iterator[tuple[OrderResource, Finished]]:
        """The orders to which nothing is left to do, as far as Temporal's side is known."""
        return self._tracked.finished() if self._scanner.synced.is_set() else iter(())

    def _about(self, uid: str) -> dict[str, object]:
        """Which order a log line is about."""
        return _about(uid, self._tracked.get(uid))

    async def reconcile(self, uid: str) -> float | None:
        """Do what is missing; the seconds until the next look, None to wait for news."""
        tracked = self._tracked.get(uid)
        if tracked is None or tracked.resource is None:
            return None
        look = tracked.look = Look()
        try:
            if tracked.outlined and tracked.finished is None:
                # It was finished with, and now its run goes on: it is needed whole again.
                await self._confirm(tracked, look, tracked.resource)
            again = await self._until_rest(uid, tracked, look)
        except Conflict:
            return await self._look_at_newest(tracked)
        except NotFound:
            return 1.0  # the watch brings that it is gone; the delay is for a watch that lags
        except RPCError as failed:
            return await self._try_later(uid, tracked, look, failed)
        else:
            tracked.failed_calls = 0
            return again
        finally:
            tracked.look = None

    async def _try_later(self, uid: str, tracked: Tracked, look: Look, failed: RPCError) -> float:
        """A call to Temporal has failed. What fails again though Temporal itself is well, such as a start for which the
        operator's key has no right, is told in the order's status."""
        problem = self._connection.problem_of(failed)
        tracked.failed_calls += 1
        again = backoff.growing(tracked.failed_calls, MAX_BACKOFF_SECONDS)
        order = tracked.resource
        if self._connection.problem is not None or tracked.failed_calls < TOLD_AFTER_CALLS or order is None:
            return again
        if tracked.failed_calls == TOLD_AFTER_CALLS:
            said = {**self._about(uid), "reason": problem.reason, "error": failed.message}
            logger.warning("Temporal refuses a call for an order, and is asked again", extra=said)
        known = self._known(uid, tracked, look, order)
        action = show(known, problem)
        if isinstance(action, WriteStatus) and not tracked.gone and self._may_act():
            with contextlib.suppress(Conflict, NotFound):  # the watch brings the newer version, and a look at it
                await self._write_status(uid, tracked, order, action.status)
        return again

    async def _look_at_newest(self, tracked: Tracked) -> float | None:
        """Somebody else was quicker. The newest version is fetched once, then the watch is waited for."""
        order = tracked.resource
        assert order is not None
        tracked.conflicts += 1
        if tracked.conflicts > 1:
            return backoff.growing(tracked.conflicts, MAX_BACKOFF_SECONDS)
        try:
            self.intake.put(await self._api.get(ORDERS, order.namespace, order.name))
        except NotFound:
            return 1.0
        return 0.0

    async def _until_rest(self, uid: str, tracked: Tracked, look: Look) -> float | None:
        action: Action = Wait()
        taken = 0
        while taken < MAX_ACTIONS + len(look.asked_others):
            taken += 1
            order = tracked.resource
            assert order is not None
            if tracked.finished is not None:
                if tracked.gone:
                    self._forget(uid)
                return None
            if tracked.observation is None and not tracked.gone and _names_no_class(order):
                await self._defaults.learn(order.namespace)
            action = next_action(self._known(uid, tracked, look, order))
            match action:
                case Wait(seconds):
                    if self.intake.run_of(uid) is not None:
                        self.pending_work.follow(uid)
                    return None if seconds is None else backoff.at_most(seconds)
                case Forget():
                    self._forget(uid)
                    return None
                case _ if self._may_act():
                    await self._perform(action, uid, tracked, look, order)
                case _:
                    return 1.0
        logger.error("an order does not come to rest", extra={**self._about(uid), "action": type(action).__name__})
        return 1.0

    def _known(self, uid: str, tracked: Tracked, look: Look, order: OrderResource) -> Known:
        run, parsed = tracked.observation, order.decoded
        return Known(
            order=order,
            now=datetime.now(UTC),
            clock=time.monotonic(),
            since=look.since,
            gone=tracked.gone,
            exists=look.exists,
            observation=run,
            others=self.intake.open_runs.of_others(order) if run is None else (),
            asked_others=look.asked_others,
            predecessor=look.predecessor,
            work=tracked.work,
            without_worker=self.task_queues.without_worker,
            asked=look.asked,
            doubted=tracked.doubted,
            told=run is not None and tracked.is_heard(run, order.deletion_policy),
            synced=self._scanner.synced.is_set(),
            paused=self._settings.paused,
            connection=self._connection.problem,
            order_class=self._class_of(order, parsed, goes=tracked.gone or order.deleting),
            takeover_problem=tracked.takeover_problem,
            takeover_again_at=tracked.takeover_again_at,
            refused=look.refused,
            unguarded=look.unguarded,
            evidence=self._evidence(order, run, parsed),
            require_proof=self._settings.require_proof,
            edits=self.amender.state(uid, run.run_id if run is not None else None),
            written_at=tracked.written_at,
            status_seen_at=tracked.status_seen_at,
            quiet=self._budget.quiet,
            cluster=self._settings.cluster,
            temporal_namespace=self._connection.client.namespace,
            temporal_ui=self._settings.temporal_ui,
        )

    def _class_of(self, order: OrderResource, parsed: ParsedSpec | Problem, *, goes: bool) -> OrderClass | Problem:
        """What a run of the order would begin with now. One that is to be undone needs no class of its own: the ledger
        lists what there is to undo. `goes`: its resource is being deleted, or is gone."""
        if isinstance(parsed, Problem):
            return parsed
        spec, default = parsed.spec, self._defaults.of(order.namespace)
        begun_by = None if order.begins_anew(self._settings.cluster) else order.begun_by
        found = self._classes.resolve(spec, default, begun_by)
        if not isinstance(found, Problem) or not goes or order.deletion_policy is not DeletionPolicy.CANCEL:
            return found
        instead = self._classes.resolve(spec.model_copy(update={"class_name": None}), default)
        return found if isinstance(instead, Problem) else instead

    def _evidence(self, order: OrderResource, run: Observation | None, parsed: ParsedSpec | Problem) -> Evidence | None:
        """The policies are looked at for a decision that is awaited, and only then."""
        if run is None or run.snapshot is None or isinstance(parsed, Problem):
            return None
        awaited = awaits_decision(parsed.spec, run.snapshot)
        return self.policies.evidence(order.namespace, order.created, restored=order.restored) if awaited else None

    async def _perform(  # noqa: C901 - one case per action
        self, action: Action, uid: str, tracked: Tracked, look: Look, order: OrderResource
    ) -> None:
        client = self._connection.client
        match action:
            case Describe():
                await self._describe(tracked, order)
            case DescribeOther(identifier):
                await self._describe_other(identifier, tracked, look, order)
            case Confirm():
                await self._confirm(tracked, look, order)
            case Start(order_class, parsed, to_undo):
                wanted = order_input(order, parsed.spec, order_class, self._settings.cluster, to_undo=to_undo)
                await self._start(tracked, look, wanted)
            case TakeOver(run):
                await _take_over(client, run, tracked, look, order)
            case Send(run, changes, all_wanted):
                self.amender.send(run, changes, all_wanted)
            case Adopt(run, adoption):
                ours = replace(run, key=RunKey(order.namespace, order.name, order.uid))
                self.amender.send(ours, [adoption], [adoption])
            case Cancel(run):
                self._told(tracked, look, run, order, found=await request_cancel(client, run))
            case Release(run):
                self._told(tracked, look, run, order, found=await mark_orphaned(client, run))
            case SetFinalizer(present):
                await self._set_finalizer(tracked, look, order, present=present)
            case WriteStatus(status):
                await self._write_status(uid, tracked, order, status)
            case Finish():
                await self._finish(uid, tracked, order)
            case Wait() | Forget():
                raise AssertionError(action)
            case _:
                assert_never(action)

    async def _describe(self, tracked: Tracked, order: OrderResource) -> None:
        before = tracked.observation
        found = await describe_order(self._connection.client, order, self._settings.cluster)
        seen = tracked.observation
        if seen is not None and seen is not before and (found is None or found.precedes(seen)):
            return  # the answer was late, and a row quicker: it is asked for again
        if found is None and before is not None:
            self.amender.forget(order.uid)  # of a run that is lost, or not this order's any more
        if tracked.has_gone_back(found):
            logger.warning("Temporal has forgotten what a workflow had done", extra=self._about(order.uid))
            tracked.told = None
            self.amender.forget(order.uid)
        tracked.learn(found, asked=True)
        if found is not None:
            self.intake.follow(found)
        elif (named := order.named_workflow) is not None and not order.ended:
            # Not this order's, or not yet: a hint, like a row, to be asked for before another is begun.
            self.intake.open_runs.saw(named, running=True)

    async def _describe_other(self, identifier: str, tracked: Tracked, look: Look, order: OrderResource) -> None:
        key = parse_workflow_id(identifier)
        assert key is not None
        run = await describe(self._connection.client, key, identifier)
        look.asked_others.add(identifier)
        if run is not None and run.key.uid == order.uid:  # also where it has ended since
            logger.info(
                "adopted a workflow", extra={"resource": order.reference, "uid": order.uid, "workflow_id": identifier}
            )
            tracked.learn(run, asked=True)
            self.intake.adopted(key.uid, run)
            self.intake.follow(run)
        elif run is None or not (run.running or is_abandoned(run) or self._is_shown_elsewhere(order, run)):
            self.intake.open_runs.ended(identifier)
        else:
            first = self._tracked.get(run.key.uid)
            told = first is not None and first.has_told(run)
            found = Predecessor.of(run, first.resource if first else None, told=told)
            look.predecessor = nearest(look.predecessor, found, order.decoded, self._settings.cluster)

    def _is_shown_elsewhere(self, order: OrderResource, run: Observation) -> bool:
        """Whether the status shows this workflow of another installation: its end leaves the order as it is."""
        shown = order.named_workflow is not None and workflow_id(*order.named_workflow) == run.workflow_id
        return shown and run.cluster not in (None, self._settings.cluster)

    async def _start(self, tracked: Tracked, look: Look, wanted: OrderInput) -> None:
        try:
            if wanted.abandoned is None and (taken := await self._queue_owner.problem()):
                look.refused = taken
                return
            started = await ensure_started(self._connection, wanted, self._settings.task_queue)
        except Undecodable as lacking:
            look.refused = key_missing(lacking)
            return
        except RPCError as failed:
            problem = self._connection.problem_of(failed)
            if not problem.stalled:
                raise
            look.refused = problem
            return
        identity = wanted.identity
        key = RunKey(identity.namespace, identity.name, identity.uid)
        # Deleted and created again within a second, the next order of this name would not find it in any row.
        self.intake.open_runs.saw(key, running=started.running)
        if look.exists:
            # Not a young order: its run may be one that was there, and the scanner has no news of it.
            started = await describe(self._connection.client, key, started.workflow_id) or started
        # The scanner may have been quicker, and knows more.
        known = tracked.observation
        tracked.learn(known if known and not known.precedes(started) else started, asked=True)

    async def _confirm(self, tracked: Tracked, look: Look, order: OrderResource) -> None:
        try:
            body = await self._api.get(ORDERS, order.namespace, order.name)
        except NotFound:
            tracked.gone = True
            return
        found = OrderResource.from_body(body)
        if found.uid != order.uid:
            tracked.gone = True
        look.exists = not tracked.gone  # it may have been deleted since, and the watch have been quicker to say so
        if not look.exists:
            return
        if tracked.outlined:
            tracked.resource = found
        else:
            tracked.take(found)

    def _told(self, tracked: Tracked, look: Look, run: Observation, order: OrderResource, *, found: bool) -> None:
        if found:
            tracked.told, look.asked = Told(run.run_id, order.deletion_policy, time.monotonic()), False
            self._events.tell(order, deletion_decided(order.deletion_policy))
        else:
            tracked.doubt()

    async def _set_finalizer(self, tracked: Tracked, look: Look, order: OrderResource, *, present: bool) -> None:
        """A policy of others may refuse it; people see then what the order waits for all the same."""
        try:
            body = await self._api.set_finalizer(order, present=present)
        except ApiRefused as refused:
            if refused.status in _PASSING or (refused.status >= 500 and "webhook" not in str(refused)):
                raise
            self._events.tell(order, finalizer_refused(str(refused), present=present))
            if not present:
                raise
            look.unguarded = True
            return
        tracked.take(order.with_version(body))
        self._budget.wrote()

    async def _write_status(self, uid: str, tracked: Tracked, order: OrderResource, status: Mapping[str, Any]) -> None:
        tracked.wrote(await self._writer.write(order, status))
        self._budget.wrote()
        count(order, status, tracked.phase)
        tracked.phase = Phase(status["phase"])
        if tracked.phase in TERMINAL_PHASES and order.status.get("phase") not in TERMINAL_PHASES:
            ended = {"status": status.get("orderStatus"), "phase": tracked.phase.value}
            logger.info("ended", extra={**self._about(uid), **ended})
        for event in news(status, order.status):
            self._events.tell(order, event)

    async def _finish(self, uid: str, tracked: Tracked, order: OrderResource) -> None:
        if order.held:
            order = order.with_version(await self._api.set_finalizer(order, present=False))
        tracked.finish(order)
        self.amender.forget(uid)

    def _forget(self, uid: str) -> None:
        tracked = self._tracked.pop(uid, None)
        self.amender.forget(uid)
        if tracked is None:
            return
        run = tracked.observation
        if tracked.gone and tracked.resource is not None:
            logger.info("deleted", extra=_about(uid, tracked))
        if run is not None and run.running and run.key.uid == uid:
            # Until it has ended, so that no inventory takes it for an orphan that nobody has told.
            self._tracked[uid] = Tracked(observation=run, told=tracked.told)
            return
        known = tracked.resource
        if run is not None:
            self._scanner.forget(run.workflow_id)
            self.intake.unfollow(run.workflow_id)
        elif known is not None:
            self._scanner.forget(workflow_id(known.namespace, known.name, uid))


_PASSING = frozenset({401, 408, 429})
"""Answers that say nothing of this write: the token is about to be renewed, or the API server has no time now."""


async def _take_over(client: Client, run: Observation, tracked: Tracked, look: Look, order: OrderResource) -> None:
    try:
        taken = await take_over(client, run)
    except Undecodable as lacking:
        tracked.not_taken_over(unreadable_beginning(lacking))
        return
    if run.key.uid == order.uid:
        tracked.learn(taken, asked=True)
    else:
        look.predecessor = None  # its next run is asked about as this one was
        look.asked_others.discard(run.workflow_id)
    if taken is not None and taken.run_id == run.run_id and is_abandoned(taken):
        tracked.not_taken_over(NOT_TAKEN_OVER)
    else:
        tracked.takeover_problem = None


def _names_no_class(order: OrderResource) -> bool:
    parsed = order.decoded
    return not isinstance(parsed, Problem) and parsed.spec.class_name is None


def _about(uid: str, tracked: Tracked | None) -> dict[str, object]:
    order, run = (tracked.resource, tracked.observation) if tracked else (None, None)
    return {
        "uid": uid,
        **({"resource": order.reference} if order else {}),
        **({"workflow_id": run.workflow_id, "run_id": run.run_id} if run else {}),
    }

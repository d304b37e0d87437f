"""A workflow that was terminated, or that failed before it could end its order, has left the order half-way. Its next
run, started here, undoes what it did, or brings an order past its pivot to its end. Safe to repeat."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeGuard

from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    WorkflowIDReusePolicy,
)
from temporalio.converter import DataConverter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from order_codec.undecodable import KeyMissing, Undecodable
from order_domain.order import OrderCharge, OrderLine, lines_digest
from order_domain.snapshot import OrderSnapshot
from order_operator import metrics
from order_operator.cluster.conditions import Reason
from order_operator.orders.observation import Observation, describe
from order_operator.problem import Problem
from order_operator.temporal.runs import RPC_TIMEOUT, converter_of, in_a_line
from order_operator.temporal.starting import Start, start
from order_workflows.contract import (
    MEMO_INPUT_HASH,
    MEMO_ORPHANED,
    MEMO_SNAPSHOT,
    MEMO_TAKEOVERS,
    MEMO_UID,
    UPDATE_CHANGE_LINES,
    WORKFLOW_TYPE,
    LinesChange,
    OrderInput,
    input_hash,
)
from order_workflows.reference_messages import ADD_LINE_ITEM, LineItem

logger = logging.getLogger(__name__)

_STOPPED = {
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
}
"""Ends of a run that may leave its order half-way. An order that fails or is cancelled says so in its snapshot."""

FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 3600.0
"""Between two runs that are taken over: what stopped one of them may stop each."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 10.0, 300.0
"""Pauses before a run that could not be taken over is tried again, each twice as long as the one before: a key may be
put back, or a history be whole again."""
MOST_GUESSES = 100
"""Of the lines that an order may have had, so many are remembered."""

NOT_TAKEN_OVER = Problem(
    Reason.WORKFLOW_TERMINATED,
    "the workflow stopped before the order ended, and nobody can read what it had started with: compare the ledger",
    stalled=True,
)


def unreadable_beginning(lacking: Undecodable) -> Problem:
    """What to tell of a run whose input cannot be decrypted."""
    reason = Reason.ENCRYPTION_KEY_MISSING if isinstance(lacking, KeyMissing) else Reason.WORKFLOW_TERMINATED
    why = f"the workflow stopped before the order ended, and its next run cannot be started: {lacking}"
    return Problem(reason, why, stalled=True)


def is_abandoned(observation: Observation | None) -> TypeGuard[Observation]:
    """Whether the order has come to no end though its workflow has."""
    if observation is None or observation.status not in _STOPPED or observation.unreadable:
        return False
    return observation.snapshot is None or not observation.snapshot.status.terminal


def may_be_abandoned(observation: Observation) -> bool:
    """Whether nobody can tell: the run stopped, and what it has published cannot be read."""
    return observation.status in _STOPPED and observation.unreadable


def seconds_until_takeover(observation: Observation, now: datetime) -> float:
    """0 for the first run that stopped; later ones wait, each twice as long as the one before."""
    if observation.takeovers == 0 or observation.close_time is None:
        return 0.0
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(observation.takeovers - 1, 20))
    # The clocks may be apart: no longer than the whole pause from now.
    return min(pause, pause - (now - observation.close_time).total_seconds())


async def take_over(client: Client, seen: Observation) -> Observation | None:
    """Start the run that brings the order to an end, or find the one that is there already. Returns what is the
    case now: still the abandoned run if nobody can read what it had started with, None if Temporal has lost it.

    Raises temporalio.service.RPCError when Temporal does not answer, and Undecodable for want of a key: both may be
    otherwise at the next try.
    """
    # What was seen may be old, and an order that has ended since must not be touched.
    observation = await describe(client, seen.key, seen.workflow_id)
    if observation is None or not is_abandoned(observation):
        return observation
    try:
        wanted = await _carried(client, observation)
    except (RPCError, Undecodable):
        raise
    except Exception as unreadable:  # noqa: BLE001 - whatever a converter raises at foreign bytes
        about = {"workflow_id": observation.workflow_id}
        logger.error("not taken over: %s", in_a_line(unreadable), extra=about)  # noqa: TRY400
        return observation
    if wanted is None:
        return observation
    snapshot = observation.snapshot or OrderSnapshot()
    memo: dict[str, Any] = {MEMO_UID: wanted.identity.uid, MEMO_INPUT_HASH: input_hash(wanted.spec)}
    if observation.snapshot is not None:
        # So that nobody sees the order begin anew before this run says something.
        memo[MEMO_SNAPSHOT] = snapshot.to_memo()
    memo[MEMO_TAKEOVERS] = observation.takeovers + 1
    if observation.orphaned:
        memo[MEMO_ORPHANED] = True
    try:
        await start(
            client,
            Start(
                workflow_type=WORKFLOW_TYPE,
                workflow_id=observation.workflow_id,
                argument=wanted.model_copy(update={"abandoned": snapshot}),
                task_queue=observation.task_queue,
                cluster=observation.cluster or wanted.identity.cluster,
                memo=memo,
                namespace=observation.key.namespace,
                summary=f"Taken over: order {observation.key.namespace}/{observation.key.name}",
                after_an_end=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            ),
        )
    except WorkflowAlreadyStartedError:
        pass  # by another operator, and it has ended well
    else:
        metrics.TAKEN_OVER.inc()
        about = {"workflow_id": observation.workflow_id, "run_id": observation.run_id, "takeover": memo[MEMO_TAKEOVERS]}
        logger.warning("taking over an order whose workflow was stopped", extra=about)
    return await describe(client, observation.key, observation.workflow_id)


async def _item(converter: DataConverter, payloads: Sequence[Payload]) -> LineItem | None:
    """What a signal asked for; None if the workflow cannot have read it either."""
    try:
        (item,) = await converter.decode(payloads, [LineItem])
    except KeyMissing:
        raise  # the workflow may have had the key
    except Exception:  # noqa: BLE001 - whatever a converter raises at foreign bytes
        return None
    return item if isinstance(item, LineItem) and item.unreadable is None else None


def _for_those_in_force(
    wanted: OrderInput,
    lines_so_far: list[list[OrderLine] | None],
    charges_so_far: list[list[OrderCharge]],
    digest: str | None,
) -> OrderInput:
    """A signal has no answer: which lines it was added to, and whether it was followed, only the digest tells."""
    for lines in lines_so_far:
        for charges in charges_so_far:
            if lines is not None and lines_digest(lines, charges) == digest:
                return wanted.model_copy(update={"spec": wanted.spec.with_lines(lines, charges)})
    return wanted


async def _carried(client: Client, observation: Observation) -> OrderInput | None:
    """The order as the run carried it last: what it had started with, and the lines that had come into force since.
    None if the history does not tell. Raises whatever a converter raises at foreign bytes."""
    handle = client.get_workflow_handle(observation.workflow_id, run_id=observation.run_id)
    converter = converter_of(client, observation.workflow_id)
    in_force = observation.snapshot.lines_digest if observation.snapshot else None
    wanted: OrderInput | None = None
    charges_so_far: list[list[OrderCharge]] = []
    lines_so_far: list[list[OrderLine]] = []
    async for event in handle.fetch_history_events(rpc_timeout=RPC_TIMEOUT):
        if event.HasField("workflow_execution_started_event_attributes"):
            payloads = event.workflow_execution_started_event_attributes.input.payloads
            (wanted,) = await converter.decode(payloads, [OrderInput])
            charges_so_far, lines_so_far = [wanted.spec.charges], [wanted.spec.lines]
        signalled = event.workflow_execution_signaled_event_attributes
        if wanted is not None and signalled.signal_name == ADD_LINE_ITEM:
            item = await _item(converter, signalled.input.payloads)
            longer = [item.added_to(lines) for lines in lines_so_far] if item is not None else []
            lines_so_far = (lines_so_far + [lines for lines in longer if lines is not None])[-MOST_GUESSES:]
            wanted = _for_those_in_force(wanted, longer, charges_so_far, in_force)
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        if wanted is not None and request.name == UPDATE_CHANGE_LINES:
            (change,) = await converter.decode(request.args.payloads, [LinesChange])
            lines_so_far.append(change.lines)
            if change.charges is not None:
                charges_so_far.append(change.charges)
            # A change without charges keeps those in force, which an earlier change may have set, or failed to.
            for charges in charges_so_far if change.charges is None else [change.charges]:
                if lines_digest(change.lines, charges) == in_force:
                    spec = wanted.spec.with_lines(change.lines, charges)
                    wanted = wanted.model_copy(update={"spec": spec})
        if wanted is not None and in_force in (None, lines_digest(wanted.spec.lines, wanted.spec.charges)):
            return wanted
    return None

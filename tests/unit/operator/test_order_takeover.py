"""Orders whose workflow stopped without an end of its own."""

import asyncio
import time

import pytest
from builders import (
    NAME,
    NAMESPACE,
    UID,
    an_observation,
)
from one_order_shop import (
    FIRST,
    ID,
    WAITING,
    Shop,
    reason,
    waiting,
)
from temporalio.client import WorkflowExecutionStatus

from order_codec.undecodable import KeyMissing
from order_operator.cluster.api import Listed
from order_operator.orders import orphans, reconcile
from order_operator.orders.observation import Observation
from order_operator.orders.takeover import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, NOT_TAKEN_OVER
from order_operator.orders.tracking import Tracked
from order_workflows.contract import workflow_id


async def test_a_stopped_run_whose_key_is_missing_is_tried_again_and_the_order_names_the_key(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed read was believed until the operator started again, whatever key was put back."""
    lacking = [KeyMissing("summer")]
    next_run = an_observation(workflow_id=ID, run_id="run-2", snapshot=WAITING)

    async def take_over(_client: object, run: Observation) -> Observation:
        if lacking:
            raise lacking[0]
        return next_run

    monkeypatch.setattr(reconcile, "take_over", take_over)
    await waiting(shop)
    shop.observe(an_observation(workflow_id=ID, status=WorkflowExecutionStatus.TERMINATED, snapshot=WAITING))

    again = await shop.look()

    assert shop.api.body is not None
    status = shop.api.body["status"]
    assert reason(status, "Ready") == ("False", "EncryptionKeyMissing")
    assert "'summer'" in next(each["message"] for each in status["conditions"] if each["type"] == "Ready")
    assert again is not None
    assert again <= FIRST_RETRY_SECONDS

    lacking.clear()
    clock = time.monotonic
    monkeypatch.setattr("time.monotonic", lambda: clock() + FIRST_RETRY_SECONDS)
    await shop.look()

    assert reason(shop.api.body["status"], "Ready")[1] != "EncryptionKeyMissing"


async def test_pauses_before_a_run_that_cannot_be_taken_over_grow_up_to_a_bound() -> None:
    tracked = Tracked()
    pauses = []
    for _ in range(12):
        tracked.not_taken_over(NOT_TAKEN_OVER)
        pauses.append(tracked.takeover_again_at - time.monotonic())

    assert pauses[0] <= FIRST_RETRY_SECONDS < pauses[3]
    assert LONGEST_RETRY_SECONDS / 2 - 1 < pauses[-1] <= LONGEST_RETRY_SECONDS


async def test_a_stopped_run_that_temporal_has_lost_is_followed_by_one_that_asks_the_ledger(shop: Shop) -> None:
    """`temporal workflow delete` terminates a run before it forgets it: the order stood still until a restart."""
    await waiting(shop)
    stopped = an_observation(workflow_id=ID, snapshot=WAITING, status=WorkflowExecutionStatus.TERMINATED)
    shop.observe(stopped)
    shop.temporal.run = None

    await shop.look()

    assert shop.temporal.calls[-3:] == ["describe", "start", "describe"]
    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Stalled")[0] == "False"


async def test_a_run_that_stopped_is_taken_over_though_an_order_of_its_name_waits_for_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither went on: the order waited for the earlier one to be undone, and nobody undid that."""
    taken: list[str] = []

    async def take_over(_client: object, run: Observation) -> Observation:
        taken.append(run.workflow_id)
        return run

    monkeypatch.setattr(orphans, "take_over", take_over)
    shop.orders.intake.put(shop.api.store())
    shop.observe(
        an_observation(
            key=FIRST, workflow_id=workflow_id(*FIRST), status=WorkflowExecutionStatus.TERMINATED, cluster="here"
        )
    )

    shop.orders.intake.compare({UID: Listed(UID, NAMESPACE, NAME, shop.api.version)}, 1_000)
    await asyncio.sleep(0)

    assert taken == [workflow_id(*FIRST)]

"""Several open workflows under the name of one order: which of them decides what becomes of it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import NAME, NAMESPACE, UID, a_snapshot, an_observation, an_order_spec
from one_order_shop import FIRST, WAITING, Shop, temporal_has

from order_domain.order import DeletionPolicy
from order_domain.snapshot import CompensationState
from order_operator.cluster.api import Listed
from order_operator.orders import orphans
from order_operator.orders.observation import Observation
from order_operator.orders.reconcile import MAX_ACTIONS
from order_operator.temporal.cancellation import TWO_LOOKS_SECONDS
from order_workflows.contract import RunKey, input_hash, workflow_id

STAGING = RunKey(NAMESPACE, NAME, "a-uid-of-staging")
assert workflow_id(*STAGING) < workflow_id(*FIRST)  # it is asked about first


def temporal_shows(shop: Shop, monkeypatch: pytest.MonkeyPatch, *runs: Observation) -> None:
    """These runs, all open."""
    temporal_has(monkeypatch, *runs)
    for run in runs:
        shop.orders.intake.open_runs.saw(run.key, running=True)


def of_staging(**changes: Any) -> Observation:
    """Another order of that name, of another installation."""
    fields = {"workflow_id": workflow_id(*STAGING), "input_hash": "another", "cluster": "staging", "snapshot": WAITING}
    return an_observation(**{"key": STAGING, **fields, **changes})


def of_the_first(**changes: Any) -> Observation:
    """An earlier resource with this order's content."""
    content = input_hash(an_order_spec())
    fields = {"workflow_id": workflow_id(*FIRST), "input_hash": content, "cluster": "here", "snapshot": WAITING}
    return an_observation(key=FIRST, **{**fields, **changes})


async def adopts(shop: Shop) -> None:
    """The order takes over a workflow, and begins none."""
    await shop.look()
    await asyncio.sleep(0)

    assert "start" not in shop.temporal.calls
    assert "adopt" in shop.temporal.calls


@pytest.mark.parametrize("staging", [{}, {"input_hash": input_hash(an_order_spec())}])
async def test_a_restored_order_adopts_its_own_workflow_though_another_installation_has_one_of_its_name(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, staging: dict[str, Any]
) -> None:
    """Only the first by its uid was asked about: the order was started a second time, and ended as Duplicate."""
    temporal_shows(shop, monkeypatch, of_staging(**staging), of_the_first())
    shop.orders.intake.put(shop.api.store())

    await adopts(shop)


async def test_a_moved_order_adopts_the_workflow_that_it_names_though_another_has_its_name(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restored without its status it began by itself, and both charged."""
    spec = an_order_spec(adopt_from="there")
    theirs = of_the_first(input_hash=input_hash(spec), cluster="there")
    temporal_shows(shop, monkeypatch, of_staging(), theirs)
    shop.orders.intake.put(shop.api.store(spec=spec.model_dump(mode="json", exclude_none=True)))

    await adopts(shop)


async def test_an_order_waits_for_the_end_of_the_one_before_it_also_beside_one_that_goes_on_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone = a_snapshot(status="Compensate Order", compensation=CompensationState.RUNNING, seq=3)
    temporal_shows(shop, monkeypatch, of_staging(cluster="here", orphaned=True), of_the_first(snapshot=undone))
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert "start" not in shop.temporal.calls
    assert shop.api.body is not None
    assert "PredecessorEnding" in str(shop.api.body["status"])


async def test_an_order_begins_once_all_of_its_name_are_known_to_be_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporal_shows(shop, monkeypatch, of_staging(), of_the_first(input_hash="yet another", cluster="there"))
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert shop.temporal.calls.count("start") == 1


async def test_an_order_of_another_installation_waits_for_a_word_also_beside_a_workflow_of_other_content(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal lacks the workflow that its status names. An unrelated one made it begin, and be charged again."""
    temporal_shows(shop, monkeypatch, of_staging())
    shown = {"id": workflow_id(*FIRST), "namespace": "default", "taskQueue": "orders", "cluster": "there"}
    shop.orders.intake.put(shop.api.store(status={"phase": "Running", "workflow": shown}))

    await shop.look()

    assert "start" not in shop.temporal.calls
    assert shop.api.body is not None
    assert "RestoredElsewhere" in str(shop.api.body["status"])


async def test_an_order_whose_name_many_workflows_have_begins_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [RunKey(NAMESPACE, NAME, f"uid-{number}") for number in range(2 * MAX_ACTIONS)]
    runs = [of_staging(key=key, workflow_id=workflow_id(*key)) for key in many]
    temporal_shows(shop, monkeypatch, *runs)
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert shop.temporal.calls.count("start") == 1


async def sweep(shop: Shop, monkeypatch: pytest.MonkeyPatch, listed: dict[str, Listed]) -> None:
    async def cancels(*_: object) -> DeletionPolicy:
        return DeletionPolicy.CANCEL

    monkeypatch.setattr(orphans, "deletion_policy", cancels)
    shop.orders.intake.compare({}, 1_000)
    await asyncio.sleep(0.01)
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + TWO_LOOKS_SECONDS + 1)
    shop.orders.intake.compare(listed, 1_000)
    await asyncio.sleep(0.01)


async def test_the_workflow_of_a_lost_order_that_was_applied_again_is_left_also_while_the_watch_lags(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cancelled a moment before it was to be adopted."""
    shop.observe(of_the_first(start_time=datetime.now(UTC) - timedelta(minutes=2)))
    shop.api.store()

    await sweep(shop, monkeypatch, {UID: Listed(UID, NAMESPACE, NAME, shop.api.version)})

    assert "cancel" not in shop.temporal.calls


async def test_an_old_order_is_not_taken_for_a_young_one_while_nothing_else_happens(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a quiet night the newest row was the order's own, of last evening: it was cancelled instead of reported."""
    evening = datetime.now(UTC) - timedelta(hours=12)
    shop.scanner._server_time.saw(evening + timedelta(seconds=8))
    shop.observe(of_the_first(start_time=evening))

    await sweep(shop, monkeypatch, {})

    assert "cancel" not in shop.temporal.calls


async def test_a_young_order_is_one_by_temporals_clock_where_ours_is_behind(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look cancels it, as if the clocks were together."""
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    shop.scanner._server_time.saw(ahead)
    shop.observe(of_the_first(start_time=ahead - timedelta(minutes=2)))

    await sweep(shop, monkeypatch, {})

    assert shop.temporal.calls.count("cancel") == 1

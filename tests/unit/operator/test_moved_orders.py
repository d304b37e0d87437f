"""An order that was moved here from the installation `there` by `adoptFrom`, whose workflow has forgotten it, or had
stopped before. `there` is gone, and nobody else acts for it."""

import asyncio
from typing import Any

import pytest
from builders import UID, a_snapshot, an_observation, an_order_spec
from one_order_shop import FIRST, Shop, delete, reason, temporal_has
from temporalio.client import WorkflowExecutionStatus

from order_domain.snapshot import Owner
from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders import reconcile
from order_operator.orders.observation import Observation
from order_operator.problem import Problem
from order_workflows.contract import input_hash, workflow_id

SPEC = an_order_spec(adopt_from="there")
ID_OF_THE_FIRST = workflow_id(*FIRST)
STATUS: dict[str, Any] = {
    "phase": "Waiting",
    "orderStatus": "Await Approval",
    "observedGeneration": 1,
    "workflow": {"id": ID_OF_THE_FIRST, "namespace": "default", "cluster": "there"},
}

TAKEN_BACK = Owner(uid=FIRST.uid, cluster="there")


def of_the_first(seq: int, *, owner: Owner | None = None, tells_owner: bool = True, **changes: Any) -> Observation:
    """What Temporal tells of the workflow while it belongs to `there`."""
    snapshot = a_snapshot(status="Await Approval", seq=seq, owner=owner, tells_owner=tells_owner)
    about = {"workflow_id": ID_OF_THE_FIRST, "input_hash": input_hash(SPEC), "cluster": "there"}
    return an_observation(**{"key": FIRST, "snapshot": snapshot, **about, **changes})


def place(shop: Shop, cluster: str, **spec_changes: Any) -> None:
    """The moved order, whose status shows the workflow as that of `cluster`."""
    workflow = {**STATUS["workflow"], "cluster": cluster}
    spec = an_order_spec(adopt_from="there", **spec_changes).model_dump(mode="json", exclude_none=True)
    body = shop.api.store(spec=spec, status={**STATUS, "workflow": workflow}, finalizers=[FINALIZER])
    shop.orders.intake.put(body)


async def looks(shop: Shop) -> None:
    """So many that everything has been asked and answered."""
    for _ in range(3):
        await shop.look()
        await asyncio.sleep(0.01)


def shows(shop: Shop) -> str:
    """Why the order is not ready, or is."""
    assert shop.api.body is not None
    return reason(shop.api.body["status"], "Ready")[1]


def held(shop: Shop) -> bool:
    return shop.api.body is not None and FINALIZER in shop.api.body["metadata"]["finalizers"]


async def adopt(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order has its workflow, and is shown so."""
    ours = Owner(uid=UID, cluster="here")
    adopted = of_the_first(5, owner=ours, key=FIRST._replace(uid=UID), cluster="here")
    temporal_has(monkeypatch, adopted)
    place(shop, "here")
    await shop.look()
    assert shows(shop) == "Waiting"


async def take_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """`there` takes back the order that it had given away, which is shown so."""
    await adopt(shop, monkeypatch)
    back = of_the_first(6, owner=TAKEN_BACK)
    temporal_has(monkeypatch, back)
    shop.observe(back)
    await looks(shop)
    assert shows(shop) == "AdoptedElsewhere"


async def test_a_workflow_that_forgot_its_adoption_is_adopted_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as taken back: the finalizer came off, and a deletion cancelled nothing."""
    await adopt(shop, monkeypatch)
    before = of_the_first(6)  # it has gone on since Temporal was restored
    temporal_has(monkeypatch, before)

    shop.observe(before)
    await looks(shop)

    assert shop.temporal.calls == ["adopt"]
    assert held(shop)


async def test_a_workflow_that_forgot_its_adoption_is_adopted_again_by_the_next_operator(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporal_has(monkeypatch, of_the_first(4))
    place(shop, "here")

    await looks(shop)

    assert shop.temporal.calls == ["adopt"]
    assert held(shop)


async def test_a_workflow_that_was_taken_back_while_no_operator_looked_is_left_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporal_has(monkeypatch, of_the_first(6, owner=TAKEN_BACK))
    place(shop, "here")

    await looks(shop)

    assert shop.temporal.calls == []
    assert shows(shop) == "AdoptedElsewhere"


async def test_a_workflow_that_was_shown_as_taken_back_needs_a_word_though_it_has_forgotten_that(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await take_back(shop, monkeypatch)

    restored = of_the_first(7)
    temporal_has(monkeypatch, restored)
    shop.observe(restored)
    await looks(shop)

    assert shop.temporal.calls == []
    assert shows(shop) == "AdoptedElsewhere"


async def test_the_deletion_of_an_order_whose_workflow_forgot_its_adoption_adopts_and_cancels_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run began beside the open workflow, to undo the order."""
    temporal_has(monkeypatch, of_the_first(4))
    place(shop, "here")
    await delete(shop)
    await looks(shop)
    assert shop.temporal.calls == ["adopt"]

    ours = Owner(uid=UID, cluster="here")
    temporal_has(monkeypatch, of_the_first(5, owner=ours, key=FIRST._replace(uid=UID), cluster="here"))
    shop.temporal.run = of_the_first(5)  # a cancellation finds it open
    await looks(shop)

    assert shop.temporal.calls == ["adopt", "cancel"]
    assert held(shop)


async def test_the_deletion_of_an_order_that_was_taken_back_while_no_operator_looked_cancels_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run began here to undo the order, which goes on there."""
    temporal_has(monkeypatch, of_the_first(6, owner=TAKEN_BACK))
    place(shop, "here")

    await delete(shop)
    await looks(shop)

    assert shop.temporal.calls == []
    assert not held(shop)


@pytest.mark.parametrize("running", [True, False], ids=["seen at once", "seen by the next operator"])
async def test_what_a_worker_of_an_earlier_release_was_told_to_take_back_is_left_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    """It names no owner then, as one that was never adopted. It was adopted again without a word."""
    if running:
        await adopt(shop, monkeypatch)
    else:
        place(shop, "here")
    back = of_the_first(6, tells_owner=False)
    temporal_has(monkeypatch, back)
    if running:
        shop.observe(back)

    await looks(shop)

    assert shop.temporal.calls == []
    assert shows(shop) == "AdoptedElsewhere"


@pytest.mark.parametrize(("policy", "stays"), [("Cancel", True), ("Orphan", False)])
async def test_the_deletion_of_an_order_of_which_nobody_knows_whether_it_was_taken_back_waits_for_a_person(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, policy: str, stays: bool
) -> None:
    """The order of another installation was cancelled."""
    temporal_has(monkeypatch, of_the_first(6, tells_owner=False))
    place(shop, "here", deletion_policy=policy)

    await delete(shop)
    await looks(shop)

    assert shop.temporal.calls == []
    assert held(shop) is stays


def stopped(**changes: Any) -> Observation:
    """The workflow, which somebody terminated before it had undone anything."""
    return of_the_first(5, status=WorkflowExecutionStatus.TERMINATED, **changes)


def runs_taken_over(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Their ids. Each is followed by another run, which Temporal has then."""
    taken: list[str] = []
    next_run = of_the_first(5, run_id="run-2")

    async def take_over(_client: object, run: Observation) -> Observation:
        taken.append(run.run_id)
        temporal_has(monkeypatch, next_run)
        return next_run

    monkeypatch.setattr(reconcile, "take_over", take_over)
    return taken


async def test_a_stopped_workflow_of_the_installation_that_an_order_comes_from_is_taken_over(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was waited for as if somebody undid it, for good; the charge stayed."""
    taken = runs_taken_over(monkeypatch)
    temporal_has(monkeypatch, stopped())
    place(shop, "there")

    await looks(shop)

    assert taken == ["run-1"]
    assert shop.temporal.calls == ["adopt"]


async def test_a_stopped_workflow_that_cannot_be_taken_over_is_told_and_tried_ever_more_rarely(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def take_over(_client: object, run: Observation) -> Observation:
        tries.append(run.run_id)
        return run

    monkeypatch.setattr(reconcile, "take_over", take_over)
    temporal_has(monkeypatch, stopped())
    place(shop, "there")

    await looks(shop)

    assert tries == ["run-1"]
    assert shows(shop) == "WorkflowTerminated"


async def test_a_stopped_workflow_of_another_installation_is_not_taken_over_without_a_word(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = runs_taken_over(monkeypatch)
    temporal_has(monkeypatch, stopped(cluster="a third"))
    place(shop, "there")

    await looks(shop)

    assert taken == []
    assert shows(shop) == "RestoredElsewhere"


async def taken_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The order is, and the next operator begins."""
    await take_back(shop, monkeypatch)
    following = Shop()
    following.api = following.orders._api = shop.api  # type: ignore[assignment]
    following.orders._writer._api = following.orders.intake._orphans._api = shop.api  # type: ignore[assignment]
    return following


def begin(shop: Shop) -> None:
    """What the watch brings first."""
    assert shop.api.body is not None
    shop.orders.intake.put(shop.api.body)


async def test_a_workflow_that_was_taken_back_and_has_stopped_is_not_taken_over_here(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of another installation was undone."""
    taken = runs_taken_over(monkeypatch)
    following = await taken_back(shop, monkeypatch)
    temporal_has(monkeypatch, stopped(owner=TAKEN_BACK))
    begin(following)

    await looks(following)

    assert taken == []
    assert shows(following) == "AdoptedElsewhere"


async def test_an_order_that_was_taken_back_needs_a_word_though_temporal_was_away_meanwhile(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outage was shown in the place of what had happened before, and the order was taken again after it."""
    following = await taken_back(shop, monkeypatch)
    temporal_has(monkeypatch, of_the_first(7, owner=TAKEN_BACK))
    following.temporal.problem = Problem(Reason.TEMPORAL_UNAVAILABLE, "away")  # type: ignore[assignment]
    begin(following)
    await looks(following)
    assert shows(following) == "TemporalUnavailable"

    following.temporal.problem = None
    await looks(following)

    assert following.temporal.calls == []
    assert shows(following) == "AdoptedElsewhere"


async def test_the_deletion_of_an_order_whose_workflow_forgot_its_adoption_and_stopped_takes_it_over(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run began under the resource's own uid, of which the ledger knew nothing, and the charge stayed."""
    taken = runs_taken_over(monkeypatch)
    temporal_has(monkeypatch, stopped())
    place(shop, "here")

    await delete(shop)
    await looks(shop)

    assert taken == ["run-1"]
    assert shop.temporal.calls == ["adopt"]

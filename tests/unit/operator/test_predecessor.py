"""An order that was restored from a backup, while the workflow that it had under its first uid is under way."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import NAME, NAMESPACE, UID, a_snapshot, an_observation, an_order_resource, an_order_spec
from order_facts import AWAY, CLOCK, NO_CLASS, NOW, OURS, WAITING_STATUS, known, ready, shown, stopped
from temporalio.client import WorkflowExecutionStatus

from order_domain.order import DeletionPolicy
from order_domain.snapshot import Owner
from order_domain.status import OrderStatus
from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import (
    Adopt,
    Confirm,
    Describe,
    DescribeOther,
    Forget,
    SetFinalizer,
    Start,
    Wait,
    WriteStatus,
)
from order_operator.orders.adoption import OpenRuns, Predecessor
from order_operator.orders.amendment import Group, Refusal
from order_operator.orders.decision import WORD_SECONDS, next_action
from order_operator.orders.edit_state import EditState
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.resource import ParsedSpec
from order_workflows.contract import Adoption, RunKey, input_hash, workflow_id

FIRST = RunKey(NAMESPACE, NAME, "uid-of-the-first")
OURSELVES = OURS["cluster"]
LATER = NOW + timedelta(hours=1)


def first_run(**changes: Any) -> Observation:
    """Waits for approval, for a resource with another uid."""
    fields = {
        "key": FIRST,
        "workflow_id": workflow_id(*FIRST),
        "cluster": OURSELVES,
        "input_hash": input_hash(an_order_spec()),
        "snapshot": a_snapshot(status=OrderStatus.AWAIT_APPROVAL),
    }
    return an_observation(**{**fields, **changes})


def restored(
    run: Observation | None = None, *, ending: bool = False, adopt_from: str | None = None, **facts: Any
) -> Known:
    """The API server has the resource, and Temporal has told of the run that it had under its first uid."""
    order = an_order_resource(spec=an_order_spec(adopt_from=adopt_from).model_dump(mode="json", exclude_none=True))
    run = run or first_run()
    told = {"predecessor": Predecessor(run, ending), "asked_others": [run.workflow_id]}
    return known(order, **{"now": LATER, "exists": True, "others": [run.workflow_id], **told, **facts})


NOT_ASKED: dict[str, Any] = {"predecessor": None, "asked_others": ()}
"""Temporal has told of no other run yet."""


def test_temporal_itself_is_asked_for_a_run_of_the_same_name() -> None:
    assert next_action(restored(**NOT_ASKED)) == DescribeOther(workflow_id(*FIRST))


def test_the_api_server_is_asked_whether_the_name_belongs_to_this_resource_now() -> None:
    assert next_action(restored(exists=False)) == Confirm()
    assert next_action(restored(exists=False, now=NOW)) == Confirm()


def test_the_living_run_of_a_restored_order_is_adopted() -> None:
    action = next_action(restored())

    assert isinstance(action, Adopt)
    assert action.run.workflow_id == workflow_id(*FIRST)
    assert action.adoption.argument == Adoption(uid=UID, cluster=OURSELVES, generation=1, channel="kubernetes")


def test_an_adoption_without_an_answer_is_told_and_not_sent_twice() -> None:
    action = next_action(restored())
    assert isinstance(action, Adopt)
    asked = shown(restored(edits=EditState(waiting=frozenset({action.adoption.update_id}))))

    assert ready(asked.order.status) == ("Unknown", Reason.ADOPTING)
    assert isinstance(next_action(asked), Wait)


def test_a_refused_adoption_is_told() -> None:
    action = next_action(restored())
    assert isinstance(action, Adopt)
    no = {action.adoption.update_id: Refusal(Group.ADOPTION, "InvalidMessage", "no")}

    told = shown(restored(edits=EditState(refused=no)))
    assert ready(told.order.status) == ("False", Reason.REFUSED)
    assert isinstance(next_action(replace(told, clock=told.clock + 3_600)), Wait)


def test_an_adoption_that_an_older_worker_does_not_know_is_told_and_tried_again_when_its_time_has_come() -> None:
    """It was sent once, and a worker that was rolled out later was never asked."""
    action = next_action(restored())
    assert isinstance(action, Adopt)
    key = action.adoption.update_id
    too_old = Refusal(Group.ADOPTION, Reason.WORKER_TOO_OLD, "roll out the new one", again_at=CLOCK + 30)

    told = shown(restored(edits=EditState(refused={key: too_old})))

    assert ready(told.order.status) == ("Unknown", Reason.WORKER_TOO_OLD)
    assert isinstance(next_action(told), Wait)
    due = replace(told, clock=CLOCK + 30)
    assert isinstance(next_action(due), Adopt)
    asked = replace(due, edits=replace(due.edits, waiting=frozenset({key})))
    assert isinstance(next_action(asked), Wait)


def test_a_run_of_another_installation_is_adopted_only_where_the_order_names_it() -> None:
    theirs = first_run(cluster="cluster-b")
    held = shown(restored(theirs))

    assert ready(held.order.status) == ("False", Reason.RESTORED_ELSEWHERE)
    assert isinstance(next_action(held), Wait)
    (condition,) = (item for item in held.order.status["conditions"] if item["type"] == "Ready")
    assert "adoptFrom to 'cluster-b'" in condition["message"]
    assert isinstance(next_action(restored(theirs, adopt_from="cluster-b")), Adopt)
    assert ready(shown(restored(theirs, adopt_from="cluster-c")).order.status)[1] == Reason.RESTORED_ELSEWHERE


def test_an_order_that_names_its_own_installation_begins_beside_that_of_another() -> None:
    assert isinstance(next_action(restored(first_run(cluster="cluster-b"), adopt_from=OURSELVES)), Start)


ELSEWHERE = {**WAITING_STATUS, "workflow": {"id": workflow_id(*FIRST), "namespace": "default", "cluster": "cluster-b"}}


def after_its_workflow(adopt_from: str | None = None, **facts: Any) -> Known:
    """A resource whose status shows a workflow of another installation, which Temporal does not have any more."""
    before = restored(adopt_from=adopt_from, others=(), predecessor=None, asked=True, **facts)
    return replace(before, order=replace(before.order, status=ELSEWHERE))


def test_an_order_of_another_installation_does_not_begin_by_itself_once_its_workflow_is_gone() -> None:
    """It waited while the workflow was open, and began a second time, with a second charge, a moment after its end."""
    held = shown(after_its_workflow())

    assert ready(held.order.status) == ("False", Reason.RESTORED_ELSEWHERE)
    assert "spec.adoptFrom to 'cluster-b'" in held.order.status["message"]
    assert next_action(held) == Wait()
    assert ready(shown(after_its_workflow("cluster-c")).order.status)[1] == Reason.RESTORED_ELSEWHERE


@pytest.mark.parametrize("adopt_from", ["cluster-b", OURSELVES])
def test_it_begins_where_it_says_from_where_it_comes_or_that_it_is_a_new_one(adopt_from: str) -> None:
    assert isinstance(next_action(after_its_workflow(adopt_from)), Start)


def test_an_order_that_waits_for_the_word_of_a_person_shows_whose_workflow_it_is() -> None:
    """Nothing else tells it once that workflow is gone."""
    held = shown(restored(first_run(cluster="cluster-b")))

    shown_workflow = held.order.status["workflow"]
    assert (shown_workflow["id"], shown_workflow["cluster"]) == (workflow_id(*FIRST), "cluster-b")


def deleted(known: Known, **of_the_order: Any) -> Known:
    return replace(known, order=replace(known.order, deleting=True, finalizers=(FINALIZER,), **of_the_order))


def test_an_order_that_waits_for_a_word_says_that_an_edit_was_seen() -> None:
    """`kubectl wait` and GitOps tools wait for observedGeneration, which stood still."""
    waits = shown(restored(first_run(cluster="cluster-b")))
    edited = replace(waits, order=replace(waits.order, generation=2))

    assert shown(edited).order.status["observedGeneration"] == 2
    gone = shown(replace(edited, predecessor=None, others=(), asked=True))
    assert gone.order.status["observedGeneration"] == 2
    assert gone.order.status["workflow"] == waits.order.status["workflow"]
    assert ready(gone.order.status)[1] == Reason.RESTORED_ELSEWHERE


def test_an_order_that_begins_anew_does_not_say_that_its_history_is_lost() -> None:
    waits = shown(restored(first_run(cluster="cluster-b")))
    own = an_observation(snapshot=None, cluster=OURSELVES, run_id="run-2")

    begun = next_action(replace(waits, others=(), predecessor=None, observation=own, asked=True))

    assert isinstance(begun, WriteStatus)
    assert begun.status["workflow"]["id"] == own.workflow_id
    assert ready(begun.status)[1] != Reason.ASKING_LEDGER


def test_nor_does_one_that_was_restored_with_all_of_its_status() -> None:
    own = an_observation(snapshot=None, cluster=OURSELVES, run_id="run-2")

    begun = shown(replace(after_its_workflow(OURSELVES), observation=own))

    assert all(item["reason"] != Reason.ASKING_LEDGER for item in begun.order.status.get("conditions", []))
    assert begun.order.status["phase"] == ELSEWHERE["phase"]


@pytest.mark.parametrize("adopt_from", ["cluster-b", OURSELVES])
def test_a_pause_holds_an_order_that_was_never_under_way_here(adopt_from: str) -> None:
    """Its status names a workflow, which is that of another installation."""
    held = shown(after_its_workflow(adopt_from, paused=True))

    assert ready(held.order.status) == ("Unknown", Reason.PAUSED)


def test_a_pause_does_not_hold_an_order_of_ours_whose_adopted_workflow_is_lost() -> None:
    lost = after_its_workflow(paused=True)
    workflow = {**ELSEWHERE["workflow"], "cluster": OURSELVES}
    ours = replace(lost, order=replace(lost.order, status={**ELSEWHERE, "workflow": workflow}))

    assert isinstance(next_action(ours), Start)


def test_an_order_that_waits_for_a_word_is_asked_about_once_a_minute_and_not_once_its_workflow_has_ended() -> None:
    """A thousand restored orders asked Temporal three hundred questions a second, for ever."""
    theirs = first_run(cluster="cluster-b")
    ended = replace(theirs, status=WorkflowExecutionStatus.COMPLETED)

    assert next_action(shown(restored(theirs))) == Wait(WORD_SECONDS)
    assert next_action(shown(restored(ended))) == Wait()


def test_only_the_workflow_that_an_order_waits_for_is_asked_about_while_it_is_under_way() -> None:
    theirs = first_run(cluster="cluster-b")
    waits = shown(restored(theirs))

    assert next_action(replace(waits, **NOT_ASKED)) == DescribeOther(theirs.workflow_id)
    assert next_action(replace(waits, predecessor=None, others=())) == Describe()


@pytest.mark.parametrize("adopt_from", ["cluster-b", OURSELVES])
def test_with_a_word_the_order_is_asked_about_its_own_workflow_before_anything_is_done(adopt_from: str) -> None:
    waits = shown(restored(first_run(cluster="cluster-b")))
    spec = an_order_spec(adopt_from=adopt_from).model_dump(mode="json", exclude_none=True)

    assert next_action(replace(waits, order=replace(waits.order, spec=spec, generation=2))) == Describe()


def test_the_deletion_of_an_order_of_another_installation_begins_nothing() -> None:
    held = shown(deleted(after_its_workflow()))

    assert ready(held.order.status) == ("False", Reason.RESTORED_ELSEWHERE)
    assert isinstance(next_action(held), Wait)
    assert next_action(replace(held, gone=True)) == Forget()
    assert next_action(replace(held, order=replace(held.order, finalizers=()))) == Wait()


@pytest.mark.parametrize("status", [WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED])
def test_a_copy_of_an_order_that_another_installation_has_is_deleted_without_a_word(
    status: WorkflowExecutionStatus,
) -> None:
    """The deletion hung, and told people to give back the money of an order that went on."""
    theirs = replace(first_run(cluster="cluster-b"), status=status)
    copy = replace(deleted(after_its_workflow()), others=(theirs.workflow_id,))

    assert next_action(copy) == DescribeOther(theirs.workflow_id)
    assert next_action(replace(copy, predecessor=Predecessor(theirs))) == SetFinalizer(False)


def test_such_an_order_with_our_finalizer_goes_once_a_person_says_so() -> None:
    """It may be this installation's own, from before it had another identity: its finalizer came off, and nobody gave
    back what was charged."""
    held = shown(deleted(after_its_workflow()))

    def told(**word: str) -> Known:
        return replace(held, order=replace(held.order, spec={**held.order.spec, **word}))

    assert next_action(told(deletionPolicy="Orphan")) == SetFinalizer(False)
    asks = next_action(told(adoptFrom=OURSELVES))
    assert isinstance(asks, Start)
    assert asks.to_undo
    assert isinstance(next_action(told(adoptFrom="cluster-b")), WriteStatus)


def own_of_a_former_identity(**facts: Any) -> Known:
    """Its own workflow began under another identity of this installation, and Temporal has lost its history."""
    before = after_its_workflow(**facts)
    workflow = {"id": workflow_id(NAMESPACE, NAME, UID), "namespace": "default", "cluster": "default"}
    return replace(before, order=replace(before.order, status={**WAITING_STATUS, "workflow": workflow}))


def test_an_order_whose_own_workflow_began_under_a_former_identity_is_not_of_another_installation() -> None:
    """It waited for the word of a person."""
    lost = own_of_a_former_identity()

    assert isinstance(next_action(lost), Start)
    action = next_action(deleted(lost))
    assert isinstance(action, Start)
    assert action.to_undo


def test_an_order_whose_own_workflow_was_taken_over_and_is_lost_begins_nothing() -> None:
    """The ledger knows the adopter's order by this uid, and its deletion undid it."""
    lost = replace(shown(adopted_away()), observation=None, exists=True, now=LATER)
    held = shown(lost)

    assert ready(held.order.status) == ("False", Reason.RESTORED_ELSEWHERE)
    assert isinstance(next_action(held), Wait)  # what it shows now does not make it forget
    for each in (lost, held):
        assert next_action(deleted(each)) == SetFinalizer(False)
        assert next_action(replace(deleted(each), gone=True)) == Forget()


@pytest.mark.parametrize(
    "facts",
    [{"order_class": NO_CLASS}, {"paused": True}],
    ids=["its class is missing", "no order is to be started"],
)
def test_a_living_run_is_adopted_whatever_would_keep_a_new_order_from_its_start(facts: dict[str, Any]) -> None:
    """It counted as a workflow without an order meanwhile."""
    assert isinstance(next_action(restored(**facts)), Adopt)
    assert next_action(restored(**NOT_ASKED, **facts)) == DescribeOther(workflow_id(*FIRST))


def test_a_living_run_is_adopted_by_an_order_that_rules_of_today_refuse() -> None:
    before = restored()
    spec = {**before.order.spec, "totalMinor": 1}
    order = an_order_resource(spec=spec)

    assert isinstance(next_action(replace(before, order=order)), Adopt)


def test_a_run_with_another_content_is_another_order() -> None:
    assert isinstance(next_action(restored(first_run(input_hash="another"))), Start)


def test_a_run_of_ours_that_cannot_be_read_is_not_begun_beside() -> None:
    unreadable = first_run(snapshot=None, input_hash=None, unreadable=True, unreadable_because="it is encrypted")

    assert ready(shown(restored(unreadable)).order.status) == ("False", Reason.SNAPSHOT_UNREADABLE)
    assert isinstance(next_action(restored(replace(unreadable, cluster="cluster-b"))), Start)


def test_an_order_that_is_being_undone_is_waited_for() -> None:
    waits = shown(restored(ending=True))

    assert ready(waits.order.status) == ("Unknown", Reason.PREDECESSOR_ENDING)
    assert isinstance(next_action(waits), Wait)


def test_an_order_of_another_content_begins_after_the_earlier_one_is_undone() -> None:
    earlier = first_run(input_hash="another")
    waits = shown(restored(earlier, ending=True))

    assert ready(waits.order.status) == ("Unknown", Reason.PREDECESSOR_ENDING)
    assert isinstance(next_action(waits), Wait)


def test_an_order_of_another_installation_that_is_being_undone_is_not_waited_for() -> None:
    theirs = first_run(input_hash="another", cluster="cluster-b")

    assert isinstance(next_action(restored(theirs, ending=True)), Start)


@pytest.mark.parametrize(
    ("run", "policy", "told", "ending"),
    [
        (first_run(), None, False, False),
        (first_run(), DeletionPolicy.CANCEL, False, True),
        (first_run(), DeletionPolicy.ORPHAN, False, False),
        (first_run(), None, True, True),
        (first_run(orphaned=True), DeletionPolicy.ORPHAN, True, False),
        (first_run(snapshot=a_snapshot(compensation="Running")), None, False, True),
        (first_run(status=WorkflowExecutionStatus.TERMINATED), None, False, True),
    ],
    ids=["nobody saw the deletion", "cancelled", "orphaned", "told", "released", "undone", "stopped"],
)
def test_a_run_is_ending_if_its_deletion_means_that(
    run: Observation, policy: DeletionPolicy | None, told: bool, ending: bool
) -> None:
    spec = an_order_spec(deletion_policy=policy).model_dump(mode="json", exclude_none=True) if policy else None
    deleted = an_order_resource(uid=FIRST.uid, spec=spec) if policy else None

    assert Predecessor.of(run, deleted, told=told).ending is ending


def test_an_order_of_ours_that_began_under_a_former_identity_is_waited_for_like_any_other() -> None:
    """The next of its name waited for a word, and for ever: it had noted the workflow as that of somebody else."""
    before = first_run(cluster="default")
    seen = Predecessor.of(before, an_order_resource(uid=FIRST.uid), told=False)
    waits = shown(restored(before, predecessor=seen))

    assert ready(waits.order.status) == ("Unknown", Reason.PREDECESSOR_ENDING)
    assert "workflow" not in waits.order.status
    assert isinstance(next_action(replace(waits, others=(), predecessor=None)), Start)


@pytest.mark.parametrize(
    ("cluster", "told", "ours"),
    [(OURSELVES, False, True), ("default", True, True), ("default", False, False)],
    ids=["by its identity", "told by this process", "nothing is known of it"],
)
def test_an_order_is_ours_by_its_identity_or_since_its_resource_was_here(cluster: str, told: bool, ours: bool) -> None:
    predecessor = Predecessor.of(first_run(cluster=cluster), None, told=told)

    assert predecessor.is_of(OURSELVES) is ours


def test_a_run_that_has_ended_is_waited_for_by_nobody_though_its_resource_was_here() -> None:
    """One that the status names is asked about for ever."""
    ended = first_run(status=WorkflowExecutionStatus.COMPLETED, cluster="default")

    assert not Predecessor.of(ended, None, told=True).is_of(OURSELVES)


# The other side: the resource that the order began with is still there


def adopted_away(**facts: Any) -> Known:
    run = first_run(key=FIRST._replace(uid="uid-of-another"), cluster="cluster-b")
    order = an_order_resource(uid=FIRST.uid, status=WAITING_STATUS, finalizers=[FINALIZER], **facts)
    return known(order, observation=run, asked=True)


def test_an_order_that_another_resource_has_adopted_says_so_and_is_not_followed() -> None:
    left = shown(adopted_away())

    assert ready(left.order.status) == ("False", Reason.ADOPTED_ELSEWHERE)
    assert isinstance(next_action(left), Wait)


def test_its_deletion_cancels_nothing() -> None:
    deleted = adopted_away(deletionTimestamp="2026-01-02T03:04:01Z")

    assert next_action(deleted) == SetFinalizer(False)
    assert next_action(replace(deleted, gone=True)) == Forget()


def test_its_stopped_run_is_not_taken_over_for_it() -> None:
    run = replace(stopped(), key=FIRST._replace(uid="uid-of-another"))

    assert isinstance(next_action(shown(replace(adopted_away(), observation=run))), Wait)


def spec_with(adopt_from: str | None) -> dict[str, Any]:
    return an_order_spec(adopt_from=adopt_from).model_dump(mode="json", exclude_none=True)


def taken_away(adopt_from: str | None, *, before: str | None = None) -> Known:
    """It is shown so, while its `adoptFrom` is as `before`, and then it is edited."""
    away = adopted_away()
    left = shown(replace(away, order=replace(away.order, spec=spec_with(before))))
    return replace(left, order=replace(left.order, spec=spec_with(adopt_from), generation=2))


def test_an_order_that_was_taken_over_comes_back_where_a_person_says_so() -> None:
    """It could not, as long as its workflow lasted."""
    wanted = taken_away("cluster-b")

    assert next_action(wanted) == Confirm()
    action = next_action(replace(wanted, exists=True))
    assert isinstance(action, Adopt)
    assert action.adoption.argument == Adoption(uid=FIRST.uid, cluster=OURSELVES, generation=2, channel="kubernetes")
    assert action.adoption.update_id.endswith("/2")  # Temporal answers an id that it knows with what it had answered


def test_an_order_that_comes_back_says_so_until_the_workflow_has_answered() -> None:
    wanted = replace(taken_away("cluster-b"), exists=True)
    action = next_action(wanted)
    assert isinstance(action, Adopt)

    asked = shown(replace(wanted, edits=EditState(waiting=frozenset({action.adoption.update_id}))))

    assert ready(asked.order.status) == ("Unknown", Reason.ADOPTING)
    assert isinstance(next_action(asked), Wait)
    assert isinstance(next_action(replace(asked, edits=EditState())), Adopt)


@pytest.mark.parametrize(
    ("adopt_from", "before"),
    [("cluster-b", "cluster-b"), (None, None), ("cluster-c", None), (None, "cluster-b")],
)
def test_an_edit_that_does_not_say_so_takes_no_order_back(adopt_from: str | None, before: str | None) -> None:
    """A cancellation did, where `adoptFrom` was left from an earlier adoption: without the verb that this needs. Two
    orders that have named each other would take it from each other for ever."""
    left = shown(taken_away(adopt_from, before=before))

    assert ready(left.order.status) == ("False", Reason.ADOPTED_ELSEWHERE)
    assert "set spec.adoptFrom to 'cluster-b'" in left.order.status["message"]
    assert isinstance(next_action(left), Wait)


def test_an_order_that_named_the_other_installation_before_comes_back_once_that_was_taken_off_and_set_again() -> None:
    off = shown(taken_away(None, before="cluster-b"))
    again = replace(off, order=replace(off.order, spec=spec_with("cluster-b"), generation=3))

    assert isinstance(next_action(replace(again, exists=True)), Adopt)


def test_a_status_of_an_earlier_release_does_not_tell_of_a_word() -> None:
    wanted = taken_away("cluster-b")
    status = {key: value for key, value in wanted.order.status.items() if key != "adoptFromHeard"}
    left = shown(replace(wanted, exists=True, order=replace(wanted.order, status=status)))

    assert ready(left.order.status) == ("False", Reason.ADOPTED_ELSEWHERE)
    assert left.order.status["adoptFromHeard"] == "cluster-b"


def test_a_word_that_was_said_while_temporal_is_away_is_heard_when_it_is_back() -> None:
    """The status counted it as heard."""
    wanted = replace(taken_away("cluster-b"), exists=True)
    away = shown(replace(wanted, connection=AWAY))

    assert ready(away.order.status) == ("False", Reason.ADOPTED_ELSEWHERE)
    assert isinstance(next_action(away), Wait)
    assert isinstance(next_action(replace(away, connection=None)), Adopt)


def test_a_word_is_about_the_installation_that_is_shown_to_have_the_order() -> None:
    """The third one may have taken it over after it was named."""
    wanted = taken_away("cluster-c")
    run = wanted.observation
    assert run is not None
    third = shown(replace(wanted, exists=True, observation=replace(run, cluster="cluster-c")))

    assert ready(third.order.status) == ("False", Reason.ADOPTED_ELSEWHERE)
    assert third.order.status["adoptFromHeard"] == "cluster-c"


def test_an_order_that_has_come_back_shows_nothing_of_it() -> None:
    back = taken_away("cluster-b")
    run = back.observation
    assert run is not None
    assert "adoptFromHeard" in back.order.status
    own = replace(run, key=FIRST, cluster=OURSELVES)

    assert "adoptFromHeard" not in shown(replace(back, observation=own)).order.status


def shows(cluster: str, **of_the_order: Any) -> Known:
    """The workflow of another installation, which this order names, and which its status shows as that of `cluster`."""
    snapshot = a_snapshot(status=OrderStatus.AWAIT_APPROVAL, owner=Owner(uid=FIRST.uid, cluster="cluster-b"))
    before = restored(first_run(cluster="cluster-b", snapshot=snapshot), adopt_from="cluster-b", asked=True)
    workflow = {"id": workflow_id(*FIRST), "namespace": "default", "cluster": cluster}
    status = {"phase": "Waiting", "observedGeneration": 1, "workflow": workflow}
    return replace(before, order=replace(before.order, status=status, **of_the_order))


def test_the_deletion_of_an_order_that_was_taken_back_and_is_lost_begins_nothing() -> None:
    """It says that its deletion does no harm."""
    taken = shown(shows(OURSELVES))
    lost = deleted(replace(taken, predecessor=None, others=()))

    assert next_action(lost) == SetFinalizer(False)
    assert next_action(replace(lost, gone=True)) == Forget()


def test_an_order_whose_workflow_was_taken_back_takes_it_again_only_where_a_person_says_so() -> None:
    taken = shown(shows(OURSELVES))

    assert ready(taken.order.status) == ("False", Reason.ADOPTED_ELSEWHERE)
    assert isinstance(next_action(taken), Wait)
    assert shown(shows(OURSELVES, generation=2)).order.status["adoptFromHeard"] == "cluster-b"
    off = shown(replace(taken, order=replace(taken.order, spec=spec_with(None), generation=2)))
    assert ready(off.order.status) == ("False", Reason.RESTORED_ELSEWHERE)
    assert isinstance(next_action(off), Wait)
    again = replace(off, order=replace(off.order, spec=spec_with("cluster-b"), generation=3))
    assert isinstance(next_action(again), Adopt)
    assert isinstance(next_action(shows("cluster-b")), Adopt)


def test_an_order_that_was_restored_with_its_status_in_its_own_installation_adopts_its_workflow() -> None:
    before = shows(OURSELVES)

    assert isinstance(next_action(replace(before, predecessor=Predecessor(first_run()))), Adopt)


# What visibility shows


def test_open_runs_of_the_same_name_are_known_until_they_end() -> None:
    order, runs = an_order_resource(), OpenRuns()
    own = RunKey(NAMESPACE, NAME, UID)
    for key in (own, FIRST, RunKey(NAMESPACE, "another", "x")):
        runs.saw(key, running=True)

    assert runs.of_others(order) == [workflow_id(*FIRST)]
    runs.saw(FIRST, running=False)
    assert runs.of_others(order) == []


def test_the_parsed_spec_of_a_restored_order_has_the_content_of_the_first() -> None:
    assert ParsedSpec(an_order_spec(adopt_from="cluster-b")).input_hash == input_hash(an_order_spec())

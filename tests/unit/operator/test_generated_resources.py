"""Whatever the API server accepts, and whatever it would refuse, the operator answers with an action or a reason."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import a_policy, a_snapshot, an_observation, an_order_body
from generated_resources import STRANGE_TEXTS, Faulty, Spec, faulty, flaws, schema_of, statuses, valid
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from temporalio.client import WorkflowExecutionStatus

from order_domain.order import OrderSpec
from order_domain.snapshot import ErrorRecord, OrderSnapshot
from order_domain.status import OrderStatus
from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.cluster.resource import InvalidSpec
from order_operator.orders.actions import (
    Action,
    Adopt,
    Cancel,
    Confirm,
    Describe,
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
from order_operator.orders.adoption import Predecessor
from order_operator.orders.amendment import Refusal
from order_operator.orders.classes import OrderClass, OrderClasses
from order_operator.orders.decision import next_action
from order_operator.orders.edit_state import EditState
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_operator.orders.submission import order_input
from order_operator.orders.takeover import NOT_TAKEN_OVER
from order_operator.orders.tracking import Finished
from order_operator.problem import Problem
from order_operator.stock_items.resource import StockItemResource
from order_workflows.contract import RunKey, workflow_id

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STANDARD = OrderClass(name="standard", generation=1, spec=a_policy())
AWAY = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal does not answer")
MOST_ACTIONS = 12


def of(examples: int) -> settings:
    """The same examples every time, so that what fails in CI fails here."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    phases = [Phase.explicit, Phase.generate, Phase.shrink]  # to explain a failure takes ten minutes
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=slow,
        phases=phases,
    )


EXAMPLES = [pytest.param(60, id="few"), pytest.param(1_000, marks=pytest.mark.long, id="many")]


def an_order(spec: Any, **changes: Any) -> OrderResource:
    return OrderResource.from_body(an_order_body(spec=json.loads(json.dumps(spec)), **changes))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_spec_that_the_schema_accepts_is_one_that_the_operator_reads(examples: int) -> None:
    @of(examples)
    @given(valid("Order"))
    def check(spec: Spec) -> None:
        assert flaws(schema_of("Order"), spec) == []
        assert isinstance(an_order(spec).parsed, ParsedSpec)

    check()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_an_order_comes_to_rest_whatever_its_status_says_and_whatever_is_known_of_its_run(examples: int) -> None:
    @of(examples)
    @given(valid("Order"), st.data())
    def check(spec: Spec, data: st.DataObject) -> None:
        order = an_order(spec, status=data.draw(statuses("Order")), generation=2)
        for known in situations(order, data):
            live(known)
        Finished.of(order)

    check()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_an_order_with_faults_is_refused_by_the_name_of_a_field_or_carried_out(examples: int) -> None:
    @of(examples)
    @given(faulty("Order") | faulty("Order", most=5), st.data())
    def check(broken: Faulty, data: st.DataObject) -> None:
        order = an_order(broken.spec)
        if isinstance(order.parsed, Problem):
            assert order.parsed.message.startswith("spec")
            assert order.parsed.stalled
        for known in situations(order, data):
            live(known)

    check()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_stock_item_is_read_or_refused_by_the_name_of_a_field(examples: int) -> None:
    @of(examples)
    @given(valid("StockItem").map(lambda spec: Faulty(spec, ())) | faulty("StockItem") | faulty("StockItem", most=3))
    def check(item: Faulty) -> None:
        resource = StockItemResource.from_body(an_order_body(spec=item.spec))
        refused = ""
        try:
            resource.parse_spec()
        except InvalidSpec as invalid:
            refused = str(invalid)

        assert not refused or (item.faults and refused.startswith("spec"))

    check()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_class_is_taken_in_or_the_orders_that_follow_it_are_told_why_not(examples: int) -> None:
    @of(examples)
    @given(valid("OrderClass").map(lambda spec: Faulty(spec, ())) | faulty("OrderClass", most=3))
    def check(drawn: Faulty) -> None:
        classes = OrderClasses()
        classes.put({"metadata": {"name": "drawn"}, "spec": drawn.spec})

        found = classes.resolve(OrderSpec.model_construct(class_name="drawn"))

        assert isinstance(found, OrderClass) or found.message.startswith("spec.className: OrderClass drawn is invalid")

    check()


def situations(order: OrderResource, data: st.DataObject) -> Iterator[Known]:
    """What may be known of an order: nothing, that Temporal is away, or a run in some state; and it may be deleted."""
    installation = {"cluster": "here", "temporal_namespace": "default"}
    nothing = Known(order=order, now=NOW, clock=1_000.0, order_class=STANDARD, edits=EditState(), **installation)
    yield nothing
    yield replace(nothing, connection=AWAY)
    yield replace(nothing, order_class=Problem(Reason.CLASS_NOT_FOUND, "spec.className: none", stalled=True))
    yield replace(nothing, paused=True)
    run = an_observation(snapshot=data.draw(snapshots(order)), status=data.draw(st.sampled_from(RUN_STATES)))
    yield replace(nothing, observation=run)
    yield replace(nothing, observation=replace(run, unreadable=True, unreadable_because=STRANGE_TEXTS[0]))
    yield replace(nothing, observation=replace(run, input_hash="of another spec"))
    yield replace(nothing, observation=replace(run, key=run.key._replace(uid="of a restored one")))
    cluster = data.draw(st.sampled_from(("here", "there")))
    first = replace(run, workflow_id="first", key=run.key._replace(uid="of the first"), cluster=cluster)
    told = {"predecessor": Predecessor(first, data.draw(st.booleans())), "asked_others": ["first"]}
    yield replace(nothing, exists=True, others=["first"], **told)
    deleted = replace(order, deleting=True, finalizers=(FINALIZER,))
    yield replace(nothing, order=deleted)
    yield replace(nothing, order=deleted, observation=run)
    yield replace(nothing, gone=True, observation=run)


RUN_STATES = (
    WorkflowExecutionStatus.RUNNING,
    WorkflowExecutionStatus.COMPLETED,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TERMINATED,
)


def snapshots(order: OrderResource) -> st.SearchStrategy[OrderSnapshot | None]:
    """What the workflow of such an order may have published."""
    parsed = order.parsed
    known = {"shipping_address": parsed.spec.shipping_address} if isinstance(parsed, ParsedSpec) else {}
    strange = st.sampled_from(("PaymentDeclined", *STRANGE_TEXTS))
    error = st.builds(ErrorRecord, type=strange, message=strange)
    return st.none() | st.builds(
        lambda status, last_error: a_snapshot(status=status, last_error=last_error, **known),
        st.sampled_from(OrderStatus),
        st.none() | error,
    )


def live(known: Known) -> None:
    """Do what is to be done until there is nothing, as the reconciler would with servers that answer."""
    for _ in range(MOST_ACTIONS):
        action = next_action(known)
        if isinstance(action, Wait | Finish | Forget):
            return
        known = replace(known, **_answer(known, action))
    raise AssertionError(f"no rest after {MOST_ACTIONS} actions: {next_action(known)}")


def _answer(known: Known, action: Action) -> dict[str, Any]:
    """What is known then."""
    order = known.order
    match action:
        case WriteStatus(status):
            assert flaws(schema_of("Order", "status"), json.loads(json.dumps(status)), "status") == []
            json.dumps(status, ensure_ascii=False).encode()
            return {"order": replace(order, status=status), "written_at": known.clock}
        case SetFinalizer(present):
            return {"order": replace(order, finalizers=(FINALIZER,) if present else ())}
        case Describe():
            return {"asked": True, "doubted": False}
        case Confirm():
            return {"exists": True}
        case Start(order_class, parsed):
            wanted = order_input(order, parsed.spec, order_class, "here")
            assert wanted.model_validate_json(wanted.model_dump_json()) == wanted
            return {"observation": a_run(order), "asked": True}
        case TakeOver():
            return {"takeover_problem": NOT_TAKEN_OVER, "takeover_again_at": known.clock + 10}
        case Send(_, changes):
            refused = {each.update_id: Refusal(each.group, STRANGE_TEXTS[0], STRANGE_TEXTS[1]) for each in changes}
            return {"edits": EditState(refused={**known.edits.refused, **refused})}
        case Adopt(_, adoption):
            refused = {adoption.update_id: Refusal(adoption.group, STRANGE_TEXTS[0], STRANGE_TEXTS[1])}
            return {"edits": EditState(refused={**known.edits.refused, **refused})}
        case Cancel() | Release():
            return {"told": True}
    raise AssertionError(action)


def a_run(order: OrderResource) -> Observation:
    key = RunKey(order.namespace, order.name, order.uid)
    return an_observation(key=key, workflow_id=workflow_id(*key), snapshot=None)

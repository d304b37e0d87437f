"""Metrics that are counted at a scrape."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from builders import NAMESPACE, UID, a_snapshot, an_observation, an_order_resource

from order_domain.pipeline import StepName
from order_domain.snapshot import PendingAction, StepRecord, StepState
from order_domain.status import OrderStatus
from order_operator.figures import MAX_FILLED_NAMESPACES, Figures, OrderFigure, Running, Sources, nothing
from order_operator.orders.tracking import MISMATCH_SECONDS, TrackedOrders

NOW = datetime(2026, 1, 2, 4, 0, 0, tzinfo=UTC)


def samples(sources: Sources, name: str) -> dict[tuple[str, ...], float]:
    [family] = [family for family in Figures(sources).collect() if family.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def of(orders: Iterable[OrderFigure], *namespaces: str) -> Sources:
    return nothing()._replace(orders=lambda: orders, namespaces=namespaces)


def test_every_status_of_a_watched_namespace_has_a_figure_before_the_first_order() -> None:
    for name in ("orders_current", "orders_oldest_age_seconds", "orders_overdue"):
        assert samples(of([], "shop"), name)["shop", "Await Approval"] == 0
    assert samples(of([], "shop"), "orders_inventory_below_minimum") == {("shop",): 0}
    assert samples(of([], "shop"), "orders_search_attribute_mismatch") == {("shop",): 0}


def test_orders_are_counted_and_the_oldest_told_by_namespace_and_status() -> None:
    orders = [
        OrderFigure("shop", "Await Approval", age=5.0),
        OrderFigure("shop", "Await Approval", age=7.0, overdue=True),
        OrderFigure("shop", "Order Completed"),
    ]

    assert samples(of(orders), "orders_current")["shop", "Await Approval"] == 2
    assert samples(of(orders), "orders_oldest_age_seconds")["shop", "Await Approval"] == 7
    assert samples(of(orders), "orders_overdue")["shop", "Await Approval"] == 1
    assert ("shop", "Order Completed") not in samples(of(orders), "orders_oldest_age_seconds")


def test_a_great_many_namespaces_get_no_zeros() -> None:
    orders = [OrderFigure(f"tenant-{number}", "Ship Order", age=1.0) for number in range(MAX_FILLED_NAMESPACES + 1)]

    assert len(samples(of(orders), "orders_current")) == len(orders)


def test_the_age_of_an_order_is_that_of_its_present_step() -> None:
    step = StepRecord(name=StepName.APPROVAL, state=StepState.WAITING, started_at=NOW - timedelta(minutes=3))
    [figure] = figures(current_step=StepName.APPROVAL, steps=[step], status=OrderStatus.AWAIT_APPROVAL)

    assert figure.age == pytest.approx(180)


def test_an_order_whose_workflow_is_between_steps_is_as_old_as_what_it_said_last() -> None:
    [figure] = figures(status=OrderStatus.MANUAL_REVIEW, updated_at=NOW - timedelta(minutes=2))

    assert figure.age == pytest.approx(120)


@pytest.mark.parametrize(("seconds", "overdue"), [(-1, True), (1, False)])
def test_an_order_is_overdue_once_its_deadline_has_passed(seconds: int, overdue: bool) -> None:
    action = PendingAction(kind="Approve", deadline=NOW + timedelta(seconds=seconds), message="waits")
    [figure] = figures(status=OrderStatus.AWAIT_APPROVAL, pending_action=action)

    assert figure.overdue is overdue


@pytest.mark.parametrize(("suspended", "held"), [(True, 1), (False, 0)])
def test_an_order_that_is_held_is_counted_at_whatever_status_it_stands(suspended: bool, held: int) -> None:
    orders = figures(status=OrderStatus.AWAIT_APPROVAL, suspended=suspended)

    assert samples(of(orders), "orders_suspended") == {(NAMESPACE,): held}


@pytest.mark.parametrize(("seconds", "mismatched"), [(MISMATCH_SECONDS / 2, False), (2 * MISMATCH_SECONDS, True)])
def test_a_status_that_stays_behind_its_workflow_is_a_mismatch(seconds: float, mismatched: bool) -> None:
    tracked = following(status=OrderStatus.SHIP_ORDER)
    tracked[UID].status_seen_at -= seconds

    assert [figure.mismatched for figure in tracked.figures(NOW)] == [mismatched]


def figures(**snapshot: object) -> list[OrderFigure]:
    return list(following(**snapshot).figures(NOW))


def following(**snapshot: object) -> TrackedOrders:
    tracked = TrackedOrders()
    tracked.put(an_order_resource(status={"phase": "Running", "orderStatus": "Order Received"}))
    tracked[UID].learn(an_observation(snapshot=a_snapshot(**snapshot)), asked=False)
    assert [figure.namespace for figure in tracked.figures(NOW)] == [NAMESPACE]
    return tracked


def test_the_longest_under_way_is_the_one_that_began_first() -> None:
    now = 0.0
    running = Running(clock=lambda: now)
    assert running.longest() == 0

    running.begin("a")
    now = 3.0
    running.begin("b")
    now = 5.0

    assert running.longest() == 5
    assert running.end("a") == 5
    assert running.longest() == 2

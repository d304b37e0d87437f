"""What is kept in mind of orders, and how little of those that have ended."""

import math
import tracemalloc
from typing import Any

import pytest
from builders import a_snapshot, an_observation, an_order_body

from order_operator.cluster.api_names import FINALIZER
from order_operator.orders.resource import OrderResource
from order_operator.orders.tracking import Finished, Look, Tracked, TrackedOrders

BYTES_PER_ORDER = 900
"""A hundred thousand have to find room in 400 MiB beside the operator itself."""

ENDED = {
    "phase": "Completed",
    "orderStatus": "Order Completed",
    "observedGeneration": 1,
    "conditions": [
        {"type": kind, "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-02T03:04:05Z"}
        for kind in ("Accepted", "Ready", "Charged", "Shipped", "Finished", "Complete")
    ],
}


def an_order(**changes: Any) -> OrderResource:
    return OrderResource.from_body(an_order_body(**{"status": ENDED, **changes}))


def test_an_order_that_had_ended_before_the_start_is_kept_in_outline_and_not_looked_at() -> None:
    orders = TrackedOrders()

    assert not orders.put(an_order())
    [(order, end)] = orders.finished()
    assert (order.spec, order.status) == ({}, {"orderStatus": "Order Completed"})
    assert end.at > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {**ENDED, "phase": "Running"}},
        {"generation": 2},
        {"finalizers": [FINALIZER]},
        {"deletionTimestamp": "2026-01-02T03:05:00Z", "finalizers": ["example.com/other"]},
    ],
    ids=["it runs", "it was edited since", "it carries the finalizer", "it is being deleted"],
)
def test_an_order_with_something_left_to_do_is_kept_whole_and_looked_at(changes: dict[str, Any]) -> None:
    orders = TrackedOrders()

    assert orders.put(an_order(**changes))
    assert list(orders.finished()) == []


def test_there_is_an_open_order_as_long_as_one_has_something_left_to_do() -> None:
    orders = TrackedOrders()
    assert not orders.any_is_open()

    orders.put(an_order())
    assert not orders.any_is_open()

    one, other = Tracked(observation=an_observation()), Tracked(observation=an_observation())
    orders |= {"one": one, "other": other}
    assert orders.any_is_open()
    one.finish(an_order())
    assert orders.any_is_open()
    del orders["other"]
    assert not orders.any_is_open()


def test_an_order_whose_run_was_seen_first_is_looked_at() -> None:
    orders = TrackedOrders()
    ended = an_order()
    orders[ended.uid] = Tracked(observation=an_observation())

    assert orders.put(ended)


def test_a_doubt_that_comes_during_a_reconciliation_undoes_the_answer_that_it_has_had() -> None:
    tracked = Tracked(look=Look())
    tracked.learn(an_observation(), asked=True)

    tracked.doubt()

    assert tracked.look is not None
    assert (tracked.doubted, tracked.look.asked) == (True, False)


def test_an_answer_between_two_reconciliations_ends_the_doubt_and_is_asked_for_again_by_the_next() -> None:
    tracked = Tracked(doubted=True)

    tracked.learn(an_observation(), asked=True)

    assert (tracked.doubted, tracked.look) == (False, None)


def test_what_is_known_of_a_run_is_not_replaced_by_an_older_row() -> None:
    """B29: a visibility store that reads back in time put the status back."""
    older, newer = (an_observation(snapshot=a_snapshot(seq=seq)) for seq in (1, 2))
    tracked = Tracked()

    assert tracked.learn(newer, asked=False)
    assert not tracked.learn(older, asked=False)
    assert tracked.observation is newer


def test_an_end_in_a_year_that_python_does_not_know_is_never_past_its_time() -> None:
    """B41: Kubernetes takes it, and the order failed at every look."""
    assert Finished.of(an_order(status={**ENDED, "completionTime": "0000-01-01T00:00:00Z"})).at == math.inf


def test_a_finished_order_costs_few_bytes() -> None:
    orders = TrackedOrders()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1_000):
            name = f"order-{number}"
            orders.put(
                an_order(name=name, uid=f"7f0c6a52-0c38-4a4e-9f0e-{number:012}", resourceVersion=str(10**6 + number))
            )
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (after - before) / 1_000 <= BYTES_PER_ORDER

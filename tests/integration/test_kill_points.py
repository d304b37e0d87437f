"""The operator is killed before and after each of its writes and calls, and another one starts: every order comes to
its end, by one workflow, charged once.

The proxies are the kill points: they hold the request, or its answer, while the process is killed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from api_proxy import Call
from cluster import Cluster
from operator_calls import (
    API,
    WRITES,
    complete,
    gone,
    grow_old,
    order_path,
    submit,
    submit_and_wait,
)
from order_history import OrderHistory
from toxiproxy import ANSWERS, REQUESTS
from traffic import DEAR, PLAIN, approve, nothing_wrong
from wiring import Wiring

pytestmark = pytest.mark.long

when = pytest.mark.parametrize("when", ["before", "after"])


@when
@pytest.mark.parametrize("name", WRITES)
def test_an_operator_killed_around_a_write_is_followed_by_another(
    name: str, when: str, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    write = WRITES[name]
    write.lead_up(shop)
    held = wired.api.hold(write.call(shop), after=when == "after")
    write.trigger(shop)
    held.wait()

    wired.restart_operator()

    write.finish(shop)
    nothing_wrong(shop, history, {"order": write.paid})


READS: dict[str, Callable[[Cluster], Call]] = {
    "the list of orders": lambda _: Call("GET", f"{API}/orders"),
    "the list of classes": lambda _: Call("GET", f"{API}/orderclasses"),
    "the identity of the cluster": lambda _: Call("GET", "/api/v1/namespaces/kube-system"),
    "the look whether an old order is still there": lambda shop: Call("GET", order_path(shop, "unseen")),
}


@when
@pytest.mark.parametrize("name", READS)
def test_an_operator_killed_around_a_read_of_its_start_is_followed_by_another(
    name: str, when: str, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    submit_and_wait(shop)
    wired.stack.kill("operator")
    shop.apply("unseen")
    grow_old(shop, "unseen")
    held = wired.api.hold(READS[name](shop), after=when == "after")
    wired.stack.start("operator")
    held.wait()

    wired.restart_operator()

    shop.reaches("Completed", "unseen")
    complete(shop)
    nothing_wrong(shop, history, {"order": DEAR, "unseen": PLAIN})


@dataclass(frozen=True)
class TemporalCall:
    """One of the operator's calls to Temporal."""

    lead_up: Callable[[Cluster], object]
    trigger: Callable[[Cluster], object]
    under_way: Callable[[Cluster], bool]
    """The operator waits for the answer to it."""
    done: Callable[[Cluster], bool]
    """Temporal has done it."""
    finish: Callable[[Cluster], object]
    paid: int = DEAR


def _is_open(shop: Cluster) -> bool:
    return _described(shop).endswith("RUNNING")


def _is_closed(shop: Cluster) -> bool:
    return _described(shop).endswith("COMPLETED")


def _described(shop: Cluster) -> str:
    uid = shop.order()["metadata"]["uid"]
    identifier = f"order/{shop.namespace}/order/{uid}"
    if identifier not in shop.workflows():
        return ""
    return str(shop.workflow(identifier)["workflowExecutionInfo"]["status"])


CALLS = {
    "start": TemporalCall(
        lambda _: None, submit, lambda shop: shop.reconciles_under_way() > 0, _is_open, complete
    ),
    "update": TemporalCall(
        submit_and_wait,
        approve,
        lambda shop: shop.condition("SpecApplied").get("reason") == "Applying",
        _is_closed,
        complete,
    ),
    "cancel": TemporalCall(
        submit_and_wait,
        lambda shop: shop.delete("order", "--wait=false"),
        lambda shop: shop.reconciles_under_way() > 0,
        _is_closed,
        gone,
        paid=0,
    ),
}  # fmt: skip


@when
@pytest.mark.parametrize("name", CALLS)
def test_an_operator_killed_around_a_call_of_temporal_is_followed_by_another(
    name: str, when: str, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    call = CALLS[name]
    call.lead_up(shop)
    with wired.temporal.silence(REQUESTS if when == "before" else ANSWERS):
        call.trigger(shop)
        shop.until(lambda: (call.under_way if when == "before" else call.done)(shop))
        wired.stack.kill("operator")
        assert call.done(shop) is (when == "after")

    wired.stack.start("operator")

    call.finish(shop)
    nothing_wrong(shop, history, {"order": call.paid})

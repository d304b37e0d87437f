"""Single requests and events between the operator and the API server go wrong: orders go on, and nothing is written
without need."""

import json
import time
from collections.abc import Callable
from itertools import combinations, pairwise

import pytest
from api_proxy import ALWAYS, Call
from cluster import Cluster
from operator_calls import (
    API,
    LEASE,
    WRITES,
    complete,
    gone,
    grow_old,
    order_path,
    same_write,
    status_of,
    submit,
    submit_and_wait,
)
from order_history import OrderHistory
from traffic import DEAR, PLAIN, Traffic, approve, nothing_wrong
from wiring import Wiring

from order_operator.cluster.inventory import INTERVAL_SECONDS
from order_operator.temporal.cancellation import TWO_LOOKS_SECONDS
from order_operator.watch_liveness import RECONNECT_SECONDS

pytestmark = pytest.mark.long

ORDERS_WATCH = f"{API}/orders"
INVENTORY = Call("GET", ORDERS_WATCH, accepts=".*PartialObjectMetadataList.*")
MISSED_SECONDS = 150.0
"""Until an event that never came is made good: the second inventory that misses it, a minute after the first."""
BEGUN_AGAIN_SECONDS = 0.75 * INTERVAL_SECONDS
"""Until a watch that failed is begun again and has listed: kopf ends within six seconds, and two more are waited. In
this time no inventory has missed an order twice: whoever carries it out was told by the watch."""
GONE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}


@pytest.mark.parametrize("name", WRITES)
def test_what_was_written_though_the_answer_was_lost_is_tried_at_most_once_more(
    name: str, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    write, operator = WRITES[name], wired.stack.pid("operator")
    write.lead_up(shop)
    lost = wired.api.lose_answer(write.call(shop))

    write.trigger(shop)

    lost.wait()
    write.finish(shop)
    [first] = lost.struck
    assert first.status in {200, 201}
    later = [request for request in wired.api.seen(lost.call) if request.at > first.at and same_write(request, first)]
    assert len(later) <= 1
    shop.until(lambda: all(request.status for request in later))  # one may be under way
    assert {request.status for request in later} <= {404, 409}  # and it changed nothing
    assert wired.stack.pid("operator") == operator
    nothing_wrong(shop, history, {"order": write.paid})


@pytest.mark.parametrize(("asked", "seconds"), [("0", 0.4), ("1", 1), ("4", 4), (None, 0.4), ("soon", 0.4)])
def test_an_api_server_that_asks_to_be_left_alone_is_left_alone(
    asked: str | None, seconds: float, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    submit_and_wait(shop)
    refused = wired.api.answer(status_of(shop), 429, {"Retry-After": asked} if asked else {}, times=3)

    shop.patch("order", suspend=True)

    shop.reaches("Suspended")
    at = [request.at for request in wired.api.seen(status_of(shop)) if request.at >= refused.struck[0].at]
    assert min(later - earlier for earlier, later in pairwise(at[:4])) >= seconds
    nothing_wrong(shop, history, {"order": 0})


def test_news_of_an_order_do_not_shorten_the_time_for_which_the_api_server_asked(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    refused = wired.api.answer(status_of(shop), 429, {"Retry-After": "3"}, times=2)

    submit(shop)  # whose run moves on meanwhile

    complete(shop)
    at = [request.at for request in wired.api.seen(status_of(shop))]
    assert len(refused.struck) == 2
    assert min(later - earlier for earlier, later in pairwise(at[:3])) >= 3
    nothing_wrong(shop, history, {"order": DEAR})


@pytest.mark.parametrize("status", [409, 422, 500, 503])
def test_a_write_that_is_refused_five_times_is_made_in_the_end(
    status: int, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    refused = wired.api.answer(status_of(shop), status, times=5)

    submit(shop)

    complete(shop)
    assert len(refused.struck) == 5
    nothing_wrong(shop, history, {"order": DEAR})


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_an_api_server_that_refuses_everything_for_five_seconds_is_outlived(
    status: int, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    traffic, operator = Traffic(shop, history), wired.stack.pid("operator")
    traffic.before()
    headers = {"Retry-After": "Wed, 25 Nov 2026 07:28:00 GMT"} if status == 429 else {}
    for watch in (False, True):
        wired.api.answer(Call(".*", ".*", watch=watch), status, headers, times=ALWAYS)
    over = time.monotonic() + 5.0
    traffic.during()
    time.sleep(max(0.0, over - time.monotonic()))  # how long it lasts is the fault

    wired.api.mend()

    traffic.after()
    assert wired.stack.pid("operator") == operator


@pytest.fixture
def young_operator(wired: Wiring) -> int:
    """One whose watch has not failed before: each further failure within a minute makes it pause for longer."""
    wired.restart_operator()
    pid = wired.stack.pid("operator")
    assert pid is not None
    return pid


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "twice": lambda line: line + line,
    "not at all": lambda _: b"",
    "as junk": lambda _: b"{junk\n",
    "as an event of an unknown type": lambda line: line.replace(b'"ADDED"', b'"FORGED"'),
    "as an error": lambda _: json.dumps({"type": "ERROR", "object": {**GONE, "code": 500}}).encode() + b"\n",
    "as a version that is too old": lambda _: json.dumps({"type": "ERROR", "object": GONE}).encode() + b"\n",
}


PASSED_OVER = {"not at all", "as an event of an unknown type"}
"""The watch goes on as if nothing had been: kopf leaves out what it does not know. The inventory finds the order."""


@pytest.mark.parametrize("how", CHANGES)
def test_an_order_is_carried_out_whose_event_arrives(
    how: str, wired: Wiring, young_operator: int, shop: Cluster, history: OrderHistory
) -> None:
    changed = wired.api.change(ORDERS_WATCH, f'"{shop.namespace}"', CHANGES[how])

    shop.apply()

    changed.wait()
    seconds = MISSED_SECONDS if how in PASSED_OVER else BEGUN_AGAIN_SECONDS
    shop.eventually(lambda status: status.get("phase") == "Completed", seconds=seconds)
    assert wired.stack.pid("operator") == young_operator
    nothing_wrong(shop, history, {"order": PLAIN})


def test_a_watch_that_ends_in_the_middle_of_an_event_is_followed_by_another(
    wired: Wiring, young_operator: int, shop: Cluster, history: OrderHistory
) -> None:
    cut = wired.api.cut(ORDERS_WATCH, f'"{shop.namespace}"')

    shop.apply()

    cut.wait()
    shop.reaches("Completed")
    shop.apply("after")
    shop.reaches("Completed", "after")
    assert wired.stack.pid("operator") == young_operator
    nothing_wrong(shop, history, {"order": PLAIN, "after": PLAIN})


def test_a_watch_that_falls_silent_is_begun_again_by_itself(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    """No inventory helps: each is refused."""
    wired.api.answer(INVENTORY, 500, times=ALWAYS)
    silent = wired.api.silence(ORDERS_WATCH, f'"{shop.namespace}"')

    shop.apply()

    silent.wait()
    shop.eventually(lambda status: status.get("phase") == "Completed", seconds=RECONNECT_SECONDS + 30)
    wired.api.mend()
    nothing_wrong(shop, history, {"order": PLAIN})


def test_an_operator_that_sees_its_own_writes_late_does_nothing_twice(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    late = wired.api.delay(ORDERS_WATCH, '"type":"MODIFIED"', seconds=10)

    submit(shop)

    complete(shop)
    assert late.struck
    # A repeated one is of an earlier version, and refused: that it changes nothing is not the operator's doing.
    asked_for = wired.api.seen(status_of(shop))
    assert [one for one, other in combinations(asked_for, 2) if same_write(one, other)] == []
    nothing_wrong(shop, history, {"order": DEAR})


def test_a_watch_that_is_refused_for_its_age_is_begun_anew(
    wired: Wiring, young_operator: int, shop: Cluster, history: OrderHistory
) -> None:
    cut = wired.api.cut(ORDERS_WATCH, f'"{shop.namespace}"')
    refused = wired.api.answer(Call("GET", ORDERS_WATCH, watch=True), 410)
    try:
        shop.apply()

        cut.wait()
        refused.wait()
        shop.reaches("Completed")
        nothing_wrong(shop, history, {"order": PLAIN})
    finally:
        wired.stack.kill("operator")  # its watch may be dead, and would fail the next test


def test_a_write_that_gets_no_answer_holds_up_no_other_order(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    held = wired.api.hold(status_of(shop, "held"), after=False)
    shop.apply("held")
    held.wait()

    shop.apply("other")

    shop.reaches("Completed", "other")
    wired.api.mend()
    shop.reaches("Completed", "held")
    nothing_wrong(shop, history, {"held": PLAIN, "other": PLAIN})


def test_a_lease_that_cannot_be_renewed_for_a_while_is_kept(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    operator = wired.stack.pid("operator")
    refused = wired.api.answer(LEASE, 500, times=2)
    refused.wait()

    shop.apply()

    shop.reaches("Completed")
    assert wired.stack.pid("operator") == operator
    nothing_wrong(shop, history, {"order": PLAIN})


def test_a_read_that_fails_before_an_old_order_is_started_starts_it_once(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    wired.stack.kill("operator")
    shop.apply()
    read = wired.api.lose_answer(Call("GET", order_path(shop)))
    grow_old(shop, "order")

    wired.stack.start("operator")

    read.wait()
    shop.reaches("Completed")
    nothing_wrong(shop, history, {"order": PLAIN})


def test_while_lists_and_watch_tell_of_an_earlier_time_nothing_is_undone_and_afterwards_all_orders_end_right(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    """An API server that is behind: it lists what was before one order was made, one approved and one deleted. Asked
    for one by its name it reads from etcd, and so tells the truth. That lasts until every workflow without an order on
    the list has been looked at twice."""
    traffic = Traffic(shop, history)
    traffic.before()
    earlier = {path: wired.stack.kubectl("get", "--raw", path) for path in (ORDERS_WATCH, f"{API}/stockitems")}
    traffic.during()
    for name in ("made", "approved"):
        shop.reaches("Completed", name)
    gone(shop, "dropped")
    shop.apply("unlisted", total=DEAR)
    shop.reaches("Waiting", "unlisted")
    wired.stack.kill("operator")
    shop.apply("unseen", total=PLAIN)
    lists, _ = [wired.api.answer_as_before(Call("GET", path), body) for path, body in earlier.items()]
    wired.api.silence(ORDERS_WATCH, "", times=ALWAYS)

    wired.stack.start("operator")

    looks = 2 + TWO_LOOKS_SECONDS / INTERVAL_SECONDS
    shop.until(lambda: len(lists.struck) >= looks, seconds=looks * INTERVAL_SECONDS)
    assert shop.status("unlisted")["phase"] == "Waiting"
    wired.api.mend()
    approve(shop, "unlisted")
    traffic.after({"unlisted": DEAR, "unseen": PLAIN})

"""The operator's writes to the API server in the life of an order: which request each is, and what leads to it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api_proxy import Call, Request
from cluster import Cluster
from traffic import DEAR, RETURN_SECONDS, approve

from order_operator.orders.decision import CONFIRMED_AGE_SECONDS

API = "/apis/order-platform.dev/v1alpha1"
LEASE = Call("PUT", "/apis/coordination.k8s.io/v1/namespaces/order-platform/leases/order-platform-operator")


def order_path(shop: Cluster, name: str = "order") -> str:
    """Of one order of the shop."""
    return f"{API}/namespaces/{shop.namespace}/orders/{name}"


def status_of(shop: Cluster, name: str = "order", phase: str = "") -> Call:
    """The writes of an order's status; with `phase`, of that alone."""
    path = f"{order_path(shop, name)}/status"
    return Call("PUT", path, says=lambda body: phase in ("", body["status"]["phase"]))


def finalizer(shop: Cluster, *, present: bool) -> Call:
    """The write that puts the finalizer on, or takes it off."""
    return Call("PATCH", order_path(shop), says=lambda body: bool(body["metadata"]["finalizers"]) is present)


def submit(shop: Cluster) -> None:
    """An order that will wait for an approval."""
    shop.apply(total=DEAR)


def submit_and_wait(shop: Cluster) -> None:
    """It waits."""
    submit(shop)
    shop.reaches("Waiting")


def complete(shop: Cluster) -> None:
    """Whatever it is at, bring it to its good end."""
    shop.eventually(lambda status: status.get("phase") in {"Waiting", "Completed"}, seconds=RETURN_SECONDS)
    if not shop.order()["spec"].get("approval"):
        approve(shop)
    shop.reaches("Completed")


def expire(shop: Cluster) -> None:
    """Its time to be kept after the end is over."""
    shop.patch("order", ttlSecondsAfterFinished=1)


def submit_and_complete(shop: Cluster) -> None:
    """It has ended."""
    submit(shop)
    complete(shop)


def grow_old(shop: Cluster, name: str) -> None:
    """So old that the operator asks whether the order is still there before it starts it."""
    created = datetime.fromisoformat(shop.order(name)["metadata"]["creationTimestamp"])
    shop.until(lambda: datetime.now(UTC) - created > timedelta(seconds=CONFIRMED_AGE_SECONDS + 1))


def gone(shop: Cluster, name: str = "order") -> None:
    """The resource is no more."""
    shop.until(lambda: shop.order(name) == {}, 90.0)


@dataclass(frozen=True)
class Write:
    """One of the operator's requests in the course of an order."""

    call: Callable[[Cluster], Call]
    lead_up: Callable[[Cluster], None]
    """What comes before."""
    trigger: Callable[[Cluster], None]
    """What makes the operator write."""
    finish: Callable[[Cluster], None]
    """What comes after, to the order's end."""
    paid: int = DEAR
    """What the shop keeps in the end, in minor units."""


def _nothing(shop: Cluster) -> None:
    pass


WRITES = {
    "finalizer on": Write(lambda shop: finalizer(shop, present=True), _nothing, submit, complete),
    "first status": Write(status_of, _nothing, submit, complete),
    "event": Write(
        lambda shop: Call("POST", f"/apis/events.k8s.io/v1/namespaces/{shop.namespace}/events"),
        _nothing,
        submit,
        complete,
    ),
    "lease": Write(lambda _: LEASE, _nothing, submit, complete),
    "finalizer off": Write(lambda shop: finalizer(shop, present=False), submit_and_wait, approve, complete),
    "last status": Write(lambda shop: status_of(shop, phase="Completed"), submit_and_wait, approve, complete),
    "finalizer off at a deletion": Write(
        lambda shop: finalizer(shop, present=False),
        submit_and_wait,
        lambda shop: shop.delete("order", "--wait=false"),
        gone,
        paid=0,
    ),
    "deletion by retention": Write(
        lambda shop: Call("DELETE", order_path(shop)),
        submit_and_complete,
        expire,
        gone,
    ),
}


def same_write(one: Request, other: Request) -> bool:
    """Whether they say the same, at whatever time and of whatever version."""
    return _timeless(one.json) == _timeless(other.json)


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        passing = {"resourceVersion", "lastTransitionTime", "eventTime"}
        return {key: _timeless(item) for key, item in value.items() if key not in passing}
    return [_timeless(item) for item in value] if isinstance(value, list) else value

"""A namespace is deleted with all that is in it.

No controller-manager runs here. What its namespace controller does is done by the test: once the namespace is
Terminating, in which the API server takes nothing new, it deletes the objects, and at last the namespace itself.
"""

import json
from collections.abc import Iterator

import pytest
from cluster import ORDERS, STOCK_ITEMS, Cluster

from order_devstack.errors import CommandFailed

STUCK_SECONDS = 120.0
"""A finalizer that stays longer, while Temporal and a worker answer, is stuck."""


class Namespace:
    """The cluster's namespace, to whoever deletes it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def delete(self) -> None:
        """Let it be Terminating."""
        self.cluster.stack.kubectl("delete", "namespace", self.cluster.namespace, "--wait=false")

    def empty(self) -> None:
        """Delete the objects in it, as the namespace controller does: one collection after the other."""
        for kind in (ORDERS, STOCK_ITEMS, "events.events.k8s.io"):
            self.cluster.kubectl("delete", kind, "--all", "--wait=false")

    @property
    def orders(self) -> list[str]:
        """Names of those that are left."""
        listed = json.loads(self.cluster.kubectl("get", ORDERS, "--output=json"))
        return [item["metadata"]["name"] for item in listed["items"]]

    def finish(self) -> None:
        """Let it go, now that it is empty."""
        path = f"/api/v1/namespaces/{self.cluster.namespace}"
        body = json.loads(self.cluster.stack.kubectl("get", "--raw", path))
        body["spec"]["finalizers"] = []
        self.cluster.stack.kubectl("replace", "--raw", f"{path}/finalize", "--filename=-", input=json.dumps(body))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    yield Namespace(cluster)
    for identifier in cluster.workflows():
        if is_open(cluster, identifier):
            cluster.stack.temporal("workflow", "terminate", "--workflow-id", identifier)


def is_open(cluster: Cluster, identifier: str) -> bool:
    return str(cluster.workflow(identifier)["workflowExecutionInfo"]["status"]).endswith("RUNNING")


def test_a_namespace_that_is_deleted_goes_once_its_open_orders_are_undone(namespace: Namespace) -> None:
    cluster = namespace.cluster
    operator, reserved = cluster.stack.pid("operator"), cluster.stock()["reserved"]
    cluster.keep_stock("shelf", sku=cluster.namespace)
    cluster.apply("waits", total=150_000)
    cluster.apply("charged", className=cluster.patient_class())
    cluster.apply("done")
    cluster.apply("left-alone", total=150_000, deletionPolicy="Orphan")
    cluster.reaches("Completed", "done")
    uids = {name: cluster.order(name)["metadata"]["uid"] for name in ("waits", "charged", "done", "left-alone")}
    for name in ("waits", "charged", "left-alone"):
        cluster.reaches("Waiting", name)
    assert cluster.stock()["reserved"] == reserved + 1

    namespace.delete()
    with pytest.raises(CommandFailed, match="being terminated"):
        cluster.apply("late")
    namespace.empty()

    cluster.until(lambda: namespace.orders == [], seconds=STUCK_SECONDS)
    cluster.until(lambda: not is_open(cluster, f"stock/{cluster.identity()}/{cluster.namespace}"))
    namespace.finish()
    cluster.until(lambda: cluster.namespace not in cluster.stack.kubectl("get", "namespaces", "--output=name"))
    charged = cluster.charges_of(uids.values())
    assert {name: charged[uid] for name, uid in uids.items()} == {
        "waits": (0, 0),
        "charged": (50_000, 50_000),
        "done": (50_000, 0),
        "left-alone": (0, 0),
    }
    open_workflows = [identifier for identifier in cluster.workflows() if is_open(cluster, identifier)]
    assert [identifier.split("/")[2] for identifier in open_workflows] == ["left-alone"]
    assert cluster.stock()["reserved"] == reserved
    assert cluster.stack.pid("operator") == operator

"""Processes die, servers go away; orders go on, and nothing happens twice."""

import time

import pytest
from cluster import Cluster, condition

from order_operator.temporal.cancellation import TWO_LOOKS_SECONDS

RETURN_SECONDS = 90.0
"""After a server was away: its own start, the clients' back-off of at most ten seconds, and the order itself."""


def charged_once(cluster: Cluster, count: int) -> bool:
    return list(cluster.charges().values()) == [(50_000, 0)] * count


@pytest.mark.long  # each death alone; the short suite has all of them, one after another
@pytest.mark.parametrize("process", ["operator", "worker", "temporal", "kube-apiserver", "etcd"])
def test_orders_survive_the_death_of(process: str, cluster: Cluster) -> None:
    for number in range(5):
        cluster.apply(f"order-{number}")
    cluster.stack.kill(process)
    cluster.stack.up()

    for number in range(5):
        cluster.eventually(lambda s: s.get("phase") == "Completed", f"order-{number}", RETURN_SECONDS)

    assert charged_once(cluster, 5)


def test_an_api_server_that_has_just_started_takes_orders_under_the_policies(cluster: Cluster) -> None:
    """For half a minute it refused all orders: it did not know the kind of a policy's parameters."""
    cluster.kubectl("label", "namespace", cluster.namespace, "order-platform.dev/policies=enforced")
    cluster.stack.kill("kube-apiserver")
    cluster.stack.up()

    cluster.apply()

    cluster.eventually(lambda s: s.get("phase") == "Completed", seconds=RETURN_SECONDS)


def test_orders_survive_one_death_after_another(cluster: Cluster) -> None:
    victims = ["worker", "operator", "temporal", "kube-apiserver", "worker", "etcd", "operator"]
    for number, process in enumerate(victims):
        for order in range(4):
            cluster.apply(f"order-{number}-{order}", className="standard")
        cluster.stack.kill(process)
        cluster.stack.up()

    for number in range(len(victims)):
        for order in range(4):
            name = f"order-{number}-{order}"
            cluster.eventually(lambda s: s.get("phase") == "Completed", name, RETURN_SECONDS)
    assert charged_once(cluster, 28)
    stock = cluster.stock()
    assert stock["on_hand"] + stock["reserved"] + stock["sold"] == stock["initial"] + stock["restocked"]
    assert "no flaws" in cluster.audit()


@pytest.mark.long
@pytest.mark.parametrize("process", ["kube-apiserver", "temporal"])
def test_orders_survive_five_deaths_of_a_server_five_seconds_apart(process: str, cluster: Cluster) -> None:
    """How long it lives is the fault: in five seconds the clients come back, each after a pause of its own, and begin
    to work off what waited. Any state that could be waited for has them all at one place."""
    names = [f"order-{life}-{part}-{number}" for life in range(5) for part in ("early", "late") for number in range(4)]
    for life in range(5):
        born = time.monotonic()
        of_this_life = [name for name in names if name.startswith(f"order-{life}-")]
        for name in of_this_life[:4]:
            cluster.apply(name)
        cluster.until(lambda born=born: time.monotonic() - born > 5)  # type: ignore[misc]
        for name in of_this_life[4:]:
            cluster.apply(name)
        cluster.stack.kill(process)
        cluster.stack.up()

    for name in names:
        cluster.eventually(lambda s: s.get("phase") == "Completed", name, RETURN_SECONDS)
    assert charged_once(cluster, len(names))
    assert "no flaws" in cluster.audit()


def test_a_finished_order_is_not_started_again_after_temporal_forgot_it(cluster: Cluster) -> None:
    cluster.apply()
    identifier = cluster.reaches("Completed")["workflow"]["id"]
    cluster.stack.temporal("workflow", "delete", "--yes", "--workflow-id", identifier)
    cluster.until(lambda: identifier not in cluster.workflows())

    cluster.patch("order", suspend=True)

    cluster.eventually(lambda s: s["observedGeneration"] == cluster.order()["metadata"]["generation"])
    assert cluster.status()["phase"] == "Completed"
    assert cluster.workflows() == []


def test_an_approval_given_while_the_operator_is_down_arrives(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")
    cluster.stack.kill("operator")
    cluster.patch("order", approval={"decision": "Approved", "by": "maria"})

    cluster.stack.up()

    cluster.reaches("Completed")


def test_orders_made_and_deleted_while_the_operator_is_down_are_caught_up(cluster: Cluster) -> None:
    cluster.apply("kept", total=150_000)
    cluster.apply("dropped", total=150_000)
    cluster.reaches("Waiting", "kept")
    dropped = cluster.reaches("Waiting", "dropped")["workflow"]["id"]
    cluster.stack.kill("operator")
    cluster.delete("dropped", "--wait=false")
    cluster.apply("new")

    cluster.stack.up()

    cluster.reaches("Completed", "new")
    cluster.eventually(lambda _: cluster.order("dropped") == {}, "dropped")
    assert cluster.workflow(dropped)["workflowExecutionInfo"]["status"].endswith("COMPLETED")
    assert cluster.status("kept")["phase"] == "Waiting"


def test_an_order_to_be_orphaned_goes_on_though_no_operator_saw_its_deletion(cluster: Cluster) -> None:
    """B6: the operator that came back cancelled it like any other. The last policy counts."""
    cluster.apply("orphan", total=150_000, deletionPolicy="Orphan")
    cluster.apply("orphan-at-last", total=150_000)
    cluster.apply("lost", total=150_000)
    workflows = [cluster.reaches("Waiting", name)["workflow"]["id"] for name in ("orphan", "orphan-at-last")]
    cluster.reaches("Waiting", "lost")
    orphans = cluster.orphans()
    cluster.stack.kill("operator")
    cluster.patch("orphan-at-last", deletionPolicy="Orphan")
    cluster.lose("lost")
    for name in ("orphan", "orphan-at-last"):
        cluster.delete(name, "--wait=false")

    cluster.stack.up()

    for name in ("orphan", "orphan-at-last"):
        cluster.eventually(lambda _, name=name: cluster.order(name) == {}, name)  # type: ignore[misc]
    cluster.until(lambda: cluster.orphans() > orphans)
    assert cluster.orphans() == orphans + 1  # the lost one alone
    for identifier in workflows:
        described = cluster.workflow(identifier)
        assert described["workflowExecutionInfo"]["status"].endswith("RUNNING")
        assert "Compensate" not in str(described)


@pytest.mark.long
def test_young_workflows_whose_orders_vanished_do_after_a_second_look_what_their_policy_said(cluster: Cluster) -> None:
    def runs(identifier: str) -> bool:
        status: str = cluster.workflow(identifier)["workflowExecutionInfo"]["status"]
        return status.endswith("RUNNING")

    cluster.apply("cancel", total=150_000)
    cluster.apply("orphan", total=150_000, deletionPolicy="Orphan")
    to_end, to_go_on = (cluster.reaches("Waiting", name)["workflow"]["id"] for name in ("cancel", "orphan"))
    orphans = cluster.orphans()
    cluster.stack.kill("operator")
    for name in ("cancel", "orphan"):
        cluster.lose(name)

    cluster.stack.up()

    cluster.until(lambda: cluster.orphans() == orphans + 2)
    cluster.until(lambda: cluster.orphans() == orphans, TWO_LOOKS_SECONDS + 120)
    cluster.until(lambda: not runs(to_end))
    assert runs(to_go_on)
    assert "Compensate" not in str(cluster.workflow(to_go_on))


def test_while_temporal_is_away_an_order_says_so_and_then_goes_on(cluster: Cluster) -> None:
    cluster.stack.stop("temporal")
    cluster.apply()

    status = cluster.eventually(lambda s: condition(s, "Accepted").get("reason") == "TemporalUnavailable")
    assert status["phase"] == "Pending"

    cluster.stack.up()
    cluster.eventually(lambda s: s.get("phase") == "Completed", seconds=RETURN_SECONDS)


def test_a_deletion_that_temporal_holds_up_says_so_and_then_ends(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")
    cluster.stack.stop("temporal")

    cluster.delete("order", "--wait=false")

    cluster.eventually(lambda s: condition(s, "Reconciling").get("reason") == "TemporalUnavailable")
    cluster.stack.up()
    cluster.eventually(lambda _: cluster.order() == {}, seconds=RETURN_SECONDS)


def test_an_outage_of_temporal_costs_one_status_write(cluster: Cluster) -> None:
    cluster.stack.stop("temporal")
    cluster.apply()
    cluster.eventually(lambda s: condition(s, "Accepted").get("reason") == "TemporalUnavailable")
    version = cluster.order()["metadata"]["resourceVersion"]

    cluster.apply("second")
    cluster.eventually(lambda s: condition(s, "Accepted").get("reason") == "TemporalUnavailable", "second")

    assert cluster.order()["metadata"]["resourceVersion"] == version


def test_an_order_waits_while_no_worker_runs(cluster: Cluster) -> None:
    cluster.stack.stop("worker")
    cluster.apply()
    cluster.reaches("Running")

    cluster.stack.up()

    cluster.reaches("Completed")


def test_an_edit_waits_while_no_worker_runs(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")
    cluster.stack.stop("worker")

    cluster.patch("order", approval={"decision": "Approved", "by": "maria"})
    cluster.eventually(lambda s: condition(s, "SpecApplied").get("reason") == "Applying")

    cluster.stack.up()
    cluster.eventually(lambda s: s.get("phase") == "Completed", seconds=RETURN_SECONDS)

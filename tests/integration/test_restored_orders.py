"""Orders that were restored from a backup: the same objects under other uids, while their workflows live on."""

import json
from typing import Any

import pytest
from cluster import Cluster
from test_evidence import approve_in_spec, wait_for_approval


def backed_up(cluster: Cluster, *, with_status: bool = False) -> dict[str, Any]:
    """The order as a backup has it."""
    order = cluster.order()
    kept = {key: order["metadata"][key] for key in ("name", "finalizers") if key in order["metadata"]}
    return {**order, "metadata": kept, "status": order["status"] if with_status else {}}


def restore(cluster: Cluster, backup: dict[str, Any]) -> None:
    """As a tool for backups does it: with its status, if the backup has one."""
    cluster.kubectl("create", "--filename=-", input=json.dumps({**backup, "status": {}}))
    if backup["status"]:
        cluster.create_status("order", backup["status"])


@pytest.mark.parametrize("with_status", [False, True])
def test_a_waiting_order_that_is_restored_goes_on_waiting_and_can_be_approved(
    cluster: Cluster, with_status: bool
) -> None:
    """Its workflow was cancelled within a minute, and the restored order was a Duplicate of itself."""
    identifier = wait_for_approval(cluster)
    backup = backed_up(cluster, with_status=with_status)
    cluster.apply("lost", total=150_000)
    cluster.reaches("Waiting", "lost")
    orphans = cluster.orphans()
    cluster.stack.kill("operator")
    cluster.lose()
    cluster.lose("lost")
    restore(cluster, backup)

    cluster.stack.up()

    cluster.eventually(lambda status: status.get("phase") == "Waiting" and status["workflow"]["id"] == identifier)
    cluster.until(lambda: cluster.orphans() > orphans)
    assert cluster.orphans() == orphans + 1  # the lost one alone
    approve_in_spec(cluster)
    assert cluster.reaches("Completed")["payment"]["capturedMinor"] == 150_000
    assert [each for each in cluster.workflows() if "/order/" in each.removeprefix("order/")] == [identifier]
    assert sorted(cluster.charges().values()) == [(0, 0), (150_000, 0)]
    assert "adopted" in cluster.audit_of("order")
    cluster.delete("order")


def test_an_adopted_order_that_is_deleted_is_undone(cluster: Cluster) -> None:
    identifier = wait_for_approval(cluster)
    backup = backed_up(cluster)
    cluster.stack.kill("operator")
    cluster.lose()
    restore(cluster, backup)
    cluster.stack.up()
    cluster.eventually(lambda status: status.get("phase") == "Waiting" and status["workflow"]["id"] == identifier)
    cluster.stack.kill("operator")
    cluster.stack.up()

    cluster.delete("order")

    described = cluster.workflow(identifier)["workflowExecutionInfo"]
    assert described["status"].endswith("COMPLETED")
    assert cluster.stock()["reserved"] == 0


def test_an_order_that_completed_after_the_backup_is_shown_as_completed(cluster: Cluster) -> None:
    identifier = wait_for_approval(cluster)
    backup = backed_up(cluster, with_status=True)
    approve_in_spec(cluster)
    cluster.reaches("Completed")
    cluster.delete("order")
    cluster.stack.kill("operator")
    restore(cluster, backup)

    cluster.stack.up()

    cluster.reaches("Completed")
    assert cluster.workflows() == [identifier]


def test_a_completed_order_that_is_restored_without_its_status_is_told_that_it_was_completed(cluster: Cluster) -> None:
    wait_for_approval(cluster)
    backup, first = backed_up(cluster), cluster.order()["metadata"]["uid"]
    approve_in_spec(cluster)
    cluster.reaches("Completed")
    cluster.delete("order")

    restore(cluster, backup)

    status = cluster.reaches("Duplicate")
    assert f"was completed under this name before (uid {first})" in status["lastError"]["message"]
    assert sorted(cluster.charges().values()) == [(0, 0), (150_000, 0)]


def test_an_order_restored_in_another_cluster_waits_until_somebody_says_from_where(
    cluster: Cluster, elsewhere: Cluster
) -> None:
    identifier = wait_for_approval(cluster)

    restore(elsewhere, backed_up(cluster))

    held = elsewhere.eventually(lambda status: "RestoredElsewhere" in json.dumps(status))
    assert held["phase"] == "Pending"
    elsewhere.patch("order", adoptFrom=cluster.identity())
    elsewhere.eventually(lambda status: status.get("phase") == "Waiting" and status["workflow"]["id"] == identifier)
    cluster.eventually(lambda status: "AdoptedElsewhere" in json.dumps(status))
    cluster.delete("order")
    approve_in_spec(elsewhere)
    elsewhere.reaches("Completed")
    assert list(cluster.charges().values()) == [(150_000, 0)]


def test_an_order_restored_in_another_cluster_does_not_begin_there_once_the_first_one_has_completed(
    cluster: Cluster, elsewhere: Cluster
) -> None:
    """It was charged a second time."""
    wait_for_approval(cluster)
    restore(elsewhere, backed_up(cluster))
    elsewhere.eventually(lambda status: "RestoredElsewhere" in json.dumps(status))
    approve_in_spec(cluster)
    cluster.reaches("Completed")

    elsewhere.stack.kill("operator")
    elsewhere.stack.up()
    elsewhere.apply("another")
    elsewhere.reaches("Completed", "another")  # it leads, and has seen all that is open

    assert "RestoredElsewhere" in json.dumps(elsewhere.order()["status"])
    elsewhere.patch("order", adoptFrom=cluster.identity())
    elsewhere.reaches("Completed")
    assert len([paid for paid, _ in cluster.charges().values() if paid == 150_000]) == 1


def test_an_order_that_was_taken_over_by_another_cluster_can_be_taken_back(
    cluster: Cluster, elsewhere: Cluster
) -> None:
    identifier = wait_for_approval(cluster)
    restore(elsewhere, backed_up(cluster))
    elsewhere.eventually(lambda status: "RestoredElsewhere" in json.dumps(status))
    elsewhere.patch("order", adoptFrom=cluster.identity())
    cluster.eventually(lambda status: "AdoptedElsewhere" in json.dumps(status))

    cluster.patch("order", adoptFrom=elsewhere.identity())

    elsewhere.eventually(lambda status: "AdoptedElsewhere" in json.dumps(status))
    cluster.eventually(lambda status: "AdoptedElsewhere" not in json.dumps(status) and status["phase"] == "Waiting")
    elsewhere.delete("order")
    approve_in_spec(cluster)
    assert cluster.reaches("Completed")["workflow"]["id"] == identifier
    assert list(cluster.charges().values()) == [(150_000, 0)]


def test_a_suspension_whose_id_the_workflow_knows_from_before_a_restore_holds_the_order(cluster: Cluster) -> None:
    """Temporal answered with what it had answered before, and the edit was applying for ever."""
    identifier = wait_for_approval(cluster)
    metadata = cluster.order()["metadata"]
    update(cluster, identifier, "suspend", f"{metadata['uid']}/suspend/true/{metadata['generation'] + 1}")
    update(cluster, identifier, "resume", f"{metadata['uid']}/suspend/false/{metadata['generation'] + 2}")

    cluster.patch("order", suspend=True)

    cluster.reaches("Suspended")
    cluster.until(lambda: cluster.condition("SpecApplied")["status"] == "True")
    cluster.delete("order")


def update(cluster: Cluster, identifier: str, name: str, update_id: str) -> None:
    """As the operator did before etcd was restored."""
    cluster.stack.temporal(
        "workflow", "update", "execute", "--workflow-id", identifier, "--name", name, "--update-id", update_id
    )

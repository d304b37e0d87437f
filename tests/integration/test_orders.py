"""Orders from `kubectl apply` to their end, as their owners see them."""

import json

import pytest
from cluster import ORDERS, Cluster, condition

from order_devstack.errors import CommandFailed

APPROVED = {"decision": "Approved", "by": "maria"}


def approved(total_minor: int) -> dict[str, object]:
    """A decision that says which amount it is about, as one about a changed order must."""
    return {**APPROVED, "totalMinor": total_minor}


def only_charge(cluster: Cluster) -> tuple[int, int]:
    (charge,) = cluster.charges().values()
    return charge


def test_an_order_below_the_threshold_completes_by_itself(cluster: Cluster) -> None:
    cluster.apply(total=100_000)

    status = cluster.reaches("Completed")

    assert (status["orderStatus"], status["progress"], status["total"]) == ("Order Completed", 100, "1000.00 USD")
    assert only_charge(cluster) == (100_000, 0)


def test_kubectl_wait_sees_the_end(cluster: Cluster) -> None:
    cluster.apply()

    cluster.kubectl("wait", "--for=condition=Finished", f"{ORDERS}/order", "--timeout=30s")
    cluster.kubectl("wait", "--for=condition=Complete", f"{ORDERS}/order", "--timeout=5s")


def test_an_order_above_the_threshold_goes_on_when_approved(cluster: Cluster) -> None:
    cluster.apply(total=100_001)
    waiting = cluster.reaches("Waiting")
    assert waiting["pendingAction"]["kind"] == "Approve"

    cluster.patch("order", approval=APPROVED)

    status = cluster.reaches("Completed")
    assert (status["approval"]["decision"], status["approval"]["by"]) == ("Approved", "maria")


def test_a_rejected_order_ends_without_a_charge(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")

    cluster.patch("order", approval={"decision": "Rejected", "by": "maria", "reason": "over budget"})

    status = cluster.reaches("Rejected")
    assert "over budget" in status["lastError"]["message"]
    assert only_charge(cluster) == (0, 0)


def test_a_decision_given_with_the_order_is_kept_until_it_is_needed(cluster: Cluster) -> None:
    cluster.apply(total=150_000, approval=APPROVED)

    assert cluster.reaches("Completed")["approval"]["by"] == "maria"


def test_an_order_without_a_decision_expires(cluster: Cluster) -> None:
    cluster.create(
        {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "OrderClass",
            "metadata": {"name": f"hasty-{cluster.namespace}"},
            "spec": {
                "pipeline": ["Receive", "Validate", "ReserveStock", "Approval", "ChargePayment", "Ship"],
                "approval": {"mode": "Always", "windowSeconds": 2},
            },
        }
    )
    cluster.apply(className=f"hasty-{cluster.namespace}")

    status = cluster.reaches("Expired")

    assert condition(status, "Reserved")["reason"] == "Undone"
    assert status["approval"]["decision"] == "Expired"


def test_a_declined_payment_releases_the_stock(cluster: Cluster) -> None:
    cluster.apply(payment={"method": "tok_chargeDeclined"})

    status = cluster.reaches("Failed")

    assert status["lastError"]["type"] == "PaymentDeclined"
    assert condition(status, "Reserved")["reason"] == "Undone"
    assert condition(status, "Compensated")["status"] == "True"
    assert only_charge(cluster) == (0, 0)


def test_an_undeliverable_order_is_refunded(cluster: Cluster) -> None:
    address = {"name": "Ana", "line1": "1 Main Street", "city": "Nowhere", "postalCode": "00000", "country": "US"}
    cluster.apply(shippingAddress=address)

    status = cluster.reaches("Failed")

    assert status["lastError"]["type"] == "Undeliverable"
    assert only_charge(cluster) == (50_000, 50_000)


def test_an_order_is_cancelled_while_it_waits(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")

    cluster.patch("order", cancellation={"by": "ana", "reason": "ordered twice"})

    assert "ordered twice" in cluster.reaches("Cancelled")["lastError"]["message"]


def test_an_order_that_comes_with_a_cancellation_is_never_charged(cluster: Cluster) -> None:
    cluster.apply(cancellation={"by": "ana", "reason": "ordered twice"})

    status = cluster.reaches("Cancelled")
    assert status["lastError"]["message"] == "cancelled by ana: ordered twice"
    assert cluster.condition("SpecApplied")["status"] == "True"
    assert only_charge(cluster) == (0, 0)


def test_an_address_changed_in_time_is_used(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")

    cluster.patch("order", shippingAddress={"line1": "7 New Street"})

    cluster.eventually(lambda status: status.get("shippingAddress", {}).get("line1") == "7 New Street")
    assert cluster.condition("SpecApplied")["status"] == "True"


def test_an_address_set_by_signal_stands_until_the_resource_asks_for_another(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    identifier = cluster.reaches("Waiting")["workflow"]["id"]
    elsewhere = {**cluster.order()["spec"]["shippingAddress"], "line1": "9 Signal Road"}
    signal = ("workflow", "signal", "--workflow-id", identifier, "--name", "update_address")
    cluster.stack.temporal(*signal, "--input", json.dumps(elsewhere))
    cluster.eventually(lambda status: status["shippingAddress"]["line1"] == "9 Signal Road")
    cluster.patch("order", approval={"decision": "Approved", "by": "maria"})

    status = cluster.reaches("Completed")

    assert status["shippingAddress"]["line1"] == "9 Signal Road"
    assert condition(status, "SpecApplied")["status"] == "True"


def test_an_address_cannot_be_changed_after_shipping(cluster: Cluster) -> None:
    cluster.apply()
    cluster.reaches("Completed")

    with pytest.raises(CommandFailed, match="shippingAddress"):
        cluster.patch("order", shippingAddress={"line1": "7 New Street"})


def a_line(identifier: str, price: int, quantity: int = 1) -> dict[str, object]:
    return {"lineID": identifier, "sku": "PROD-001", "quantity": quantity, "unitPriceMinor": price}


def test_a_line_added_while_the_order_waits_is_paid_for(cluster: Cluster) -> None:
    cluster.apply(total=150_000, className="standard")
    cluster.reaches("Waiting")

    cluster.patch("order", lines=[a_line("1", 150_000), a_line("2", 7)])
    changed = cluster.eventually(lambda status: status.get("totalMinor") == 150_007)
    cluster.patch("order", approval=approved(150_007))

    assert condition(changed, "SpecApplied")["status"] == "True"
    cluster.reaches("Completed")
    assert only_charge(cluster) == (150_007, 0)


def test_lines_that_cost_less_need_no_approval_any_more(cluster: Cluster) -> None:
    cluster.apply(total=100_001)
    cluster.reaches("Waiting")

    cluster.patch("order", lines=[a_line("1", 100_000)])

    assert condition(cluster.reaches("Completed"), "Approved")["reason"] == "NotRequired"
    assert only_charge(cluster) == (100_000, 0)


def test_lines_and_the_approval_of_them_may_come_in_one_edit(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")

    cluster.patch("order", lines=[a_line("1", 200_000)], approval=approved(200_000))

    status = cluster.reaches("Completed")
    assert status["approval"]["generation"] == 2
    assert only_charge(cluster) == (200_000, 0)


def test_an_approval_of_lines_that_cannot_be_had_approves_nothing_until_it_is_given_anew(cluster: Cluster) -> None:
    cluster.apply(total=150_000, className="standard")
    cluster.reaches("Waiting")

    cluster.patch("order", lines=[a_line("1", 150_000, quantity=1_000_000)], approval=APPROVED)
    refused = cluster.eventually(lambda status: condition(status, "SpecApplied").get("status") == "False")
    cluster.patch("order", lines=[a_line("1", 150_001)], approval=None)
    cluster.eventually(lambda status: status.get("totalMinor") == 150_001)
    still_waiting = cluster.status()
    cluster.patch("order", approval=approved(150_001))

    assert condition(refused, "SpecApplied")["reason"] == "LinesNotApplied"
    assert refused["observedGeneration"] == 2
    assert (refused["phase"], refused["totalMinor"]) == ("Waiting", 150_000)
    assert still_waiting["phase"] == "Waiting"
    assert "decision" not in still_waiting["approval"]
    cluster.reaches("Completed")
    assert only_charge(cluster) == (150_001, 0)


def test_the_lines_of_an_order_that_was_charged_cannot_be_changed(cluster: Cluster) -> None:
    cluster.apply()
    cluster.reaches("Completed")

    with pytest.raises(CommandFailed, match=r"spec\.lines: Forbidden"):
        cluster.patch("order", lines=[a_line("1", 1)])


def test_an_edit_that_the_workflow_refuses_is_observed_and_explained(cluster: Cluster) -> None:
    cluster.apply(suspend=True)
    cluster.reaches("Suspended")

    cluster.patch("order", approval=APPROVED)

    status = cluster.eventually(lambda status: condition(status, "SpecApplied").get("status") == "False")
    assert condition(status, "SpecApplied")["reason"] == "ApprovalNotRequired"
    assert status["observedGeneration"] == cluster.order()["metadata"]["generation"]


def test_a_suspended_order_goes_on_when_resumed(cluster: Cluster) -> None:
    cluster.apply(suspend=True)
    cluster.reaches("Suspended")

    cluster.patch("order", suspend=False)

    cluster.reaches("Completed")


def test_an_unknown_class_is_named_and_awaited(cluster: Cluster) -> None:
    name = f"later-{cluster.namespace}"
    cluster.apply(className=name)
    status = cluster.eventually(lambda status: condition(status, "Accepted").get("reason") == "ClassNotFound")
    assert name in condition(status, "Accepted")["message"]
    assert condition(status, "Stalled")["status"] == "True"

    cluster.create(
        {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "OrderClass",
            "metadata": {"name": name},
            "spec": {"pipeline": ["Receive", "Validate", "ReserveStock", "ChargePayment", "Ship"]},
        }
    )

    cluster.reaches("Completed")


def test_an_order_without_a_class_follows_the_default_one(cluster: Cluster) -> None:
    cluster.apply(className=None)

    assert cluster.reaches("Completed")["className"] == "standard"


@pytest.mark.parametrize("class_name", ["durable-stock", "reviewed-ledger", "enriched-saga"])
def test_an_order_of_a_class_that_ships_completes(cluster: Cluster, class_name: str) -> None:
    approval = APPROVED if class_name in {"reviewed-ledger", "enriched-saga"} else None
    cluster.apply(className=class_name, approval=approval)

    status = cluster.reaches("Completed")

    assert {step["state"] for step in status["steps"]} == {"Succeeded"}
    assert only_charge(cluster) == (50_000, 0)


def test_an_order_of_class_scenario_demo_ships_to_the_address_corrected_in_time(cluster: Cluster) -> None:
    cluster.apply(className="scenario-demo")
    cluster.eventually(lambda status: status.get("orderStatus") == "Await Address")

    cluster.patch("order", shippingAddress={"line1": "7 New Street"})

    status = cluster.reaches("Completed")
    assert status["shippingAddress"]["line1"] == "7 New Street"
    assert [item["sku"] for item in status["items"]] == ["PROD-001"]


def test_the_columns_tell_where_the_order_is_and_in_wide_output_who_decided_and_where_its_parcel_is(
    cluster: Cluster,
) -> None:
    cluster.apply(className="enriched-saga")
    assert cluster.reaches("Waiting")["enrichment"]["tier"]
    cluster.patch("order", approval={"decision": "Approved", "by": "maria"})
    status = cluster.reaches("Completed")

    head, row = cluster.kubectl("get", "ord").splitlines()
    wide_head, wide_row = cluster.kubectl("get", "ord", "--output=wide").splitlines()

    assert head.split() == ["NAME", "PHASE", "STATUS", "PROGRESS", "TOTAL", "AGE", "MESSAGE"]
    assert row.endswith(status["message"])
    assert set(wide_head.split()) - set(head.split()) == {"CLASS", "DECISION", "DECIDED-BY", "TRACKING", "ETA"}
    assert ("enriched-saga" in wide_row, "maria" in wide_row) == (True, True)


def test_an_unknown_article_makes_the_order_invalid(cluster: Cluster) -> None:
    line = {"lineID": "1", "sku": "NO-SUCH-THING", "quantity": 1, "unitPriceMinor": 100}
    cluster.apply(lines=[line, a_line("2", 100)])

    invalid = cluster.reaches("Invalid")
    assert "NO-SUCH-THING" in invalid["lastError"]["message"]
    assert {step["name"]: step["state"] for step in invalid["steps"] if step["state"] == "Succeeded"} == {
        "Receive": "Succeeded"
    }
    assert only_charge(cluster) == (0, 0)


def test_a_second_order_with_the_same_number_is_a_duplicate_of_the_first(cluster: Cluster) -> None:
    cluster.apply("first", orderID="NUMBER-1")
    cluster.reaches("Completed", "first")

    cluster.apply("second", orderID="NUMBER-1")

    assert "first" in cluster.reaches("Duplicate", "second")["lastError"]["message"]
    assert sorted(cluster.charges().values()) == [(0, 0), (50_000, 0)]


def test_deleting_a_waiting_order_cancels_it_before_it_goes(cluster: Cluster) -> None:
    cluster.apply(total=150_000, className="standard")
    identifier = cluster.reaches("Waiting")["workflow"]["id"]

    cluster.delete("order")

    outcome = cluster.workflow(identifier)
    assert outcome["workflowExecutionInfo"]["status"].endswith("COMPLETED")
    assert "Order Cancelled" in str(outcome)


def test_deleting_with_policy_orphan_leaves_the_workflow_running(cluster: Cluster) -> None:
    cluster.apply(total=150_000, deletionPolicy="Orphan")
    identifier = cluster.reaches("Waiting")["workflow"]["id"]

    cluster.delete("order")

    assert cluster.workflow(identifier)["workflowExecutionInfo"]["status"].endswith("RUNNING")


def test_an_order_created_again_under_its_name_is_another_order(cluster: Cluster) -> None:
    cluster.apply(orderID="A-1")
    first = cluster.reaches("Completed")["workflow"]["id"]
    cluster.delete("order")

    cluster.apply(orderID="A-2")

    assert cluster.reaches("Completed")["workflow"]["id"] != first
    assert list(cluster.charges().values()) == [(50_000, 0), (50_000, 0)]


@pytest.mark.parametrize("forged", [{"phase": "Completed", "observedGeneration": 1}, {"phase": "Pending"}])
def test_a_forged_status_is_put_right(cluster: Cluster, forged: dict[str, object]) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")

    cluster.create_status("order", forged)

    status = cluster.eventually(lambda status: status.get("orderStatus") == "Await Approval")
    assert status["phase"] == "Waiting"


def test_the_status_of_a_finished_order_is_restored_when_it_is_wiped(cluster: Cluster) -> None:
    cluster.apply()
    before = cluster.reaches("Completed")

    cluster.create_status("order", {})

    after = cluster.reaches("Completed")
    assert after["payment"] == before["payment"]


def test_finished_orders_are_deleted_without_the_operator(cluster: Cluster) -> None:
    cluster.apply()
    cluster.reaches("Completed")

    cluster.stack.stop("operator")

    cluster.delete("order")
    assert cluster.order() == {}


def test_one_order_costs_no_more_api_writes_than_promised(cluster: Cluster) -> None:
    before = cluster.api_writes()

    cluster.apply(className="standard")
    cluster.reaches("Completed")

    # The user's POST, the first status and the last. A run slowed down past five seconds may add one of progress and
    # the finalizer on and off.
    assert cluster.api_writes() - before <= 3 + 3


def test_events_tell_of_waiting_and_of_bad_ends_once_each(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")
    cluster.patch("order", cancellation={"by": "ana"})
    cluster.reaches("Cancelled")

    cluster.eventually(lambda _: sorted(cluster.events("order")) == ["Cancelled", "Waiting"])


def test_an_order_that_waits_carries_the_finalizer_and_loses_it_at_its_end(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")
    assert cluster.order()["metadata"]["finalizers"] == ["order-platform.dev/compensation"]

    cluster.patch("order", approval=APPROVED)

    cluster.reaches("Completed")
    assert "finalizers" not in cluster.order()["metadata"]


def test_a_young_order_that_is_deleted_is_cancelled_all_the_same(cluster: Cluster) -> None:
    cluster.stack.stop("worker")
    cluster.apply(className="standard")
    identifier = cluster.reaches("Running")["workflow"]["id"]

    cluster.delete("order")
    cluster.stack.up()

    cluster.until(lambda: cluster.workflow(identifier)["workflowExecutionInfo"]["status"].endswith("COMPLETED"))
    assert list(cluster.charges().values()) == [(0, 0)]


def test_twenty_orders_at_once_are_all_charged_once(cluster: Cluster) -> None:
    for number in range(20):
        cluster.apply(f"order-{number}")

    for number in range(20):
        cluster.reaches("Completed", f"order-{number}")
    assert list(cluster.charges().values()) == [(50_000, 0)] * 20

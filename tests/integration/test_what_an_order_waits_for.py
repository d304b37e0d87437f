"""What the resource says while work fails, while nobody is there to do it, and of messages that came in vain."""

import json
from typing import Any

import pytest
from cluster import Cluster, condition

from order_domain.pipeline import StepName

NO_WORKER_SECONDS = 150.0
"""DESIGN: told at the latest after 90 s; the rest is for a machine that is busy with other tests."""


STEPS = ["Receive", "Validate", "CheckFraud", "ChargePayment", "Ship"]


def a_class_that_fails(cluster: Cluster, step: str, attempts: int, *, pause: int = 4, **policy: Any) -> str:
    """An OrderClass of which the first attempts at `step` fail, `pause` seconds apart; `policy` are fields of its
    spec."""
    name = f"{cluster.namespace}-{step.lower()}-fails"
    cluster.create(
        {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "OrderClass",
            "metadata": {"name": name},
            "spec": {
                "pipeline": STEPS,
                "retry": {"default": {"initialSeconds": pause, "coefficient": 1, "maxIntervalSeconds": pause}},
                "simulation": {"steps": {step: {"failAttempts": attempts}}},
                **policy,
            },
        }
    )
    return name


def step(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next((item for item in status.get("steps", []) if item["name"] == name), {})
    return found


@pytest.mark.parametrize("name", [StepName.CHARGE_PAYMENT, StepName.CHECK_FRAUD], ids=["remote", "local"])
def test_a_step_that_fails_shows_attempts_error_and_next_try_while_it_is_tried_again(
    cluster: Cluster, name: str
) -> None:
    """It looked like an order that makes progress: Running, Ready, without a word of the error."""
    cluster.apply(className=a_class_that_fails(cluster, name, 3))

    failing = cluster.eventually(lambda status: "nextAttemptAt" in step(status, name))
    completed = cluster.reaches("Completed")

    assert step(failing, name)["attempts"] >= 1
    assert "attempt" in step(failing, name)["lastError"]
    assert "failed: " in failing["message"]
    assert "next try at" in failing["message"]
    assert (condition(failing, "Reconciling")["status"], condition(failing, "Reconciling")["reason"]) == (
        "True",
        "StepRetrying",
    )
    assert condition(completed, "Reconciling")["status"] == "False"
    assert "nextAttemptAt" not in step(completed, name)


def test_all_steps_of_the_pipeline_are_in_the_status_those_to_come_as_well(cluster: Cluster) -> None:
    cluster.apply(total=150_000)

    waiting = cluster.reaches("Waiting")

    states = [item["state"] for item in waiting["steps"]]
    assert states[-1] == "Pending"
    assert states.index("Waiting") < states.index("Pending")
    cluster.patch("order", approval={"decision": "Approved", "by": "maria"})
    assert {item["state"] for item in cluster.reaches("Completed")["steps"]} <= {"Succeeded", "Skipped"}


def test_a_signal_in_vain_is_told_in_the_resource(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    workflow = cluster.reaches("Waiting")["workflow"]["id"]

    cluster.stack.temporal("workflow", "signal", "--workflow-id", workflow, "--name=aprove", "--input=true")

    refusal = cluster.eventually(lambda status: "lastRefusal" in status)["lastRefusal"]
    assert (refusal["what"], refusal["reason"]) == ("aprove", "unknown")


def test_an_address_signalled_after_shipping_is_told_in_the_resource_and_by_an_event(cluster: Cluster) -> None:
    """Temporal's command line says that it was sent, and that is all its user hears."""
    shipping = a_class_that_fails(cluster, "Notify", 100, pipeline=[*STEPS, "Notify"])
    cluster.apply(className=shipping)
    shipped = cluster.eventually(lambda status: step(status, "Notify").get("attempts", 0) > 0)

    address = json.dumps({**shipped["shippingAddress"], "line1": "7 New Street"})
    workflow = shipped["workflow"]["id"]
    cluster.stack.temporal("workflow", "signal", "--workflow-id", workflow, "--name=update_address", "--input", address)

    refusal = cluster.eventually(lambda status: "lastRefusal" in status)["lastRefusal"]
    assert refusal["what"] == "update_address"
    assert refusal["reason"].startswith("AlreadyShipped: ")
    cluster.until(lambda: "SignalIgnored" in cluster.events("order"))


def test_a_mail_that_could_not_be_sent_is_a_warning_and_fails_no_order(cluster: Cluster) -> None:
    once = {"initialSeconds": 1, "coefficient": 1, "maxIntervalSeconds": 1, "maxAttempts": 1}
    mailing = a_class_that_fails(cluster, "Notify", 100, pipeline=[*STEPS, "Notify"], retry={"default": once})
    cluster.apply(className=mailing)

    completed = cluster.reaches("Completed")

    assert condition(completed, "Notified")["reason"] == "Failed"
    cluster.until(lambda: cluster.events("order") == ["NotificationFailed"])


def test_a_class_says_that_orders_can_follow_it(cluster: Cluster) -> None:
    name = a_class_that_fails(cluster, "Ship", 0)

    cluster.stack.kubectl("wait", "--for=condition=Ready", f"orderclasses.order-platform.dev/{name}", "--timeout=30s")


@pytest.mark.long
def test_an_order_for_which_there_is_no_worker_says_so_and_names_the_task_queue(cluster: Cluster) -> None:
    cluster.stack.stop("worker")
    cluster.apply()

    held_up = cluster.eventually(
        lambda status: condition(status, "Reconciling").get("reason") == "NoWorker", seconds=NO_WORKER_SECONDS
    )
    cluster.stack.up()
    completed = cluster.reaches("Completed")

    assert "no worker asks for tasks of task queue orders: start one" in held_up["message"]
    assert (condition(held_up, "Ready")["status"], condition(held_up, "Reconciling")["status"]) == ("Unknown", "True")
    assert condition(completed, "Ready")["status"] == "True"


@pytest.mark.long
def test_an_order_whose_shipping_workers_are_away_names_their_task_queue(cluster: Cluster) -> None:
    cluster.stack.stop("shipping-worker")
    cluster.apply(className="reviewed-ledger")
    cluster.reaches("Waiting")
    cluster.patch("order", approval={"decision": "Approved", "by": "maria"})

    held_up = cluster.eventually(
        lambda status: "task queue shipping:" in status.get("message", ""), seconds=NO_WORKER_SECONDS
    )
    cluster.stack.up()
    cluster.reaches("Completed")

    assert (held_up["orderStatus"], condition(held_up, "Reconciling")["reason"]) == ("Ship Order", "NoWorker")

"""What the operator tells by Kubernetes Events, how often, and under which name."""

import asyncio
from typing import Any, cast

import pytest
from builders import an_order_resource
from kubernetes.aio import client

from order_operator import metrics
from order_operator.cluster.api import KubernetesApi
from order_operator.cluster.events import EVENTS_A_MINUTE, MINUTE, Event, EventRecorder, event_name
from order_operator.orders.events import count_decision, news

WAITS_FOR_APPROVAL = {
    "phase": "Waiting",
    "orderStatus": "Await Approval",
    "message": "waits for approval of 1500.00 USD",
    "pendingAction": {"kind": "Approve", "deadline": "2026-03-04T05:06:07Z"},
}
WAITS_FOR_STOCK = {"phase": "Waiting", "orderStatus": "Await Stock"}


def conditions(**reasons: tuple[str, str]) -> dict[str, Any]:
    """A status with these conditions: type to status and reason."""
    found = [
        {"type": kind, "status": status, "reason": reason, "observedGeneration": 2, "message": "because"}
        for kind, (status, reason) in reasons.items()
    ]
    return {"conditions": found, "currentStep": "ChargePayment"}


def told(status: dict[str, Any], before: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """Kind and reason of each event."""
    return [(event.kind, event.reason) for event in news(status, before or {})]


def name_of(status: dict[str, Any]) -> str:
    [event] = news(status, {})
    return event_name(an_order_resource(), event.occasion)


def test_an_order_that_waits_says_for_what() -> None:
    [event] = news(WAITS_FOR_APPROVAL, {"phase": "Running"})

    assert (event.kind, event.reason, event.note) == ("Normal", "Waiting", "waits for approval of 1500.00 USD")


def test_an_order_that_waits_a_second_time_is_told_again() -> None:
    """B32: the name ended in the phase, so that only the first Waiting was told."""
    pending = {"kind": "Approve", "deadline": "2026-03-04T06:00:00Z"}
    again = {**WAITS_FOR_APPROVAL, "pendingAction": pending}

    assert len({name_of(status) for status in (WAITS_FOR_APPROVAL, WAITS_FOR_STOCK, again)}) == 3


@pytest.mark.parametrize("status", [WAITS_FOR_APPROVAL, {"phase": "Failed"}, conditions(SpecApplied=("False", "X"))])
def test_what_was_told_before_is_not_told_again(status: dict[str, Any]) -> None:
    assert told(status)
    assert told(status, status) == []


@pytest.mark.parametrize("phase", ["Running", "Pending", "Compensating", "Completed", None])
def test_what_nobody_has_to_know_is_not_told(phase: str | None) -> None:
    going_well = conditions(
        Accepted=("True", "Submitted"), SpecApplied=("True", "Applied"), Complete=("True", "Completed")
    )

    assert told({**going_well, "phase": phase}) == []


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (conditions(Accepted=("False", "ClassNotFound")), "Warning", "NotAccepted"),
        (conditions(Reconciling=("True", "StepRetrying")), "Warning", "StepRetrying"),
        (conditions(SpecApplied=("False", "AlreadyShipped")), "Warning", "EditRefused"),
        (conditions(Notified=("False", "Failed")), "Warning", "NotificationFailed"),
        (conditions(Complete=("True", "CancelledInPart")), "Normal", "CompletedInPart"),
        ({"lastRefusal": {"what": "aprove", "reason": "unknown", "at": "2026"}}, "Warning", "SignalIgnored"),
        ({"phase": "Expired"}, "Warning", "Expired"),
        ({"phase": "Cancelled"}, "Normal", "Cancelled"),
    ],
)
def test_a_transition_that_a_person_wants_to_know_is_told(status: dict[str, Any], kind: str, reason: str) -> None:
    assert told(status) == [(kind, reason)]


def test_a_refused_edit_is_told_again_for_the_next_edit() -> None:
    first = conditions(SpecApplied=("False", "AlreadyShipped"))
    second = conditions(SpecApplied=("False", "AlreadyShipped"))
    second["conditions"][0]["observedGeneration"] = 3

    assert told(second, first) == [("Warning", "EditRefused")]


def test_the_name_of_an_event_is_one_that_kubernetes_takes_however_long_the_orders() -> None:
    [event] = news(WAITS_FOR_APPROVAL, {})
    name = event_name(an_order_resource(name="a" * 199 + "-" + "b" * 53), event.occasion)

    assert len(name) <= 253
    assert name == name.lower()
    assert " " not in name
    assert "-." not in name


class Api:
    def __init__(self) -> None:
        self.events: list[client.EventsV1Event] = []

    async def create_event(self, _: str, event: client.EventsV1Event) -> None:
        self.events.append(event)


async def test_an_outage_of_very_many_orders_does_not_drown_the_api_server_in_events() -> None:
    api, clock = Api(), [0.0]
    recorder = EventRecorder(cast("KubernetesApi", api), "me", clock=lambda: clock[0])

    for number in range(EVENTS_A_MINUTE + 50):
        recorder.tell(an_order_resource(), Event(f"Failed.{number}", "Warning", "Failed", "it failed"))
    clock[0] = MINUTE
    recorder.tell(an_order_resource(), Event("later", "Warning", "Failed", "it failed"))
    for _ in range(10):
        await asyncio.sleep(0)

    assert len(api.events) == EVENTS_A_MINUTE + 1


def decision(**changes: object) -> dict[str, Any]:
    approval = {"required": True, "decision": "Approved", "by": "bob", "via": "kubernetes", "proof": "Policy"}
    return {"phase": "Running", "approval": {**approval, **changes}}


def test_a_decision_of_a_person_is_told_with_how_far_the_name_is_proven() -> None:
    [event] = news(decision(), {"phase": "Waiting"})

    assert (event.kind, event.reason) == ("Normal", "Decided")
    assert event.note == "approved by bob (proof: Policy, via kubernetes)"


def test_a_decision_of_the_class_is_no_event() -> None:
    assert news(decision(by="auto-approver", via="policy", proof=None), {}) == []


@pytest.mark.parametrize(
    ("status", "labels"),
    [
        (decision(), ("Approved", "kubernetes", "Policy")),
        (decision(decision="Rejected", via="temporal", proof="Claimed"), ("Rejected", "temporal", "Claimed")),
        (decision(via="made up by a client", proof="Claimed"), ("Approved", "temporal", "Claimed")),
        (decision(by=None, decision="Expired", via=None, proof=None), ("Expired", "policy", "none")),
        (decision(via="policy", proof=None), ("Approved", "policy", "none")),
    ],
)
def test_a_decision_is_counted_once_by_labels_that_are_there_from_the_start(
    status: dict[str, Any], labels: tuple[str, ...]
) -> None:
    assert labels in metrics.DECISIONS._metrics
    counter, series = metrics.DECISIONS.labels(*labels), set(metrics.DECISIONS._metrics)
    before = counter._value.get()

    count_decision(status, {"approval": {"required": True}})
    count_decision(status, status)

    assert counter._value.get() == before + 1
    assert set(metrics.DECISIONS._metrics) == series

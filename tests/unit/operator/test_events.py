"""What the operator tells by Kubernetes Events, and under which name."""

import pytest
from builders import an_order_resource

from order_operator.cluster.events import event_name
from order_operator.orders.events import occasion

WAITS_FOR_APPROVAL = {"phase": "Waiting", "orderStatus": "Await Approval", "pendingAction": {"kind": "Approve"}}
WAITS_FOR_STOCK = {"phase": "Waiting", "orderStatus": "Await Stock"}


def test_an_order_that_waits_a_second_time_for_something_else_is_told_again() -> None:
    """B32: the name ended in the phase, so that only the first Waiting was told."""
    order = an_order_resource()

    assert occasion(WAITS_FOR_APPROVAL) != occasion(WAITS_FOR_STOCK)
    assert event_name(order, occasion(WAITS_FOR_APPROVAL)) != event_name(order, occasion(WAITS_FOR_STOCK))


@pytest.mark.parametrize("phase", ["Running", "Pending", "Compensating", "Completed", None])
def test_what_nobody_has_to_know_is_not_told(phase: str | None) -> None:
    assert occasion({"phase": phase}) == ""


def test_the_name_of_an_event_is_one_that_kubernetes_takes_however_long_the_orders() -> None:
    name = event_name(an_order_resource(name="a" * 199 + "-" + "b" * 53), occasion(WAITS_FOR_STOCK))

    assert len(name) <= 253
    assert name == name.lower()
    assert " " not in name
    assert "-." not in name

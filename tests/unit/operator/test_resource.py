import re

import pytest
from builders import NAMESPACE, UID, an_order_body, an_order_resource, an_order_spec

from order_domain.order import DeletionPolicy
from order_operator.cluster.api_names import FINALIZER
from order_operator.orders.resource import ParsedSpec
from order_operator.problem import Problem


def test_a_resource_is_read_from_the_watchs_json() -> None:
    order = an_order_resource(generation=3, resourceVersion="77", finalizers=[FINALIZER])

    assert (order.namespace, order.uid, order.generation, order.resource_version) == (NAMESPACE, UID, 3, "77")
    assert order.reference == "shop/order-1"
    assert order.held
    assert not order.deleting


def test_a_resource_with_a_deletion_time_is_being_deleted() -> None:
    assert an_order_resource(deletionTimestamp="2026-01-02T03:04:05Z").deleting


def test_the_finalizer_of_somebody_else_does_not_hold_it_for_us() -> None:
    assert not an_order_resource(finalizers=["example.com/other"]).held


def test_a_valid_spec_is_read() -> None:
    parsed = an_order_resource().parsed

    assert isinstance(parsed, ParsedSpec)
    assert parsed.spec == an_order_spec()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"currency": "USDT"}, "spec.currency: unknown currency 'USDT'"),
        ({"customer": {"id": "-"}}, "spec.customer.id: "),
        ({"lines": []}, "spec.lines: "),
        (
            {"lines": [{"lineID": "1", "sku": "A", "quantity": 0, "unitPriceMinor": 1}]},
            r"spec.lines.0.quantity: Input should be greater than or equal to 1",
        ),
        ({"totalMinor": 1}, "spec: totalMinor: is 1 but lines and charges sum to 50000"),
        ({"shippingAddress": None}, "spec.shippingAddress: "),
    ],
)
def test_an_invalid_spec_is_refused_with_the_name_of_the_field(changes: dict[str, object], message: str) -> None:
    spec = an_order_spec().model_dump(mode="json", exclude_none=True) | changes

    problem = an_order_resource(spec=spec).parsed

    assert isinstance(problem, Problem)
    assert problem.stalled
    assert re.match(message, problem.message)


def test_the_message_of_a_spec_with_many_errors_stays_within_a_conditions_bound() -> None:
    lines = [{"lineID": str(n), "sku": "A", "quantity": 0, "unitPriceMinor": -1} for n in range(200)]

    problem = an_order_resource(spec={"lines": lines}).parsed

    assert isinstance(problem, Problem)
    assert len(problem.message) <= 1024


def test_a_write_of_our_own_does_not_parse_the_spec_again() -> None:
    order = an_order_resource()
    parsed = order.parsed

    newer = order.with_version({"metadata": {"resourceVersion": "101"}, "status": {"phase": "Running"}})

    assert newer.parsed is parsed


def test_the_deletion_policy_is_readable_in_a_spec_that_is_not() -> None:
    assert an_order_resource(spec={"deletionPolicy": "Orphan"}).deletion_policy is DeletionPolicy.ORPHAN
    assert an_order_resource(spec={"deletionPolicy": 7}).deletion_policy is DeletionPolicy.CANCEL


@pytest.mark.parametrize(
    ("phase", "ended"),
    [
        ("Completed", True),
        ("Failed", True),
        ("Running", False),
        ("ManualReview", False),
        ("Delighted", False),
        (None, False),
    ],
)
def test_an_order_has_ended_when_its_status_shows_an_end(phase: str | None, ended: bool) -> None:
    assert an_order_resource(status={"phase": phase}).ended is ended


@pytest.mark.parametrize(
    ("status", "observed"), [({"observedGeneration": 2}, True), ({"observedGeneration": 1}, False), ({}, False)]
)
def test_a_status_speaks_of_the_spec_whose_generation_it_names(status: dict[str, object], observed: bool) -> None:
    assert an_order_resource(generation=2, status=status).observed is observed


def test_the_answer_to_a_write_replaces_version_finalizers_and_status_but_not_the_spec() -> None:
    order = an_order_resource()

    written = order.with_version(
        an_order_body(spec={"a": 1}, resourceVersion="101", finalizers=[FINALIZER], status={"phase": "Running"})
    )

    assert (written.resource_version, written.held, written.status) == ("101", True, {"phase": "Running"})
    assert written.spec == order.spec


@pytest.mark.parametrize("label", ["velero.io/restore-name", "order-platform.dev/restored"])
def test_a_resource_that_a_backup_brought_back_is_known_by_its_label(label: str) -> None:
    assert an_order_resource(labels={label: "today", "team": "blue"}).restored
    assert not an_order_resource(labels={"team": "blue"}).restored
    assert not an_order_resource().restored

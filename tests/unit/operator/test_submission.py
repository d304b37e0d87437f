"""What an order's workflow is started with, also where a worker of an earlier release takes it."""

from datetime import UTC, datetime
from typing import Any, Self, cast

import pytest
from builders import (
    NAME,
    NAMESPACE,
    a_line,
    a_policy,
    an_address,
    an_order_body,
    an_order_input,
    an_order_resource,
    an_order_spec,
)
from pydantic import ValidationError, model_validator
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from order_domain.order import ChargeKind, OrderCharge, OrderLine, OrderSpec
from order_domain.snapshot import OrderSnapshot, PaymentRecord
from order_domain.value import Value
from order_operator.orders.classes import OrderClass
from order_operator.orders.resource import OrderResource
from order_operator.orders.submission import ensure_started, order_input
from order_operator.temporal.connection import TemporalConnection
from order_workflows.contract import OrderInput

CLASS = OrderClass(name="standard", generation=1, spec=a_policy())
SHIPPING = OrderCharge(charge_id="ship", kind=ChargeKind.SHIPPING, amount_minor=500)


class ReleasedSpec(Value):
    """The fields and the rule of release 38efdd1 that the total of an order depends on."""

    lines: list[OrderLine]
    total_minor: int | None = None

    @model_validator(mode="after")
    def _total_is_the_sum(self) -> Self:
        total = sum(line.quantity * line.unit_price_minor for line in self.lines)
        if self.total_minor is not None and self.total_minor != total:
            raise ValueError(f"totalMinor: is {self.total_minor} but the lines sum to {total}")
        return self


def submitted(spec: OrderSpec) -> str:
    """The spec on the wire."""
    resource = OrderResource.from_body(an_order_body(spec=spec.model_dump(mode="json", exclude_none=True)))
    return order_input(resource, spec, CLASS, "test").spec.model_dump_json()


class Temporal:
    """Connection, client and handle; notes how it is asked for a workflow."""

    result_run_id = "run-1"

    def __init__(self) -> None:
        self.client = self
        self.asked: dict[str, Any] = {}

    async def start_workflow(self, *_: Any, **how: Any) -> "Temporal":
        self.asked = how
        return self


async def test_a_workflow_is_started_so_that_a_burst_in_one_namespace_holds_up_no_other() -> None:
    temporal = Temporal()

    await ensure_started(cast("TemporalConnection", temporal), an_order_input(), "orders")

    assert temporal.asked["priority"].fairness_key == NAMESPACE


async def test_a_workflow_is_started_once_whoever_asks_for_it() -> None:
    temporal = Temporal()

    await ensure_started(cast("TemporalConnection", temporal), an_order_input(), "orders")

    how = temporal.asked["id_conflict_policy"], temporal.asked["id_reuse_policy"]
    assert how == (WorkflowIDConflictPolicy.USE_EXISTING, WorkflowIDReusePolicy.REJECT_DUPLICATE)


def test_an_earlier_worker_refuses_an_order_with_charges_instead_of_ignoring_them() -> None:
    wire = submitted(an_order_spec(charges=[SHIPPING]))

    with pytest.raises(ValidationError, match="totalMinor: is 50500 but the lines sum to 50000"):
        ReleasedSpec.model_validate_json(wire)


def test_an_earlier_worker_refuses_lines_and_charges_that_came_later_and_a_next_run_starts_with() -> None:
    edited = an_order_spec(total_minor=50_000).with_lines([a_line(quantity=2)], [SHIPPING])

    assert edited.total_minor == edited.sum_minor == 100_500
    with pytest.raises(ValidationError, match="totalMinor"):
        ReleasedSpec.model_validate_json(edited.model_dump_json())


@pytest.mark.parametrize("total_minor", [None, 50_000])
def test_an_earlier_worker_reads_an_order_without_charges(total_minor: int | None) -> None:
    wire = submitted(an_order_spec(total_minor=total_minor))

    assert ReleasedSpec.model_validate_json(wire).total_minor == total_minor


@pytest.mark.parametrize("newer", [{"company": "Roe & Sons"}, {"state": "IL"}, {"phone": "+1 217 555 0100"}], ids=str)
def test_an_address_with_newer_fields_has_its_postal_code_where_no_earlier_worker_finds_it(
    newer: dict[str, str],
) -> None:
    spec = an_order_spec(shipping_address=an_address(**newer))
    resource = OrderResource.from_body(an_order_body(spec=spec.model_dump(mode="json", exclude_none=True)))

    wanted = OrderInput.model_validate_json(order_input(resource, spec, CLASS, "test").model_dump_json())

    assert wanted.spec.shipping_address.postal_code is None
    assert wanted.ordered == spec


def test_an_address_without_newer_fields_is_sent_as_ever() -> None:
    wanted = order_input(an_order_resource(), an_order_spec(), CLASS, "test")

    assert wanted.spec == wanted.ordered == an_order_spec()


WORKFLOW = {"id": "order/shop/order-1/u1"}
PAID = {"transactionID": "TXN-1", "capturedMinor": 750}


def test_a_run_in_the_place_of_a_lost_one_is_told_what_the_status_shows_of_the_money() -> None:
    resource = an_order_resource(status={"workflow": WORKFLOW, "payment": PAID})

    shown = order_input(resource, an_order_spec(), CLASS, "test").shown_payment

    assert shown == PaymentRecord(transaction_id="TXN-1", captured_minor=750)


@pytest.mark.parametrize(
    "status", [{}, {"workflow": WORKFLOW}, {"payment": PAID}, {"workflow": WORKFLOW, "payment": 1}]
)
def test_an_order_without_a_charge_in_its_status_is_told_of_none(status: dict[str, object]) -> None:
    assert order_input(an_order_resource(status=status), an_order_spec(), CLASS, "test").shown_payment is None


def test_a_run_in_the_place_of_a_lost_one_is_told_how_old_its_order_is() -> None:
    resource = an_order_resource(status={"workflow": WORKFLOW})

    assert order_input(resource, an_order_spec(), CLASS, "test").ordered_at == resource.created


@pytest.mark.parametrize(
    ("started", "ordered"),
    [
        ("2020-01-02T03:04:05Z", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2090-01-02T03:04:05Z", None),
        ("0000-01-01T00:00:00Z", None),
    ],
    ids=["before the restore", "after", "a year that Python lacks"],
)
def test_an_order_that_was_restored_is_as_old_as_its_status_tells(started: str, ordered: datetime | None) -> None:
    """A restored resource is young, and a provider may have forgotten the keys of the order that it was."""
    resource = an_order_resource(status={"workflow": WORKFLOW, "startTime": started})

    assert order_input(resource, an_order_spec(), CLASS, "test").ordered_at == (ordered or resource.created)


def test_a_run_that_is_begun_to_undo_its_order_takes_over_from_the_lost_one() -> None:
    wanted = order_input(an_order_resource(), an_order_spec(), CLASS, "test", to_undo=True)

    assert wanted.abandoned == OrderSnapshot()


@pytest.mark.parametrize(("adopt_from", "first"), [(None, "the-first"), ("there", "the-first"), ("here", None)])
def test_a_restored_order_tells_which_order_it_begins_again_unless_it_says_that_it_is_a_new_one(
    adopt_from: str | None, first: str | None
) -> None:
    """The ledger knows that order in whatever installation, and the order was charged a second time in another one."""
    shown = {"id": f"order/{NAMESPACE}/{NAME}/the-first", "namespace": "default"}
    order = an_order_resource(status={"workflow": shown})

    assert order_input(order, an_order_spec(adopt_from=adopt_from), CLASS, "here").begins_again == first

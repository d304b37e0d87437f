import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_domain.pipeline import MAY_REFUSE, NEEDS, ORDERED, StepName, flaw

LONGEST = [step for step in StepName if step is not StepName.RECEIVE]


def pipeline(names: str) -> list[StepName]:
    return [StepName(name) for name in names.split()]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("Receive Validate Validate", "a step may occur only once"),
        ("Receive Approval ChargePayment Approval", "a step may occur only once"),
        ("Validate", "must start with Receive, which makes the order number unique"),
        ("CheckFraud Receive", "must start with Receive, which makes the order number unique"),
        ("Receive ChargePayment ReserveStock", "ReserveStock must come before ChargePayment"),
        ("Receive ReserveStock Validate", "Validate must come before ReserveStock"),
        ("Receive ReserveStock Enrich", "Enrich must come before ReserveStock"),
        ("Receive ChargePayment CheckFraud", "CheckFraud must come before ChargePayment"),
        ("Receive ReserveStock ChargePayment Approval", "Approval must come before ChargePayment"),
        ("Receive PrepareShipment Approval ChargePayment Ship", "Approval must come before PrepareShipment"),
        ("Receive Ship ChargePayment", "ChargePayment must come before Ship"),
        ("Receive ChargePayment Ship AddressWindow", "AddressWindow must come before Ship"),
        ("Receive ChargePayment Ship PrepareShipment", "PrepareShipment must come before Ship"),
        ("Receive Notify ChargePayment", "ChargePayment must come before Notify"),
        ("Receive Notify UpdateOrderStatus", "UpdateOrderStatus must come before Notify"),
        ("Receive Ship", "Ship needs ChargePayment"),
        ("Receive ChargePayment AddressWindow", "AddressWindow needs Ship"),
        ("Receive PrepareShipment ChargePayment", "PrepareShipment needs Ship"),
    ],
)
def test_a_pipeline_that_could_do_harm_has_a_flaw(steps: str, problem: str) -> None:
    assert flaw(pipeline(steps)) == problem


@pytest.mark.parametrize(
    "steps",
    [
        "Receive",
        "Receive Notify",
        "Receive ChargePayment",
        "Receive Approval ReserveStock ChargePayment Ship",
        "Receive ReserveStock Approval ChargePayment Ship",
        "Receive GetItems CheckFraud PrepareShipment ChargePayment AddressWindow Ship",
        "Receive AddressWindow ChargePayment Ship",
        "Receive Validate Enrich ReserveStock Approval ChargePayment UpdateOrderStatus Notify",
    ],
)
def test_a_pipeline_that_does_no_harm_is_legal(steps: str) -> None:
    assert flaw(pipeline(steps)) is None


@given(st.permutations(LONGEST))
def test_of_all_orders_of_the_steps_only_those_that_keep_every_rule_are_legal(steps: list[StepName]) -> None:
    kept = all(steps.index(earlier) < steps.index(later) for earlier, later in ORDERED)

    assert (flaw([StepName.RECEIVE, *steps]) is None) == kept


@pytest.mark.parametrize(("step", "needed"), NEEDS)
def test_what_a_step_needs_is_not_forbidden_beside_it(step: StepName, needed: StepName) -> None:
    assert (needed, step) in ORDERED or (step, needed) in ORDERED


def test_nothing_that_can_say_no_may_stand_after_the_charge() -> None:
    assert {earlier for earlier, later in ORDERED if later is StepName.CHARGE_PAYMENT} >= set(MAY_REFUSE)

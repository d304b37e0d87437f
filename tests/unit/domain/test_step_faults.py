"""What faults a class can ask for."""

import pytest
from pydantic import ValidationError

from order_domain import errors
from order_domain.judgement import judge
from order_domain.pipeline import StepName
from order_domain.simulation import FaultType, Simulation, StepFaults

CHARGE = StepName.CHARGE_PAYMENT


def test_nothing_is_asked_for_by_default() -> None:
    assert not Simulation().active


@pytest.mark.parametrize(
    "asked",
    [
        {"default": {"failAttempts": 1}},
        {"steps": {CHARGE: {"errorPercent": 1}}},
        {"steps": {StepName.SHIP: {"pauseBeforeSeconds": 1}}},
    ],
    ids=str,
)
def test_a_simulation_is_active_as_soon_as_one_step_has_a_fault(asked: dict[str, object]) -> None:
    assert Simulation.model_validate(asked).active


def test_a_seed_alone_asks_for_nothing() -> None:
    assert not Simulation(seed=7).active


def test_a_step_has_its_own_faults_or_else_the_default_ones() -> None:
    own, default = StepFaults(fail_attempts=1), StepFaults(fail_attempts=2)
    simulation = Simulation(default=default, steps={CHARGE: own})

    assert simulation.of(CHARGE) == own
    assert simulation.of(StepName.SHIP) == default


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [
        ("failAttempts", 0, 10_000),
        ("errorPercent", 0, 100),
        ("latencySeconds", 0, 3600),
        ("latencyPercent", 0, 100),
        ("pauseBeforeSeconds", 0, 86_400),
    ],
)
def test_every_number_has_its_bounds(field: str, least: int, most: int) -> None:
    for number in (least, most):
        StepFaults.model_validate({field: number})
    for number in (least - 1, most + 1):
        with pytest.raises(ValidationError, match=field):
            StepFaults.model_validate({field: number})


def test_a_rate_is_a_whole_percentage() -> None:
    with pytest.raises(ValidationError, match="errorPercent"):
        StepFaults.model_validate({"errorPercent": 33.3})


def test_a_charge_can_be_declined() -> None:
    faults = StepFaults(decline_code="insufficient_funds")

    assert Simulation(steps={CHARGE: faults}).of(CHARGE).decline_code == "insufficient_funds"


@pytest.mark.parametrize(
    "asked",
    [{"default": {"declineCode": "lost_card"}}, {"steps": {StepName.SHIP: {"declineCode": "lost_card"}}}],
    ids=str,
)
def test_nothing_but_a_charge_can_be_declined(asked: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="declineCode is for the step ChargePayment only"):
        judge(Simulation, asked)


@pytest.mark.parametrize(
    ("kind", "final"),
    [(kind, kind not in (FaultType.PROVIDER_UNAVAILABLE, FaultType.LEDGER_UNAVAILABLE)) for kind in FaultType],
)
def test_an_error_that_can_be_asked_for_is_one_of_the_platform_s(kind: FaultType, final: bool) -> None:
    assert issubclass(getattr(errors, kind), errors.PermanentError if final else errors.TransientError)

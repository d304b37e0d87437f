import pytest
from builders import STANDARD_PIPELINE, a_policy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from order_domain.policy import ApprovalMode, ApprovalPolicy, RetryPolicies, StepName, StepRetry

NO_APPROVAL = ApprovalPolicy()


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (["Receive", "Validate", "Validate"], "pipeline: a step may occur only once"),
        (["Validate"], "pipeline: must start with Receive"),
        (["CheckFraud", "Receive"], "pipeline: must start with Receive"),
        (["Receive", "ChargePayment"], "pipeline: ChargePayment needs ReserveStock before it"),
        (["Receive", "ChargePayment", "ReserveStock"], "pipeline: ChargePayment needs ReserveStock before it"),
        (["Receive", "ReserveStock", "Ship"], "pipeline: Ship needs ChargePayment before it"),
        (["Receive", "ReserveStock", "Ship", "ChargePayment"], "pipeline: Ship needs ChargePayment before it"),
        (["Receive", "ReserveStock", "ChargePayment", "Notify"], "pipeline: Notify needs Ship before it"),
        (
            ["Receive", "ReserveStock", "ChargePayment", "Approval"],
            "pipeline: Approval must come before ChargePayment",
        ),
    ],
)
def test_a_pipeline_that_could_do_harm_is_refused(pipeline: list[str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        a_policy(pipeline=pipeline, approval=NO_APPROVAL)


def test_an_empty_pipeline_is_refused() -> None:
    with pytest.raises(ValidationError, match="pipeline"):
        a_policy(pipeline=[], approval=NO_APPROVAL)


@pytest.mark.parametrize("mode", [ApprovalMode.ALWAYS, ApprovalMode.THRESHOLD])
def test_a_class_that_asks_for_approval_needs_the_step(mode: ApprovalMode) -> None:
    approval = ApprovalPolicy(mode=mode, threshold_minor=1, currency="USD")

    with pytest.raises(ValidationError, match=f"approval: mode {mode} needs the step Approval in the pipeline"):
        a_policy(pipeline=["Receive"], approval=approval)


@pytest.mark.parametrize("missing", [{"currency": "USD"}, {"threshold_minor": 1}, {}])
def test_a_threshold_needs_an_amount_and_its_currency(missing: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="approval: mode Threshold needs thresholdMinor and currency"):
        ApprovalPolicy.model_validate({"mode": "Threshold", **missing})


def test_the_shortest_pipeline_only_receives() -> None:
    assert a_policy(pipeline=["Receive"], approval=NO_APPROVAL).pipeline == [StepName.RECEIVE]


def test_the_gate_may_stand_before_the_reservation() -> None:
    pipeline = [StepName.RECEIVE, StepName.APPROVAL, StepName.RESERVE_STOCK, StepName.CHARGE_PAYMENT, StepName.SHIP]

    assert a_policy(pipeline=pipeline).pipeline == pipeline


@pytest.mark.parametrize(
    ("total_minor", "currency", "required"),
    [(100_000, "USD", False), (100_001, "USD", True), (1, "EUR", True), (0, "USD", False)],
)
def test_approval_is_required_strictly_above_the_threshold(total_minor: int, currency: str, required: bool) -> None:
    assert a_policy().approval.required(total_minor, currency) is required


@given(st.integers(min_value=0, max_value=10**12))
def test_mode_never_and_mode_always_do_not_look_at_the_amount(total_minor: int) -> None:
    assert ApprovalPolicy(mode=ApprovalMode.ALWAYS).required(total_minor, "USD")
    assert not ApprovalPolicy(mode=ApprovalMode.NEVER).required(total_minor, "USD")


def test_a_step_without_a_policy_of_its_own_has_the_default_one() -> None:
    policies = RetryPolicies(default=StepRetry(max_attempts=7), steps={StepName.NOTIFY: StepRetry(max_attempts=5)})

    assert policies.of(StepName.NOTIFY).max_attempts == 5
    assert policies.of(StepName.SHIP).max_attempts == 7


def test_the_standard_pipeline_has_every_step() -> None:
    assert set(STANDARD_PIPELINE) == set(StepName)

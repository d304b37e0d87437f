import pytest
from builders import a_policy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from order_domain.judgement import judge
from order_domain.pipeline import MAY_REFUSE, StepName
from order_domain.policy import ApprovalMode, ApprovalPolicy, CompensationPolicy, DecisionVerb

NO_APPROVAL = ApprovalPolicy()


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (["Receive", "Validate", "Validate"], "pipeline: a step may occur only once"),
        (["Receive", "ChargePayment", "ReserveStock"], "pipeline: ReserveStock must come before ChargePayment"),
        (["Receive", "Teleport"], "pipeline"),
    ],
)
def test_a_class_with_a_flawed_pipeline_is_refused(pipeline: list[str], message: str) -> None:
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
        judge(ApprovalPolicy, {"mode": "Threshold", **missing})


@pytest.mark.parametrize("seconds", [300, 301])
def test_an_automatic_approval_that_comes_too_late_is_refused(seconds: int) -> None:
    with pytest.raises(ValidationError, match="approval: autoApproveAfterSeconds must be less than windowSeconds"):
        judge(ApprovalPolicy, {"window_seconds": 300, "auto_approve_after_seconds": seconds})


def test_an_automatic_approval_just_before_the_deadline_is_in_time() -> None:
    assert ApprovalPolicy(window_seconds=300, auto_approve_after_seconds=299).auto_approve_after_seconds == 299


def test_the_pivot_is_the_shipment_where_there_is_one() -> None:
    assert a_policy().pivot is StepName.SHIP


def test_without_a_shipment_the_pivot_is_the_last_step_before_the_mail() -> None:
    pipeline = ["Receive", "ReserveStock", "ChargePayment", "UpdateOrderStatus", "Notify"]

    assert a_policy(pipeline=pipeline, approval=NO_APPROVAL).pivot is StepName.UPDATE_ORDER_STATUS


def test_a_class_may_name_an_earlier_pivot() -> None:
    assert a_policy(compensation={"pivot": "ChargePayment"}).pivot is StepName.CHARGE_PAYMENT


def test_a_pivot_that_is_not_in_the_pipeline_is_refused() -> None:
    with pytest.raises(ValidationError, match="compensation: the pivot UpdateOrderStatus is not in the pipeline"):
        a_policy(compensation={"pivot": "UpdateOrderStatus"})


@pytest.mark.parametrize("step", sorted(set(StepName) - {"ChargePayment", "Ship", "UpdateOrderStatus"}))
def test_only_a_step_that_cannot_be_taken_back_cheaply_can_be_the_pivot(step: StepName) -> None:
    with pytest.raises(ValidationError, match="pivot"):
        CompensationPolicy.model_validate({"pivot": step})


@pytest.mark.parametrize("step", MAY_REFUSE)
def test_a_step_that_can_say_no_must_come_before_the_pivot(step: StepName) -> None:
    # Of the steps that can be a pivot only this one may stand before such a step, and only without a charge.
    pipeline = ["Receive", "UpdateOrderStatus", step]

    with pytest.raises(ValidationError, match=f"{step} can end an order and must come before the pivot"):
        a_policy(pipeline=pipeline, approval=NO_APPROVAL, compensation={"pivot": "UpdateOrderStatus"})


WINDOW_AFTER_CHARGE = ["Receive", "ChargePayment", "AddressWindow", "Ship"]


def test_an_address_window_that_fails_the_order_must_come_before_the_pivot() -> None:
    with pytest.raises(ValidationError, match="AddressWindow can end an order and must come before the pivot"):
        a_policy(
            pipeline=WINDOW_AFTER_CHARGE,
            approval=NO_APPROVAL,
            address_window={"on_expiry": "Fail"},
            compensation={"pivot": "ChargePayment"},
        )


@pytest.mark.parametrize(("on_expiry", "pivot"), [("Continue", "ChargePayment"), ("Fail", "Ship"), ("Fail", None)])
def test_an_address_window_that_comes_in_time_or_goes_on_is_legal(on_expiry: str, pivot: str | None) -> None:
    a_policy(
        pipeline=WINDOW_AFTER_CHARGE,
        approval=NO_APPROVAL,
        address_window={"on_expiry": on_expiry},
        compensation={"pivot": pivot},
    )


@pytest.mark.parametrize(
    ("total_minor", "currency", "required"),
    [(100_000, "USD", False), (100_001, "USD", True), (1, "EUR", True), (0, "USD", False), (0, "EUR", False)],
)
def test_approval_is_required_strictly_above_the_threshold(total_minor: int, currency: str, required: bool) -> None:
    assert a_policy().approval.required(total_minor, currency) is required


@given(st.integers(min_value=0, max_value=10**12))
def test_mode_never_and_mode_always_do_not_look_at_the_amount(total_minor: int) -> None:
    assert ApprovalPolicy(mode=ApprovalMode.ALWAYS).required(total_minor, "USD")
    assert not ApprovalPolicy(mode=ApprovalMode.NEVER).required(total_minor, "USD")


@pytest.mark.parametrize(
    ("total_minor", "currency", "verb"),
    [
        (100_000, "USD", DecisionVerb.APPROVE),
        (100_001, "USD", DecisionVerb.APPROVE_HIGH),
        (1, "EUR", DecisionVerb.APPROVE_HIGH),
        (0, "EUR", DecisionVerb.APPROVE),
    ],
)
def test_above_the_high_threshold_an_approver_needs_the_higher_verb(
    total_minor: int, currency: str, verb: DecisionVerb
) -> None:
    policy = ApprovalPolicy(high_threshold_minor=100_000, currency="USD")

    assert policy.verb(total_minor, currency) is verb


def test_without_a_high_threshold_approve_is_enough_for_any_amount() -> None:
    assert ApprovalPolicy().verb(10**15, "USD") is DecisionVerb.APPROVE


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"highThresholdMinor": 1}, "approval: highThresholdMinor needs currency"),
        (
            {"thresholdMinor": 2, "highThresholdMinor": 1, "currency": "USD"},
            "approval: highThresholdMinor must be at least thresholdMinor",
        ),
        ({"fourEyes": True, "onExpiry": "Approve"}, "approval: fourEyes needs a person's decision"),
        ({"fourEyes": True, "autoApproveAfterSeconds": 9}, "approval: fourEyes needs a person's decision"),
    ],
)
def test_rules_about_approvers_that_contradict_each_other_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        judge(ApprovalPolicy, wrong)

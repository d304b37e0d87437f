"""OrderClass: the policy that an order follows, copied into its workflow when it starts."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from order_domain.money import MAX_MINOR, Currency
from order_domain.value import Value


class StepName(StrEnum):
    """The steps a pipeline can be made of."""

    RECEIVE = "Receive"
    VALIDATE = "Validate"
    CHECK_FRAUD = "CheckFraud"
    RESERVE_STOCK = "ReserveStock"
    APPROVAL = "Approval"
    CHARGE_PAYMENT = "ChargePayment"
    SHIP = "Ship"
    NOTIFY = "Notify"


MUST_PRECEDE = (
    (StepName.RECEIVE, StepName.VALIDATE),
    (StepName.RESERVE_STOCK, StepName.CHARGE_PAYMENT),
    (StepName.CHARGE_PAYMENT, StepName.SHIP),
    (StepName.SHIP, StepName.NOTIFY),
)
"""In every pipeline that has the second, the first comes before it."""


class ApprovalMode(StrEnum):
    """When an order needs a person's approval."""

    NEVER = "Never"
    THRESHOLD = "Threshold"
    ALWAYS = "Always"


class ApprovalPolicy(Value):
    """Who must be asked, from what amount on, and for how long."""

    mode: ApprovalMode = ApprovalMode.NEVER
    """`Never`, `Threshold` (totals strictly above `thresholdMinor`) or `Always`."""
    threshold_minor: Annotated[int, Field(ge=0, le=MAX_MINOR)] | None = None
    """Largest total, in minor units of `currency`, that needs no approval. Required for mode Threshold."""
    currency: Currency | None = None
    """Currency of the threshold; an order in another currency always needs approval, since it cannot be compared.
    Required for mode Threshold."""
    window_seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 300
    """How long a decision is awaited before the order expires, in seconds (at most 30 days)."""

    @model_validator(mode="after")
    def _threshold_is_complete(self) -> Self:
        if self.mode is ApprovalMode.THRESHOLD and (self.threshold_minor is None or self.currency is None):
            raise ValueError("approval: mode Threshold needs thresholdMinor and currency")
        return self

    def required(self, total_minor: int, currency: str) -> bool:
        """Whether an order of this total must be approved by a person."""
        if self.mode is ApprovalMode.THRESHOLD:
            assert self.threshold_minor is not None
            return currency != self.currency or total_minor > self.threshold_minor
        return self.mode is ApprovalMode.ALWAYS


class StepRetry(Value):
    """How often and how fast a failing step is tried again."""

    initial_seconds: Annotated[int, Field(ge=1, le=3600)] = 1
    """Wait before the second attempt, in seconds."""
    coefficient: Annotated[int, Field(ge=1, le=10)] = 2
    """Each further wait is this many times the one before."""
    max_interval_seconds: Annotated[int, Field(ge=1, le=86_400)] = 30
    """Longest wait between two attempts, in seconds."""
    max_attempts: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Attempts in all; 0 means without limit."""
    start_to_close_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Longest time one attempt may take, in seconds; a lost worker is noticed after it."""


class RetryPolicies(Value):
    """The retry policy of every step."""

    default: StepRetry = StepRetry()
    """For every step without one of its own."""
    steps: dict[StepName, StepRetry] = Field(default_factory=dict)
    """By step name."""

    def of(self, step: StepName) -> StepRetry:
        """The policy in force for `step`."""
        return self.steps.get(step, self.default)


class OrderClassSpec(Value):
    """Policy for the orders that name this class. Running orders keep the policy that they started with."""

    pipeline: Annotated[list[StepName], Field(min_length=1, max_length=32)]
    """The steps in order."""
    approval: ApprovalPolicy = ApprovalPolicy()
    retry: RetryPolicies = RetryPolicies()

    @model_validator(mode="after")
    def _pipeline_is_legal(self) -> Self:
        steps = self.pipeline
        if len(set(steps)) != len(steps):
            raise ValueError("pipeline: a step may occur only once")
        if steps[0] is not StepName.RECEIVE:
            raise ValueError("pipeline: must start with Receive, which makes the order number unique")
        for earlier, later in MUST_PRECEDE:
            if later in steps and (earlier not in steps or steps.index(earlier) > steps.index(later)):
                raise ValueError(f"pipeline: {later} needs {earlier} before it")
        gated = StepName.APPROVAL in steps and StepName.CHARGE_PAYMENT in steps
        if gated and steps.index(StepName.APPROVAL) > steps.index(StepName.CHARGE_PAYMENT):
            raise ValueError("pipeline: Approval must come before ChargePayment")
        if self.approval.mode is not ApprovalMode.NEVER and StepName.APPROVAL not in steps:
            raise ValueError(f"approval: mode {self.approval.mode} needs the step Approval in the pipeline")
        return self

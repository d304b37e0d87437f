"""Faults that a class asks for, so that a demonstration or a test can watch the platform deal with them.

Only workers that were started with simulation allowed honour them; elsewhere an order of such a class is Invalid.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from order_domain.judgement import rule
from order_domain.pipeline import StepName
from order_domain.value import Value

Percent = Annotated[int, Field(ge=0, le=100)]


class FaultType(StrEnum):
    """Errors that a simulated fault can raise, by their name in `order_domain.errors`."""

    PROVIDER_UNAVAILABLE = "ProviderUnavailable"
    LEDGER_UNAVAILABLE = "LedgerUnavailable"
    INVALID_ORDER = "InvalidOrder"
    FRAUD_SUSPECTED = "FraudSuspected"
    OUT_OF_STOCK = "OutOfStock"
    PAYMENT_DECLINED = "PaymentDeclined"
    UNDELIVERABLE = "Undeliverable"


class StepFaults(Value):
    """What goes wrong with the attempts of a step. Each attempt draws anew, by the seed."""

    fail_attempts: Annotated[int, Field(ge=0, le=10_000)] = 0
    """The first so many attempts fail."""
    error_percent: Percent = 0
    """How many of a hundred attempts fail."""
    error_type: FaultType = FaultType.PROVIDER_UNAVAILABLE
    """The error that a failing attempt raises. The first two types are worth another attempt, the others are final."""
    latency_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """How long a slow attempt takes longer, in seconds."""
    latency_percent: Percent = 100
    """How many of a hundred attempts are slow, where `latencySeconds` is given."""
    pause_before_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """How long the order waits, by a durable timer, before the step begins, in seconds. Not before Receive."""
    decline_code: Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z_]*$")] | None = None
    """Every attempt is declined with this code. Step ChargePayment only."""


class Simulation(Value):
    """Faults of the steps of an order."""

    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = 0
    """Another seed, other failing attempts. The same order fails the same way whenever it is repeated."""
    default: StepFaults = StepFaults()
    """For every step without faults of its own."""
    steps: dict[StepName, StepFaults] = Field(default_factory=dict)
    """By step name."""

    @property
    def active(self) -> bool:
        """Whether anything is asked for."""
        return any(faults != StepFaults() for faults in (self.default, *self.steps.values()))

    def of(self, step: StepName) -> StepFaults:
        """The faults of `step`."""
        return self.steps.get(step, self.default)

    @rule
    def _only_charges_are_declined(self) -> None:
        others = [faults for step, faults in self.steps.items() if step is not StepName.CHARGE_PAYMENT]
        if any(faults.decline_code is not None for faults in (self.default, *others)):
            raise ValueError("simulation: declineCode is for the step ChargePayment only")

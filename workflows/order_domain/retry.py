"""How often and how fast failing steps are tried again."""

from typing import Annotated

from pydantic import Field

from order_domain.judgement import rule
from order_domain.pipeline import StepName
from order_domain.value import Value


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
    total_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """No attempt begins later than this after the first, in seconds, if each fails at once; without it only
    `maxAttempts` ends them. Time in which no worker is there does not count."""

    @rule
    def _one_attempt_fits(self) -> None:
        if self.total_seconds is not None and self.total_seconds < self.start_to_close_seconds:
            raise ValueError("retry: totalSeconds must be at least startToCloseSeconds")


class RetryPolicies(Value):
    """The retry policy of every step."""

    default: StepRetry = StepRetry()
    """For every step without one of its own."""
    steps: dict[StepName, StepRetry] = Field(default_factory=dict)
    """By step name."""

    def of(self, step: StepName) -> StepRetry:
        """The policy in force for `step`."""
        return self.steps.get(step, self.default)

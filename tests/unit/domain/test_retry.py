import pytest
from pydantic import ValidationError

from order_domain.judgement import judge
from order_domain.pipeline import StepName
from order_domain.retry import RetryPolicies, StepRetry


def test_a_step_without_a_policy_of_its_own_has_the_default_one() -> None:
    policies = RetryPolicies(default=StepRetry(max_attempts=7), steps={StepName.NOTIFY: StepRetry(max_attempts=5)})

    assert policies.of(StepName.NOTIFY).max_attempts == 5
    assert policies.of(StepName.SHIP).max_attempts == 7


def test_a_total_that_not_even_one_attempt_fits_into_is_refused() -> None:
    with pytest.raises(ValidationError, match="retry: totalSeconds must be at least startToCloseSeconds"):
        judge(StepRetry, {"total_seconds": 9, "start_to_close_seconds": 10})


def test_a_total_of_exactly_one_attempt_is_legal() -> None:
    assert StepRetry(total_seconds=10, start_to_close_seconds=10).total_seconds == 10


def test_an_unknown_step_has_no_policy() -> None:
    with pytest.raises(ValidationError, match="steps"):
        RetryPolicies.model_validate({"steps": {"Teleport": {}}})

"""What an activity tells Temporal: errors by name, and which attempt the answer comes from."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from order_domain import errors
from order_domain.errors import OrderError, PermanentError
from order_workflows.activities import Outcome

ANSWERS = (
    errors.DuplicateOrder,
    errors.FraudSuspected,
    errors.InvalidOrder,
    errors.OutOfStock,
    errors.PaymentDeclined,
    errors.Undeliverable,
    errors.UnknownSku,
)
"""Errors that are a proper answer to the question: no failure in the SDK's metrics, no warning in the log."""


class Translation(Interceptor):
    """Turns an OrderError into an ApplicationError of the same name that carries `{"attempts": n}`; a PermanentError
    is not retried. Any other exception is a fault of ours and passes unchanged, to be retried."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity of the worker."""
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        attempt = activity.info().attempt
        try:
            result = await super().execute_activity(input)
        except OrderError as error:
            raise ApplicationError(
                str(error),
                {"attempts": attempt},
                type=type(error).__name__,
                non_retryable=isinstance(error, PermanentError),
                category=ApplicationErrorCategory.BENIGN
                if isinstance(error, ANSWERS)
                else ApplicationErrorCategory.UNSPECIFIED,
            ) from error
        return result.model_copy(update={"attempts": attempt}) if isinstance(result, Outcome) else result

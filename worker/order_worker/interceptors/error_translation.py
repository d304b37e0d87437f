"""What an activity tells Temporal: errors by name, which attempt the answer comes from, and what failed before it."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from order_domain import errors
from order_domain.errors import OrderError, PermanentError
from order_workflows.activities.effect import Effect, Outcome

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

KEPT = 10_000
"""Calls whose last failure is kept for the attempt that succeeds: ten megabytes at most."""


class Translation(Interceptor):
    """Turns an OrderError into an ApplicationError of the same name that carries `{"attempts": n}`; a PermanentError
    is not retried. Any other exception is a fault of ours and passes unchanged, to be retried.

    An attempt that succeeds is told what failed before it, which Temporal tells nobody: from this worker's memory, so
    that it is absent where the earlier attempts ran on another worker, or before a restart."""

    def __init__(self) -> None:
        self._failures = _Failures()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Translating(next, self._failures)


class _Call(NamedTuple):
    """What the attempts of one call share. The activity id is not it: a local activity that waits long for its next
    attempt changes it."""

    run_id: str
    activity_type: str
    operation_id: str

    @classmethod
    def of(cls, info: activity.Info, arguments: Sequence[Any]) -> "_Call":
        effect = Effect.among(*arguments)
        return cls(info.workflow_run_id or "", info.activity_type, effect.operation_id if effect else "")


class _Failures:
    """The last failure of each of the `KEPT` calls that failed last."""

    def __init__(self) -> None:
        self._messages: OrderedDict[_Call, str] = OrderedDict()

    def keep(self, call: _Call, message: str) -> None:
        self._messages[call] = message[:1024]
        self._messages.move_to_end(call)
        if len(self._messages) > KEPT:
            self._messages.popitem(last=False)

    def take(self, call: _Call) -> str | None:
        return self._messages.pop(call, None)


class _Translating(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, failures: _Failures) -> None:
        super().__init__(inner)
        self._failures = failures

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        attempt = activity.info().attempt
        call = _Call.of(activity.info(), input.args)
        if attempt == 1:
            # A question has no operation of its own: what failed before is the same question of another time.
            self._failures.take(call)
        try:
            result = await super().execute_activity(input)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is not None and details.timed_out:
                self._failures.keep(call, "the attempt took too long")
            raise
        except OrderError as error:
            if not isinstance(error, PermanentError):
                self._failures.keep(call, str(error))
            raise ApplicationError(
                str(error),
                {"attempts": attempt},
                type=type(error).__name__,
                non_retryable=isinstance(error, PermanentError),
                category=ApplicationErrorCategory.BENIGN
                if isinstance(error, ANSWERS)
                else ApplicationErrorCategory.UNSPECIFIED,
            ) from error
        except Exception as error:
            self._failures.keep(call, str(error) or type(error).__name__)
            raise
        earlier = self._failures.take(call)
        if not isinstance(result, Outcome):
            return result
        return result.model_copy(update={"attempts": attempt, "last_error": earlier})

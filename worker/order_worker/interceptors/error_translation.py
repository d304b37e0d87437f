"""What an activity tells Temporal: errors by name, which attempt the answer comes from, and what failed before it."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from order_domain.errors import OrderError, PermanentError
from order_workflows.activities.effect import Effect, Outcome

logger = logging.getLogger(__name__)

ASK_WITHIN = timedelta(seconds=2)
"""The answer of an activity waits no longer for what failed before it."""
KEPT = 10_000
"""Calls whose last failure is kept for the attempt that succeeds: ten megabytes at most."""


class Translation(Interceptor):
    """Turns an OrderError into an ApplicationError of the same name that carries `{"attempts": n}`; a PermanentError
    is not retried. Any other exception is a fault of ours and passes unchanged, to be retried.

    An attempt that succeeds is told what failed before it: from this worker's memory, or, where earlier attempts ran on
    another worker or before a restart, from Temporal, which keeps it of remote activities."""

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


async def _last_failure() -> str | None:
    """What the attempt before this one failed with, as the server knows it. It is told to people alone, so that no
    answer is as good as none."""
    info = activity.info()
    try:
        handle = activity.client().get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
        found = (await handle.describe(rpc_timeout=ASK_WITHIN)).raw_description
    except (RPCError, RuntimeError) as failed:
        logger.info("the failure before this attempt is not known", extra={"error": str(failed)[:200]})
        return None
    for pending in found.pending_activities:
        if pending.activity_id == info.activity_id and pending.HasField("last_failure"):
            return pending.last_failure.message[:1024] or None
    return None


class _Translating(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, failures: _Failures) -> None:
        super().__init__(inner)
        self._failures = failures

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        attempt = activity.info().attempt
        call = _Call.of(activity.info(), input.args)
        if attempt == 1:
            # Calls without an operation id share one key: forget the failures of an earlier call.
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
                category=ApplicationErrorCategory.BENIGN if error.benign else ApplicationErrorCategory.UNSPECIFIED,
            ) from error
        except Exception as error:
            self._failures.keep(call, str(error) or type(error).__name__)
            raise
        if not isinstance(result, Outcome):
            return result
        earlier = self._failures.take(call)
        if earlier is None and attempt > 1 and not activity.info().is_local:
            earlier = await _last_failure()
        return result.model_copy(update={"attempts": attempt, "last_error": earlier})

"""What Temporal hears of an activity's end."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from order_domain.errors import OperationConflict, OrderError, PaymentDeclined, ProviderUnavailable
from order_worker.activities.translation import Translation
from order_workflows.activities import Outcome


class Ends(ActivityInboundInterceptor):
    """An activity that returns or raises what it was made with."""

    def __init__(self, end: Outcome | Exception) -> None:
        self._end = end

    def init(self, outbound: object) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ARG002
        if isinstance(self._end, Exception):
            raise self._end
        return self._end


async def run(end: Outcome | Exception, *, attempt: int = 1) -> Any:
    interceptor = Translation().intercept_activity(Ends(end))
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)

    async def execute() -> Any:
        assert activity.info().attempt == attempt
        return await interceptor.execute_activity(_INPUT)

    call: Callable[[], Awaitable[Any]] = execute
    return await environment.run(call)


_INPUT = ExecuteActivityInput(fn=lambda: None, args=[], executor=None, headers={})


async def refusal(error: OrderError, *, attempt: int = 1) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        await run(error, attempt=attempt)
    return raised.value


async def test_the_outcome_carries_the_attempt() -> None:
    assert await run(Outcome(), attempt=3) == Outcome(attempts=3)


async def test_an_error_carries_its_name_and_the_attempt() -> None:
    error = await refusal(ProviderUnavailable("no answer"), attempt=2)
    assert (error.type, error.message, error.details) == ("ProviderUnavailable", "no answer", ({"attempts": 2},))


async def test_a_transient_error_is_retried() -> None:
    assert not (await refusal(ProviderUnavailable("no answer"))).non_retryable


async def test_a_permanent_error_is_not_retried() -> None:
    assert (await refusal(PaymentDeclined("card_declined"))).non_retryable


async def test_an_answer_of_business_is_no_failure_of_the_worker() -> None:
    assert (await refusal(PaymentDeclined("card_declined"))).category is ApplicationErrorCategory.BENIGN


async def test_a_conflict_is_a_failure_to_look_at() -> None:
    assert (await refusal(OperationConflict("other amount"))).category is ApplicationErrorCategory.UNSPECIFIED


async def test_an_unexpected_exception_passes_unchanged() -> None:
    with pytest.raises(ZeroDivisionError):
        await run(ZeroDivisionError())

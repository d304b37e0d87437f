"""What Temporal hears of an activity's end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from temporalio import activity
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from order_domain.errors import OperationConflict, OrderError, PaymentDeclined, ProviderUnavailable
from order_worker.interceptors import error_translation
from order_worker.interceptors.error_translation import Translation
from order_workflows.activities.effect import Outcome
from order_workflows.activities.stock import ReleaseStock
from order_workflows.contract import ResourceIdentity


class Ends(ActivityInboundInterceptor):
    """An activity that returns or raises what it was made with."""

    def __init__(self, end: Outcome | BaseException) -> None:
        self._end = end

    def init(self, outbound: object) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ARG002
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end


async def run(
    end: Outcome | BaseException,
    *,
    attempt: int = 1,
    worker: Translation | None = None,
    argument: object = None,
    **info: Any,
) -> Any:
    """One attempt that ends so, on a worker of its own unless one is given."""
    interceptor = (worker or Translation()).intercept_activity(Ends(end))
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt, **info)

    async def execute() -> Any:
        assert activity.info().attempt == attempt
        given = ExecuteActivityInput(fn=lambda: None, args=[argument], executor=None, headers={})
        return await interceptor.execute_activity(given)

    call: Callable[[], Awaitable[Any]] = execute
    return await environment.run(call)


async def fails(worker: Translation, error: Exception, **attempt_of: Any) -> None:
    with suppress(type(error), ApplicationError):
        await run(error, worker=worker, **attempt_of)


def release(step: str = "release") -> ReleaseStock:
    order = ResourceIdentity(cluster="test", namespace="shop", name="order-1", uid="uid-1")
    return ReleaseStock(order=order, operation_id=f"uid-1/{step}", reserve_operation_id="uid-1/reserve")


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


@pytest.mark.parametrize(
    ("error", "told"),
    [(ProviderUnavailable("no answer"), "no answer"), (ZeroDivisionError(), "ZeroDivisionError")],
)
async def test_the_attempt_that_succeeds_tells_what_failed_before_it(error: Exception, told: str) -> None:
    worker = Translation()
    await fails(worker, error)
    assert await run(Outcome(), worker=worker, attempt=2) == Outcome(attempts=2, last_error=told)


async def test_an_attempt_that_timed_out_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Translation()
    timed_out = ActivityCancellationDetails(timed_out=True)
    monkeypatch.setattr(activity, "cancellation_details", lambda: timed_out)
    with pytest.raises(asyncio.CancelledError):
        await run(asyncio.CancelledError(), worker=worker)
    assert (await run(Outcome(), worker=worker, attempt=2)).last_error == "the attempt took too long"


async def test_a_restarted_worker_tells_nothing_of_earlier_attempts() -> None:
    await fails(Translation(), ProviderUnavailable("no answer"))
    assert await run(Outcome(), worker=Translation(), attempt=2) == Outcome(attempts=2)


async def test_a_first_attempt_has_nothing_to_tell_of_an_earlier_question() -> None:
    worker = Translation()
    await fails(worker, ProviderUnavailable("given up"), attempt=3)
    assert await run(Outcome(), worker=worker) == Outcome()


async def test_a_failure_is_told_once() -> None:
    worker = Translation()
    await fails(worker, ProviderUnavailable("no answer"))
    await run(Outcome(), worker=worker, attempt=2)
    assert (await run(Outcome(), worker=worker, attempt=2)).last_error is None


@pytest.mark.parametrize(
    "other",
    [{"argument": release("release/2")}, {"workflow_run_id": "another"}, {"activity_type": "commit_stock"}],
)
async def test_the_failure_of_another_call_is_not_told(other: dict[str, Any]) -> None:
    worker = Translation()
    await fails(worker, ProviderUnavailable("no answer"), argument=release())
    outcome = await run(Outcome(), worker=worker, attempt=2, **{"argument": release(), **other})
    assert outcome.last_error is None


async def test_a_local_activity_that_went_on_under_another_id_is_the_same_call() -> None:
    worker = Translation()
    await fails(worker, ProviderUnavailable("no answer"), argument=release(), activity_id="1")
    outcome = await run(Outcome(), worker=worker, attempt=2, argument=release(), activity_id="9")
    assert outcome.last_error == "no answer"


async def test_a_failure_is_told_in_no_more_than_a_kilobyte() -> None:
    worker = Translation()
    await fails(worker, ProviderUnavailable("x" * 2000))
    assert (await run(Outcome(), worker=worker, attempt=2)).last_error == "x" * 1024


async def test_the_oldest_failure_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_translation, "KEPT", 2)
    worker = Translation()
    runs = ("run-1", "run-2", "run-3")
    for name in runs:
        await fails(worker, ProviderUnavailable(f"in {name}"), workflow_run_id=name)
    outcomes = [await run(Outcome(), worker=worker, attempt=2, workflow_run_id=name) for name in runs]
    assert [outcome.last_error for outcome in outcomes] == [None, "in run-2", "in run-3"]

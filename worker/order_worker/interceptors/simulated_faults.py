"""Faults that an order's class asks for, where the worker allows them. They strike before the activity does anything.

Whether an attempt is hit depends on the seed, the order, the operation and the attempt alone, so that the same attempt
fares the same wherever and however often it runs.
"""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from temporalio import activity
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from order_domain import errors
from order_domain.errors import InvalidOrder, OrderError, PaymentDeclined, ProviderUnavailable
from order_domain.pipeline import StepName
from order_domain.simulation import FaultType
from order_workflows.activities.effect import Effect
from order_workflows.simulation import HEADER, SimulatedFaults, workflow_interceptor

HEARTBEAT_SECONDS = 5.0
"""A third of the shortest heartbeat timeout, that of packing."""

GIVEN_UP_SECONDS = 1.0
"""How long after an attempt's time its slowness ends: late enough that Temporal has seen the time run out."""

PATIENT_SECONDS = 5.0
"""What would end so soon after the worker is asked to stop is let end, as a call to a company would be. Workers give
what is under way longer than that; slowness of minutes would only hold up their end."""

ERRORS: dict[FaultType, type[OrderError]] = {kind: getattr(errors, kind) for kind in FaultType}


def draw(*key: object) -> int:
    """From 0 to 99, each as likely as the others; the same for the same key."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100


class FaultSimulation(Interceptor):
    """Both halves: workflows say what their class asks for, activities fail accordingly."""

    def __init__(self, *, allowed: bool, bug: StepName | None = None) -> None:
        self._allowed = allowed
        self._bug = bug

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Failing(next) if self._allowed else _Refusing(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: ARG002
    ) -> type[WorkflowInboundInterceptor]:
        return workflow_interceptor(self._bug)

    def plugin(self) -> SimplePlugin:
        """For the end of a worker's plugins: inside of all other interceptors, which then see these faults as if the
        activity itself had failed."""
        return SimplePlugin("simulated-faults", interceptors=[self])


def _asked_for(input: ExecuteActivityInput) -> SimulatedFaults | None:
    payload = input.headers.get(HEADER)
    return None if payload is None else activity.payload_converter().from_payload(payload, SimulatedFaults)


class _Refusing(ActivityInboundInterceptor):
    """An order of such a class ends before anything happened to it. Only the first step
    refuses. Later steps leave the faults out, so that a rolling change of the setting breaks no order."""

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        asked = _asked_for(input)
        if asked is not None and asked.step is StepName.RECEIVE:
            raise InvalidOrder(
                f"class {asked.class_name} asks for simulated faults, which this worker does not allow: "
                "use a class without spec.simulation, or start the workers with ORDER_WORKER_SIMULATION=true"
            )
        return await super().execute_activity(input)


class _Failing(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        asked = _asked_for(input)
        if asked is not None:
            await _strike(asked, input.args)
        return await super().execute_activity(input)


async def _strike(asked: SimulatedFaults, arguments: Sequence[Any]) -> None:
    faults, info = asked.faults, activity.info()
    effect = Effect.among(*arguments)
    # The operation tells the lines of an order apart; questions without an effect are told apart by their name.
    subject = effect.operation_id if effect else info.activity_type
    number = asked.attempts_before + info.attempt
    attempt = (asked.seed, asked.order_uid, asked.step, subject, number)
    if faults.latency_seconds and draw(*attempt, "latency") < faults.latency_percent:
        await _wait(faults.latency_seconds)
    if number <= faults.fail_attempts or draw(*attempt, "error") < faults.error_percent:
        raise ERRORS[faults.error_type](f"simulated {faults.error_type} at {asked.step}, attempt {number}")
    if faults.decline_code is not None:
        raise PaymentDeclined(faults.decline_code)


async def _wait(seconds: float) -> None:
    """Heartbeats, with which a cancellation of a remote activity comes back. Repeats what an earlier attempt recorded,
    since a later one goes on from there. Raises ProviderUnavailable when the worker stops long before the end, which
    otherwise waits for a local activity however long it takes, and when Temporal has given the attempt up, which
    otherwise keeps one of the worker's slots for a result that nobody takes."""
    info = activity.info()
    clock = asyncio.get_running_loop().time
    timeout = info.start_to_close_timeout
    patience = math.inf if timeout is None else timeout.total_seconds() + GIVEN_UP_SECONDS
    end = clock() + min(seconds, patience)
    while (left := end - clock()) > 0:
        if not info.is_local:
            activity.heartbeat(*info.heartbeat_details)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, HEARTBEAT_SECONDS)):
                await activity.wait_for_worker_shutdown()
            if (left := end - clock()) > PATIENT_SECONDS:
                raise ProviderUnavailable("simulated slowness cut short: the worker stops")
            await asyncio.sleep(left)
    if patience < seconds:
        raise ProviderUnavailable("simulated slowness cut short: the attempt's time is over")

"""Tells each activity of an order whose class asks for simulated faults which ones are meant for it, in a header.

A header is no part of determinism: histories replay with and without it. What undoes, commits or closes gets none.
"""

from typing import Any

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

from order_domain.pipeline import StepName
from order_domain.simulation import Simulation, StepFaults
from order_domain.value import Value
from order_workflows.contract import OrderInput, ShipmentInput
from order_workflows.local_activities import ATTEMPTS_BEFORE
from order_workflows.pipeline import STEP_OF_ACTIVITY

HEADER = "order-faults"
"""Holds `SimulatedFaults` as the workflow's payload converter writes it."""


class SimulatedFaults(Value):
    """What an activity needs to know in order to fail as its order's class asks."""

    order_uid: str
    class_name: str | None = None
    """For a person to read; None in the workflow of a shipment, which does not know it."""
    seed: int
    step: StepName
    faults: StepFaults
    attempts_before: int = 0
    """Attempts in earlier rounds of the same local activity; Temporal counts each round from 1."""


def workflow_interceptor(bug: StepName | None = None) -> type[WorkflowInboundInterceptor]:
    """With `bug`, workflow code breaks wherever that step calls its activity: a worker to be replaced by one without.
    Like any bug it also strikes while an order that is past the step is replayed."""

    class Simulating(WorkflowInboundInterceptor):
        def init(self, outbound: WorkflowOutboundInterceptor) -> None:
            self._calls = _Calls(outbound, bug)
            super().init(self._calls)

        async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
            self._calls.simulate_for(input.args[0] if input.args else None)
            return await super().execute_workflow(input)

    return Simulating


class _Calls(WorkflowOutboundInterceptor):
    """Calls of activities by one workflow."""

    def __init__(self, outbound: WorkflowOutboundInterceptor, bug: StepName | None) -> None:
        super().__init__(outbound)
        self._bug = bug
        self._simulation: Simulation | None = None
        self._order_uid = ""
        self._class_name: str | None = None

    def simulate_for(self, argument: object) -> None:
        """By what the workflow starts with; of other workflows than those of orders and shipments nothing is known."""
        if isinstance(argument, OrderInput) and argument.abandoned is None:
            asked = argument.policy.simulation
            self._order_uid, self._class_name = argument.identity.uid, argument.class_name
        elif isinstance(argument, ShipmentInput):
            asked = argument.simulation
            self._order_uid = argument.order.uid
        else:
            return
        self._simulation = asked if asked.active else None

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        self._prepare(input)
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        self._prepare(input)
        return super().start_local_activity(input)

    def _prepare(self, call: StartActivityInput | StartLocalActivityInput) -> None:
        step = STEP_OF_ACTIVITY.get(call.activity)
        if step is None:
            return
        if step is self._bug:
            # No FailureError: it fails the workflow task, which is tried until a worker without the bug comes.
            raise RuntimeError(f"simulated bug in the step {step}")
        if self._simulation is not None:
            faults = SimulatedFaults(
                order_uid=self._order_uid,
                class_name=self._class_name,
                seed=self._simulation.seed,
                step=step,
                faults=self._simulation.of(step),
                attempts_before=ATTEMPTS_BEFORE.get() if isinstance(call, StartLocalActivityInput) else 0,
            )
            call.headers = {**call.headers, HEADER: workflow.payload_converter().to_payload(faults)}

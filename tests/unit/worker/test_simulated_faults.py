"""Which attempts a simulated fault hits, and with what."""

import asyncio
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from builders import an_order_input
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from order_domain.errors import InvalidOrder, LedgerUnavailable, OrderError, PaymentDeclined, ProviderUnavailable
from order_domain.pipeline import StepName
from order_domain.simulation import FaultType, StepFaults
from order_worker.interceptors import simulated_faults
from order_worker.interceptors.simulated_faults import FaultSimulation, draw
from order_workflows import activities
from order_workflows.activities.effect import Effect
from order_workflows.pipeline import STEP_OF_ACTIVITY
from order_workflows.simulation import HEADER, SimulatedFaults

DRAWS = 10_000
UID = "uid-1"


class Done(ActivityInboundInterceptor):
    """An activity that succeeds, and remembers that it was called."""

    def __init__(self) -> None:
        self.called = False

    def init(self, outbound: object) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ARG002
        self.called = True


def header(faults: StepFaults, step: StepName, seed: int = 0) -> Mapping[str, Payload]:
    asked = SimulatedFaults(order_uid=UID, class_name="demo", seed=seed, step=step, faults=faults)
    return {HEADER: pydantic_data_converter.payload_converter.to_payload(asked)}


async def attempt(
    faults: StepFaults | None,
    *,
    step: StepName = StepName.CHARGE_PAYMENT,
    number: int = 1,
    operation: str | None = "charge",
    name: str = "charge_payment",
    seed: int = 0,
    allowed: bool = True,
    environment: ActivityEnvironment | None = None,
) -> bool:
    """Whether the activity itself was reached; raises what hit the attempt."""
    environment = environment or ActivityEnvironment()
    environment.payload_converter = pydantic_data_converter.payload_converter
    environment.info = replace(environment.info, attempt=number, activity_type=name)
    done = Done()
    interceptor = FaultSimulation(allowed=allowed).intercept_activity(done)
    effect = operation and Effect(order=an_order_input().identity, operation_id=f"{UID}/{operation}")
    headers = header(faults, step, seed) if faults else {}

    async def execute() -> None:
        assert activity.in_activity()
        await interceptor.execute_activity(
            ExecuteActivityInput(fn=lambda: None, args=[effect] if effect else [], executor=None, headers=headers)
        )

    await environment.run(execute)
    return done.called


async def fails(faults: StepFaults, **of: Any) -> bool:
    try:
        await attempt(faults, **of)
    except OrderError:
        return True
    return False


async def pattern(**of: Any) -> list[bool]:
    """Which of fifty attempts fail at fifty percent."""
    return [await fails(StepFaults(error_percent=50), number=number, **of) for number in range(1, 51)]


@pytest.mark.parametrize("percent", [1, 33, 50, 99])
def test_as_many_draws_are_below_a_percentage_as_it_says(percent: int) -> None:
    below = sum(draw("seed", number) < percent for number in range(DRAWS))

    # Four standard deviations.
    margin = 4 * (DRAWS * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(below - DRAWS * percent / 100) < margin


def test_a_draw_is_never_below_0_percent_and_always_below_100() -> None:
    draws = {draw("seed", number) for number in range(DRAWS)}

    assert draws == set(range(100))


def test_a_draw_does_not_depend_on_the_process() -> None:
    assert [draw(0, UID, StepName.CHARGE_PAYMENT, "charge", number) for number in range(1, 6)] == [83, 74, 35, 78, 9]


def test_parts_of_a_key_are_told_apart() -> None:
    assert [draw("a", "b", number) for number in range(20)] != [draw("ab", "", number) for number in range(20)]


async def test_the_same_attempts_of_the_same_order_fail_every_time() -> None:
    assert await pattern() == await pattern()


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"operation": "ship/2"}, {"step": StepName.SHIP}], ids=["seed", "line", "step"]
)
async def test_another_seed_step_or_line_fails_at_other_attempts(other: dict[str, Any]) -> None:
    assert await pattern() != await pattern(**other)


async def test_questions_of_one_step_fail_independently() -> None:
    asked = {"step": StepName.ENRICH, "operation": None}

    first = await pattern(**asked, name="fetch_customer_profile")

    assert first != await pattern(**asked, name="fetch_recommendations")


async def test_slow_attempts_are_not_the_failing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(simulated_faults, "_wait", note)
    faults = StepFaults(error_percent=50, latency_seconds=9, latency_percent=50)
    outcomes = []
    for number in range(1, 101):
        waits.clear()
        failed = await fails(faults, number=number)
        outcomes.append((bool(waits), failed))

    assert set(outcomes) == {(False, False), (False, True), (True, False), (True, True)}


@pytest.mark.parametrize(("percent", "hit"), [(0, False), (100, True)])
async def test_0_percent_never_fails_and_100_always(percent: int, hit: bool) -> None:
    assert {await fails(StepFaults(error_percent=percent), number=number) for number in range(1, 101)} == {hit}


async def test_the_first_attempts_fail_and_the_next_succeeds() -> None:
    faults = StepFaults(fail_attempts=4)

    assert [await fails(faults, number=number) for number in range(1, 7)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (StepFaults(fail_attempts=1), ProviderUnavailable),
        (StepFaults(fail_attempts=1, error_type=FaultType.LEDGER_UNAVAILABLE), LedgerUnavailable),
        (StepFaults(error_percent=100, error_type=FaultType.INVALID_ORDER), InvalidOrder),
    ],
)
async def test_a_fault_is_the_error_that_was_asked_for_and_says_that_it_is_simulated(
    faults: StepFaults, error: type[OrderError]
) -> None:
    with pytest.raises(error, match="simulated"):
        await attempt(faults)


async def test_a_declined_charge_carries_its_code() -> None:
    with pytest.raises(PaymentDeclined, match=r"^insufficient_funds$"):
        await attempt(StepFaults(decline_code="insufficient_funds"))


async def test_without_faults_the_activity_is_carried_out() -> None:
    assert await attempt(None)
    assert await attempt(StepFaults())


async def test_an_order_that_asks_for_faults_is_not_received_where_they_are_not_allowed() -> None:
    with pytest.raises(InvalidOrder, match=r"^class demo asks for simulated faults, .*: use a class without "):
        await attempt(StepFaults(), step=StepName.RECEIVE, allowed=False)


async def test_an_order_that_asks_for_none_is_received_everywhere() -> None:
    assert await attempt(None, step=StepName.RECEIVE, allowed=False)


async def test_where_faults_are_not_allowed_an_order_under_way_has_none() -> None:
    assert await attempt(StepFaults(error_percent=100), allowed=False)


async def test_a_slow_attempt_tells_what_earlier_ones_had_recorded() -> None:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, is_local=False, heartbeat_details=[3])
    told = asyncio.Event()
    recorded: list[object] = []

    def beat(*details: object) -> None:
        recorded.append(details)
        told.set()

    environment.on_heartbeat = beat
    running = asyncio.create_task(attempt(StepFaults(latency_seconds=3600), environment=environment))
    await told.wait()
    environment.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert recorded == [(3,)]


def test_every_name_in_the_table_is_an_activity_and_no_undoing_commit_or_close_is_among_them() -> None:
    modules = [
        import_module(f"{activities.__name__}.{each.name}") for each in pkgutil.iter_modules(activities.__path__)
    ]
    ports = [port for module in modules for port in vars(module).values() if isinstance(port, type)]
    definitions = [
        getattr(method, "__temporal_activity_definition", None) for port in ports for method in vars(port).values()
    ]
    known = {definition.name for definition in definitions if definition is not None}
    spared = {
        "change_lines",
        "close_order",
        "release_stock",
        "commit_stock",
        "unpack_lines",
        "refund_payment",
        "cancel_shipment",
        "halt_order",
        "sell_lines",
    }

    assert known >= STEP_OF_ACTIVITY.keys() | spared
    assert not STEP_OF_ACTIVITY.keys() & spared


def test_every_step_with_an_activity_can_have_faults() -> None:
    waits = {StepName.APPROVAL, StepName.ADDRESS_WINDOW}

    assert set(STEP_OF_ACTIVITY.values()) == set(StepName) - waits


async def slow_when_the_worker_stops(seconds: int) -> bool:
    """Whether the activity is reached all the same."""
    environment = ActivityEnvironment()
    waiting = asyncio.Event()
    environment.info = replace(environment.info, is_local=False)
    environment.on_heartbeat = lambda *_: waiting.set()
    running = asyncio.create_task(attempt(StepFaults(latency_seconds=seconds), environment=environment))
    await waiting.wait()
    environment.worker_shutdown()
    try:
        return await running
    except ProviderUnavailable:
        return False


async def test_an_attempt_that_is_nearly_done_is_let_end_when_the_worker_stops() -> None:
    """As a call to a company would be: a scale-down repeats nothing."""
    assert await slow_when_the_worker_stops(1)
    assert not await slow_when_the_worker_stops(3600)

"""Faults that an order's class asks for, and what the platform makes of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from builders import STANDARD_PIPELINE, a_line, a_policy, an_order_spec
from fake_activities import World
from sqlalchemy import Connection, select
from storefront import DEADLINE_SECONDS, PlacedOrder, Storefront, eventually
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker, WorkflowRunner

from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec
from order_domain.snapshot import StepState
from order_domain.status import OrderStatus
from order_worker.bootstrap import Providers, build_worker
from order_worker.interceptors.error_translation import Translation
from order_worker.interceptors.simulated_faults import FaultSimulation
from order_worker.ledger import schema, stock
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.ledger.tables import activity_attempts
from order_worker.sandbox import checking_runner, production_runner
from order_worker.settings import Settings
from order_workflows import contract
from order_workflows.contract import CancelRequest
from order_workflows.order_workflow import OrderWorkflow
from order_workflows.shipment_workflow import ShipmentWorkflow
from order_workflows.simulation import HEADER

CHARGE, SHIP = StepName.CHARGE_PAYMENT, StepName.SHIP
QUICK = {"default": {"initial_seconds": 1, "coefficient": 1}}
FOREVER = 86_400


class Attempts(Interceptor):
    """Sees how every attempt ends, as the log of attempts does."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        """Activities."""
        self.seen: list[tuple[str, int, str]] = []
        """Activity, number and end."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Noting(next, self)

    async def begins(self, name: str) -> None:
        """Waits until an attempt of `name` is under way."""

        async def under_way() -> bool:
            return name in self.begun

        await eventually(under_way, f"an attempt of {name}")

    def of(self, name: str) -> list[tuple[int, str]]:
        return [(number, end) for activity_name, number, end in self.seen if activity_name == name]


class _Noting(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, attempts: Attempts) -> None:
        super().__init__(inner)
        self._attempts = attempts

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info, end = activity.info(), "succeeded"
        self._attempts.begun.append(info.activity_type)
        try:
            return await super().execute_activity(input)
        except asyncio.CancelledError:
            end = "cancelled"
            raise
        except Exception as error:
            end = type(error).__name__
            raise
        finally:
            self._attempts.seen.append((info.activity_type, info.attempt, end))


class Site:
    """A shop whose workers simulate faults."""

    def __init__(self, client: Client) -> None:
        self.world = World()
        self.attempts = Attempts()
        self.shop = Storefront(client, f"simulation-{uuid4()}", self.world, histories=None)

    def worker(
        self,
        *,
        allowed: bool = True,
        bug: StepName | None = None,
        runner: WorkflowRunner | None = None,
        cached: int = 1000,
    ) -> Worker:
        """1000 is the SDK's default cache."""
        return Worker(
            self.shop.client,
            task_queue=self.shop.task_queue,
            workflows=[OrderWorkflow, ShipmentWorkflow],
            activities=self.world.activities,
            interceptors=[Translation(), self.attempts],
            plugins=[FaultSimulation(allowed=allowed, bug=bug).plugin()],
            workflow_runner=runner or checking_runner(),
            max_cached_workflows=cached,
        )

    async def place(self, policy: OrderClassSpec, **changes: Any) -> PlacedOrder:
        return await self.shop.place(policy=policy, **changes)


@pytest.fixture
async def site(temporal: Client) -> AsyncIterator[Site]:
    """Without a worker."""
    site = Site(temporal)
    yield site
    await site.shop.close()


def asks_for(changes: dict[str, Any] | None = None, /, **steps: dict[str, Any]) -> OrderClassSpec:
    """A policy with these faults, by the names of the steps."""
    return a_policy(**{"retry": QUICK, **(changes or {}), "simulation": {"steps": steps}})


async def failure(order: PlacedOrder) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failed:
        await order.result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause


async def test_a_charge_that_fails_four_times_succeeds_at_the_fifth_attempt_and_says_so(site: Site) -> None:
    async with site.worker():
        order = await site.place(asks_for(ChargePayment={"fail_attempts": 4}))

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    failed = [(number, "ProviderUnavailable") for number in (1, 2, 3, 4)]
    assert site.attempts.of("charge_payment") == [*failed, (5, "succeeded")]
    assert site.world.count("charge_payment") == 1
    assert {step.name: step.attempts for step in (await order.snapshot()).steps}[CHARGE] == 5


async def test_a_local_step_gets_its_faults_too(site: Site) -> None:
    async with site.worker():
        order = await site.place(asks_for(CheckFraud={"fail_attempts": 1}))

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert site.attempts.of("check_fraud") == [(1, "ProviderUnavailable"), (2, "succeeded")]


async def test_an_order_completes_though_a_third_of_all_attempts_fail(site: Site) -> None:
    policy = a_policy(retry=QUICK, simulation={"default": {"error_percent": 33}})
    async with site.worker():
        order = await site.place(policy)

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert site.world.count("reserve_stock") == site.world.count("charge_payment") == 1
    assert site.world.balance == 50_000


@pytest.mark.parametrize(("step", "name"), [("CheckFraud", "check_fraud"), ("ChargePayment", "charge_payment")])
async def test_an_attempt_slower_than_its_time_is_given_up_and_tried_again(site: Site, step: str, name: str) -> None:
    twice = {"initial_seconds": 1, "max_attempts": 2, "start_to_close_seconds": 1}
    async with site.worker():
        order = await site.place(asks_for({"retry": {"steps": {step: twice}}}, **{step: {"latency_seconds": 3600}}))

        assert (await failure(order)).type == "TimeoutError"

        async def let_go() -> bool:
            return len(site.attempts.of(name)) == 2

        # Before the worker stops, which would end them too.
        await eventually(let_go, "the end of both attempts")

    assert [number for number, _ in sorted(site.attempts.of(name))] == [1, 2]
    assert site.world.count(name) == 0
    assert site.world.untouched


async def test_an_attempt_slower_than_the_heartbeat_timeout_lives_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("order_worker.interceptors.simulated_faults.HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr("order_workflows.packing.HEARTBEAT_TIMEOUT", timedelta(seconds=1))
    pipeline = [*STANDARD_PIPELINE]
    pipeline.insert(pipeline.index(CHARGE), StepName.PREPARE_SHIPMENT)
    async with site.worker(runner=production_runner()):
        order = await site.place(asks_for({"pipeline": pipeline}, PrepareShipment={"latency_seconds": 3}))

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert site.attempts.of("pack_lines") == [(1, "succeeded")]


async def test_a_slow_local_step_can_be_cancelled(site: Site) -> None:
    slow = {"steps": {StepName.CHECK_FRAUD: {"start_to_close_seconds": 3600}}}
    async with site.worker():
        order = await site.place(asks_for({"retry": slow}, CheckFraud={"latency_seconds": 3600}))
        await site.attempts.begins("check_fraud")
        await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

        assert (await order.result()).status == OrderStatus.ORDER_CANCELLED

    assert site.attempts.of("check_fraud") == [(1, "cancelled")]


@pytest.mark.parametrize(("step", "name"), [("CheckFraud", "check_fraud"), ("ChargePayment", "charge_payment")])
async def test_a_worker_that_stops_waits_for_no_slow_step_and_another_goes_on(site: Site, step: str, name: str) -> None:
    slow = {"steps": {step: {"start_to_close_seconds": 3600, "initial_seconds": 1}}}
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with site.worker():
            order = await site.place(asks_for({"retry": slow}, **{step: {"latency_seconds": 3600}}))
            await site.attempts.begins(name)

        async with site.worker(allowed=False):
            assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert site.attempts.of(name)[0] == (1, "ProviderUnavailable")


async def test_a_declined_charge_fails_the_order_and_undoes_it(site: Site) -> None:
    async with site.worker():
        order = await site.place(asks_for(ChargePayment={"decline_code": "insufficient_funds"}))

        failed = await failure(order)

    assert (failed.type, failed.message) == ("PaymentDeclined", "insufficient_funds")
    assert site.attempts.of("charge_payment") == [(1, "PaymentDeclined")]
    assert site.world.count("release_stock") == 1
    assert site.world.untouched
    assert site.world.ends[order.uid] == OrderStatus.ORDER_FAILED


async def test_undoing_and_closing_are_spared(site: Site) -> None:
    faults = {"error_percent": 100, "error_type": "Undeliverable"}
    unhurt: dict[str, Any] = {step: {} for step in STANDARD_PIPELINE if step is not SHIP}
    policy = a_policy(simulation={"default": faults, "steps": unhurt})
    async with site.worker():
        order = await site.place(policy)

        assert (await failure(order)).type == "Undeliverable"

    undoing = {"halt_order", "refund_payment", "release_stock", "close_order"}
    assert {name: end for name, _, end in site.attempts.seen if name in undoing} == dict.fromkeys(undoing, "succeeded")
    assert site.world.untouched


async def test_where_simulation_is_not_allowed_the_order_is_invalid_and_nothing_happens(site: Site) -> None:
    async with site.worker(allowed=False):
        order = await site.place(asks_for(ChargePayment={"fail_attempts": 1}), class_name="flaky")

        result = await order.result()

    assert result.status == OrderStatus.ORDER_INVALID
    assert result.message is not None
    assert result.message.startswith("class flaky asks for simulated faults, which this worker does not allow: ")
    assert site.world.calls == ["halt_order", "close_order"]


async def test_where_simulation_is_not_allowed_other_orders_are_carried_out(site: Site) -> None:
    async with site.worker(allowed=False):
        order = await site.place(a_policy())

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_an_order_without_simulation_carries_no_header(site: Site) -> None:
    async with site.worker():
        plain = await site.place(a_policy())
        await plain.result()
        flaky = await site.place(asks_for(Notify={"fail_attempts": 1}))
        await flaky.result()

    assert await headers(plain) == {"charge_payment": set(), "ship_line": set()}
    assert await headers(flaky) == {"charge_payment": {HEADER}, "ship_line": {HEADER}}


async def headers(order: PlacedOrder) -> dict[str, set[str]]:
    """By the activities that went over the task queue."""
    scheduled = [
        event.activity_task_scheduled_event_attributes
        for event in await order.events()
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    return {attributes.activity_type.name: set(attributes.header.fields) for attributes in scheduled}


async def test_shipments_in_workflows_of_their_own_get_the_faults_of_the_class(site: Site) -> None:
    shipping = {"mode": "ChildWorkflows", "task_queue": site.shop.task_queue}
    faults = {"PrepareShipment": {"fail_attempts": 2}, "Ship": {"fail_attempts": 1}}
    two_lines = an_order_spec(lines=[a_line(line_id=number, unit_price_minor=100) for number in ("1", "2")])
    async with site.worker():
        order = await site.place(asks_for({"shipping": shipping}, **faults), spec=two_lines)

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert sorted(site.attempts.of("pack_lines")) == [
        *[(number, "ProviderUnavailable") for number in (1, 1, 2, 2)],
        *[(3, "succeeded")] * 2,
    ]
    assert sorted(site.attempts.of("ship_line")) == [*[(1, "ProviderUnavailable")] * 2, *[(2, "succeeded")] * 2]
    assert {step.name: step.attempts for step in (await order.snapshot()).steps}[SHIP] == 2


async def paused(order: PlacedOrder) -> None:
    async def timer_runs() -> bool:
        return bool(await pauses(order))

    await eventually(timer_runs, "a pause")


async def pauses(order: PlacedOrder) -> list[str]:
    """What the order's pauses say of themselves."""
    summaries = [
        (await order.client.data_converter.decode([event.user_metadata.summary]))[0]
        for event in await order.events()
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED and event.user_metadata.HasField("summary")
    ]
    return [summary for summary in summaries if "pause" in summary]


async def test_a_pause_outlives_its_worker_and_shows_the_step_that_it_precedes(site: Site) -> None:
    async with site.worker():
        order = await site.place(asks_for(ChargePayment={"pause_before_seconds": 2}))
        shown = await order.reaches(OrderStatus.CHARGE_CUSTOMER)
        await paused(order)
        assert site.world.charged == {}

    async with site.worker(cached=0):
        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert shown.current_step is CHARGE
    assert await pauses(order) == ["simulated pause before ChargePayment"]
    assert site.world.count("charge_payment") == 1


async def test_a_pause_ends_with_a_cancellation(site: Site) -> None:
    async with site.worker():
        order = await site.place(asks_for(ChargePayment={"pause_before_seconds": FOREVER}))
        await paused(order)

        await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

        assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert site.world.count("charge_payment") == 0
    assert site.world.untouched
    states = {step.name: step.state for step in (await order.snapshot()).steps}
    assert states[StepName.RESERVE_STOCK] is StepState.COMPENSATED


async def test_there_is_no_pause_before_an_order_is_received(site: Site) -> None:
    async with site.worker(allowed=False):
        order = await site.place(asks_for(Receive={"pause_before_seconds": FOREVER}))

        assert (await order.result()).status == OrderStatus.ORDER_INVALID


@pytest.mark.parametrize("runner", [checking_runner, production_runner])
async def test_an_order_that_met_a_bug_goes_on_at_a_worker_without_it(
    site: Site, runner: Callable[[], WorkflowRunner]
) -> None:
    async with site.worker(bug=CHARGE, runner=runner()):
        order = await site.place(a_policy())

        async def broken() -> bool:
            return await order.count(EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED) > 0

        await eventually(broken, "a failed workflow task")
        assert (await order.handle.describe()).status is WorkflowExecutionStatus.RUNNING
        assert await messages(order) == {"simulated bug in the step ChargePayment"}
        assert site.world.charged == {}

    async with site.worker(runner=runner()):
        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert site.world.count("charge_payment") == 1
    assert site.world.balance == 50_000


async def messages(order: PlacedOrder) -> set[str]:
    """Of its failed workflow tasks."""
    return {
        event.workflow_task_failed_event_attributes.failure.message
        for event in await order.events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    }


@asynccontextmanager
async def a_product_worker(client: Client, queue: str, folder: Path) -> AsyncIterator[Ledger]:
    """Built by the composition root, on a ledger with stock; simulation is allowed."""
    url = f"sqlite:///{folder / 'ledger.db'}"
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
    ledger = await Ledger.open(url)
    providers = await Providers.open(Settings(provider_store=folder / "providers.db"), {})
    try:
        await ledger.transaction(partial(stock.ensure, wanted={"PROD-001": 10}))
        async with build_worker(client, Settings(task_queue=queue, simulation=True), ledger, providers):
            yield ledger
    finally:
        await providers.close()
        await ledger.close()


async def test_a_simulated_failure_stands_in_the_log_of_attempts(temporal: Client, tmp_path: Path) -> None:
    shop = Storefront(temporal, f"simulation-{uuid4()}", World(), histories=None)
    faults = {"Receive": {"fail_attempts": 1, "error_type": "LedgerUnavailable"}, "ChargePayment": {"fail_attempts": 1}}

    def logged(tx: Connection) -> list[tuple[str, int, str | None]]:
        wanted = activity_attempts.c.activity.in_(["receive_order", "charge_payment"])
        columns = activity_attempts.c
        rows = tx.execute(select(columns.activity, columns.attempt, columns.error_type).where(wanted))
        return [(row.activity, row.attempt, row.error_type) for row in rows]

    async with a_product_worker(temporal, shop.task_queue, tmp_path) as ledger:
        order = await shop.place(policy=asks_for(**faults))
        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

        async def written() -> bool:
            return len(await ledger.transaction(logged)) == 4

        await eventually(written, "four attempts in the log")
        assert sorted(await ledger.transaction(logged), key=str) == [
            ("charge_payment", 1, "ProviderUnavailable"),
            ("charge_payment", 2, None),
            ("receive_order", 1, "LedgerUnavailable"),
            ("receive_order", 2, None),
        ]

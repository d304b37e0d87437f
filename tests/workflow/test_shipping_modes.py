"""The lines of an order shipped in each of the three modes: by activities, by child workflows, by Nexus operations."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from builders import STANDARD_PIPELINE, a_line, a_policy, an_address, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront, eventually
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Worker

from order_devstack.temporal_server import SHIPPING_NAMESPACE
from order_domain.errors import ProviderUnavailable, Undeliverable
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec, ParentClosePolicy, ShippingMode
from order_domain.retry import StepRetry
from order_domain.snapshot import ShipmentState
from order_domain.status import OrderStatus
from order_worker.interceptors.error_translation import Translation
from order_worker.nexus_shipping import ShippingService
from order_worker.sandbox import checking_runner
from order_workflows import contract
from order_workflows.activities.shipping import Shipped
from order_workflows.contract import CancelRequest, Decision, ResourceIdentity, ShipmentInput
from order_workflows.shipment_workflow import ShipmentWorkflow

MODES = list(ShippingMode)
APART = [ShippingMode.CHILD_WORKFLOWS, ShippingMode.NEXUS]
"""Modes with workers of their own."""

PREPARED_PIPELINE = [*STANDARD_PIPELINE]
PREPARED_PIPELINE.insert(PREPARED_PIPELINE.index(StepName.CHARGE_PAYMENT), StepName.PREPARE_SHIPMENT)

TWO_LINES = an_order_spec(lines=[a_line(line_id=str(number), unit_price_minor=100) for number in (1, 2)])
QUICK_RETRY = {"default": {"initial_seconds": 1, "max_interval_seconds": 1}}


def identity(order: PlacedOrder) -> ResourceIdentity:
    key = contract.parse_workflow_id(order.handle.id)
    assert key is not None
    return ResourceIdentity(cluster="test", **key._asdict())


@workflow.defn(sandboxed=False)
class AskAgain:
    """Somebody else who asks for the shipment of a line."""

    @workflow.run
    async def run(self, endpoint: str, shipment: ShipmentInput) -> Shipped:
        shipping = workflow.create_nexus_client(service=contract.NEXUS_SERVICE, endpoint=endpoint)
        return await shipping.execute_operation(contract.NEXUS_OPERATION, shipment, output_type=Shipped)


@dataclass
class Depot:
    """The shipping side: a task queue, and a namespace where orders reach it by Nexus."""

    orders: Client
    nexus: Client
    task_queue: str
    endpoint: str
    world: World
    opened: AsyncExitStack = field(default_factory=AsyncExitStack)

    def policy(self, mode: ShippingMode, **changes: Any) -> OrderClassSpec:
        shipping = {"mode": mode, "task_queue": self.task_queue, "endpoint": self.endpoint}
        return a_policy(**{"retry": QUICK_RETRY, **changes, "shipping": {**shipping, **changes.pop("shipping", {})}})

    def client(self, mode: ShippingMode) -> Client:
        """Of the namespace where shipments of this mode run."""
        return self.nexus if mode is ShippingMode.NEXUS else self.orders

    async def opens(self, mode: ShippingMode) -> None:
        """From now on there is a worker for shipments of this mode."""
        worker = Worker(
            self.client(mode),
            task_queue=self.task_queue,
            workflows=[ShipmentWorkflow],
            activities=[self.world.pack, self.world.unpack, self.world.ship],
            nexus_service_handlers=[ShippingService()],
            interceptors=[Translation()],
            workflow_runner=checking_runner(),
        )
        await self.opened.enter_async_context(worker)

    def shipment(self, order: PlacedOrder, line_id: str, mode: ShippingMode) -> WorkflowHandle[Any, Any]:
        """The workflow that ships one line."""
        return self.client(mode).get_workflow_handle(contract.shipment_workflow_id(identity(order), line_id))

    async def ends(self, order: PlacedOrder, line_id: str, mode: ShippingMode) -> WorkflowExecutionStatus:
        """How the line's workflow ended."""
        handle = self.shipment(order, line_id, mode)
        status: WorkflowExecutionStatus | None = None

        async def closed() -> bool:
            nonlocal status
            status = (await handle.describe()).status
            return status is not WorkflowExecutionStatus.RUNNING

        await eventually(closed, "the end of the shipment")
        assert status is not None
        return status


@pytest.fixture(scope="session")
async def nexus_client(temporal: Client) -> Client:
    """A connection of its own, to the namespace that the stack makes for shipments."""
    return await Client.connect(
        temporal.service_client.config.target_host,
        namespace=SHIPPING_NAMESPACE,
        data_converter=pydantic_data_converter,
        identity="test",
    )


@pytest.fixture
async def depot(shop: Storefront, world: World, nexus_client: Client) -> AsyncIterator[Depot]:
    """Without a worker."""
    name = f"shipping-{uuid4()}"
    target = EndpointTarget(worker=EndpointTarget.Worker(namespace=SHIPPING_NAMESPACE, task_queue=name))
    await shop.client.operator_service.create_nexus_endpoint(
        CreateNexusEndpointRequest(spec=EndpointSpec(name=name, target=target))
    )
    depot = Depot(shop.client, nexus_client, name, name, world)
    async with depot.opened:
        yield depot
        world.release_all()
        await shop.close()


async def failure_type(order: PlacedOrder) -> str | None:
    with pytest.raises(WorkflowFailureError) as failed:
        await order.result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.type


async def shipment_exists(depot: Depot, order: PlacedOrder, line_id: str, mode: ShippingMode) -> None:
    async def there() -> bool:
        try:
            await depot.shipment(order, line_id, mode).describe()
        except RPCError:
            return False
        return True

    await eventually(there, "a shipment's workflow")


@pytest.mark.parametrize("mode", MODES)
async def test_the_result_is_the_same_in_every_mode(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    order = await shop.place(TWO_LINES, policy=depot.policy(mode))

    result = await order.result()

    if mode in APART:
        await shop.record(f"shipped-by-{mode.lower()}", order)
        await shop.record(f"shipment-by-{mode.lower()}", depot.shipment(order, "1", mode))
    assert result.status == OrderStatus.ORDER_COMPLETED
    assert result.tracking_numbers == [f"TRACK-{order.uid[:8]}-{line_id}" for line_id in ("1", "2")]
    assert set(world.parcels) == {f"{order.uid}/ship/1", f"{order.uid}/ship/2"}
    snapshot = await order.snapshot()
    assert [record.state for record in snapshot.shipments] == [ShipmentState.DISPATCHED] * 2
    assert all(record.carrier == "fake" and record.estimated_delivery for record in snapshot.shipments)
    assert {step.name: step.attempts for step in snapshot.steps}[StepName.SHIP] == 1


@pytest.mark.parametrize("mode", APART)
async def test_each_line_has_a_workflow_of_its_own_on_the_shipping_queue(
    shop: Storefront, depot: Depot, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    order = await shop.place(TWO_LINES, policy=depot.policy(mode))
    await order.result()

    for line_id in ("1", "2"):
        described = await depot.shipment(order, line_id, mode).describe()
        assert described.status is WorkflowExecutionStatus.COMPLETED
        assert described.task_queue == depot.task_queue
        assert described.namespace == (SHIPPING_NAMESPACE if mode is ShippingMode.NEXUS else "default")


@pytest.mark.parametrize("mode", APART)
async def test_a_shipment_packs_its_line_before_it_goes(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    order = await shop.place(TWO_LINES, policy=depot.policy(mode))
    await order.result()

    assert world.packed == {f"{order.uid}/ship/{line_id}/pack": [line_id] for line_id in ("1", "2")}


@pytest.mark.parametrize("mode", MODES)
async def test_what_the_order_has_packed_is_packed_once(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    order = await shop.place(TWO_LINES, policy=depot.policy(mode, pipeline=PREPARED_PIPELINE))
    await order.result()

    if mode is ShippingMode.CHILD_WORKFLOWS:
        await shop.record("shipment-packed", depot.shipment(order, "1", mode))
    assert world.packed == {f"{order.uid}/pack": ["1", "2"]}


@pytest.mark.parametrize("mode", APART)
async def test_without_a_shipping_worker_an_order_stays_at_its_step_and_goes_on_when_one_comes(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    order = await shop.place(policy=depot.policy(mode))
    waiting = await order.reaches(OrderStatus.SHIP_ORDER)
    if mode is ShippingMode.CHILD_WORKFLOWS:
        await shipment_exists(depot, order, "1", mode)
    assert waiting.last_error is None
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.RUNNING

    await depot.opens(mode)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert set(world.delivered) == {"1"}


@pytest.mark.parametrize("mode", APART)
async def test_an_order_without_a_shipping_worker_can_be_cancelled_and_never_ships(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    order = await shop.place(policy=depot.policy(mode, shipping={"parent_close_policy": ParentClosePolicy.ABANDON}))
    await order.reaches(OrderStatus.SHIP_ORDER)
    if mode is ShippingMode.CHILD_WORKFLOWS:
        await shipment_exists(depot, order, "1", mode)

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    await depot.opens(mode)
    if mode is ShippingMode.CHILD_WORKFLOWS:
        assert await depot.ends(order, "1", mode) is WorkflowExecutionStatus.CANCELED
    assert world.parcels == {}
    assert world.untouched


@pytest.mark.parametrize("mode", MODES)
async def test_a_line_that_cannot_be_delivered_undoes_the_order_by_its_reason(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    world.fail("ship_line/2", Undeliverable("no such street"))
    order = await shop.place(TWO_LINES, policy=depot.policy(mode))

    assert await failure_type(order) == "Undeliverable"

    snapshot = await order.snapshot()
    assert snapshot.last_error is not None
    assert (snapshot.last_error.type, snapshot.last_error.message) == ("Undeliverable", "no such street")
    assert {record.line_id: record.state for record in snapshot.shipments} == {"1": ShipmentState.CANCELLED}
    assert {step.name: step.attempts for step in snapshot.steps}[StepName.SHIP] == 1
    assert world.untouched


@pytest.mark.parametrize("mode", MODES)
async def test_used_up_attempts_are_shown_in_every_mode(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    world.fail("ship_line", ProviderUnavailable("still down"))
    order = await shop.place(policy=depot.policy(mode, retry={"default": {"max_attempts": 2}}))

    assert await failure_type(order) == "ProviderUnavailable"

    assert {step.name: step.attempts for step in (await order.snapshot()).steps}[StepName.SHIP] == 2
    assert world.untouched


@pytest.mark.parametrize("mode", APART)
async def test_a_shipment_that_fails_undoes_its_own_packing(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    world.fail("ship_line", Undeliverable("no such street"))
    order = await shop.place(policy=depot.policy(mode))
    await failure_type(order)

    unpacked = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in (await depot.shipment(order, "1", mode).fetch_history()).events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert unpacked == ["pack_lines", "ship_line", "unpack_lines"]
    if mode is ShippingMode.CHILD_WORKFLOWS:
        await shop.record("shipment-undeliverable", depot.shipment(order, "1", mode))


@pytest.mark.parametrize("mode", APART)
async def test_a_shipment_that_somebody_terminates_is_unpacked_by_the_order(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    held = world.hold("ship_line")
    order = await shop.place(policy=depot.policy(mode))
    await held.reached.wait()
    assert world.packed

    await depot.shipment(order, "1", mode).terminate("by mistake")

    await failure_type(order)
    held.release()
    assert world.untouched


@pytest.mark.parametrize("mode", APART)
async def test_a_cancelled_order_stops_its_shipments_and_undoes_their_packing(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    await depot.opens(mode)
    held = world.hold("ship_line")
    order = await shop.place(
        policy=depot.policy(mode, shipping={"parent_close_policy": ParentClosePolicy.REQUEST_CANCEL})
    )
    await held.reached.wait()

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    result = await order.result()
    held.release()

    assert result.status == OrderStatus.ORDER_CANCELLED
    await depot.ends(order, "1", mode)
    if mode is ShippingMode.CHILD_WORKFLOWS:
        await shop.record("shipment-cancelled", depot.shipment(order, "1", mode))
    assert world.untouched


TOLD = (
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
)


@pytest.mark.parametrize(
    ("policy", "ending"),
    [
        (ParentClosePolicy.TERMINATE, WorkflowExecutionStatus.TERMINATED),
        (ParentClosePolicy.REQUEST_CANCEL, WorkflowExecutionStatus.CANCELED),
        (ParentClosePolicy.ABANDON, WorkflowExecutionStatus.COMPLETED),
    ],
)
async def test_the_end_of_the_order_reaches_its_children_as_the_class_says(
    shop: Storefront, depot: Depot, world: World, policy: ParentClosePolicy, ending: WorkflowExecutionStatus
) -> None:
    mode = ShippingMode.CHILD_WORKFLOWS
    await depot.opens(mode)
    held = world.hold("pack_lines")
    order = await shop.place(policy=depot.policy(mode, shipping={"parent_close_policy": policy}))
    await held.reached.wait()

    await order.handle.terminate()

    if policy is not ParentClosePolicy.ABANDON:
        shipment = depot.shipment(order, "1", mode)

        async def told() -> bool:
            return any(event.event_type in TOLD for event in (await shipment.fetch_history()).events)

        await eventually(told, "the end of the order at its child")
    held.release()
    assert await depot.ends(order, "1", mode) is ending


async def test_asking_twice_for_the_same_line_joins_the_shipment_that_is_under_way(
    shop: Storefront, depot: Depot, world: World
) -> None:
    await depot.opens(ShippingMode.NEXUS)
    held = world.hold("ship_line")
    order = await shop.place(policy=depot.policy(ShippingMode.NEXUS))
    await held.reached.wait()
    again = ShipmentInput(
        order=identity(order),
        line=a_line(),
        address=an_address(),
        requested_at=datetime.now(UTC),
        ship_operation_id=f"{order.uid}/ship/1",
        packed=False,
        retry=StepRetry(),
    )

    queue = f"again-{uuid4()}"
    async with Worker(shop.client, task_queue=queue, workflows=[AskAgain]):
        asked = await shop.client.start_workflow(AskAgain.run, args=[depot.endpoint, again], id=queue, task_queue=queue)

        async def joined() -> bool:
            events = (await asked.fetch_history()).events
            return any(event.HasField("nexus_operation_started_event_attributes") for event in events)

        await eventually(joined, "an accepted operation")
        held.release()
        answer = await asked.result()

    assert [answer.tracking_number] == (await order.result()).tracking_numbers
    assert world.count("ship_line") == 1


async def test_a_shipment_under_way_for_another_address_is_not_believed(
    shop: Storefront, depot: Depot, world: World
) -> None:
    """An order that was reset to before a change of its address joins the shipment of the run before."""
    await depot.opens(ShippingMode.NEXUS)
    held = world.hold("ship_line")
    asking = {"mode": "Always", "window_seconds": 300}
    order = await shop.place(policy=depot.policy(ShippingMode.NEXUS, approval=asking))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    elsewhere = an_address(line1="742 Evergreen Terrace")
    operation = f"{order.uid}/ship/1"
    earlier = ShipmentInput(
        order=identity(order),
        line=a_line(),
        address=elsewhere,
        requested_at=datetime.now(UTC),
        ship_operation_id=operation,
        packed=False,
        retry=StepRetry(),
        asked_for=contract.asked_for(operation, a_line(), elsewhere),
    )
    queue = f"earlier-{uuid4()}"
    async with Worker(shop.client, task_queue=queue, workflows=[AskAgain]):
        arguments = [depot.endpoint, earlier]
        asked = await shop.client.start_workflow(AskAgain.run, args=arguments, id=queue, task_queue=queue)
        await held.reached.wait()

        await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

        async def joined() -> bool:
            return await order.count(EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED) > 0

        await eventually(joined, "an accepted operation")
        held.release()
        await asked.result()

    shown = await order.reaches(OrderStatus.MANUAL_REVIEW)
    assert shown.last_error is not None
    assert shown.last_error.type == "OperationConflict"
    assert shown.shipments == []


@pytest.mark.parametrize("mode", APART)
async def test_a_shipment_that_fails_past_the_pivot_is_asked_for_again_with_what_it_has_packed(
    shop: Storefront, depot: Depot, world: World, mode: ShippingMode
) -> None:
    """It took its packing apart, which is never done again: the order was paid for and could not be shipped."""
    await depot.opens(mode)
    world.fail("ship_line", ProviderUnavailable("no truck"))
    changes: dict[str, Any] = {"compensation": {"pivot": StepName.CHARGE_PAYMENT}}
    order = await shop.place(policy=depot.policy(mode, **changes, retry={"default": {"max_attempts": 1}}))
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    if mode is ShippingMode.CHILD_WORKFLOWS:
        await shop.record("shipment-keeps-packed", depot.shipment(order, "1", mode))

    world.repair("ship_line")
    await order.update(contract.UPDATE_RETRY)
    await order.ends_or_waits()

    assert (await order.snapshot()).status is OrderStatus.ORDER_COMPLETED
    assert world.packed == {f"{order.uid}/ship/1/pack": ["1"]}


async def test_a_line_that_the_carrier_refuses_past_the_pivot_is_packed_once(
    shop: Storefront, depot: Depot, world: World
) -> None:
    """What is asked for next has another name, and packs for itself."""
    mode = ShippingMode.CHILD_WORKFLOWS
    await depot.opens(mode)
    world.fail("ship_line", Undeliverable("no such street"), times=1)
    order = await shop.place(policy=depot.policy(mode, compensation={"pivot": StepName.CHARGE_PAYMENT}))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_RETRY)
    await order.result()

    assert world.packed == {f"{order.uid}/ship/1/2/pack": ["1"]}


async def test_lines_that_have_shipped_are_left_alone_by_another_attempt(
    shop: Storefront, depot: Depot, world: World
) -> None:
    mode = ShippingMode.CHILD_WORKFLOWS
    await depot.opens(mode)
    world.fail("ship_line/2", Undeliverable("no such street"))
    order = await shop.place(TWO_LINES, policy=depot.policy(mode, compensation={"pivot": StepName.CHARGE_PAYMENT}))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.repair("ship_line/2")
    await order.update(contract.UPDATE_RESUME)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert set(world.parcels) == {f"{order.uid}/ship/1", f"{order.uid}/ship/2/2"}
    assert world.count("ship_line") == 3

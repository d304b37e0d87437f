"""One order's workflow with encrypted payloads, on a real Temporal server: what others may put into its history."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from builders import a_line, a_policy, an_order_spec
from encryption_keys import ring_file
from fake_activities import World
from storefront import PlacedOrder, Storefront, a_shop, a_worker, eventually
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.worker import Replayer, Worker

from order_codec.settings import data_converter
from order_domain.status import OrderStatus
from order_worker.interceptors.error_translation import Translation
from order_worker.sandbox import checking_runner
from order_workflows import contract
from order_workflows.contract import Decision
from order_workflows.order_workflow import OrderWorkflow

AWAITS = OrderStatus.AWAIT_APPROVAL


def variables(folder: Path) -> dict[str, str]:
    return {"ORDER_ENCRYPTION_KEYS_FILE": str(folder / "encryption-keys"), "ORDER_ENCRYPTION_WRITE": "true"}


@pytest.fixture
async def private(temporal: Client, temporal_address: str, tmp_path: Path) -> AsyncIterator[Storefront]:
    """A shop whose worker and clients encrypt. `temporal`, which does not, is anybody else in the same namespace."""
    ring_file(tmp_path, "first")
    converter = data_converter(variables(tmp_path), leave_refused=True)
    client = await Client.connect(temporal_address, data_converter=converter, identity="test")
    async with a_shop(client) as shop:
        yield shop


def sealed_for(order: PlacedOrder, key_id: bytes) -> Payload:
    """What anybody who may write to the Temporal namespace can put together."""
    return Payload(
        metadata={
            "encoding": b"binary/encrypted",
            "encryption-key-id": key_id,
            "encryption-scope": f"workflow:default/{order.handle.id}".encode(),
            "encryption-version": b"1",
        },
        data=b"nobody has the key for these bytes",
    )


@asynccontextmanager
async def workers_of_two_rings(address: str, carries: Path, acts: Path) -> AsyncIterator[Storefront]:
    """A shop whose workflows have the keys in one folder, and whose remote activities those in the other."""
    deciding, acting = [
        await Client.connect(address, data_converter=data_converter(variables(each), leave_refused=True))
        for each in (carries, acts)
    ]
    world = World()
    shop = Storefront(deciding, f"orders-{uuid4()}", world, None)
    activities = Worker(acting, task_queue=shop.task_queue, activities=world.activities, interceptors=[Translation()])
    async with a_worker(deciding, shop.task_queue, world, no_remote_activities=True), activities:
        yield shop
        await shop.close()


async def a_waiting_order(shop: Storefront) -> PlacedOrder:
    order = await shop.place(an_order_spec(lines=[a_line(unit_price_minor=150_000)]))
    await order.reaches(AWAITS)
    return order


async def test_an_encrypted_order_is_decided_by_an_update_and_asked_by_a_query_and_its_history_tells_nothing(
    private: Storefront,
) -> None:
    order = await a_waiting_order(private)
    assert await order.handle.query(contract.QUERY_REQUIRES_APPROVAL, result_type=bool)
    await order.update(contract.UPDATE_APPROVE, Decision(by="maria", reason="seen by telephone"))

    result = await order.result()

    assert result.status == "Order Completed"
    history = "".join(str(event) for event in await order.events())
    assert "binary/encrypted" in history
    for told in ("Ana", "Main Street", "tok_", "telephone"):
        assert told not in history


async def test_an_encrypted_history_replays_also_after_a_rotation(private: Storefront, tmp_path: Path) -> None:
    order = await private.place()
    await order.result()
    history = await order.handle.fetch_history()

    ring_file(tmp_path, "second", "first")
    replayer = Replayer(
        namespace=private.client.namespace,  # part of the scope
        workflows=[OrderWorkflow],
        workflow_runner=checking_runner(),
        data_converter=data_converter(variables(tmp_path), leave_refused=True),
    )

    assert (await replayer.replay_workflow(history)).replay_failure is None


async def test_a_decision_copied_from_another_orders_history_decides_nothing(
    private: Storefront, temporal: Client
) -> None:
    approved, other = await a_waiting_order(private), await a_waiting_order(private)
    await approved.handle.signal(contract.SIGNAL_APPROVE_ORDER, True)
    await approved.result()
    [copied] = [
        event.workflow_execution_signaled_event_attributes.input.payloads[0]
        for event in await approved.events()
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert copied.metadata["encoding"] == b"binary/encrypted"

    await temporal.get_workflow_handle(other.handle.id).signal(contract.SIGNAL_APPROVE_ORDER, RawValue(copied))

    # The order has seen the signal once it answers what came after it.
    assert await other.handle.query(contract.QUERY_REQUIRES_APPROVAL, result_type=bool)
    await other.update(contract.UPDATE_REJECT, Decision(by="maria"))
    assert (await other.result()).status == "Order Rejected"


async def test_a_forged_message_stops_no_order(private: Storefront, temporal: Client) -> None:
    order = await a_waiting_order(private)
    forged = sealed_for(order, b"first")

    await temporal.get_workflow_handle(order.handle.id).signal(contract.SIGNAL_CANCEL_ORDER, RawValue(forged))
    await order.update(contract.UPDATE_APPROVE, Decision(by="maria"))

    assert (await order.result()).status == "Order Completed"


async def test_a_message_with_a_key_that_nobody_ever_had_is_taken_back_by_a_reset(
    private: Storefront, temporal: Client
) -> None:
    """Until then the order waits: that a key is missing proves nothing, and nobody knows that it never comes."""
    order = await a_waiting_order(private)
    await temporal.get_workflow_handle(order.handle.id).signal(
        contract.SIGNAL_CANCEL_ORDER, RawValue(sealed_for(order, b"never"))
    )

    async def stopped() -> bool:
        failed = [event.workflow_task_failed_event_attributes for event in await order.events()]
        return any("'never'" in each.failure.message for each in failed)

    await eventually(stopped, "a task that failed for the key")
    last_done = max(
        event.event_id
        for event in await order.events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    )
    await temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=temporal.namespace,
            workflow_execution={"workflow_id": order.handle.id},
            reason="a forged message",
            workflow_task_finish_event_id=last_done,
            request_id=str(uuid4()),
            reset_reapply_exclude_types=[ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL],
        )
    )
    again = private.client.get_workflow_handle(order.handle.id)
    await again.execute_update(contract.UPDATE_APPROVE, Decision(by="maria"))

    assert (await again.result())["status"] == "Order Completed"


@pytest.mark.usefixtures("temporal")  # which has the search attributes
async def test_a_worker_whose_key_comes_late_uses_up_no_attempt_of_a_class(
    temporal_address: str, tmp_path: Path
) -> None:
    """Here every remote activity of the order comes to it."""
    carries, acts = tmp_path / "carries", tmp_path / "acts"
    for folder, keys in ((carries, ("second", "first")), (acts, ("first",))):
        folder.mkdir()
        ring_file(folder, *keys)
    once = a_policy(retry={"default": {"max_attempts": 1}})
    async with workers_of_two_rings(temporal_address, carries, acts) as shop:
        order = await shop.place(policy=once)

        async def waits() -> bool:
            return await order.count(EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED) >= 2

        await eventually(waits, "an activity that failed, and again")
        told = [step.last_error or "" for step in (await order.snapshot()).steps]
        assert any("'second'" in error for error in told)
        failed = [
            event.activity_task_failed_event_attributes.failure
            for event in await order.events()
            if event.HasField("activity_task_failed_event_attributes")
        ]
        assert {"'second'" in failure.cause.message for failure in failed} == {True}, "read without a key"
        ring_file(acts, "second", "first")

        assert (await order.result()).status == "Order Completed"


async def test_a_client_that_does_not_encrypt_is_heard_all_the_same(private: Storefront, temporal: Client) -> None:
    order = await a_waiting_order(private)

    await temporal.get_workflow_handle(order.handle.id).signal(contract.SIGNAL_APPROVE_ORDER, True)

    assert (await order.result()).status == "Order Completed"

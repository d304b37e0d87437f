import pytest
from builders import STANDARD_PIPELINE, a_line, a_policy, an_order_spec
from fake_activities import INITIAL_STOCK, World
from storefront import Storefront, eventually
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from order_domain.errors import ProviderUnavailable
from order_domain.order import OrderLine
from order_domain.pipeline import StepName
from order_domain.snapshot import OrderSnapshot, StepState
from order_domain.status import OrderStatus
from order_workflows import contract

EVERY_ACTIVITY_IN_ORDER = [
    "receive_order",
    "validate_lines",
    "check_fraud",
    "reserve_stock",
    "charge_payment",
    "ship_line",
    "commit_stock",
    "notify_customer",
    "close_order",
]


async def test_an_order_of_500_completes_with_every_step_in_order(shop: Storefront, world: World) -> None:
    order = await shop.place()

    result = await order.result()

    await shop.record("completed", order)
    assert result.status == OrderStatus.ORDER_COMPLETED
    assert world.calls == EVERY_ACTIVITY_IN_ORDER


async def test_a_completed_order_moved_money_stock_parcel_and_mail_once(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(lines=[a_line(quantity=2)]))

    await order.result()

    assert world.checked == [100_000]
    assert list(world.charged.values()) == [100_000]
    assert world.on_hand["PROD-001"] == INITIAL_STOCK - 2
    assert world.sold["PROD-001"] == 2
    assert len(world.parcels) == 1
    assert [mail.email for mail in world.mails] == ["ana@example.com"]
    assert world.ends[order.uid] == OrderStatus.ORDER_COMPLETED


async def test_the_result_holds_every_reference(shop: Storefront) -> None:
    order = await shop.place(an_order_spec(order_id="ORDER-500"))

    result = await order.result()

    short = order.uid[:8]
    assert result.order_id == "ORDER-500"
    assert result.total_minor == 50_000
    assert result.reservation_id == f"RES-{short}"
    assert result.transaction_id == f"TXN-{short}"
    assert result.tracking_numbers == [f"TRACK-{short}-1"]
    assert result.refund_id is None
    assert result.message is None


async def test_a_one_line_order_costs_three_workflow_tasks_and_two_remote_activities(shop: Storefront) -> None:
    """Throughput is this number. First task: Receive to ReserveStock are local, Approval is skipped, the charge is
    scheduled. Second: the charge is back, the shipment is scheduled. Third: the shipment is back; commit, mail and
    close are local, the run ends. Only the two steps that may be slow at an outside company are remote."""
    order = await shop.place()

    await order.result()

    assert await order.count(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED) == 3
    assert await order.scheduled() == ["charge_payment", "ship_line"]


async def test_every_published_change_is_one_upsert_of_memo_and_attributes(shop: Storefront) -> None:
    order = await shop.place()

    await order.result()

    snapshots = await order.published()
    assert [snapshot.seq for snapshot in snapshots] == list(range(1, len(snapshots) + 1))
    assert await order.count(EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES) == len(snapshots)


async def test_steps_of_one_workflow_task_are_shown_by_its_last_state(shop: Storefront) -> None:
    order = await shop.place()

    await order.result()

    assert [snapshot.status for snapshot in await order.published()] == [
        OrderStatus.CHARGE_CUSTOMER,
        OrderStatus.SHIP_ORDER,
        OrderStatus.ORDER_COMPLETED,
    ]
    assert await order.count(EventType.EVENT_TYPE_TIMER_STARTED) == 0


async def test_a_step_that_lasts_is_shown_while_it_does(shop: Storefront, world: World) -> None:
    world.fail("check_fraud", ProviderUnavailable("no answer"))
    order = await shop.place()

    snapshot = await order.reaches(OrderStatus.CHECK_FRAUD)

    assert snapshot.current_step is StepName.CHECK_FRAUD
    world.repair("check_fraud")


async def test_an_order_begun_by_the_first_revision_shows_every_step(shop: Storefront) -> None:
    order = await shop.place(revision=1)

    await order.result()

    assert [snapshot.status for snapshot in await order.published()] == [
        OrderStatus.ORDER_RECEIVED,
        OrderStatus.VALIDATE_ORDER,
        OrderStatus.CHECK_FRAUD,
        OrderStatus.RESERVE_STOCK,
        OrderStatus.CHARGE_CUSTOMER,
        OrderStatus.SHIP_ORDER,
        OrderStatus.NOTIFY_CUSTOMER,
        OrderStatus.ORDER_COMPLETED,
    ]


async def test_progress_never_falls_and_ends_at_100(shop: Storefront) -> None:
    order = await shop.place()

    await order.result()

    shown = [snapshot.progress for snapshot in await order.published()]
    assert shown == [62, 75, 100]


async def test_search_attribute_memo_and_query_agree_at_the_end(shop: Storefront) -> None:
    order = await shop.place()
    await order.result()

    description = await order.handle.describe()
    attributes = description.typed_search_attributes
    memo = OrderSnapshot.model_validate((await description.memo())[contract.MEMO_SNAPSHOT])
    answer = await order.handle.query(contract.QUERY_STATUS, result_type=OrderSnapshot)

    assert attributes[contract.ORDER_STATUS] == memo.status == answer.status == OrderStatus.ORDER_COMPLETED
    assert attributes[contract.ORDER_SEQ] == memo.seq
    assert attributes[contract.ORDER_CLUSTER] == "test"
    assert memo.updated_at is not None
    # A search attribute keeps milliseconds.
    assert abs(attributes[contract.ORDER_UPDATED_AT] - memo.updated_at).total_seconds() < 0.001
    assert memo.model_copy(update={"seq": 0, "updated_at": None, "tells_owner": False}) == answer


async def test_no_search_attribute_names_the_customer(shop: Storefront) -> None:
    """A payload codec does not encrypt them."""
    order = await shop.place(an_order_spec(customer={"id": "CUST-77", "email": "ana@example.com"}))
    await order.result()

    attributes = (await order.handle.describe()).typed_search_attributes

    named = ("CUST-77", "ana@example.com", "Ana Roe", "12 Main Street")
    assert attributes[contract.ORDER_ID]
    assert not [pair.key.name for pair in attributes if any(name in str(pair.value) for name in named)]


async def test_the_memo_keeps_the_uid_and_the_input_hash_beside_snapshot_and_pipeline(shop: Storefront) -> None:
    order = await shop.place()
    await order.result()

    memo = await (await order.handle.describe()).memo()

    assert set(memo) == {contract.MEMO_SNAPSHOT, contract.MEMO_PIPELINE, contract.MEMO_UID, contract.MEMO_INPUT_HASH}


async def test_every_step_of_a_completed_order_has_its_state_and_times(shop: Storefront) -> None:
    order = await shop.place()
    await order.result()

    steps = {record.name: record for record in (await order.snapshot()).steps}

    assert list(steps) == STANDARD_PIPELINE
    assert steps[StepName.APPROVAL].state is StepState.SKIPPED
    assert {record.state for name, record in steps.items() if name is not StepName.APPROVAL} == {StepState.SUCCEEDED}
    assert all(record.started_at and record.finished_at for record in steps.values())
    assert steps[StepName.CHARGE_PAYMENT].attempts == 1


async def test_the_query_for_progress_answers(shop: Storefront) -> None:
    order = await shop.place()
    await order.result()

    assert await order.handle.query(contract.QUERY_PROGRESS, result_type=int) == 100


async def test_the_query_for_items_answers_with_the_lines_sorted(shop: Storefront) -> None:
    order = await shop.place(an_order_spec(lines=[a_line(line_id="b"), a_line(line_id="a")]))
    await order.result()

    items = await order.handle.query(contract.QUERY_ITEMS, result_type=list[OrderLine])

    assert [item.line_id for item in items] == ["a", "b"]


async def test_an_order_that_costs_nothing_is_not_charged(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(lines=[a_line(unit_price_minor=0)]))

    result = await order.result()

    assert result.status == OrderStatus.ORDER_COMPLETED
    assert world.count("charge_payment") == 0
    states = {record.name: record.state for record in (await order.snapshot()).steps}
    assert states[StepName.CHARGE_PAYMENT] is StepState.SKIPPED


async def test_a_customer_without_an_address_gets_no_mail(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(customer={"id": "CUST-1"}))

    result = await order.result()

    assert result.status == OrderStatus.ORDER_COMPLETED
    assert world.mails == []
    assert (await order.snapshot()).notified is None


async def test_a_mail_that_cannot_be_sent_leaves_the_order_completed(shop: Storefront, world: World) -> None:
    once = a_policy(retry={"steps": {"Notify": {"max_attempts": 1}}})
    world.fail("notify_customer", ProviderUnavailable("no mail today"))
    order = await shop.place(policy=once)

    result = await order.result()

    assert result.status == OrderStatus.ORDER_COMPLETED
    assert (await order.snapshot()).notified is False


@pytest.mark.parametrize(
    ("activity", "step"),
    [("check_fraud", StepName.CHECK_FRAUD), ("charge_payment", StepName.CHARGE_PAYMENT), ("ship_line", StepName.SHIP)],
)
async def test_a_transient_failure_is_retried_and_its_attempts_are_shown(
    shop: Storefront, world: World, activity: str, step: StepName
) -> None:
    world.fail(activity, ProviderUnavailable("try later"), times=1)
    order = await shop.place()

    result = await order.result()

    assert result.status == OrderStatus.ORDER_COMPLETED
    attempts = {record.name: record.attempts for record in (await order.snapshot()).steps}
    assert attempts[step] == 2
    assert world.count(activity) == 2


async def test_a_pipeline_runs_only_the_steps_of_its_class(shop: Storefront, world: World) -> None:
    short = a_policy(pipeline=["Receive", "ReserveStock", "ChargePayment", "Ship"], approval={"mode": "Never"})
    order = await shop.place(policy=short)

    await order.result()

    assert world.calls == [
        "receive_order",
        "reserve_stock",
        "charge_payment",
        "ship_line",
        "commit_stock",
        "close_order",
    ]
    assert [snapshot.progress for snapshot in await order.published()] == [50, 75, 100]


async def test_all_lines_are_handed_to_the_carrier_at_once(shop: Storefront, world: World) -> None:
    parcels = world.hold("ship_line")
    order = await shop.place(an_order_spec(lines=[a_line(line_id=str(n), unit_price_minor=100) for n in range(3)]))

    async def all_asked() -> bool:
        return world.count("ship_line") == 3

    await eventually(all_asked, "three shipments under way")
    parcels.release()
    assert len((await order.result()).tracking_numbers) == 3


async def test_more_shipments_than_the_memo_lists_are_counted(shop: Storefront, world: World) -> None:
    lines = [a_line(line_id=str(n), unit_price_minor=100) for n in range(21)]
    order = await shop.place(an_order_spec(lines=lines))

    result = await order.result()

    snapshot = await order.snapshot()
    assert len(result.tracking_numbers) == 21
    assert snapshot.shipment_count == 21
    assert len(snapshot.shipments) == 20


async def test_a_duplicate_order_number_ends_the_second_order_as_a_completed_run(
    shop: Storefront, world: World
) -> None:
    first = await shop.place(an_order_spec(order_id="ORDER-1"))
    await first.result()
    second = await shop.place(an_order_spec(order_id="ORDER-1"))

    result = await second.result()

    await shop.record("duplicate", second)
    assert result.status == OrderStatus.ORDER_DUPLICATE
    assert (await second.handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert first.uid in (result.message or "")
    assert world.count("charge_payment") == 1
    assert world.ends == {first.uid: "Order Completed", second.uid: "Order Duplicate"}

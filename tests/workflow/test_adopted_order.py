"""An order that goes on for another resource: one that was restored from a backup."""

from builders import a_line, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront
from test_takeover import asking, seen

from order_domain.audit_note import NoteKind
from order_domain.refusals import RefusalType
from order_domain.snapshot import Owner
from order_domain.status import OrderStatus
from order_operator.orders.amender import NO_HANDLER
from order_operator.orders.takeover import take_over
from order_workflows import contract
from order_workflows.contract import Adoption, Decision, LinesChange

RESTORED = Adoption(uid="uid-restored", cluster="another", generation=1, channel="kubernetes")
OWNER = Owner(uid="uid-restored", cluster="another")
BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])
BIGGER = [a_line(unit_price_minor=160_000)]


async def adopted(shop: Storefront) -> PlacedOrder:
    """Waits for approval and belongs to another resource than it began with; its lines were edited often before."""
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=BIGGER, generation=7))
    await order.update(contract.UPDATE_ADOPT, RESTORED)
    return order


async def test_an_adopted_order_says_whose_it_is(shop: Storefront) -> None:
    run = await seen(await adopted(shop))

    assert run.snapshot is not None
    assert run.snapshot.owner == OWNER
    assert (run.key.uid, run.cluster) == ("uid-restored", "another")


async def test_an_order_that_its_first_resource_took_back_says_so(shop: Storefront) -> None:
    """It looked like one that had never been adopted, or whose adoption Temporal had forgotten."""
    order = await adopted(shop)
    back = Adoption(uid=order.uid, cluster="here", generation=9, channel="kubernetes")

    await order.update(contract.UPDATE_ADOPT, back)

    run = await seen(order)
    assert run.snapshot is not None
    assert run.snapshot.owner == Owner(uid=order.uid, cluster="here")
    assert (run.key.uid, run.cluster) == (order.uid, "here")


async def test_the_run_that_takes_over_an_order_that_was_taken_back_says_so_too(shop: Storefront) -> None:
    order = await shop.place(BIG, policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_ADOPT, RESTORED)
    back = Owner(uid=order.uid, cluster="here")
    await order.update(contract.UPDATE_ADOPT, Adoption(**back.model_dump(), generation=9, channel="kubernetes"))
    await order.handle.terminate()

    await take_over(order.client, await seen(order))

    await order.reaches(OrderStatus.ORDER_CANCELLED)
    run = await seen(order)
    assert run.snapshot is not None
    assert run.snapshot.owner == back


async def test_an_order_that_nobody_adopted_says_so(shop: Storefront) -> None:
    """By a worker of an earlier release it looks like one that was taken back."""
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    assert (await seen(order)).was_never_adopted


async def test_an_orphan_that_is_adopted_is_none_any_more(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.handle.signal(contract.SIGNAL_ORPHAN)

    await order.update(contract.UPDATE_ADOPT, RESTORED)

    assert not (await seen(order)).orphaned


async def test_the_generations_of_the_adopting_resource_count_anew(shop: Storefront) -> None:
    order = await adopted(shop)

    decision = Decision(by="bob", generation=1, total_minor=160_000)
    await order.update(contract.UPDATE_APPROVE, decision)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_the_ledger_keeps_the_first_uid_and_notes_the_second(shop: Storefront, world: World) -> None:
    order = await adopted(shop)
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=160_000))
    await order.result()

    notes = [note for note in world.notes if note.kind is NoteKind.ADOPTED]
    assert [(note.owner_uid, note.owner_cluster) for note in notes] == [("uid-restored", "another")]
    assert {operation.partition("/")[0] for operation in world.charged} == {order.uid}


async def test_the_run_that_takes_over_an_adopted_order_belongs_to_the_same_resource(shop: Storefront) -> None:
    order = await shop.place(BIG, policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_ADOPT, RESTORED)
    await order.handle.terminate()

    await take_over(order.client, await seen(order))

    await order.reaches(OrderStatus.ORDER_CANCELLED)
    run = await seen(order)
    assert (run.key.uid, run.cluster) == ("uid-restored", "another")


async def test_an_adoption_without_a_uid_is_refused(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    nobody = RESTORED.model_copy(update={"uid": ""})

    assert await order.refuses(contract.UPDATE_ADOPT, nobody) == RefusalType.INVALID_MESSAGE


async def test_a_worker_without_the_handler_of_an_update_refuses_it_as_the_operator_expects(shop: Storefront) -> None:
    """So that the operator tells a worker of an earlier release, which has no `adopt`, from an order that says No."""
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    assert await order.refuses("of_a_later_release", RESTORED) == NO_HANDLER

"""An order in Manual Review whose history has grown long, on the product's own worker."""

import pytest
from real_shop import RealShop, shipping_class
from storefront import PlacedOrder, eventually
from temporalio.client import WorkflowExecutionStatus

from order_domain.audit_note import NoteKind
from order_domain.errors import OperationConflict
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_workflows import contract, timing
from order_workflows.contract import Adoption, CancelRequest


@pytest.fixture(autouse=True)
def _every_history_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "REVIEW_EVENTS", 5)


async def in_review_while_undone(real: RealShop) -> PlacedOrder:
    """An order that was cancelled while it was shipped, and whose refund fails."""
    gate = real.carrier.holds("dispatch")
    real.payments.is_down_for("refund")
    order = await real.place(policy=shipping_class())
    await real.shows_step(order, StepName.SHIP)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    gate.set()
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    return order


def newest_run(real: RealShop, order: PlacedOrder) -> PlacedOrder:
    """The same order, whichever run goes on with it."""
    return PlacedOrder(real.client, real.client.get_workflow_handle(order.handle.id), order.uid)


async def first_run(real: RealShop, order: PlacedOrder) -> WorkflowExecutionStatus | None:
    handle = real.client.get_workflow_handle(order.handle.id, run_id=order.handle.first_execution_run_id)
    return (await handle.describe()).status


async def test_an_order_that_waits_for_a_person_before_its_pivot_is_not_undone(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on in a new run, which undoes: the very request to try again cancelled the order."""

    async def conflict(*_: object, **__: object) -> None:
        raise OperationConflict("charge x was asked for before with another amount")

    with monkeypatch.context() as provider:
        provider.setattr(real.payments, "charge", conflict, raising=False)
        order = await real.place(policy=shipping_class())
        await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_RETRY)

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=50_000)


async def test_an_order_that_is_undone_goes_on_in_a_new_run(real: RealShop) -> None:
    order = await in_review_while_undone(real)
    real.payments.recovers()

    newest = newest_run(real, order)
    await newest.update(contract.UPDATE_RETRY)

    assert (await newest.result()) is not None
    assert await real.ends(newest) == OrderStatus.ORDER_CANCELLED
    assert await first_run(real, order) is WorkflowExecutionStatus.CONTINUED_AS_NEW
    await real.kept_nothing(order)


async def test_an_order_that_goes_on_alone_says_so_in_its_new_run_too(real: RealShop) -> None:
    """Nothing said any more that it was released on purpose: it was cancelled for want of its resource."""
    order = await in_review_while_undone(real)

    await order.handle.signal(contract.SIGNAL_ORPHAN)
    newest = newest_run(real, order)
    await newest.update(contract.UPDATE_RETRY)

    async def in_a_new_run() -> bool:
        return (await newest.handle.describe()).run_id != order.handle.first_execution_run_id

    await eventually(in_a_new_run, "continued")
    assert (await (await newest.handle.describe()).memo()).get(contract.MEMO_ORPHANED) is True
    real.payments.recovers()
    assert await real.ends(newest) == OrderStatus.ORDER_CANCELLED


async def test_what_was_done_in_a_long_review_is_in_the_audit_trail_of_the_next_run(real: RealShop) -> None:
    """The review ends the run, and what rode in no request to the ledger yet was forgotten."""
    order = await in_review_while_undone(real)
    real.payments.recovers()

    newest = newest_run(real, order)
    await newest.update(contract.UPDATE_ADOPT, Adoption(uid="uid-restored", cluster="another", generation=1))
    await newest.update(contract.UPDATE_RETRY)

    assert await real.ends(newest) == OrderStatus.ORDER_CANCELLED
    assert await first_run(real, order) is WorkflowExecutionStatus.CONTINUED_AS_NEW
    kinds = [row["kind"] for row in await real.rows(tables.audit_events)]
    assert [kind for kind in kinds if kind in set(NoteKind)] == ["cancelled", "adopted", "retried"]

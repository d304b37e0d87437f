from builders import an_order_input, an_order_spec

from order_domain.pipeline import StepName
from order_domain.snapshot import CompensationState, OrderSnapshot, Owner, StepRecord, StepState
from order_workflows.acceptance import refusal_of_earlier_edit
from order_workflows.order_run import OrderRun
from order_workflows.steps import receive_order


def test_a_run_that_goes_on_with_an_adopted_order_counts_the_generations_of_its_new_resource() -> None:
    """The owner's first edits were refused, until there were as many as of the former resource."""
    shown = OrderSnapshot(owner=Owner(uid="uid-restored", cluster="another"))

    order = OrderRun(an_order_input(generation=9, abandoned=shown))

    heard = (order.lines_generation, order.address_generation, order.suspend_generation)
    assert [refusal_of_earlier_edit(generation, 2) for generation in heard] == [None, None, None]


def test_a_run_that_goes_on_with_an_order_that_was_taken_back_counts_the_generations_of_its_first_resource() -> None:
    """One that was edited often: an edit of before the run could come into force again."""
    order = an_order_input(generation=9)
    shown = OrderSnapshot(owner=Owner(uid=order.identity.uid, cluster="here"))

    run = OrderRun(order.model_copy(update={"abandoned": shown}))

    assert refusal_of_earlier_edit(run.lines_generation, 2) is not None


def test_a_run_that_finds_nothing_left_to_undo_ends_the_undoing_that_the_run_before_showed() -> None:
    """An order whose review went on in a new run ended without the condition `Compensated`."""
    step = StepRecord(name=StepName.CHARGE_PAYMENT, state=StepState.COMPENSATION_FAILED)
    shown = OrderSnapshot(compensation=CompensationState.FAILED, steps=[step])
    order = OrderRun(an_order_input(abandoned=shown))

    order.nothing_is_left_to_undo()

    assert order.compensation is CompensationState.DONE
    assert order.steps.states == {StepName.CHARGE_PAYMENT: StepState.COMPENSATED}


def test_an_order_that_nothing_was_done_for_does_not_speak_of_its_undoing() -> None:
    order = OrderRun(an_order_input())

    order.nothing_is_left_to_undo()

    assert order.compensation is None


def test_the_ledger_is_told_which_order_a_restored_one_begins_again() -> None:
    restored = OrderRun(an_order_input(begins_again="uid-of-the-first"))

    assert receive_order.request(restored).begins_again == "uid-of-the-first"


def test_a_restored_order_asks_for_the_one_that_it_was_before_it_follows_its_cancellation() -> None:
    """It ended as cancelled at once, and a mail said so, while the order that it was kept the money."""
    cancelled = an_order_spec(cancellation={"by": "ana", "reason": "changed my mind"})

    assert OrderRun(an_order_input(spec=cancelled, begins_again="uid-of-the-first")).cancellation is None

"""Where something has to be repaired before the order can go on: it waits, and from time to time it tries by itself."""

from temporalio import workflow

from order_domain.snapshot import ErrorRecord, PendingAction
from order_domain.status import OrderStatus
from order_workflows import timing
from order_workflows.acceptance import refusal_of_cancel
from order_workflows.order_run import OrderRun
from order_workflows.patches import LEDGER_DECIDES
from order_workflows.waiting import in_this_history, until

REMEDY = {
    "BooksDisagree": "compare the payment provider, the carrier and `order-worker audit` for this order, and correct "
    "what is wrong",
    "OperationConflict": "compare the provider's record of this operation with `order-worker audit` for this order",
    "LedgerRefused": "the ledger's database refuses the content of this order: correct it there",
}
"""What a person has to do, by the type of the error; for every other type the cause has to be repaired."""


async def wait_for_repair(order: OrderRun, error: ErrorRecord) -> None:
    """Show `error`, and return when somebody asks for another attempt (Update `retry` or `resume`), or when it is time
    to try again. An order that is to end, or is past its pivot, goes on in a new run from here once its history has
    grown long. A new run would undo any other order: that one goes on in its own."""
    before, order.last_error = order.last_error, error
    order.under_review = True
    order.reviews += 1
    remedy = REMEDY.get(error.type, "repair the cause")
    otherwise = "" if refusal_of_cancel(order) else ", or cancel the order"
    order.pending_action = PendingAction(
        kind="Resume", message=f"{error.message}: {remedy}, then raise spec.retry by one{otherwise}"
    )
    order.publish(OrderStatus.MANUAL_REVIEW)
    pause = None
    if workflow.patched(LEDGER_DECIDES):
        pause = in_this_history(timing.review_again(order.reviews), order.reviews)
    try:
        await until(lambda: not order.under_review, pause, "next attempt in Manual Review")
    except TimeoutError:
        order.under_review = False
    order.pending_action = None
    order.last_error = before
    if order.may_be_taken_over and workflow.info().get_current_history_length() > timing.REVIEW_EVENTS:
        await _continue_in_a_new_run(order)


async def _continue_in_a_new_run(order: OrderRun) -> None:
    """The next run asks the ledger what is left to do, as one does that takes over, and brings it the notes."""
    await until(workflow.all_handlers_finished)
    spec = order.spec.with_lines(order.lines, order.charges)
    # By itself the next run gets the memo that this one began with: not that it goes on without its resource.
    memo = dict(workflow.memo())
    left = {"spec": spec, "abandoned": order.shown, "notes": order.notes.pending}
    workflow.continue_as_new(order.input.model_copy(update=left), memo=memo)

from builders import an_order_input

from order_domain.snapshot import OrderSnapshot, Owner
from order_workflows.acceptance import refusal_of_earlier_edit
from order_workflows.order_run import OrderRun


def test_a_run_that_goes_on_with_an_adopted_order_counts_the_generations_of_its_new_resource() -> None:
    """The owner's first edits were refused, until there were as many as of the former resource."""
    shown = OrderSnapshot(owner=Owner(uid="uid-restored", cluster="another"))

    order = OrderRun(an_order_input(generation=9, abandoned=shown))

    heard = (order.lines_generation, order.address_generation, order.suspend_generation)
    assert [refusal_of_earlier_edit(generation, 2) for generation in heard] == [None, None, None]

"""An order is held against how it should end; whatever is otherwise is said."""

from io import StringIO
from typing import Any

from rich.console import Console

from order_devstack.live_orders import Ending, Screen

WANTED = Ending(story="a charge at the fifth attempt", phase="Completed", captured=500, attempts={"ChargePayment": 5})


def an_order(phase: str = "Completed", captured: int = 500, attempts: int = 5, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "order"},
        "status": {
            "phase": phase,
            "payment": {"capturedMinor": captured},
            "steps": [{"name": "ChargePayment", "attempts": attempts}],
            **status,
        },
    }


def test_an_order_that_ended_as_it_should_has_no_problems() -> None:
    assert WANTED.problems(an_order()) == []


def test_another_end_is_told_with_what_was_wanted() -> None:
    assert WANTED.problems(an_order(phase="Failed")) == ["order: phase should be Completed but is Failed"]


def test_money_that_was_not_charged_is_told() -> None:
    assert WANTED.problems(an_order(captured=0)) == ["order: captured should be 500 but is 0"]


def test_another_number_of_attempts_is_told() -> None:
    assert WANTED.problems(an_order(attempts=4)) == ["order: attempts of ChargePayment should be 5 but is 4"]


def test_an_order_without_a_status_has_problems_and_is_no_error() -> None:
    assert len(WANTED.problems({"metadata": {"name": "order"}})) == 3


def test_stock_that_is_still_held_by_an_order_that_failed_is_told() -> None:
    reserved = {"conditions": [{"type": "Reserved", "status": "True"}]}

    problems = Ending(story="declined", phase="Failed").problems(an_order("Failed", captured=0, **reserved))

    assert problems == ["order: its stock is still reserved"]


def test_where_no_table_can_be_redrawn_every_change_is_a_line_and_nothing_else_is() -> None:
    out = StringIO()
    with Screen(Console(file=out), {"order": WANTED}) as screen:
        for phase in ("Running", "Running", "Completed"):
            screen.show({"order": an_order(phase)})

    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [["order", "Running"], ["order", "Completed"]]


def test_a_stalled_order_is_shown_as_such() -> None:
    out = StringIO()
    with Screen(Console(file=out), {"order": WANTED}) as screen:
        screen.show({"order": an_order("Running", conditions=[{"type": "Stalled", "status": "True"}])})

    assert "Running, stalled" in out.getvalue()


def test_a_terminal_is_shown_the_stories_and_the_table_of_kubectl_order() -> None:
    out = StringIO()
    order = {**an_order(orderStatus="Order Completed", progress=100), "spec": {}}
    with Screen(Console(file=out, force_terminal=True, width=100, color_system=None), {"order": WANTED}) as screen:
        screen.show({"order": order})

    assert "order          a charge at the fifth attempt" in out.getvalue()
    assert "NAME   STATUS           PROGRESS" in out.getvalue()
    assert "██████ 100%" in out.getvalue()

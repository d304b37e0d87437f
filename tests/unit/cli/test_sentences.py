"""What is said of an order in a few words, of states that a stack seldom shows for long."""

from datetime import timedelta
from typing import Any

import pytest
from recorded_cluster import NOW, FakeCluster, recorded_orders

from order_cli import clock, money
from order_cli.articles import changed, parse
from order_cli.flags import Flags
from order_cli.order import Order
from order_cli.problems import UsageError
from order_cli.screens import explanation
from order_cli.screens.tracker import tracker
from order_cli.sentences import next_thing, style, tally
from order_cli.session import Session
from order_cli.terminal import Terminal, cut, width
from order_cli.yaml_text import as_yaml

SOON = (NOW + timedelta(seconds=4)).isoformat()


def order(name: str = "o-0991", **status: Any) -> Order:
    raw = recorded_orders()[name]
    raw["status"] |= status
    return Order(raw)


def undoing() -> Order:
    steps = [
        {"name": "ReserveStock", "state": "Compensated", "startedAt": "2026-11-26T14:03:15Z"},
        {
            "name": "ChargePayment",
            "state": "Running",
            "attempts": 3,
            "lastError": "provider unavailable",
            "nextAttemptAt": SOON,
            "startedAt": "2026-11-26T14:03:15Z",
        },
    ]
    return order(phase="Compensating", orderStatus="Compensate Order", steps=steps, conditions=[])


def in_review() -> Order:
    action = {"kind": "Resume", "message": "the refund failed: repair the provider"}
    return order(phase="ManualReview", orderStatus="Manual Review", message=action["message"], pendingAction=action)


def test_an_order_that_is_undone_says_what_is_tried_again_and_when() -> None:
    assert next_thing(undoing(), NOW) == "attempt 3: provider unavailable, next try in 4s"


def test_an_order_in_review_says_what_to_repair_and_how_to_go_on() -> None:
    lines = explanation.other(in_review(), NOW, Terminal(Flags()))

    assert lines[0] == "o-0991: the refund failed: repair the provider"
    assert lines[-1] == "  repair what it names, then: kubectl order retry o-0991 -n shop (verb retry)"


def test_a_tracker_shows_what_could_not_be_undone() -> None:
    steps = [{"name": "ChargePayment", "state": "CompensationFailed", "lastError": "no such charge"}]

    assert "could not be undone: no such charge" in "\n".join(tracker(order(steps=steps), NOW, Terminal(Flags())))


def test_orders_are_counted_by_what_they_need() -> None:
    orders = [undoing(), in_review(), order("o-4eyes"), order("o-1043"), order("b4")]

    assert tally(orders) == "5 orders: 2 wait for a person, 1 being undone, 1 stuck"
    assert tally([order("o-1043")]) == "1 order"


@pytest.mark.parametrize(
    ("shown", "colour"),
    [
        ("o-1043", "good"),
        ("o-0991", "bad"),
        ("o-4eyes", "waits"),
        ("o-flaky", "busy"),
        ("o-gone", "dim"),
        ("b4", "bad"),
    ],
)
def test_a_colour_tells_an_end_from_a_wait(shown: str, colour: str) -> None:
    assert style(order(shown)) == colour


def test_a_refused_edit_is_said_by_why() -> None:
    refused = {"type": "SpecApplied", "status": "False", "reason": "LinesFixed", "message": "too late"}

    lines = explanation.other(order("o-flaky", conditions=[refused]), NOW, Terminal(Flags()))

    assert "  the last edit had no effect (LinesFixed): too late" in lines


@pytest.mark.parametrize(
    ("seconds", "short", "long"),
    [
        (0, "0s", "0 s"),
        (72, "1m12s", "1 min 12 s"),
        (3600, "1h", "1 h"),
        (7500, "2h5m", "2 h 5 min"),
        (90000, "1d1h", "1 d 1 h"),
    ],
)
def test_a_time_is_said_in_two_units(seconds: int, short: str, long: str) -> None:
    assert (clock.short(seconds), clock.long(seconds)) == (short, long)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("30s", 30), ("1h30m", 5400), ("0.5s", 0.5), ("2d", 172800)])
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert clock.seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "1h30", "-1s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text or "^$"):
        clock.seconds_in(text)


@pytest.mark.parametrize(
    ("text", "currency", "minor"), [("12.50", "USD", 1250), ("100", "JPY", 100), ("1.5", "KWD", 1500)]
)
def test_an_amount_is_read_in_its_currency(text: str, currency: str, minor: int) -> None:
    assert money.minor(text, currency) == minor


@pytest.mark.parametrize(("text", "currency"), [("1.005", "USD"), ("1.5", "JPY"), ("x", "USD"), ("NaN", "USD")])
def test_an_amount_that_the_currency_does_not_have_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=text):
        money.minor(text, currency)


def test_two_lines_of_one_article_are_not_guessed_between() -> None:
    lines = [{"lineID": each, "sku": "A", "quantity": 1, "unitPriceMinor": 1} for each in ("1", "2")]

    with pytest.raises(UsageError, match="2 lines are of A: remove one by its lineID"):
        changed(lines, [parse("A=3", "USD")], [])


def test_columns_are_counted_as_a_terminal_shows_them() -> None:
    assert (width("注文"), width("e\u0301"), cut("abcdefgh", 6)) == (4, 1, "abc...")


def test_yaml_quotes_what_could_be_read_as_something_else() -> None:
    value = {"a": "true", "b": "1", "c": "plain words", "d": [], "e": [{"f": None}], "g": "x: y", "h": {}}

    assert as_yaml(value).splitlines() == [
        'a: "true"', 'b: "1"', "c: plain words", "d: []", "e:", "- f: null", 'g: "x: y"', "h: {}",
    ]  # fmt: skip


def test_an_order_of_all_defaults_is_shown_and_no_error(fake: FakeCluster) -> None:
    bare = Order({"metadata": {"name": "bare", "namespace": "shop"}, "spec": {}})

    assert tracker(bare, NOW, Session.of(Flags()).terminal)
    assert next_thing(bare, NOW) == "the operator has not seen it yet"

from itertools import pairwise

import pytest
from builders import a_line
from hypothesis import example, given, settings
from hypothesis import strategies as st

from order_domain.allocation import owed_minor
from order_domain.order import ChargeKind, OrderCharge, OrderLine, sum_minor

SHIPPING, TAX, FEE, DISCOUNT = ChargeKind


def a_charge(kind: ChargeKind, amount_minor: int, charge_id: str | None = None) -> OrderCharge:
    return OrderCharge(charge_id=charge_id or kind.lower(), kind=kind, amount_minor=amount_minor)


TWO_LINES = [a_line(line_id="1", unit_price_minor=7_500), a_line(line_id="2", unit_price_minor=2_500)]

Cost = tuple[list[OrderLine], list[OrderCharge]]


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    """Lines and charges of an order whose total is zero or more."""
    prices = draw(st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 1, 3, 99, 100, 33_333])), min_size=1))
    lines = [
        a_line(line_id=str(number), quantity=quantity, unit_price_minor=price)
        for number, (quantity, price) in enumerate(prices)
    ]
    above = draw(st.lists(st.tuples(st.sampled_from([SHIPPING, TAX, FEE]), st.integers(0, 5_000)), max_size=4))
    charges = [a_charge(kind, amount, f"c{number}") for number, (kind, amount) in enumerate(above)]
    for number in range(draw(st.integers(0, 2))):
        left = sum_minor(lines, charges)
        if left:
            charges.append(a_charge(DISCOUNT, -draw(st.integers(1, left)), f"d{number}"))
    return lines, charges


@st.composite
def costs_and_order_of_giving_up(draw: st.DrawFn) -> tuple[Cost, list[str]]:
    cost = draw(costs())
    return cost, draw(st.permutations([line.line_id for line in cost[0]]))


@settings(deadline=None)
@given(costs())
def test_an_order_that_is_kept_whole_owes_its_total(cost: Cost) -> None:
    lines, charges = cost

    assert owed_minor(lines, charges, [line.line_id for line in lines], "USD") == sum_minor(lines, charges)


@settings(deadline=None)
@given(costs())
def test_an_order_of_which_nothing_is_kept_owes_nothing(cost: Cost) -> None:
    assert owed_minor(*cost, [], "USD") == 0


@settings(deadline=None)
@example(((TWO_LINES, [a_charge(FEE, 1), a_charge(DISCOUNT, -10_001)]), ["1", "2"]))  # a discount pays for the fee
@given(costs_and_order_of_giving_up())
def test_giving_up_one_line_after_another_refunds_the_whole_in_parts_of_zero_or_more(
    order: tuple[Cost, list[str]],
) -> None:
    (lines, charges), given_up = order

    owed = [owed_minor(lines, charges, given_up[number:], "USD") for number in range(len(given_up) + 1)]
    refunds = [before - after for before, after in pairwise(owed)]

    assert all(refund >= 0 for refund in refunds), owed
    assert sum(refunds) == sum_minor(lines, charges)


@settings(deadline=None)
@given(costs(), st.data())
def test_what_is_kept_costs_between_nothing_and_the_total(cost: Cost, data: st.DataObject) -> None:
    lines, charges = cost
    kept = data.draw(st.sets(st.sampled_from([line.line_id for line in lines])))

    assert 0 <= owed_minor(lines, charges, kept, "USD") <= sum_minor(lines, charges)


@settings(deadline=None)
@given(costs(), st.data())
def test_the_order_of_lines_and_charges_does_not_matter(cost: Cost, data: st.DataObject) -> None:
    lines, charges = cost
    kept = data.draw(st.sets(st.sampled_from([line.line_id for line in lines])))
    mixed = data.draw(st.permutations(lines)), data.draw(st.permutations(charges))

    assert owed_minor(*mixed, kept, "USD") == owed_minor(lines, charges, kept, "USD")


@pytest.mark.parametrize(
    ("charges", "owed"),
    [
        pytest.param([], 7_500, id="no charges"),
        pytest.param([a_charge(SHIPPING, 500), a_charge(TAX, 1_900)], 9_900, id="shipping and tax as charged"),
        pytest.param([a_charge(FEE, 999)], 7_500 + 749, id="a fee by share, rounded down"),
        pytest.param([a_charge(DISCOUNT, -999)], 7_500 - 750, id="a discount by share, rounded up"),
        pytest.param([a_charge(SHIPPING, 500), a_charge(DISCOUNT, -10_300)], 200, id="a discount beyond the lines"),
        pytest.param([a_charge(FEE, 400), a_charge(DISCOUNT, -10_400)], 0, id="a discount on a fee"),
    ],
)
def test_one_of_two_lines_is_kept(charges: list[OrderCharge], owed: int) -> None:
    assert owed_minor(TWO_LINES, charges, ["1"], "USD") == owed


def test_a_free_line_that_is_kept_still_owes_its_shipping() -> None:
    lines = [a_line(line_id="gift", unit_price_minor=0), a_line(line_id="2")]

    assert owed_minor(lines, [a_charge(SHIPPING, 500), a_charge(FEE, 100)], ["gift"], "USD") == 500


def test_any_kept_line_of_a_free_order_keeps_all_charges() -> None:
    lines = [a_line(line_id="1", unit_price_minor=0), a_line(line_id="2", unit_price_minor=0)]

    assert owed_minor(lines, [a_charge(SHIPPING, 500), a_charge(FEE, 100)], ["2"], "USD") == 600


@settings(deadline=None)
@given(costs_and_order_of_giving_up(), st.sampled_from([("KWD", 10), ("MGA", 100)]))
def test_every_part_of_a_total_that_can_be_counted_can_be_counted(
    order: tuple[Cost, list[str]], currency: tuple[str, int]
) -> None:
    (lines, charges), given_up = order
    code, step = currency
    charges = [*charges, a_charge(TAX, -sum_minor(lines, charges) % step, "rounding")]

    owed = [owed_minor(lines, charges, given_up[number:], code) for number in range(len(given_up) + 1)]

    assert [amount % step for amount in owed] == [0] * len(owed)
    assert sorted(owed, reverse=True) == owed
    assert owed[0] == sum_minor(lines, charges)


@pytest.mark.parametrize(
    ("prices", "owed"),
    [
        pytest.param((1_005, 995), 1_000, id="rounded for the customer"),
        pytest.param((1_005, 996), 1_005, id="exact where the total is"),
    ],
)
def test_a_part_is_counted_as_coarsely_as_the_total(prices: tuple[int, int], owed: int) -> None:
    lines = [a_line(line_id=str(number), unit_price_minor=price) for number, price in enumerate(prices)]

    assert owed_minor(lines, [], ["0"], "KWD") == owed


def test_a_line_that_the_order_does_not_have_counts_for_nothing() -> None:
    assert owed_minor(TWO_LINES, [a_charge(SHIPPING, 500)], ["another"], "USD") == 0

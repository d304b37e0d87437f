"""What a customer owes for an order of which only some lines are kept.

The rule is a pure function, so that workflow and ledger come to the same amount. It never falls when another line is
kept: whatever the order in which lines are given up, every refund is zero or more, and the refunds of all parts add up
to the refund of the whole.
"""

from collections.abc import Collection, Sequence

from order_domain.money import counted_in
from order_domain.order import ChargeKind, OrderCharge, OrderLine, sum_minor


def owed_minor(lines: Sequence[OrderLine], charges: Sequence[OrderCharge], kept: Collection[str], currency: str) -> int:
    """The amount owed, in minor units, when of `lines` those with the line ids `kept` are kept. Ids of other lines
    count for nothing.

    Nothing kept: 0. Otherwise the kept lines, shipping and tax as charged, and fees and discounts by the kept lines'
    share of all lines' amount, rounded for the customer. The part of the discounts that is more than the lines cost
    reduces the charges, and so counts as charged. Where all lines are free, any kept line keeps all charges.

    Where the total is an amount that every payment company can count (`counted_in`), this is one too: rounded for the
    customer, or a part could not be given back.
    """
    kept_lines = [line for line in lines if line.line_id in kept]
    if not kept_lines:
        return 0
    goods, kept_goods = sum_minor(lines), sum_minor(kept_lines)
    total = sum_minor(lines, charges)
    if kept_goods == goods:
        return total
    fees = _sum(charges, ChargeKind.FEE)
    discounts = -_sum(charges, ChargeKind.DISCOUNT)
    on_goods = min(discounts, goods)
    as_charged = _sum(charges, ChargeKind.SHIPPING, ChargeKind.TAX) - (discounts - on_goods)
    fees_by_share = fees * kept_goods // goods
    discounts_by_share = -(-on_goods * kept_goods // goods)
    # Below zero only where a discount beyond the lines is paid for by fees, of which a part is given back.
    owed = max(0, kept_goods + as_charged + fees_by_share - discounts_by_share)
    return owed if total % counted_in(currency) else owed - owed % counted_in(currency)


def _sum(charges: Sequence[OrderCharge], *kinds: ChargeKind) -> int:
    return sum(charge.amount_minor for charge in charges if charge.kind in kinds)

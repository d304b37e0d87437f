"""What is shown of an order before somebody decides about it or changes it."""

from collections import Counter
from collections.abc import Sequence

from order_cli import money
from order_cli.order import Order, visible

_LINES_SHOWN = 5


def summary(order: Order) -> str:
    """Amount, customer, lines, charges and where it goes, in one line."""
    lines = [order.line_text(line) for line in order.lines[:_LINES_SHOWN]]
    if more := len(order.lines) - len(lines):
        lines.append(f"{more} more")
    for charge in order.spec.get("charges", []):
        amount = money.number(int(charge.get("amountMinor", 0)), order.currency)
        lines.append(f"{visible(charge.get('kind', 'charge')).lower()} {amount}")
    total = money.amount(order.spec_total, order.currency)
    goes = f" → {order.destination}" if order.destination else ""
    return f"{order.key}: {total} for {order.customer} — {', '.join(lines)}{goes}"


def sums(orders: Sequence[Order]) -> str:
    """`4500.00 USD and 20.00 EUR`: what they cost together."""
    totals: Counter[str] = Counter()
    for order in orders:
        totals[order.currency] += order.spec_total
    return " and ".join(money.amount(minor, currency) for currency, minor in sorted(totals.items()))

"""Lines of an order as flags give them: `SKU=3` or `SKU=3@12.50`."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from order_cli import money
from order_cli.problems import UsageError

_FORM = re.compile(r"^(?P<sku>[^=@]+)=(?P<quantity>\d+)(?:@(?P<price>[\d.]+))?$")
Line = Mapping[str, Any]


class Article(NamedTuple):
    """What a flag says of one article."""

    sku: str
    quantity: int
    price: int | None
    """Minor units for one piece; None where the order's own price stays."""


def parse(text: str, currency: str) -> Article:
    """Raises UsageError."""
    found = _FORM.match(text)
    if found is None:
        raise UsageError(f"{text}: write SKU=3, or SKU=3@12.50 with the price of one")
    try:
        price = money.minor(found["price"], currency) if found["price"] else None
    except ValueError as error:
        raise UsageError(f"{text}: {error}") from None
    return Article(found["sku"], int(found["quantity"]), price)


def new_lines(articles: list[Article]) -> list[dict[str, Any]]:
    """Of an order that is created. Raises UsageError where a price is missing."""
    for article in articles:
        if article.price is None:
            raise UsageError(
                f"{article.sku}: a new order needs the price of one: {article.sku}={article.quantity}@12.50"
            )
    return [_line(str(number), article, article.price or 0) for number, article in enumerate(articles, 1)]


def changed(before: list[Line], articles: list[Article], removed: list[str]) -> list[Line]:
    """The lines with these set and these, by lineID or SKU, taken away. Raises UsageError."""
    lines = [dict(line) for line in before]
    for key in removed:
        kept = [line for line in lines if key not in (line["lineID"], line["sku"])]
        if len(kept) == len(lines):
            raise UsageError(f"no line is {key}: there are {_names(lines)}")
        lines = kept
    for article in articles:
        _set(lines, article)
    if not lines:
        raise UsageError("an order needs a line: cancel it instead")
    return list(lines)


def _set(lines: list[dict[str, Any]], article: Article) -> None:
    same = [line for line in lines if line["sku"] == article.sku]
    if len(same) > 1:
        raise UsageError(f"{len(same)} lines are of {article.sku}: remove one by its lineID, {_names(same)}")
    if same:
        same[0]["quantity"] = article.quantity
        if article.price is not None:
            same[0]["unitPriceMinor"] = article.price
        return
    if article.price is None:
        raise UsageError(f"{article.sku} is new in this order: say its price, {article.sku}={article.quantity}@12.50")
    taken = {line["lineID"] for line in lines}
    free = next(str(number) for number in range(1, len(taken) + 2) if str(number) not in taken)
    lines.append(_line(free, article, article.price))


def _line(identifier: str, article: Article, price: int) -> dict[str, Any]:
    return {"lineID": identifier, "sku": article.sku, "quantity": article.quantity, "unitPriceMinor": price}


def _names(lines: list[dict[str, Any]]) -> str:
    return ", ".join(f"{line['lineID']} ({line['sku']})" for line in lines)

"""The scenarios of the reference systems, to start an order from. Their manifests come with this program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from order_domain.money import MINOR_DIGITS

_FOLDER = Path(__file__).parent / "scenarios"
ORDER = "Order"


@dataclass(frozen=True)
class Scenario:
    """One manifest."""

    name: str
    orders: Sequence[Mapping[str, Any]]
    needs: Sequence[Mapping[str, Any]]
    """Its classes and articles, which the orders are of."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """Of its first order."""
        spec: Mapping[str, Any] = self.orders[0]["spec"]
        return spec

    def fields(self) -> dict[str, str]:
        """Its first order, as the form has it."""
        spec = self.spec
        found = {
            "scenario": self.name,
            "name": f"{self.name}-1",
            "className": str(spec.get("className", "")),
            "currency": spec["currency"],
            "payment.method": spec["payment"]["method"],
            **{f"customer.{field}": str(value) for field, value in spec["customer"].items()},
            **{f"shippingAddress.{field}": str(value) for field, value in spec["shippingAddress"].items()},
        }
        for row, line in enumerate(spec["lines"]):
            price = Decimal(line["unitPriceMinor"]).scaleb(-MINOR_DIGITS.get(spec["currency"], 2))
            found |= {f"lines.{row}.sku": line["sku"], f"lines.{row}.quantity": str(line["quantity"])}
            found[f"lines.{row}.price"] = str(price)
        return found


@cache
def names() -> Sequence[str]:
    """Of all of them."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def find(name: str) -> Scenario | None:
    """The one of this name."""
    if name not in names():
        return None
    documents = [each for each in yaml.safe_load_all((_FOLDER / f"{name}.yaml").read_text("utf-8")) if each]
    orders = [each for each in documents if each["kind"] == ORDER]
    return Scenario(name, orders, [each for each in documents if each["kind"] != ORDER])

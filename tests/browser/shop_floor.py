"""What people do to the cluster beside the page."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Page

from order_devstack.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "shop"

Visit = Callable[..., Page]
"""Opens a page as somebody."""

PROOF = "of the proxy in front of the console, in a test"

_numbers = count(1)


@dataclass(frozen=True)
class AnotherConsole:
    """`served(ORDER_…="…")` serves it at its address, as long as its `with` lasts."""

    address: str
    served: Callable[..., AbstractContextManager[object]]


@dataclass
class Shop:
    """What people do to the cluster beside the page."""

    stack: Stack

    def order(self, total: int = 150_000, name: str | None = None, **spec: Any) -> str:
        """Apply an order of class `threshold`; above 1000.00 USD it waits for a decision. Returns its name."""
        name = name or f"order-{next(_numbers)}"
        self.stack.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=yaml.safe_dump(an_order(name, total, **spec)))
        return name

    def orders(self, number: int) -> None:
        """Apply many at once; they wait for a decision."""
        names = [f"many-{each}" for each in range(number)]
        text = yaml.safe_dump_all([an_order(name, 150_000) for name in names])
        self.stack.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=text)


def an_order(name: str, total: int, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": name},
        "spec": {
            "className": "threshold",
            "customer": {"id": "CUST-12345"},
            "currency": "USD",
            "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": total}],
            "shippingAddress": {
                "name": "Ana Torres",
                "line1": "1 Main Street",
                "city": "Springfield",
                "postalCode": "62701",
                "country": "US",
            },
            "payment": {"method": "tok_visa"},
            **spec,
        },
    }

"""What a list of orders shows. Viewers who may see the same and narrow alike share what was worked out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from order_console.reflector import Reflector
from order_console.view import ENDED, OrderView

MAX_ROWS = 200
"""More are a table that nobody reads and no browser likes; filters lead to the others."""
GROUPS = {
    "": "all",
    "open": "under way",
    "waiting": "waiting",
    "trouble": "in trouble",
    "completed": "completed",
    "ended": "ended otherwise",
}
_PHASES = {
    "waiting": {"Waiting", "Suspended"},
    "trouble": {"ManualReview", "Compensating", "Failed", "Invalid", "Duplicate"},
    "completed": {"Completed"},
    "ended": ENDED - {"Completed"},
}

Made = TypeVar("Made")

MAX_KEPT = 1_000
"""Lists that are kept at a time; everybody may ask for one by any text."""
MAX_TEXT = 300
"""Characters of it that count: no name is longer."""

Allowed = frozenset[str] | None
"""The namespaces that somebody may list; None: all."""


@dataclass(frozen=True)
class Filter:
    """What the list is narrowed to; all by the address of the page, so that it can be sent to somebody."""

    namespace: str = ""
    group: str = ""
    text: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        text, longest = given.get("text", ""), MAX_TEXT
        return cls(given.get("namespace", "")[:longest], given.get("group", "")[:longest], text[:longest])

    def takes(self, order: OrderView) -> bool:
        if self.namespace and order.namespace != self.namespace:
            return False
        if self.group == "open" and order.ended:
            return False
        if order.phase not in _PHASES.get(self.group, {order.phase}):
            return False
        return self.text.lower() in order.searched


@dataclass(frozen=True, eq=False)
class Listing:
    """The rows of the page, and its head."""

    rows: list[OrderView]
    matching: int
    all: int
    waiting: int
    trouble: int

    @classmethod
    def of(cls, orders: Sequence[OrderView], narrowed: Filter) -> Self:
        matching = [order for order in orders if narrowed.takes(order)]
        waiting = sum(order.phase in _PHASES["waiting"] for order in orders)
        trouble = sum(order.phase in {"ManualReview", "Compensating"} for order in orders)
        return cls(matching[:MAX_ROWS], len(matching), len(orders), waiting, trouble)


class Lists:
    """Of what a reflector knows. What was worked out counts until an order changes."""

    def __init__(self, reflector: Reflector) -> None:
        self._reflector = reflector
        self._kept: dict[object, object] = {}
        self._kept_at = -1

    def namespaces(self) -> frozenset[str]:
        """Those that have orders."""
        return self.once("namespaces", lambda: frozenset(order.namespace for order in self._reflector.orders.values()))

    def orders(self, allowed: Allowed) -> list[OrderView]:
        """The newest first."""
        if allowed is None:
            return self._reflector.newest
        return self.once(allowed, lambda: [each for each in self._reflector.newest if each.namespace in allowed])

    def waiting(self, allowed: Allowed) -> list[OrderView]:
        """Those that wait for a decision, the oldest first."""
        return self.once(
            ("waiting", allowed), lambda: [each for each in reversed(self.orders(allowed)) if each.waits_for_decision]
        )

    def concern(self, allowed: Allowed, changed: Iterable[str]) -> bool:
        """Whether one of the orders that changed, by uid, may be among those of these namespaces."""
        found = map(self._reflector.orders.get, changed)
        return any(order is None or allowed is None or order.namespace in allowed for order in found)

    def listing(self, allowed: Allowed, narrowed: Filter) -> Listing:
        return self.once((allowed, narrowed), lambda: Listing.of(self.orders(allowed), narrowed))

    def once(self, key: object, make: Callable[[], Made]) -> Made:
        """What was made for this key since the last change of an order, or what is made now."""
        if self._kept_at != self._reflector.changes or len(self._kept) >= MAX_KEPT:
            self._kept.clear()
            self._kept_at = self._reflector.changes
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[return-value] # what was made for this key

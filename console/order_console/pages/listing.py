"""The list of orders, and the inbox: those that wait for the caller."""

from dataclasses import dataclass
from typing import Self

from starlette.requests import Request
from starlette.responses import Response

from order_console.actions import ACTIONS
from order_console.console import Console, page
from order_console.identity import Caller
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


@dataclass(frozen=True)
class Filter:
    """What the list is narrowed to; all by the address of the page, so that it can be sent to somebody."""

    namespace: str = ""
    group: str = ""
    text: str = ""

    @classmethod
    def of(cls, request: Request) -> Self:
        given = request.query_params
        return cls(given.get("namespace", ""), given.get("group", ""), given.get("text", ""))

    def takes(self, order: OrderView) -> bool:
        if self.namespace and order.namespace != self.namespace:
            return False
        if self.group == "open" and order.ended:
            return False
        if order.phase not in _PHASES.get(self.group, {order.phase}):
            return False
        text = self.text.lower()
        said = (order.name, str(order.spec.get("orderID", "")), order.spec["customer"]["id"], order.shown_status)
        return any(text in each.lower() for each in said)


@dataclass(frozen=True)
class Listing:
    """The rows of the page, and its head."""

    rows: list[OrderView]
    matching: int
    all: int
    waiting: int
    trouble: int

    @classmethod
    def of(cls, orders: list[OrderView], narrowed: Filter) -> Self:
        matching = [order for order in orders if narrowed.takes(order)]
        waiting = sum(order.phase in _PHASES["waiting"] for order in orders)
        trouble = sum(order.phase in {"ManualReview", "Compensating"} for order in orders)
        return cls(matching[:MAX_ROWS], len(matching), len(orders), waiting, trouble)


async def show_list(console: Console, caller: Caller, request: Request) -> Response:
    narrowed = Filter.of(request)
    orders = await console.visible(caller)
    return page(
        "list.html",
        caller,
        listing=Listing.of(orders, narrowed),
        narrowed=narrowed,
        groups=GROUPS,
        namespaces=sorted({order.namespace for order in orders}),
        problem=console.reflector.problem,
        query=str(request.url.query),
    )


@dataclass(frozen=True)
class InboxEntry:
    """An order that waits for a decision; `obstacle` says why the caller is not the one to decide."""

    order: OrderView
    obstacle: str


DECISIONS = frozenset({"approve", "reject"})


async def entries(console: Console, caller: Caller) -> list[InboxEntry]:
    """What waits for the caller, the oldest first."""
    waiting = [order for order in await console.visible(caller) if order.waits_for_decision]
    found = [InboxEntry(order, await obstacle(console, caller, order, "approve")) for order in waiting]
    return [entry for entry in reversed(found) if not entry.obstacle]


async def obstacle(console: Console, caller: Caller, order: OrderView, action: str) -> str:
    """Why the caller may not do this about the order; empty if nothing is known against it."""
    verb = ACTIONS[action].verb(order)
    access, classes = console.access, console.classes
    may = await access.may(caller, "patch", order.namespace) and await access.may(caller, verb, order.namespace)
    if not may:
        return order.forbidden_to(caller.name, verb)
    part = {order.requester: "ordered this", str(order.spec.get("editedBy") or ""): "edited this last"}.get(caller.name)
    if action in DECISIONS and part and await classes.has_four_eyes(caller, order.class_name):
        return f"you ({caller.name}) {part}, and class {order.class_name} has four eyes: somebody else decides"
    return ""


async def show_inbox(console: Console, caller: Caller, _: Request) -> Response:
    return page(
        "inbox.html", caller, entries=await entries(console, caller), problem=console.reflector.problem, actions=ACTIONS
    )

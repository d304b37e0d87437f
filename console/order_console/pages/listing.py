"""The list of orders, and the inbox: those that wait for the caller."""

from starlette.requests import Request
from starlette.responses import Response

from order_console.actions import ACTIONS
from order_console.console import Console, page
from order_console.identity import Caller
from order_console.lists import GROUPS, Filter
from order_console.view import OrderView

MAX_ENTRIES = 50
"""Of the inbox, each a form: nobody decides about more before the page changes."""
DECISIONS = frozenset({"approve", "reject"})


async def show_list(console: Console, caller: Caller, request: Request) -> Response:
    narrowed = Filter.of(request.query_params)
    return page(
        "list.html",
        caller,
        listing=await console.listing(caller, narrowed),
        narrowed=narrowed,
        groups=GROUPS,
        namespaces=sorted({order.namespace for order in await console.visible(caller)}),
        problem=console.reflector.problem,
        query=str(request.url.query),
    )


async def for_me(console: Console, caller: Caller) -> list[OrderView]:
    """What waits for a decision that the caller may make, the oldest first."""
    waiting = [order for order in await console.visible(caller) if order.waits_for_decision]
    return [order for order in reversed(waiting) if not await obstacle(console, caller, order, "approve")]


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
    orders = await for_me(console, caller)
    return page("inbox.html", caller, orders=orders, shown=MAX_ENTRIES, problem=console.reflector.problem)

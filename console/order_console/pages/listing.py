"""The list of orders, and the inbox: those that wait for the caller."""

import hashlib
from collections.abc import Sequence

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
APPROVE = ACTIONS["approve"]


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
    waiting = [(order, APPROVE.verb(order)) for order in console.lists.waiting(await console.allowed(caller))]
    editable = await console.access.where(caller, "patch", {order.namespace for order, _ in waiting})
    may = {verb: await console.access.where(caller, verb, editable) for verb in {verb for _, verb in waiting}}
    allowed = (order for order, verb in waiting if order.namespace in may[verb])
    return [order for order in allowed if not await _too_close(console, caller, order)]


async def obstacle(console: Console, caller: Caller, order: OrderView, action: str) -> str:
    """Why the caller may not do this about the order; empty if nothing is known against it."""
    verb = ACTIONS[action].verb(order)
    access = console.access
    may = await access.may(caller, "patch", order.namespace) and await access.may(caller, verb, order.namespace)
    if not may:
        return order.forbidden_to(caller.name, verb)
    return await _too_close(console, caller, order) if action in DECISIONS else ""


async def _too_close(console: Console, caller: Caller, order: OrderView) -> str:
    """Why it is for somebody else to decide; empty if nothing is known against the caller."""
    part = {order.requester: "ordered this", str(order.spec.get("editedBy") or ""): "edited this last"}.get(caller.name)
    if part and await console.classes.has_four_eyes(caller, order.class_name):
        return f"you ({caller.name}) {part}, and class {order.class_name} has four eyes: somebody else decides"
    return ""


async def show_inbox(console: Console, caller: Caller, _: Request) -> Response:
    orders = await for_me(console, caller)
    return page(
        "inbox.html",
        caller,
        orders=orders,
        entries=entries(orders),
        shown=MAX_ENTRIES,
        problem=console.reflector.problem,
    )


def entries(orders: Sequence[OrderView]) -> str:
    """The same for inboxes whose entries are the same."""
    return hashlib.blake2b(repr([(order.uid, order.generation) for order in orders]).encode()).hexdigest()[:16]

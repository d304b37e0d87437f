"""What changes on an open page, as server-sent events: each message is HTML that htmx puts in its place."""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from order_console.api_server import ApiError
from order_console.console import Console, rendered
from order_console.identity import Caller
from order_console.pages.listing import Filter, Listing, entries
from order_console.pages.tracking import buttons
from order_console.view import OrderView

PAUSE_SECONDS = 0.2
"""Between two messages of a page: what happens in between comes together."""
PING_SECONDS = 15


async def stream(console: Console, caller: Caller, request: Request) -> Response:
    """Of the list, the inbox or one order, as `view` says. Begins with the present state."""
    view = request.query_params.get("view", "list")
    if view == "order":
        messages = _of_order(console, caller, request)
    elif view == "inbox":
        messages = _of_inbox(console, caller)
    else:
        messages = _of_list(console, caller, Filter.of(request))
    return EventSourceResponse(_sent(messages), ping=PING_SECONDS)


async def _sent(messages: AsyncIterator[str]) -> AsyncIterator[ServerSentEvent]:
    try:
        async for html in messages:
            yield ServerSentEvent(data=html)
    except ApiError:
        return  # the browser asks again, and then sees why


async def _of_list(console: Console, caller: Caller, narrowed: Filter) -> AsyncIterator[str]:
    with console.reflector.subscription() as changes:
        listing = Listing.of(await console.visible(caller), narrowed)
        yield _list_head(console, listing) + _all_rows(listing.rows)
        async for changed in changes.taken():
            before, listing = listing, Listing.of(await console.visible(caller), narrowed)
            yield _list_head(console, listing) + _difference(before.rows, listing.rows, set(changed))
            await asyncio.sleep(PAUSE_SECONDS)


def _list_head(console: Console, listing: Listing) -> str:
    return rendered("_list_head.html", listing=listing, problem=console.reflector.problem, partial=True)


def _all_rows(rows: list[OrderView]) -> str:
    return rendered("_rows.html", rows=rows)


def _difference(shown: list[OrderView], wanted: list[OrderView], changed: set[str]) -> str:
    """What makes the rows that the page shows those that it should show."""
    before, after = [order.uid for order in shown], [order.uid for order in wanted]
    kept = [uid for uid in before if uid in set(after)]
    new = after[: len(after) - len(kept)]
    if [*new, *kept] != after:
        return _all_rows(wanted)  # some came in between
    gone = [uid for uid in before if uid not in set(after)]
    rows = {order.uid: order for order in wanted}
    return rendered(
        "_difference.html",
        gone=gone,
        changed=[rows[uid] for uid in kept if uid in changed],
        new=[rows[uid] for uid in reversed(new)],
    )


async def _of_inbox(console: Console, caller: Caller) -> AsyncIterator[str]:
    shown: list[tuple[str, int]] | None = None
    with console.reflector.subscription() as changes:
        while True:
            found = await entries(console, caller)
            wanted = [(entry.order.uid, entry.order.generation) for entry in found]
            if wanted != shown:  # else somebody may be typing a reason
                shown = wanted
                yield rendered("_inbox.html", entries=found, caller=caller, partial=True)
            await anext(changes.taken())
            await asyncio.sleep(PAUSE_SECONDS)


async def _of_order(console: Console, caller: Caller, request: Request) -> AsyncIterator[str]:
    path = {key: request.query_params.get(key, "") for key in ("namespace", "name")}
    offered: object = None
    with console.reflector.subscription() as changes:
        order = await _read(console, caller, **path)
        while True:
            now_offered = None if order is None else (order.phase, order.generation, order.waits_for_decision)
            html = rendered("_tracker.html", order=order, problem=console.reflector.problem, partial=True)
            if now_offered != offered and order is not None:
                html += rendered(
                    "_actions.html",
                    order=order,
                    buttons=await buttons(console, caller, order),
                    caller=caller,
                    partial=True,
                )
            offered = now_offered
            yield html
            async for changed in changes.taken():
                order = await _read(console, caller, **path)
                if "" in changed or order is None or order.uid in changed:
                    break
            await asyncio.sleep(PAUSE_SECONDS)


async def _read(console: Console, caller: Caller, namespace: str, name: str) -> OrderView | None:
    """From what the watch has, if the caller may read it."""
    found = console.reflector.find(namespace, name)
    if found is None or (console.own_rights and not await console.access.may(caller, "get", namespace)):
        return None
    return OrderView(found)

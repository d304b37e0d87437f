"""What changes on an open page, as server-sent events: each message is HTML that htmx puts in its place."""

import asyncio
import time
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from order_console.access import KEPT_SECONDS
from order_console.api_server import ApiError
from order_console.console import Console, rendered
from order_console.identity import Caller
from order_console.lists import Filter, Listing
from order_console.pages.listing import MAX_ENTRIES, entries, for_me
from order_console.pages.tracking import buttons
from order_console.view import OrderView

PAUSE_SECONDS = 0.2
"""Between two messages of a page: what happens in between comes together."""
PING_SECONDS = 15
ASK_AGAIN_SECONDS = 30
"""Where too many pages are followed."""


async def stream(console: Console, caller: Caller, request: Request) -> Response:
    """Of the list, the inbox or one order, as `view` says. Begins with the present state."""
    view = request.query_params.get("view", "list")
    # Somebody may be typing a reason: forms are drawn again only when they change. Which it shows, a page says when
    # it begins to follow; after a break the browser says what came last.
    forms = request.headers.get("Last-Event-ID") or request.query_params.get("shown", "")
    if view == "order":
        messages = _of_order(console, caller, request, forms)
    elif view == "inbox":
        messages = _of_inbox(console, caller, forms)
    else:
        messages = _of_list(console, caller, Filter.of(request.query_params))
    return EventSourceResponse(_sent(console, caller, messages), ping=PING_SECONDS)


async def _sent(
    console: Console, caller: Caller, messages: AsyncIterator[ServerSentEvent]
) -> AsyncIterator[ServerSentEvent]:
    with console.streams.one_more(caller) as obstacle:
        if obstacle:
            yield ServerSentEvent(event="not-followed", data=obstacle, retry=ASK_AGAIN_SECONDS * 1000)
            return
        try:
            async for message in messages:
                yield message
        except ApiError:
            return  # the browser asks again, and then sees why


async def _of_list(console: Console, caller: Caller, narrowed: Filter) -> AsyncIterator[ServerSentEvent]:
    with console.reflector.subscription() as changes:
        allowed = await console.allowed(caller)
        listing = console.lists.listing(allowed, narrowed)
        told = ""
        yield ServerSentEvent(_list_head(console, listing) + _all_rows(listing.rows))
        async for changed in changes.taken():
            allowed_before, allowed = allowed, await console.allowed(caller)
            if allowed != allowed_before or console.lists.concern(allowed, changed):
                before, listing = listing, console.lists.listing(allowed, narrowed)
                html = _news(console, before, listing)
                if html != told:
                    told = html
                    yield ServerSentEvent(html)
            await asyncio.sleep(PAUSE_SECONDS)


def _news(console: Console, before: Listing, listing: Listing) -> str:
    """The same for all who saw the same before, and see the same now."""
    return console.lists.once(
        (before, listing, console.reflector.problem),
        lambda: _list_head(console, listing) + _difference(before.rows, listing.rows),
    )


def _list_head(console: Console, listing: Listing) -> str:
    return rendered("_list_head.html", listing=listing, problem=console.reflector.problem, partial=True)


def _all_rows(rows: list[OrderView]) -> str:
    return rendered("_rows.html", rows=rows)


def _difference(shown: list[OrderView], wanted: list[OrderView]) -> str:
    """What makes the rows that the page shows those that it should show."""
    if shown is wanted:
        return ""
    before, after = {order.uid: order for order in shown}, {order.uid: order for order in wanted}
    kept = [uid for uid in before if uid in after]
    new = list(after)[: len(after) - len(kept)]
    if [*new, *kept] != list(after):
        return _all_rows(wanted)  # some came in between
    return rendered(
        "_difference.html",
        gone=[uid for uid in before if uid not in after],
        changed=[after[uid] for uid in kept if after[uid] is not before[uid]],
        new=[after[uid] for uid in reversed(new)],
    )


async def _of_inbox(console: Console, caller: Caller, forms: str = "") -> AsyncIterator[ServerSentEvent]:
    with console.reflector.subscription() as changes:
        while True:
            waiting = console.lists.waiting(await console.allowed(caller))
            known = {order.uid: order.decision for order in waiting}
            found = await for_me(console, caller)
            rights_count_until = time.monotonic() + KEPT_SECONDS
            shown, forms = forms, entries(found)
            if forms != shown:
                html = rendered("_inbox.html", orders=found, shown=MAX_ENTRIES, caller=caller, partial=True)
                yield ServerSentEvent(html, id=forms)
            async for changed in changes.taken():
                other = [uid for uid in changed if _decision(console, uid) != known.get(uid)]
                concerned = console.lists.concern(await console.allowed(caller), other)
                if concerned or time.monotonic() > rights_count_until:
                    break
            await asyncio.sleep(PAUSE_SECONDS)


def _decision(console: Console, uid: str) -> tuple[object, ...] | None:
    order = console.reflector.orders.get(uid)
    return None if order is None else order.decision


async def _of_order(
    console: Console, caller: Caller, request: Request, forms: str = ""
) -> AsyncIterator[ServerSentEvent]:
    path = {key: request.query_params.get(key, "") for key in ("namespace", "name")}
    with console.reflector.subscription() as changes:
        order = await _read(console, caller, **path)
        while True:
            html = rendered(
                "_tracker.html", order=order, problem=console.reflector.problem, caller=caller, partial=True
            )
            if order is not None and order.offers != forms:
                forms = order.offers
                html += rendered(
                    "_actions.html",
                    order=order,
                    buttons=await buttons(console, caller, order),
                    caller=caller,
                    partial=True,
                )
            yield ServerSentEvent(html, id=forms)
            async for changed in changes.taken():
                order = await _read(console, caller, **path)
                if "" in changed or order is None or order.uid in changed:
                    break
            await asyncio.sleep(PAUSE_SECONDS)


async def _read(console: Console, caller: Caller, namespace: str, name: str) -> OrderView | None:
    """From what the watch has, if the caller may read it."""
    found = console.reflector.find(namespace, name)
    if found is None or (console.own_rights and not await console.access.may(caller, "get", namespace, name=name)):
        return None
    return found

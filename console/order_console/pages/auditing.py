"""What happened to an order, by whom: the ledger's trail, for who holds the verb `audit`."""

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from order_console.console import Console, Refused, page
from order_console.identity import Caller

if TYPE_CHECKING:
    from order_console.trail import Trail
    from order_worker.ledger.story import Entry

COLUMNS = ("at", "who", "channel", "what", "state", "amount_minor", "currency", "detail")


async def show_trail(console: Console, caller: Caller, request: Request) -> Response:
    """As a page, or with `?format=csv` or `?format=json` as a file; `?verify=yes` checks it. The only place where
    something is read with other rights than the caller's: those of the ledger's database user, after the API server has
    said that the caller may `audit`."""
    order = await console.order(caller, request)
    if not await console.access.may(caller, "audit", order.namespace):
        raise Refused(403, order.forbidden_to(caller.name, "audit"))
    if console.ledger_url is None:
        raise Refused(404, "this console knows no ledger: set ORDER_CONSOLE_LEDGER_URL, or run `order-worker audit`")
    from order_console import trail as ledger  # noqa: PLC0415 - see there

    verify = request.query_params.get("verify") == "yes"
    try:
        url = console.ledger_url()
    except ValueError as error:
        raise Refused(503, str(error)) from error
    try:
        trail = await asyncio.to_thread(ledger.read, url, order.namespace, order.name, verify=verify)
    except ledger.Unreadable as error:
        raise Refused(503, str(error)) from error
    form = request.query_params.get("format")
    if form == "csv":
        return _csv(f"{order.namespace}-{order.name}.csv", trail.entries)
    if form == "json":
        return _json(trail)
    return page("audit.html", caller, order=order, trail=trail.entries, checked=_checked(trail, verify=verify))


def _checked(trail: "Trail", *, verify: bool) -> str:
    """What the check found, as a sentence; empty where none was asked for."""
    if not verify:
        return ""
    if trail.sealed:
        return "It is sealed with a key that the console has not got: `order-worker verify-audit` checks it."
    if trail.flaws:
        return f"It is not intact: {'; '.join(trail.flaws)}."
    return f"It is intact: {len(trail.entries)} events, and no gap."


def _json(trail: "Trail") -> Response:
    entries = [
        {"uid": entry.uid, "seq": entry.seq, **{column: getattr(entry, column) for column in COLUMNS}}
        for entry in trail.entries
    ]
    flaws = None if trail.flaws is None else list(trail.flaws)
    body = {"entries": entries, "sealed": trail.sealed, "flaws": flaws}
    return Response(json.dumps(body, default=str), media_type="application/json")


def _csv(file: str, trail: "Sequence[Entry]") -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for entry in trail:
        writer.writerow([_harmless(getattr(entry, column)) for column in COLUMNS])
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _harmless(value: object) -> str:
    """A text that a spreadsheet does not take for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text

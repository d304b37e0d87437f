"""What happened to an order, by whom: the ledger's trail, for who holds the verb `audit`."""

import asyncio
import csv
import io

from starlette.requests import Request
from starlette.responses import Response

from order_console.console import Console, Refused, page
from order_console.identity import Caller
from order_domain.errors import LedgerUnavailable
from order_worker.ledger import story
from order_worker.ledger.schema import SchemaMismatch
from order_worker.ledger.snapshot import snapshot
from order_worker.ledger.story import Entry

COLUMNS = ("at", "who", "channel", "what", "state", "amount_minor", "currency", "detail")


async def show_trail(console: Console, caller: Caller, request: Request) -> Response:
    """As a page, or with `?format=csv` as a file. The only place where something is read with other rights than the
    caller's: those of the ledger's database user, after the API server has said that the caller may `audit`."""
    order = await console.order(caller, request)
    if not await console.access.may(caller, "audit", order.namespace):
        raise Refused(403, order.forbidden_to(caller.name, "audit"))
    if console.ledger_url is None:
        raise Refused(404, "this console knows no ledger: set ORDER_CONSOLE_LEDGER_URL, or run `order-worker audit`")
    try:
        trail = await asyncio.to_thread(_read, console.ledger_url, order.namespace, order.name)
    except (LedgerUnavailable, SchemaMismatch) as error:
        raise Refused(503, str(error)) from error
    if request.query_params.get("format") == "csv":
        return _csv(f"{order.namespace}-{order.name}.csv", trail)
    return page("audit.html", caller, order=order, trail=trail)


def _read(url: str, namespace: str, name: str) -> list[Entry]:
    with snapshot(url) as tx:
        return list(story.tell(tx, namespace, name))


def _csv(file: str, trail: list[Entry]) -> Response:
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

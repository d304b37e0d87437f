"""What all pages share: who calls, what they may see, how a page is rendered."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from order_console.access import Access
from order_console.actions import ADDRESS_FIELDS
from order_console.api_server import READ_ONLY, ApiError, orders_path
from order_console.classes import Classes
from order_console.identity import Caller, Identity, NotLoggedIn
from order_console.lists import Allowed, Filter, Listing, Lists
from order_console.reflector import Reflector
from order_console.sessions import FORM_FIELD
from order_console.streams import Streams
from order_console.view import OrderView

Endpoint = Callable[[Request], Awaitable[Response]]
Page = Callable[["Console", Caller, Request], Awaitable[Response]]

_ENVIRONMENT = Environment(
    loader=PackageLoader("order_console"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["address_fields"] = ADDRESS_FIELDS
_ROWS: WeakKeyDictionary[OrderView, Markup] = WeakKeyDictionary()


def _row(order: OrderView) -> Markup:
    """The row of an order, drawn once for all viewers."""
    drawn = _ROWS.get(order)
    if drawn is None:
        drawn = _ROWS[order] = Markup(_ENVIRONMENT.get_template("_row.html").render(order=order))  # noqa: S704 - our HTML
    return drawn


_ENVIRONMENT.globals["row"] = _row


class Refused(Exception):
    """The request cannot be served; the message is for the person."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Console:
    """`own_rights`: the list is read with the console's own rights, so that it is filtered for each caller."""

    identity: Identity
    access: Access
    classes: Classes
    reflector: Reflector
    own_rights: bool
    ledger_url: Callable[[], str] | None
    """Gives the URL that is to be used now; raises ValueError."""
    logs_in: bool
    """Whether /login takes a token."""
    streams: Streams = field(default_factory=Streams)

    @cached_property
    def lists(self) -> Lists:
        """Of the orders that the reflector knows."""
        return Lists(self.reflector)

    async def visible(self, caller: Caller) -> list[OrderView]:
        """The orders that the caller may list, the newest first."""
        return self.lists.orders(await self.allowed(caller))

    async def listing(self, caller: Caller, narrowed: Filter) -> Listing:
        """Of these, what the caller wants to see."""
        return self.lists.listing(await self.allowed(caller), narrowed)

    async def allowed(self, caller: Caller) -> Allowed:
        """Where the caller may list orders."""
        if not self.own_rights or await self.access.may(caller, "list", None):
            return None
        return await self.access.where(caller, "list", self.lists.namespaces())

    async def order(self, caller: Caller, request: Request) -> OrderView:
        """The one that the path names, as the caller may read it. Raises ApiError."""
        path = orders_path(request.path_params["namespace"], request.path_params["name"])
        return OrderView(await caller.api.call("GET", path))


def rendered(template: str, **values: Any) -> str:
    """As HTML; every value is escaped."""
    return _ENVIRONMENT.get_template(template).render(now=datetime.now(UTC), **values)


def page(template: str, caller: Caller | None, *, status: int = 200, **values: Any) -> Response:
    """A whole page for the caller."""
    return HTMLResponse(rendered(template, caller=caller, **values), status_code=status)


def endpoint(serve: Page, *, to_nobody_in_particular: bool = False) -> Endpoint:
    """Served to who is logged in; where the console knows nobody, if it is meant `to_nobody_in_particular`. What is
    refused becomes a page that says why."""

    async def answer(request: Request) -> Response:
        console: Console = request.app.state.console
        caller: Caller | None = None

        def refused(status: int, message: str) -> Response:
            if request.query_params.get("format") == "json":
                return _status(status, message)
            if status == 401:
                return page("login.html", None, status=status, why=message, logs_in=console.logs_in)
            return page("error.html", caller, status=status, message=message)

        try:
            caller = await console.identity.caller(request)
            if caller.reads_only and not to_nobody_in_particular:
                return refused(403, READ_ONLY)
            return await serve(console, caller, request)
        except NotLoggedIn as unknown:
            return refused(401, unknown.why)
        except Refused as wrong:
            return refused(wrong.status, wrong.message)
        except ApiError as error:
            gone = "the API server does not accept this login (any more)"
            return refused(error.status or 503, gone if error.status == 401 else error.message)

    return answer


def _status(status: int, message: str) -> Response:
    """As an API server refuses: kubectl, which `kubectl order audit --ledger` asks with, tells it by the message."""
    reason = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}.get(status, "")
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason}
    return JSONResponse({**body, "message": message}, status_code=status)


async def checked_form(caller: Caller, request: Request) -> Mapping[str, str]:
    """The fields of a form that this session was given. Raises Refused."""
    form: FormData = await request.form()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not caller.session.proves(fields.pop(FORM_FIELD, "")):
        raise Refused(403, "this form is too old, or from another page: load the page again and repeat it")
    return fields

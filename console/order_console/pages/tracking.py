"""One order: where it is, what it waits for, and what the caller may do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from order_console.actions import ACTIONS, Action, WrongForm, holds
from order_console.api_server import MERGE_PATCH, ApiError, orders_path
from order_console.console import Console, Refused, checked_form, page
from order_console.identity import Caller
from order_console.pages.listing import obstacle
from order_console.view import OrderView

SEE_OTHER = 303
PLACED = "placed"
"""What is said of an order that was just made, where an action has its name."""


@dataclass(frozen=True)
class Button:
    """An action that fits the order's state; `obstacle` says why it is not for the caller."""

    action: Action
    obstacle: str
    kubectl: str


async def buttons(console: Console, caller: Caller, order: OrderView) -> list[Button]:
    """In the order of the page; none for who only reads."""
    if caller.reads_only:
        return []
    return [
        Button(
            action,
            await obstacle(console, caller, order, action.name),
            action.kubectl(order, caller.name),
        )
        for action in ACTIONS.values()
        if action.offered(order)
    ]


async def show_order(console: Console, caller: Caller, request: Request) -> Response:
    order = await console.order(caller, request)
    done = request.query_params.get("done", "")
    # A link that somebody sends must not make this page say what they like.
    return await _order_page(console, caller, order, done=done if done in {*ACTIONS, PLACED} else "")


async def act(console: Console, caller: Caller, request: Request) -> Response:
    """One patch with the caller's rights; the page then shows what the workflow makes of it."""
    order = await console.order(caller, request)
    action = ACTIONS.get(request.path_params["action"])
    if action is None:
        raise Refused(404, f"there is no action {request.path_params['action']!r}")
    form = await checked_form(caller, request)
    try:
        _check_uid(order, form)
        if _is_done(order, action, form, caller.name):
            return _sent(order, action)
        _check(order, action, form)
        if action.grave and form.get("sure") != "yes":
            return page("confirm.html", caller, order=order, action=action, form=form)
        # The version is the one that was judged: what somebody changed a moment ago is looked at again.
        version = {key: order.order["metadata"][key] for key in ("uid", "resourceVersion")}
        body = {"metadata": version, "spec": action.patch(order, form, caller.name)}
        await caller.api.call("PATCH", orders_path(order.namespace, order.name), body, content=MERGE_PATCH)
    except WrongForm as wrong:
        return await _order_page(console, caller, order, status=422, wrong=str(wrong))
    except ApiError as error:
        if error.status in {0, 401}:
            raise
        return await _order_page(console, caller, order, status=error.status, wrong=error.message)
    return _sent(order, action)


def _sent(order: OrderView, action: Action) -> Response:
    return RedirectResponse(f"{order.path}?{urlencode({'done': action.name})}", SEE_OTHER)


def _is_done(order: OrderView, action: Action, form: Mapping[str, str], caller: str) -> bool:
    """Whether the order is already as this form would make it: a button that was pressed twice sends it twice. Raises
    WrongForm."""
    return _changed_since(order, form) and holds(action.patch(order, form, caller), order.spec)


def _changed_since(order: OrderView, form: Mapping[str, str]) -> bool:
    return form.get("generation", str(order.generation)) != str(order.generation)


def _check_uid(order: OrderView, form: Mapping[str, str]) -> None:
    """Raises WrongForm for a page about an order that was deleted, and whose name another one has."""
    if form.get("uid", order.uid) != order.uid:
        raise WrongForm("the order of this page was deleted, and this is another one of its name: look at it first")


def _check(order: OrderView, action: Action, form: Mapping[str, str]) -> None:
    """Raises WrongForm."""
    if _changed_since(order, form):
        raise WrongForm("somebody changed this order since you opened the page: look at it again, then decide")
    if not action.offered(order):
        raise WrongForm(f"{action.label}: the order is past that, it says: {order.message}")


async def _order_page(
    console: Console, caller: Caller, order: OrderView, *, status: int = 200, done: str = "", wrong: str = ""
) -> Response:
    return page(
        "order.html",
        caller,
        status=status,
        order=order,
        buttons=await buttons(console, caller, order),
        problem=console.reflector.problem,
        done=done,
        wrong=wrong,
    )

"""The form for a new order. Checked and created by the API server; what it refuses stands at the fields."""

import json
import re
import secrets
from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from order_console import demonstrations
from order_console.actions import ADDRESS_FIELDS, OPTIONAL_ADDRESS_FIELDS, WHOLE_NUMBER, holds
from order_console.api_server import GROUP_PATH, ApiError, orders_path, segment
from order_console.console import Console, checked_form, page, rendered
from order_console.demonstrations import Scenario
from order_console.identity import Caller
from order_console.pages.tracking import PLACED
from order_domain.money import MINOR_DIGITS, format_amount

LINES = 5
"""Rows of the form."""
SEE_OTHER = 303
ALREADY_THERE = 409
DEFAULTS = {
    "currency": "USD",
    "customer.id": "",
    "payment.method": "tok_visa",
    "shippingAddress.country": "US",
    "lines.0.quantity": "1",
}
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_FIELD = re.compile(r"[A-Za-z0-9]+(\.[A-Za-z0-9]+)*")
_INDEX = re.compile(r"\[(\d+)\]")


class Filled:
    """What somebody filled in, and what is wrong with it: field of the form -> sentence."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = {name: value.strip() for name, value in fields.items()}
        self.scenario = demonstrations.find(self.fields.get("scenario", ""))
        """That the order was begun from: what it has beyond the form stays as it is there."""
        self.wrong: dict[str, str] = {}

    def order(self, requester: str) -> dict[str, Any]:
        """The resource."""
        get = self.fields.get
        spec: dict[str, Any] = {
            **(self.scenario.spec if self.scenario else {}),
            "customer": _without_empty({"id": get("customer.id", ""), "email": get("customer.email", "")}, {"email"}),
            "currency": get("currency", ""),
            "lines": self._lines(),
            "shippingAddress": _without_empty(
                {field: get(f"shippingAddress.{field}", "") for field in ADDRESS_FIELDS},
                OPTIONAL_ADDRESS_FIELDS,
            ),
            "payment": {"method": get("payment.method", "")},
            "requestedBy": requester,
        }
        spec.pop("className", None)
        if get("className"):
            spec["className"] = get("className")
        metadata = {"name": get("name")} if get("name") else {"generateName": "order-"}
        return {"apiVersion": "order-platform.dev/v1alpha1", "kind": "Order", "metadata": metadata, "spec": spec}

    @property
    def shown(self) -> list[str]:
        """The fields that the page has, and has a place for what is wrong with them."""
        hidden = {"csrf", "do", "scenario"}
        return [name for name in self.fields if _FIELD.fullmatch(name) and name not in hidden]

    @property
    def total(self) -> str:
        """Of the lines, as far as they can be read."""
        currency = self.fields.get("currency", "")
        lines = Filled(self.fields)._lines()
        return format_amount(sum(line["quantity"] * line["unitPriceMinor"] for line in lines), currency)

    def refuse(self, error: ApiError) -> None:
        """Put what the API server says at the fields; what belongs to none, at the top."""
        for path, message in error.fields.items():
            field = _INDEX.sub(r".\1", path.removeprefix("spec.").removeprefix("metadata."))
            field = field.replace("unitPriceMinor", "price")
            self.wrong[field if field in self.fields else ""] = message
        if not error.fields:
            self.wrong[""] = error.message

    def _lines(self) -> list[dict[str, Any]]:
        lines = []
        for row in range(LINES):
            sku = self.fields.get(f"lines.{row}.sku", "")
            if not sku:
                continue
            lines.append(
                {
                    "lineID": str(row + 1),
                    "sku": sku,
                    "quantity": self._whole(f"lines.{row}.quantity"),
                    "unitPriceMinor": self._minor(f"lines.{row}.price"),
                }
            )
        return lines

    def _whole(self, field: str) -> int:
        given = self.fields.get(field, "")
        if not WHOLE_NUMBER.fullmatch(given) or int(given) == 0:
            self.wrong[field] = "a whole number, at least 1"
            return 1
        return int(given)

    def _minor(self, field: str) -> int:
        digits = MINOR_DIGITS.get(self.fields.get("currency", ""), 2)
        given = self.fields.get(field, "")
        minor = Decimal(given).scaleb(digits) if _AMOUNT.fullmatch(given) else None
        if minor is None or minor != minor.to_integral_value():
            self.wrong[field] = f"an amount with at most {digits} digits after the point, such as 12.50"
            return 0
        return int(minor)


async def show_form(console: Console, caller: Caller, request: Request) -> Response:
    """Empty, or as a scenario has it."""
    asked = request.query_params
    scenario = demonstrations.find(asked.get("scenario", ""))
    begun = scenario.fields() if scenario else DEFAULTS
    return await _form(console, caller, Filled({**begun, "namespace": asked.get("namespace", "")}), checked=False)


async def place(console: Console, caller: Caller, request: Request) -> Response:
    """`check` asks the API server without creating anything; `watch`, sent at each change, does so and answers with
    what is wrong alone."""
    filled = Filled(await checked_form(caller, request))
    watch = filled.fields.get("do") == "watch"
    check = watch or filled.fields.get("do") == "check"
    order = filled.order(caller.name)
    namespace = filled.fields.get("namespace", "")
    if not namespace:
        filled.wrong["namespace"] = "where the order belongs"
    if not filled.wrong:
        query = {"dryRun": "All"} if check else {"fieldManager": "order-console"}
        try:
            if not check:
                await _make_what_it_needs(caller, namespace, filled.scenario)
            created = await caller.api.call("POST", orders_path(namespace), order, query=query)
        except ApiError as error:
            if error.status in {0, 401}:
                raise
            if error.status == ALREADY_THERE and not check and await _is_this_one(caller, namespace, order):
                return _placed(namespace, order)
            filled.refuse(error)
        else:
            if not check:
                return _placed(namespace, created)
    if watch:
        return HTMLResponse(rendered("_checked.html", filled=filled))
    return await _form(console, caller, filled, checked=check and not filled.wrong)


def _placed(namespace: str, order: Mapping[str, Any]) -> Response:
    return RedirectResponse(f"/orders/{namespace}/{order['metadata']['name']}?done={PLACED}", SEE_OTHER)


async def _is_this_one(caller: Caller, namespace: str, order: Mapping[str, Any]) -> bool:
    """Whether the order that has the name is the very one that the form asks for: its button was pressed twice."""
    try:
        found = await caller.api.call("GET", orders_path(namespace, order["metadata"]["name"]))
    except ApiError:
        return False
    return holds(order["spec"], found["spec"])


async def _make_what_it_needs(caller: Caller, namespace: str, scenario: Scenario | None) -> None:
    """Classes and articles that come with a scenario, as the caller; those that exist stay. Raises ApiError."""
    for each in scenario.needs if scenario else ():
        plural = {"OrderClass": "orderclasses", "StockItem": "stockitems"}[each["kind"]]
        where = "" if each["kind"] == "OrderClass" else f"/namespaces/{segment(namespace)}"
        try:
            await caller.api.call("POST", f"{GROUP_PATH}{where}/{plural}", each)
        except ApiError as error:
            if error.status != ALREADY_THERE:
                raise


async def _form(console: Console, caller: Caller, filled: Filled, *, checked: bool) -> Response:
    namespaces = sorted({order.namespace for order in await console.visible(caller)})
    filled.fields.setdefault("name", f"order-{secrets.token_hex(4)}")
    if not filled.fields.get("namespace") and len(namespaces) == 1:
        filled.fields["namespace"] = namespaces[0]
    return page(
        "new.html",
        caller,
        status=422 if filled.wrong else 200,
        filled=filled,
        checked=checked,
        rows=range(LINES),
        namespaces=namespaces,
        classes=sorted(await console.classes.all(caller)),
        articles=await _articles(caller, filled.fields.get("namespace", "")),
        scenarios=demonstrations.names(),
        manifest=json.dumps(filled.order(caller.name), indent=2, ensure_ascii=False),
    )


async def _articles(caller: Caller, namespace: str) -> list[tuple[str, str]]:
    """Article and what there is of it, as far as the caller may read that."""
    try:
        where = f"/namespaces/{segment(namespace)}" if namespace else ""
        answer = await caller.api.call("GET", f"{GROUP_PATH}{where}/stockitems")
    except ApiError:
        return []  # a suggestion only
    items = [(each["spec"]["sku"], (each.get("status") or {}).get("onHand")) for each in answer["items"]]
    return sorted((sku, "" if on_hand is None else f"{on_hand} on hand") for sku, on_hand in items)


def _without_empty(values: dict[str, str], optional: Set[str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value or name not in optional}

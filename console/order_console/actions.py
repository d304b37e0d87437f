"""What a person may do about an order: the patch, the verb it needs, and the same as a kubectl line."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from order_console.view import OrderView

Form = Mapping[str, str]
Patch = dict[str, Any]

ADDRESS_FIELDS = {
    "name": "Recipient",
    "company": "Company",
    "line1": "Street",
    "line2": "Flat, floor",
    "city": "Town",
    "state": "State",
    "postalCode": "Postal code",
    "country": "Country",
    "phone": "Phone",
}
"""Field of an address -> its label on the pages."""
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
OPTIONAL_ADDRESS_FIELDS = frozenset({"company", "line2", "state", "postalCode", "phone"})


_MINOR_UNITS = re.compile(r"[0-9]{1,15}")


def holds(wanted: object, there: object) -> bool:
    """Whether everything that is wanted is there, beside whatever else."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(holds(value, there.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and len(wanted) == len(there) and all(map(holds, wanted, there))
    return wanted == there


class WrongForm(Exception):
    """What was filled in is no such action. The message is for the person."""


@dataclass(frozen=True)
class Action:
    """`patch` is the change of the spec by the form, in the name of the caller."""

    name: str
    label: str
    verb: Callable[[OrderView], str]
    offered: Callable[[OrderView], bool]
    patch: Callable[[OrderView, Form, str], Patch]
    asks_reason: bool = False
    grave: bool = False
    """Whether money moves: the person confirms it on a page of its own."""

    def kubectl(self, order: OrderView, caller: str) -> str:
        """The same by hand; `REASON` stands for what is to be filled in."""
        spec = self.patch(order, {"reason": "REASON"}, caller)
        patch = json.dumps({"spec": spec}, separators=(",", ":"), ensure_ascii=False)
        return f"kubectl patch ord {order.name} -n {order.namespace} --type=merge -p {shlex.quote(patch)}"


def _decision(decision: str) -> Callable[[OrderView, Form, str], Patch]:
    def patch(order: OrderView, form: Form, caller: str) -> Patch:
        reason = form.get("reason", "").strip()
        # The amount is the one that the page showed: the decision is about that, and is refused if another is in force.
        total = form.get("total", str(order.total_minor))
        if not _MINOR_UNITS.fullmatch(total):
            raise WrongForm("the amount is not one that this page showed: load it again")
        approval: Patch = {"decision": decision, "by": caller, "totalMinor": int(total)}
        return {"approval": {**approval, "reason": reason} if reason else approval}

    return patch


def _cancellation(_: OrderView, form: Form, caller: str) -> Patch:
    reason = form.get("reason", "").strip()
    return {"cancellation": {"by": caller, **({"reason": reason} if reason else {})}}


def _address(order: OrderView, form: Form, caller: str) -> Patch:
    address: Patch = {}
    for field in ADDRESS_FIELDS:
        value = form.get(f"shippingAddress.{field}", str(order.spec["shippingAddress"].get(field) or "")).strip()
        # A merge patch takes a field away by null.
        address[field] = value or (None if field in OPTIONAL_ADDRESS_FIELDS else "")
    known = order.spec["shippingAddress"]
    return {
        "shippingAddress": {field: value for field, value in address.items() if value is not None or field in known},
        **_edited_by(order, caller),
    }


def _lines(order: OrderView, form: Form, caller: str) -> Patch:
    lines = []
    for line in order.spec["lines"]:
        given = form.get(f"lines.{line['lineID']}", str(line["quantity"])).strip()
        if not WHOLE_NUMBER.fullmatch(given):
            raise WrongForm(
                f"the quantity of line {line['lineID']} must be a whole number, 0 to take it off: not {given!r}"
            )
        if int(given):
            lines.append({**line, "quantity": int(given)})
    if not lines:
        raise WrongForm("an order needs a line: to have nothing of it, cancel it")
    changed: Patch = {"lines": lines, **_edited_by(order, caller)}
    if "totalMinor" in order.spec:
        charges = sum(charge["amountMinor"] for charge in order.spec.get("charges", []))
        changed["totalMinor"] = sum(line["quantity"] * line["unitPriceMinor"] for line in lines) + charges
    return changed


def _edited_by(order: OrderView, caller: str) -> Patch:
    """Who edits says so where the order names people at all."""
    return {"editedBy": caller} if order.requester or order.spec.get("editedBy") else {}


def _always(verb: str) -> Callable[[OrderView], str]:
    return lambda _: verb


ACTIONS = {
    action.name: action
    for action in (
        Action(
            "approve",
            "Approve",
            lambda order: str(order.status.get("approval", {}).get("requires") or "approve"),
            lambda order: order.waits_for_decision,
            _decision("Approved"),
            asks_reason=True,
        ),
        Action(
            "reject",
            "Reject",
            _always("reject"),
            lambda order: order.waits_for_decision,
            _decision("Rejected"),
            asks_reason=True,
        ),
        Action(
            "suspend",
            "Suspend",
            _always("update"),
            lambda order: not order.ended and not order.spec.get("suspend"),
            lambda _, __, ___: {"suspend": True},
        ),
        Action(
            "resume",
            "Resume",
            _always("update"),
            lambda order: not order.ended and bool(order.spec.get("suspend")),
            lambda _, __, ___: {"suspend": False},
        ),
        Action(
            "retry",
            "Try again now",
            _always("retry"),
            lambda order: order.phase == "ManualReview",
            lambda order, _, __: {"retry": int(order.spec.get("retry") or 0) + 1},
        ),
        Action(
            "address",
            "Change the address",
            _always("update"),
            lambda order: not order.ended and order.conditions.get("Shipped", {}).get("status") != "True",
            _address,
        ),
        Action(
            "lines",
            "Change the quantities",
            _always("update"),
            lambda order: not order.ended and order.conditions.get("Charged", {}).get("status") != "True",
            _lines,
        ),
        Action(
            "cancel",
            "Cancel the order",
            _always("cancel"),
            lambda order: not order.ended and not order.spec.get("cancellation"),
            _cancellation,
            asks_reason=True,
            grave=True,
        ),
    )
}

"""The words that `status.message` must have at every status through which the orders of a scenario pass: what the order
does, why, until when, and what can be done. Patterns; all of one entry must be found."""

import re

from order_history import OrderHistory

MOMENT = r"\d+ [A-Z][a-z]{2} \d\d:\d\d UTC"
RETRIED = (r"attempt \d+ failed: .+", rf"next try at {MOMENT[:-4]}:\d\d UTC|being tried again")

AT_ANY: dict[str, tuple[str, ...]] = {
    "Order Received": ("received",),
    "Validate Order": ("checking articles and amounts",),
    "Enrich Order": ("looking up the customer",),
    "Check Fraud": ("checking for fraud",),
    "Reserve Stock": ("reserving stock",),
    "Await Stock": (f"waits for stock until {MOMENT}", "then expires", "not enough pieces of"),
    "Await Approval": (r"waits for approval of \d+\.\d\d USD", f"until {MOMENT}", "then (expires|is approved)"),
    "Prepare Shipment": ("preparing the shipment",),
    "Charge Customer": ("charging the customer",),
    "Await Address": (f"waits for another shipping address until {MOMENT}", "then (ships to the present one|fails)"),
    "Ship Order": ("handing the parcels to the carrier",),
    "Update Order Status": ("writing the result back to the shop",),
    "Notify Customer": ("writing to the customer",),
    "Compensate Order": ("undoing what was done",),
    "Order Completed": (r"completed(: \d parcels?(, (first )?due \d+ [A-Z][a-z]{2})?)?$",),
}
"""In any scenario that says nothing else."""

IN_SCENARIO: dict[str, dict[str, tuple[str, ...]]] = {
    "non-recoverable-failure": {
        "Compensate Order": ("undoing what was done", r"\(.*invalid.*\)"),
        "Order Failed": ("failed: .*invalid", "nothing was charged", "delete it and apply it again"),
    },
    "decisions": {
        "Order Rejected": ("rejected by maria: over budget", "nothing was charged", "delete it and apply it again"),
        "Order Cancelled": ("cancelled by ana: ordered twice", "nothing was charged", "delete it and apply it again"),
        "Order Expired": (f"expired: .*until {MOMENT}", "nothing was charged", "delete it and apply it again"),
    },
    "duplicate-order": {"Order Duplicate": ("duplicate: .*11235", "order")},
    "killed-worker": {"Reserve Stock": ("reserving stock|no worker asks for tasks of task queue orders: start one",)},
    "recoverable-failure": {
        "Charge Customer": ("charging the customer|the workers' code cannot go on with this order",),
        "Prepare Shipment": ("preparing the shipment|the workers' code cannot go on with this order",),
        "Ship Order": ("handing the parcels to the carrier|the workers' code cannot go on with this order",),
    },
}
"""In place of those."""

SEEN_ONCE: dict[str, dict[str, tuple[str, ...]]] = {
    "api-failure": {"Charge Customer": RETRIED},
    "recoverable-failure": {".*": ("deploy a worker without the fault, and it goes on",)},
}
"""What at least one version at that status must have said: a retry that is over is not told any more."""


def wrong_messages(scenario: str, history: OrderHistory) -> list[str]:
    """Those of the recorded versions whose message is not as the tables say, and what was never said."""
    found, told = [], set()
    for name, versions in history.versions().items():
        for status in (version.get("status") or {} for version in versions):
            at, message = status.get("orderStatus"), status.get("message", "")
            if at is None:
                continue
            told.add((at, message))
            wanted = IN_SCENARIO.get(scenario, {}).get(at) or AT_ANY.get(at)
            if wanted is None:
                found.append(f"{name} at {at}: no words are wanted for this status; it says: {message}")
            elif not _has(message, wanted):
                found.append(f"{name} at {at}: {message}")
    for at, wanted in SEEN_ONCE.get(scenario, {}).items():
        if not any(re.fullmatch(at, where) and _has(message, wanted) for where, message in told):
            found.append(f"at {at} nobody said {wanted}")
    return found


def _has(message: str, wanted: tuple[str, ...]) -> bool:
    return all(re.search(pattern, message) for pattern in wanted)

"""What must hold after every step, read from the ledger's rows and from the providers' own log, never through the
code that wrote them. The codes are those of docs: I1 money, I2 both logs, I3 pieces, I5 ends, I6 status, I9 decisions,
I10 audit, I16 undoing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shop_world import INITIAL, World
from temporal_stand_in import Run

COMPLETED = "Order Completed"
OPEN = {"Order Received", "Update Order Status", "Compensate Order"}
UNDOES = {"charge": "refund", "ship": "cancel_shipment"}

Rows = Sequence[Any]
Read = Callable[[Sequence[str]], Sequence[Rows]]
"""The rows of several queries."""


class Violation(AssertionError):
    """An invariant does not hold; the message starts with its code."""


@dataclass(frozen=True)
class Books:
    """The ledger and the providers' log at one moment."""

    orders: dict[str, Any]
    operations: dict[str, Any]
    payments: dict[str, Any]
    stock: dict[str, Any]
    reservations: Rows
    events: dict[str, list[Any]]
    charges: dict[str, Any]
    refunds: Rows
    shipments: dict[str, Any]
    mails: set[str]


_LEDGER = (
    "SELECT uid, status, total_minor, last_seq, last_hash FROM orders",
    "SELECT operation_id, order_uid, kind, state FROM operations",
    "SELECT order_uid, charge_operation_id, captured_minor, refunded_minor FROM payments",
    "SELECT sku, initial, restocked, on_hand, reserved, sold FROM stock",
    "SELECT operation_id, sku, quantity, state FROM reservations",
    "SELECT order_uid, seq, previous_hash, hash, data FROM audit_events ORDER BY order_uid, seq",
)
_PROVIDERS = (
    "SELECT key, state, amount_minor FROM charges",
    "SELECT charge_key, amount_minor FROM refunds",
    "SELECT key, state FROM shipments",
    "SELECT key FROM mails",
)


def read_books(ledger: Read, providers: Read) -> Books:
    """All of it: there is nothing but the orders of one example."""
    orders, operations, payments, stock, reservations, audited = ledger(_LEDGER)
    charges, refunds, shipments, mails = providers(_PROVIDERS)
    events: dict[str, list[Any]] = defaultdict(list)
    for uid, *event in audited:
        events[uid].append(event)
    return Books(
        orders=_by_key(orders),
        operations=_by_key(operations),
        payments=_by_key(payments),
        stock=_by_key(stock),
        reservations=reservations,
        events=events,
        charges=_by_key(charges),
        refunds=[tuple(row) for row in refunds],
        shipments=dict(tuple(row) for row in shipments),
        mails={key for (key,) in mails},
    )


def _by_key(rows: Rows) -> dict[str, Any]:
    return {row[0]: row[1:] for row in rows}


def check(world: World, books: Books, before: Books | None) -> None:
    """Raises Violation."""
    runs = {run.input.identity.uid: run for run in world.runs}
    _money(books)
    _both_logs(books)
    _pieces(world, books, runs)
    _status(books, before)
    _ends(books, runs)
    _decisions(world, books, runs)
    _audit(books, before)
    _undone(books)


def _fail(code: str, message: str) -> None:
    raise Violation(f"{code}: {message}")


def _uid(key: str) -> str:
    return key.split("/", 1)[0]


def _money(books: Books) -> None:
    captured: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for key, (state, amount) in books.charges.items():
        if state == "captured":
            captured[_uid(key)] += amount
            taken[_uid(key)] += 1
    refunded: Counter[str] = Counter()
    for key, amount in books.refunds:
        refunded[_uid(key)] += amount
    for uid, (status, total, _, _) in books.orders.items():
        kept = captured[uid] - refunded[uid]
        if not 0 <= kept <= total or taken[uid] > 1:
            _fail("I1", f"order {uid} of {total} was charged {captured[uid]} and refunded {refunded[uid]}")
        if status not in OPEN and kept != (total if status == COMPLETED else 0):
            _fail("I1", f"order {uid} of {total} is at {status} and paid {kept}")


def _both_logs(books: Books) -> None:
    happened = {
        **{key: "charge" for key, (state, _) in books.charges.items() if state == "captured"},
        **{key: "ship" for key, state in books.shipments.items() if state != "void"},
        **dict.fromkeys(books.mails, "notify"),
    }
    for key, kind in happened.items():
        operation = books.operations.get(key)
        if operation is None or operation[1] != kind or operation[2] == "refused":
            _fail("I2", f"{kind} {key} happened at the provider, the ledger has {operation}")
    for key, (uid, kind, state) in books.operations.items():
        if kind in ("charge", "ship", "notify") and state == "done" and key not in happened:
            _fail("I2", f"{kind} {key} of order {uid} is done in the ledger, the provider knows nothing of it")
    refunds = dict(books.refunds)
    for charge in refunds:
        if not any(
            uid == _uid(charge) and kind == "refund" and state != "refused"
            for uid, kind, state in books.operations.values()
        ):
            _fail("I2", f"the provider refunded {charge}, the ledger knows no refund")
    for uid, (charge, captured, refunded) in books.payments.items():
        state, amount = books.charges.get(charge, ("unknown", 0))
        at_provider = amount if state == "captured" else 0
        recorded = books.operations[charge][2]
        if captured not in ((at_provider,) if recorded != "intent" else (0, at_provider)):
            _fail("I2", f"the ledger booked {captured} for order {uid}, the provider took {at_provider}")
        settled = any(
            owner == uid and kind == "refund" and state == "done" for owner, kind, state in books.operations.values()
        )
        if refunded != refunds.get(charge, 0) and (refunded or settled):
            _fail("I2", f"the ledger booked a refund of {refunded} for order {uid}, the provider {refunds.get(charge)}")


def _pieces(world: World, books: Books, runs: dict[str, Run]) -> None:
    held: Counter[tuple[str, str]] = Counter()
    for operation, sku, quantity, state in books.reservations:
        held[sku, state] += quantity
        uid = books.operations[operation][0]
        status = books.orders[uid][0]
        if state == "held" and status not in OPEN:
            _fail("I3", f"order {uid} is at {status} and holds {quantity} of {sku}")
        passed = any(order.pivot_passed for order in runs[uid].history)
        if state == "committed" and not (passed and (status in OPEN or status == COMPLETED)):
            _fail("I3", f"order {uid} is at {status} and bought {quantity} of {sku}")
    for sku, (initial, restocked, on_hand, reserved, sold) in books.stock.items():
        if min(on_hand, reserved, sold) < 0 or on_hand + reserved + sold != INITIAL[sku] + world.restocked[sku]:
            _fail("I3", f"{sku}: {on_hand} + {reserved} + {sold} is not {INITIAL[sku]} + {world.restocked[sku]}")
        if (initial, restocked) != (INITIAL[sku], world.restocked[sku]):
            _fail("I3", f"{sku}: the ledger says that {initial} + {restocked} came in")
        if (reserved, sold) != (held[sku, "held"], held[sku, "committed"]):
            _fail("I3", f"{sku}: {reserved} reserved and {sold} sold, but the reservations say {dict(held)}")


def _ends(books: Books, runs: dict[str, Run]) -> None:
    numbers: Counter[str] = Counter()
    for uid, run in runs.items():
        order = books.orders.get(uid)
        if order is not None:
            numbers[run.input.order_id] += 1
        if run.ended and order is not None and order[0] != run.order.status and not _came_too_late(books, uid):
            _fail("I5", f"the workflow of order {uid} ended as {run.order.status}, the ledger has {order[0]}")
        if run.order.under_review:
            _fail("I16", f"order {uid} waits for a person, though every fault passed: {run.order.last_error}")
        if order is not None and order[0] == COMPLETED:
            lines = {f"{uid}/ship/{line.line_id}" for line in run.order.lines}
            if any(books.shipments.get(key) != "dispatched" for key in lines):
                _fail("I5", f"order {uid} is completed and not shipped")
    if any(count > 1 for count in numbers.values()):
        _fail("I5", f"an order number was received twice: {dict(numbers)}")


def _came_too_late(books: Books, uid: str) -> bool:
    """A receipt has no undo: one that is lost, and arrives after its order was cancelled, opens a record that nobody
    closes. It holds the order number, as that of a cancelled order does, and nothing else."""
    kinds = {kind for owner, kind, *_ in books.operations.values() if owner == uid}
    return books.orders[uid][0] == "Order Received" and kinds <= {"receive", "notify"}


def _status(books: Books, before: Books | None) -> None:
    for uid, (status, *_) in (before.orders if before else {}).items():
        if uid not in books.orders:
            _fail("I6", f"order {uid} is gone")
        if status not in OPEN and books.orders[uid][0] != status:
            _fail("I6", f"order {uid} went from its end {status} to {books.orders[uid][0]}")


def _decisions(world: World, books: Books, runs: dict[str, Run]) -> None:
    for uid, accepted in world.decisions.items():
        if len(accepted) > 1:
            _fail("I9", f"order {uid} was decided about more than once: {accepted}")
        # A run that is terminated may have heard a decision that it never came to show.
        order = runs[uid].history[0]
        decision = order.approval.decision
        if accepted and (decision is None or decision.lower() != {"approve": "approved"}.get(accepted[0], "rejected")):
            _fail("I9", f"order {uid} was answered {accepted[0]}, its workflow has {decision}")
        charged = uid in books.payments
        if charged and order.approval.required and (decision is None or decision != "Approved"):
            _fail("I9", f"order {uid} was charged with the decision {decision}")


def _audit(books: Books, before: Books | None) -> None:
    finished = Counter(uid for uid, _, state in books.operations.values() if state != "intent")
    for uid, (_, _, last_seq, last_hash) in books.orders.items():
        events = books.events.get(uid, [])
        previous = "0" * 64
        for number, (seq, sealed_before, seal, _) in enumerate(events, start=1):
            if seq != number or sealed_before != previous:
                _fail("I10", f"order {uid}: the trail breaks at event {number}")
            previous = seal
        if (last_seq, last_hash) != (len(events), previous):
            _fail("I10", f"order {uid}: the trail has {len(events)} events, the order says {last_seq}")
        ended = sum('"state": "intent"' not in str(data).replace("'", '"') for *_, data in events)
        if finished[uid] != ended:
            _fail("I10", f"order {uid}: {finished[uid]} finished operations and {ended} events of an end")
        if before and len(before.events.get(uid, [])) > len(events):
            _fail("I10", f"order {uid}: events are gone")


def _undone(books: Books) -> None:
    by_kind: dict[tuple[str, str], int] = Counter()
    for uid, kind, state in books.operations.values():
        if state == "done":
            by_kind[uid, kind] += 1
    for key, (uid, kind, state) in books.operations.items():
        status = books.orders[uid][0]
        if status in OPEN or status == COMPLETED:
            continue
        if state == "intent" and kind != "notify":
            _fail("I16", f"order {uid} is at {status}, and what became of {key} is not known")
        if state == "done" and kind in UNDOES and by_kind[uid, UNDOES[kind]] < by_kind[uid, kind]:
            _fail("I16", f"order {uid} is at {status}, and {key} was not undone")
    for key, state in books.shipments.items():
        status = books.orders[_uid(key)][0] if _uid(key) in books.orders else "gone"
        if state == "dispatched" and status not in OPEN and status != COMPLETED:
            _fail("I16", f"order {_uid(key)} is at {status}, and parcel {key} is on its way")

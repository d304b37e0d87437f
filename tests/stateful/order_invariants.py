"""What must hold after every step, read from the ledger's rows and from the providers' own log, never through the
code that wrote them. The codes are those of docs: I1 money, I2 both logs, I3 pieces, I5 ends, I6 status, I9 decisions,
I10 audit, I11 an end to everything, I15 replay, I16 undoing."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shop_world import INITIAL, World
from temporal_stand_in import Run
from violation import Violation

from order_domain.allocation import owed_minor
from order_domain.pipeline import StepName

COMPLETED = "Order Completed"
OPEN = {"Order Received", "Update Order Status", "Compensate Order"}
DECISIONS = {"approve": "Approved", "reject": "Rejected"}
UNDOES = {"ship": "cancel_shipment"}

Rows = Sequence[Any]
Read = Callable[[Sequence[str]], Sequence[Rows]]
"""The rows of several queries."""


@dataclass(frozen=True)
class Books:
    """The ledger and the providers' log at one moment."""

    orders: dict[str, Any]
    numbers: dict[str, str | None]
    """By uid; an order that kept nothing has given its number back."""
    owed: dict[str, int]
    """By uid; what an order without a charge owes is nothing."""
    lines: dict[str, set[str] | None]
    """Line ids in force by uid; None where the ledger does not know them."""
    operations: dict[str, Any]
    payments: dict[str, Any]
    stock: dict[str, Any]
    reservations: Rows
    events: dict[str, list[Any]]
    charges: dict[str, Any]
    refunds: Rows
    """Key, key of the charge, amount."""
    shipments: dict[str, Any]
    packed: Rows
    """Key, line id."""
    mails: set[str]


_LEDGER = (
    "SELECT uid, status, total_minor, last_seq, last_hash FROM orders",
    "SELECT uid, order_id, total_minor, owed_minor, lines FROM orders",
    "SELECT operation_id, order_uid, kind, state FROM operations",
    "SELECT order_uid, charge_operation_id, captured_minor, refunded_minor FROM payments",
    "SELECT sku, initial, restocked, on_hand, reserved, sold FROM stock",
    "SELECT operation_id, sku, quantity, state FROM reservations",
    "SELECT order_uid, seq, previous_hash, hash, data FROM audit_events ORDER BY order_uid, seq",
)
_PROVIDERS = (
    "SELECT key, state, amount_minor FROM charges",
    "SELECT key, charge_key, amount_minor FROM refunds",
    "SELECT key, state FROM shipments",
    "SELECT key, line_id, unpacked_at FROM packed_lines",
    "SELECT key FROM mails",
)


def read_books(ledger: Read, providers: Read) -> Books:
    """All of it: there is nothing but the orders of one example."""
    orders, dues, operations, payments, stock, reservations, audited = ledger(_LEDGER)
    charges, refunds, shipments, packed, mails = providers(_PROVIDERS)
    events: dict[str, list[Any]] = defaultdict(list)
    for uid, *event in audited:
        events[uid].append(event)
    return Books(
        orders=_by_key(orders),
        numbers={uid: number for uid, number, *_ in dues},
        owed={uid: total if owed is None else owed for uid, _, total, owed, _ in dues},
        lines={uid: _line_ids(lines) for uid, *_, lines in dues},
        operations=_by_key(operations),
        payments=_by_key(payments),
        stock=_by_key(stock),
        reservations=reservations,
        events=events,
        charges=_by_key(charges),
        refunds=[tuple(row) for row in refunds],
        shipments=dict(tuple(row) for row in shipments),
        packed=[(key, line) for key, line, unpacked_at in packed if unpacked_at is None],
        mails={key for (key,) in mails},
    )


def _by_key(rows: Rows) -> dict[str, Any]:
    return {row[0]: row[1:] for row in rows}


def _line_ids(lines: Any) -> set[str] | None:
    known = json.loads(lines) if isinstance(lines, str) else lines
    return None if known is None else {line["lineID"] for line in known}


def check(world: World, books: Books, before: Books | None) -> None:
    """Raises Violation."""
    runs = {run.input.identity.uid: run for run in world.runs}
    _money(books, runs)
    _both_logs(books)
    _pieces(world, books)
    _status(books, before)
    _sold(books, before)
    _ends(books, runs)
    _decisions(runs)
    _audit(books, before)
    _undone(books)
    _packed(books)
    _travelling(books, runs)


def _fail(code: str, message: str) -> None:
    raise Violation(f"{code}: {message}")


def _uid(key: str) -> str:
    return key.split("/", 1)[0]


def _money(books: Books, runs: dict[str, Run]) -> None:
    captured: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for key, (state, amount) in books.charges.items():
        if state == "captured":
            captured[_uid(key)] += amount
            taken[_uid(key)] += 1
    refunded = _refunded(books)
    for uid, (status, total, _, _) in books.orders.items():
        owed = books.owed[uid] if StepName.CHARGE_PAYMENT in runs[uid].input.policy.pipeline else 0
        kept = captured[uid] - refunded[uid]
        if not 0 <= kept <= total or taken[uid] > 1:
            _fail("I1", f"order {uid} of {total} was charged {captured[uid]} and refunded {refunded[uid]}")
        if status not in OPEN and kept != (owed if status == COMPLETED else 0):
            _fail("I1", f"order {uid} that owes {owed} is at {status} and paid {kept}")


def _refunded(books: Books) -> Counter[str]:
    refunded: Counter[str] = Counter()
    for _, charge, amount in books.refunds:
        refunded[_uid(charge)] += amount
    return refunded


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
    for key, charge, _ in books.refunds:
        operation = books.operations.get(key)
        if operation is None or operation[1] != "refund" or operation[2] == "refused":
            _fail("I2", f"the provider refunded {charge} by {key}, the ledger has {operation}")
    refunds = _refunded(books)
    open_refunds = {uid for uid, kind, state in books.operations.values() if kind == "refund" and state == "intent"}
    for uid, (charge, captured, refunded) in books.payments.items():
        state, amount = books.charges.get(charge, ("unknown", 0))
        at_provider = amount if state == "captured" else 0
        recorded = books.operations[charge][2]
        if captured not in ((at_provider,) if recorded != "intent" else (0, at_provider)):
            _fail("I2", f"the ledger booked {captured} for order {uid}, the provider took {at_provider}")
        if refunded > refunds[uid] or (refunded < refunds[uid] and uid not in open_refunds):
            _fail("I2", f"the ledger booked a refund of {refunded} for order {uid}, the provider {refunds[uid]}")


def _pieces(world: World, books: Books) -> None:
    held: Counter[tuple[str, str]] = Counter()
    for operation, sku, quantity, state in books.reservations:
        held[sku, state] += quantity
        uid = books.operations[operation][0]
        status = books.orders[uid][0]
        if state == "held" and status not in OPEN:
            _fail("I3", f"order {uid} is at {status} and holds {quantity} of {sku}")
        if state == "committed" and not (status in OPEN or status == COMPLETED):
            _fail("I3", f"order {uid} is at {status} and bought {quantity} of {sku}")
    for sku, (initial, restocked, on_hand, reserved, sold) in books.stock.items():
        if min(on_hand, reserved, sold) < 0 or on_hand + reserved + sold != INITIAL[sku] + world.restocked[sku]:
            _fail("I3", f"{sku}: {on_hand} + {reserved} + {sold} is not {INITIAL[sku]} + {world.restocked[sku]}")
        if (initial, restocked) != (INITIAL[sku], world.restocked[sku]):
            _fail("I3", f"{sku}: the ledger says that {initial} + {restocked} came in")
        if (reserved, sold) != (held[sku, "held"], held[sku, "committed"]):
            _fail("I3", f"{sku}: {reserved} reserved and {sold} sold, but the reservations say {dict(held)}")


def _ends(books: Books, runs: dict[str, Run]) -> None:
    numbers: Counter[str | None] = Counter()
    for uid, run in runs.items():
        order = books.orders.get(uid)
        if order is not None and (order[0] in OPEN or order[0] == COMPLETED):
            numbers[books.numbers[uid]] += 1
        if order is not None and order[0] == COMPLETED and books.numbers[uid] != run.input.order_id:
            _fail("I5", f"order {uid} is completed, and its number is {books.numbers[uid]}")
        if run.ended and order is not None and order[0] != run.order.status and not _came_too_late(books, uid):
            _fail("I5", f"the workflow of order {uid} ended as {run.order.status}, the ledger has {order[0]}")
        if order is not None and order[0] == COMPLETED and StepName.SHIP in run.input.policy.pipeline:
            lines = books.lines[uid]
            wanted = [lines] if lines else [{line.line_id for line in state.lines} for state in run.history]
            if not any(all(_travels(books, uid, line) for line in some) for some in wanted):
                _fail("I5", f"order {uid} is completed and not shipped")
    if any(count > 1 for number, count in numbers.items() if number is not None):
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


def _sold(books: Books, before: Books | None) -> None:
    """A sold or completed order is never undone by a run."""
    if before is None:
        return
    sold = {before.operations[key][0] for key, *_, state in before.reservations if state == "committed"}
    sold |= {uid for uid, (status, *_) in before.orders.items() if status == COMPLETED}
    if not sold:
        return
    now = {(row[0], row[1]): row[3] for row in books.reservations}
    for operation, sku, quantity, state in before.reservations:
        if state == "committed" and now.get((operation, sku)) != state:
            _fail("I3", f"{quantity} of {sku} were sold by {operation}, and are {now.get((operation, sku))}")
    for key, state in before.shipments.items():
        if _uid(key) in sold and books.shipments[key] != state:
            _fail("I16", f"order {_uid(key)} is sold, and its parcel {key} went from {state} to {books.shipments[key]}")
    for uid in sold:
        if _refunds_of(before, uid) != _refunds_of(books, uid):
            _fail("I1", f"order {uid} is sold, and refunded: {_refunds_of(books, uid)}")


def _refunds_of(books: Books, uid: str) -> list[Any]:
    return [refund for refund in books.refunds if _uid(refund[1]) == uid]


def _travels(books: Books, uid: str, line_id: str) -> bool:
    return books.shipments.get(f"{uid}/ship/{line_id}") == "dispatched"


def _travelling(books: Books, runs: dict[str, Run]) -> None:
    """Money is given back, pieces are given free and packing is taken apart only after the parcel is back."""
    refunded = _refunded(books)
    for uid, run in runs.items():
        lines, charges = run.order.lines, run.order.spec.charges
        kept = [line.line_id for line in lines if _travels(books, uid, line.line_id)]
        charge = books.charges.get(f"{uid}/charge")
        if not kept or books.orders[uid][0] not in OPEN or charge is None or charge[0] != "captured":
            continue
        # An order that was sold in part is for the sold lines alone, at their share of the price of all: the same lines
        # ordered by themselves may cost a cent more.
        owed = min(owed_minor(lines, charges, kept, run.order.spec.currency), run.order.total_minor)
        if refunded[uid] and charge[1] - refunded[uid] < owed:
            _fail(
                "I1", f"parcels {kept} of order {uid} are on their way, {owed} is owed, and {refunded[uid]} went back"
            )


def taken_back(books: Books) -> set[str]:
    """Operation ids of charges that are given back in full, of parcels called back, of pieces released."""
    refunded: Counter[str] = Counter()
    for _, key, amount in books.refunds:
        refunded[key] += amount
    charges = {key for key, (state, amount) in books.charges.items() if amount and refunded[key] == amount}
    parcels = {key for key, state in books.shipments.items() if state == "cancelled"}
    return charges | parcels | {key for key, *_, state in books.reservations if state == "released"}


def _decisions(runs: dict[str, Run]) -> None:
    for uid, run in runs.items():
        for one in run.chain:
            accepted = [name for name in one.accepted if name in DECISIONS]
            if len(accepted) > 1:
                _fail("I9", f"order {uid} was decided about more than once: {accepted}")
            decision = one.order.approval.decision
            if accepted and decision != DECISIONS[accepted[0]]:
                _fail("I9", f"order {uid} was answered {accepted[0]}, its workflow has {decision}")
        charging = [one.order.approval for one in run.chain if _asked_to_charge(one)]
        # A reset may forget the decision about what is charged already.
        if charging and not any(gate.decision == "Approved" or not gate.required for gate in charging):
            _fail("I9", f"order {uid} was charged with the decision {charging[0].decision}")


def _asked_to_charge(run: Run) -> bool:
    return any(call.activity == "PaymentActivities.charge" for call in run.loop.calls.values())


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


def _packed(books: Books) -> None:
    for key, line_id in books.packed:
        status = books.orders[_uid(key)][0] if _uid(key) in books.orders else "gone"
        if status not in OPEN and not (status == COMPLETED and line_id in (books.lines[_uid(key)] or {line_id})):
            _fail("I16", f"order {_uid(key)} is at {status}, and line {line_id} is packed")

"""A shop whose every part but Temporal is real, and all that people and faults can do to it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from boundaries import Attempt, Ended, SteppedLedger, SteppedStore
from sqlalchemy import Connection, insert, update
from temporal_stand_in import Message, Run
from temporalio.common import MetricMeter
from violation import Violation
from workflow_loop import Call

from order_domain.errors import OperationConflict
from order_domain.order import Address, ChargeKind, Customer, OrderCharge, OrderLine, OrderSpec, Payment
from order_domain.policy import OrderClassSpec
from order_domain.status import OrderStatus
from order_worker.activities.fraud import LedgerFraudChecks
from order_worker.activities.notification import LedgerNotifications
from order_worker.activities.order import LedgerOrders
from order_worker.activities.payment import LedgerPayments
from order_worker.activities.shipping import LedgerShipping
from order_worker.activities.stock import LedgerStock
from order_worker.activities.warehouse import LedgerWarehouse
from order_worker.ledger import stock, tables
from order_worker.metrics import Metrics
from order_worker.providers.fraud.simulated import SimulatedFraudCheck
from order_worker.providers.notification.simulated import SimulatedMailer
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_worker.providers.warehouse.simulated import SimulatedWarehouse
from order_workflows.acceptance import refusal_of_cancel
from order_workflows.contract import REVISION, CancelRequest, Decision, LinesChange, OrderInput, ResourceIdentity
from order_workflows.order_run import OrderRun

INITIAL = {"PROD-001": 4, "PROD-002": 2}
"""Few pieces, so that orders stand in each other's way."""

MAX_ORDERS = 6

CONVERGES = 400
"""So many steps after the last fault bring every order to its end. Two dozen do, mostly; each change of lines that
waits, up to one for each step of a course, needs some more."""

_MANIFEST = Path(__file__).parents[2] / "manifests" / "classes" / "standard.yaml"
STANDARD = OrderClassSpec.model_validate(yaml.safe_load(_MANIFEST.read_text())["spec"])


def _variant(**changes: object) -> OrderClassSpec:
    return OrderClassSpec.model_validate({**STANDARD.model_dump(), **changes})


CLASSES = {
    "standard": STANDARD,
    "patient": _variant(inventory={"on_shortage": "Backorder"}, compensation={"parallel": True}),
    "booked": _variant(
        pipeline=[*STANDARD.pipeline[:-1], "UpdateOrderStatus", "Notify"],
        compensation={"pivot": "UpdateOrderStatus"},
        approval={**STANDARD.approval.model_dump(), "on_expiry": "Approve"},
    ),
    "unreserved": _variant(pipeline=["Receive", "Validate", "Approval", "PrepareShipment", "ChargePayment", "Ship"]),
    "unpaid": _variant(pipeline=["Receive", "ReserveStock", "Approval", "UpdateOrderStatus", "Notify"]),
}
"""The class `standard`, and what it does not have: backorders, undoing all at once, a late pivot, silent consent, lines
that are packed, pieces that nobody counts, goods that cost nothing."""


def _line(line_id: str, sku: str, quantity: int, price: int = 40_000) -> OrderLine:
    return OrderLine(line_id=line_id, sku=sku, quantity=quantity, unit_price_minor=price)


LINES = [
    [_line("1", "PROD-001", 1)],
    [_line("1", "PROD-001", 2), _line("2", "PROD-002", 1, price=0)],
    [_line("1", "PROD-002", 1, price=100), _line("2", "PROD-001", 1), _line("3", "PROD-002", 1, price=0)],
    [_line("1", "PROD-001", 3)],
    [_line("1", "PROD-001", 1, price=90_000), _line("2", "PROD-002", 1)],
    [_line("1", "PROD-001", 1, price=100_000)],
    [_line("1", "PROD-002", 1, price=0)],
    [_line("1", "PROD-003", 1)],
]
"""Cheap, dear enough for an approval, free of charge, of an unknown article."""

CHARGES = [
    [],
    [OrderCharge(charge_id="s", kind=ChargeKind.SHIPPING, amount_minor=500)],
    [
        OrderCharge(charge_id="s", kind=ChargeKind.SHIPPING, amount_minor=500),
        OrderCharge(charge_id="f", kind=ChargeKind.FEE, amount_minor=101),
        OrderCharge(charge_id="d", kind=ChargeKind.DISCOUNT, amount_minor=-333),
    ],
]
"""What an order costs beside its lines."""

ORDER_NUMBERS = list("ABCDEFGHIJ")
CUSTOMERS = ["CUST-1"] * 7 + ["FRAUD-1"]
METHODS = ["tok_visa"] * 7 + ["tok_chargeDeclined"]
POSTAL_CODES = ["12345"] * 5 + ["99999"] * 2 + ["00000"]
"""Mostly those that let an order come far; 99999 is where no parcel can be called back from."""


class World:
    """The shop, its orders, and the attempts that nobody waits for any more."""

    def __init__(self, ledger: SteppedLedger, store: SteppedStore) -> None:
        metrics = Metrics(MetricMeter.noop)
        self.ledger = ledger
        self.store = store
        self.activities: dict[str, object] = {
            "OrderActivities": LedgerOrders(ledger),
            "StockActivities": LedgerStock(ledger, metrics),
            "FraudActivities": LedgerFraudChecks(ledger, SimulatedFraudCheck()),
            "PaymentActivities": LedgerPayments(ledger, SimulatedPayments(store), metrics),
            "ShippingActivities": LedgerShipping(ledger, SimulatedCarrier(store)),
            "WarehouseActivities": LedgerWarehouse(ledger, SimulatedWarehouse(store)),
            "NotificationActivities": LedgerNotifications(ledger, SimulatedMailer(store), metrics),
        }
        self.runs: list[Run] = []
        self.late: list[Attempt] = []
        self.restocked = dict.fromkeys(INITIAL, 0)
        self.reversed: set[str] = set()
        """Operation ids of what is taken back; none of them may succeed any more."""
        ledger.run(lambda tx: stock.ensure(tx, INITIAL))

    @property
    def calls(self) -> list[Call]:
        """All that a workflow waits for."""
        return [call for run in self.runs for call in run.calls]

    @property
    def outside_calls(self) -> list[Call]:
        """Those that money or parcels hang on."""
        return [call for call in self.calls if call.goes_outside]

    @property
    def in_flight(self) -> list[Call]:
        """Those with an attempt that has begun and not ended."""
        return [call for call in self.calls if call.in_flight is not None]

    @property
    def open_runs(self) -> list[Run]:
        """Those that have not closed."""
        return [run for run in self.runs if not run.ended]

    def create(
        self,
        *,
        number: str,
        class_name: str,
        lines: list[OrderLine],
        customer: str,
        method: str,
        postal_code: str,
        charges: list[OrderCharge] | None = None,
    ) -> None:
        """A new resource, perhaps with an order number that is taken."""
        uid = f"uid-{len(self.runs) + 1}"
        address = Address(name="Ana", line1="1 Main St", city="Springfield", postal_code=postal_code, country="US")
        order = OrderInput(
            identity=ResourceIdentity(cluster="test", namespace="shop", name=f"order-{len(self.runs) + 1}", uid=uid),
            spec=OrderSpec(
                order_id=number,
                customer=Customer(id=customer, email="ana@example.com"),
                currency="USD",
                lines=lines,
                charges=charges or [],
                shipping_address=address,
                payment=Payment(method=method),
            ),
            class_name=class_name,
            policy=CLASSES[class_name],
            generation=1,
            revision=REVISION,
        )
        self.runs.append(Run.begin(order))

    # What becomes of an attempt.

    def attempt(self, call: Call) -> None:
        """It reports; one that was under way goes on."""
        attempt = self._attempt(call)
        if attempt is not None:
            self._report(call, attempt.finish())

    def go_on(self, run: Run, far: int, *, outside: bool) -> None:
        """So many attempts that report, or until nothing is asked for; with `outside`, also past the next call to a
        provider."""
        for _ in range(far):
            if not run.calls or (run.calls[0].goes_outside and not outside):
                break
            self.attempt(run.calls[0])

    def stall(self, call: Call, boundaries: int) -> None:
        """It comes so far, and is under way still."""
        attempt = self._attempt(call)
        if attempt is None:
            return
        ended = attempt.advance(boundaries)
        if ended is None:
            call.in_flight = attempt
        else:
            self._report(call, ended)

    def die(self, call: Call, boundaries: int) -> None:
        """Its worker dies so far on the way."""
        attempt = self._attempt(call)
        if attempt is None:
            return
        ended = attempt.advance(boundaries)
        attempt.die()
        self._report(call, ended)

    def lose_answer(self, call: Call, boundaries: int) -> None:
        """The ledger or the provider does not answer, whatever it did."""
        attempt = self._attempt(call)
        if attempt is not None:
            self._report(call, attempt.advance(boundaries) or attempt.lose())

    def time_out(self, call: Call) -> None:
        """It is taken for lost and goes on all the same, some time."""
        assert call.in_flight is not None
        self.late.append(call.in_flight)
        self._report(call, None)

    def wake(self, attempt: Attempt, boundaries: int) -> None:
        """Nobody waits for its answer."""
        if attempt.advance(boundaries) is not None:
            self.late.remove(attempt)

    def repeat(self, call: Call, boundaries: int) -> None:
        """What was asked for before arrives once more."""
        attempt = self._start(call)
        if attempt.advance(boundaries) is None:
            self.late.append(attempt)

    def repeat_otherwise(self, call: Call) -> Ended:
        """The same operation id with another amount."""
        changed = call.request.model_copy(update={"amount_minor": call.request.amount_minor + 1})
        return Attempt(self._implementation(call.activity)(changed)).finish()

    def lose_task(
        self, run: Run, far: int, boundaries: int, messages: list[Message], *, cancel: bool, again: bool
    ) -> None:
        """The worker commits so much to the ledger and dies before the end of its workflow task; the next activity is
        so far on its way then. Messages come in meanwhile, or Temporal's own Cancel."""
        run.hold_back()
        for _ in range(far):
            if not run.local_calls:
                break
            self.attempt(run.local_calls[0])
        if boundaries and run.local_calls and not run.local_calls[0].in_flight:
            self.stall(run.local_calls[0], boundaries)
        self.late += run.lose_task(messages, cancel=cancel, again=again)

    def reset(self, run: Run, to: int, *, reapply: bool) -> Run:
        """Somebody resets the workflow. What the run had under way goes on, and nobody waits for it. Returns the new
        run."""
        self.late += [call.in_flight for call in run.calls if call.in_flight is not None]
        following = run.reset(to, reapply=reapply)
        self.runs[self.runs.index(run)] = following
        return following

    def converge(self) -> None:
        """No more faults: what is asked for is answered, people do what they are asked to, time passes, and what was
        late arrives. Raises Violation."""
        for _ in range(CONVERGES):
            if not self.open_runs:
                break
            for run in self.open_runs:
                self._push(run)
        for run in self.open_runs:
            raise Violation(f"I11: order {run.input.identity.uid} stays at {run.order.status}: {run.order.last_error}")
        for attempt in self.late:
            attempt.finish()
        self.late.clear()

    def close(self) -> None:
        """Forget all that is under way."""
        for run in self.runs:
            run.close()
        for attempt in self.late:
            attempt.die()

    def _push(self, run: Run) -> None:
        if run.calls:
            self.attempt(run.calls[0])
        elif _can_only_be_cancelled(run.order):
            run.tell(CANCEL)
        elif run.order.suspended or run.order.under_review:
            run.tell(RESUME)
        elif run.order.status == OrderStatus.AWAIT_STOCK:
            run.tell(CANCEL)
        elif run.timers:
            run.pass_time()

    # What people do.

    def terminate(self, run: Run) -> Run:
        """What it had under way goes on, and nobody waits for it. Returns the run that takes over."""
        self.late += [call.in_flight for call in run.calls if call.in_flight is not None]
        following = run.next()
        self.runs[self.runs.index(run)] = following
        return following

    def restock(self, sku: str, count: int) -> None:
        """A supplier delivers."""
        row, now = tables.stock.c, datetime.now(UTC)
        number = f"{sku}/{self.restocked[sku]}"
        moments = {"created_at": now, "placed_at": now, "delivered_at": now}
        delivered = {"id": number, "sku": sku, "quantity": count, "state": "delivered", **moments}

        def deliver(tx: Connection) -> None:
            came = {"on_hand": row.on_hand + count, "restocked": row.restocked + count}
            tx.execute(update(tables.stock).where(row.sku == sku).values(**came))
            tx.execute(insert(tables.supplier_orders), delivered)

        self.ledger.run(deliver)
        self.restocked[sku] += count
        for run in self.runs:
            run.tell(STOCK_ARRIVED)

    def _report(self, call: Call, ended: Ended | None) -> None:
        for run in self.runs:
            if call in run.calls:
                run.report(call, ended)

    def _attempt(self, call: Call) -> Attempt | None:
        """None if nobody asks for it any more."""
        for run in self.runs:
            if call in run.calls and call.in_flight is None:
                run.schedule(call)
        if call.answer.done():
            return None
        return call.in_flight or self._start(call)

    def _start(self, call: Call) -> Attempt:
        return Attempt(self._only_if_in_force(call))

    async def _only_if_in_force(self, call: Call) -> Any:
        taken_back = getattr(call.request, "operation_id", None) in self.reversed
        answer = await self._implementation(call.activity)(call.request)
        if taken_back:
            raise Violation(f"I2: {call.request.operation_id} was taken back, and asked again it succeeds: {answer}")
        return answer

    def _implementation(self, activity: str) -> Callable[[Any], Any]:
        port, _, method = activity.partition(".")
        implementation: Callable[[Any], Any] = getattr(self.activities[port], method)
        return implementation


def _can_only_be_cancelled(order: OrderRun) -> bool:
    """It was reset to before its lines were changed, say, and they have been packed: another attempt did not help."""
    if not order.under_review or order.reviews < 2 or refusal_of_cancel(order):
        return False
    return order.last_error is not None and order.last_error.type == OperationConflict.__name__


DECISION = Decision(by="approver")
APPROVE = Message("approve", lambda order: order.approve(DECISION), lambda order: order._validate_approve(DECISION))
REJECT = Message("reject", lambda order: order.reject(DECISION), lambda order: order._validate_reject(DECISION))
CANCEL_REQUEST = CancelRequest(by="customer")
CANCEL = Message(
    "cancel", lambda order: order.cancel(CANCEL_REQUEST), lambda order: order._validate_cancel(CANCEL_REQUEST)
)
CANCEL_SIGNAL = Message("cancel_order", lambda order: order.cancel_order(CANCEL_REQUEST))
SUSPEND = Message("suspend", lambda order: order.suspend(), lambda order: order._validate_suspend())
RESUME = Message("resume", lambda order: order.resume(), lambda _: None)
STOCK_ARRIVED = Message("stock_arrived", lambda order: order.stock_arrived())


def other_lines(lines: list[OrderLine]) -> Message:
    """Asks for them."""
    change = LinesChange(lines=lines)
    return Message(
        "change_lines", lambda order: order.change_lines(change), lambda order: order._validate_change_lines(change)
    )

"""A shop whose every part but Temporal is real, and all that people and faults can do to it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from boundaries import Attempt, Ended, SteppedLedger, SteppedStore
from sqlalchemy import Connection, insert, update
from temporal_stand_in import Call, Run
from temporalio.common import MetricMeter

from order_domain.order import Address, Customer, OrderLine, OrderSpec, Payment
from order_domain.policy import OrderClassSpec
from order_worker.activities.fraud import LedgerFraudChecks
from order_worker.activities.notification import LedgerNotifications
from order_worker.activities.order import LedgerOrders
from order_worker.activities.payment import LedgerPayments
from order_worker.activities.shipping import LedgerShipping
from order_worker.activities.stock import LedgerStock
from order_worker.ledger import stock, tables
from order_worker.metrics import Metrics
from order_worker.providers.fraud.simulated import SimulatedFraudCheck
from order_worker.providers.notification.simulated import SimulatedMailer
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_workflows.contract import REVISION, CancelRequest, Decision, LinesChange, OrderInput, ResourceIdentity

INITIAL = {"PROD-001": 4, "PROD-002": 2}
"""Few pieces, so that orders stand in each other's way."""

MAX_ORDERS = 6

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
}
"""The class `standard`, and what it does not have: backorders, undoing all at once, a late pivot, silent consent."""


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

ORDER_NUMBERS = list("ABCDEFGHIJ")
CUSTOMERS = ["CUST-1"] * 7 + ["FRAUD-1"]
METHODS = ["tok_visa"] * 7 + ["tok_chargeDeclined"]
POSTAL_CODES = ["12345"] * 7 + ["00000"]
"""Mostly those that let an order come far."""


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
            "NotificationActivities": LedgerNotifications(ledger, SimulatedMailer(store), metrics),
        }
        self.runs: list[Run] = []
        self.late: list[Attempt] = []
        self.restocked = dict.fromkeys(INITIAL, 0)
        self.decisions: dict[str, list[str]] = {}
        """Accepted ones, by uid."""
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
        self, *, number: str, class_name: str, lines: list[OrderLine], customer: str, method: str, postal_code: str
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
                shipping_address=address,
                payment=Payment(method=method),
            ),
            class_name=class_name,
            policy=CLASSES[class_name],
            generation=1,
            revision=REVISION,
        )
        self.decisions[uid] = []
        self.runs.append(Run(order))

    # What becomes of an attempt.

    def attempt(self, call: Call) -> None:
        """It reports; one that was under way goes on."""
        self._report(call, self._attempt(call).finish())

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
        ended = attempt.advance(boundaries)
        if ended is None:
            call.in_flight = attempt
        else:
            self._report(call, ended)

    def die(self, call: Call, boundaries: int) -> None:
        """Its worker dies so far on the way."""
        attempt = self._attempt(call)
        ended = attempt.advance(boundaries)
        attempt.die()
        self._report(call, ended)

    def lose_answer(self, call: Call, boundaries: int) -> None:
        """The ledger or the provider does not answer, whatever it did."""
        attempt = self._attempt(call)
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

    # What people do.

    def decide(self, run: Run, kind: str) -> None:
        """Approve or reject."""
        order, decision = run.workflow, Decision(by="approver")
        if kind == "approve":
            accepted = run.ask(lambda: order._validate_approve(decision), lambda: order.approve(decision))
        else:
            accepted = run.ask(lambda: order._validate_reject(decision), lambda: order.reject(decision))
        if accepted:
            self.decisions[run.input.identity.uid].append(kind)

    def cancel(self, run: Run) -> None:
        """Ask for the order's end."""
        request = CancelRequest(by="customer")
        run.ask(lambda: run.workflow._validate_cancel(request), lambda: run.workflow.cancel(request))

    def terminate(self, run: Run) -> Run:
        """What it had under way goes on, and nobody waits for it. Returns the run that takes over."""
        self.late += [call.in_flight for call in run.calls if call.in_flight is not None]
        following = run.next()
        self.runs[self.runs.index(run)] = following
        return following

    def change_lines(self, run: Run, lines: list[OrderLine]) -> None:
        """Ask for other lines."""
        change = LinesChange(lines=lines)
        run.ask(lambda: run.workflow._validate_change_lines(change), lambda: run.workflow.change_lines(change))

    def suspend(self, run: Run) -> None:
        """Hold the order before its next step."""
        run.ask(run.workflow._validate_suspend, run.workflow.suspend)

    def resume(self, run: Run) -> None:
        """Go on after that, or after a review."""
        run.ask(lambda: None, run.workflow.resume)

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
            run.signal(run.workflow.stock_arrived)

    def _report(self, call: Call, ended: Ended | None) -> None:
        call.report(ended)
        for run in self.runs:
            if call in run.calls:
                run.settle()

    def _attempt(self, call: Call) -> Attempt:
        return call.in_flight or self._start(call)

    def _start(self, call: Call) -> Attempt:
        return Attempt(self._implementation(call.activity)(call.request))

    def _implementation(self, activity: str) -> Callable[[Any], Any]:
        port, _, method = activity.partition(".")
        implementation: Callable[[Any], Any] = getattr(self.activities[port], method)
        return implementation

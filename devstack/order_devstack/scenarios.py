"""The demonstrations of the five reference systems, by name: what each shows, how it is played and how it ends.

The objects of a scenario are in `manifests/samples/scenarios/<name>.yaml`; `scenario_player` applies and follows them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from order_devstack.live_orders import Ending
from order_devstack.stage import Stage
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows.contract import SIGNAL_UPDATE_ADDRESS

TABLE_MINOR = 33_000
"""Total of the table that the scenarios of system 000 order."""

DECIDED_MINOR = 11_999
"""Total of the order to which the scenario `decisions` adds a line."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One demonstration."""

    name: str
    system: str
    """Which reference system shows it: 000 to 004."""
    story: str
    """What happens, in a line."""
    watch: str
    """What to look at."""
    end: str
    """How it ends."""
    endings: Mapping[str, Ending]
    """By the name of the order, every order of the manifest."""
    held_back: frozenset[str] = frozenset()
    """Orders that `play` applies when it is time; all else of the manifest is applied at the beginning."""
    prepare: Callable[[Stage], None] = lambda _: None
    """Done before anything is applied."""
    play: Callable[[Stage], None] = lambda _: None
    """What a person does while the orders are under way."""
    secured: bool = False
    """Whether it needs a stack whose Temporal asks for a certificate and an API key."""
    patience_seconds: float = 120.0
    """How long any one thing may take to happen."""


def _approve(by: str) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.until_phase("order", "Waiting")
        stage.patch("order", {"approval": {"decision": "Approved", "by": by}})

    return play


def _decide_about_all_but_one(stage: Stage) -> None:
    for order in ("added-to", "rejected", "cancelled"):
        stage.until_phase(order, "Waiting")
    stage.patch("rejected", {"approval": {"decision": "Rejected", "by": "maria", "reason": "over budget"}})
    stage.patch("cancelled", {"cancellation": {"by": "ana", "reason": "ordered twice"}})
    line = {"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 9_999}
    stage.patch("added-to", {"lines": [line, {**line, "lineID": "2", "quantity": 2, "unitPriceMinor": 1_000}]})
    stage.until(lambda: stage.status("added-to").get("totalMinor") == DECIDED_MINOR, "the added line counts")
    stage.patch("added-to", {"approval": {"decision": "Approved", "by": "maria", "totalMinor": DECIDED_MINOR}})


def _find_at_every_status(stage: Stage) -> None:
    for status in (
        OrderStatus.CHECK_FRAUD,
        OrderStatus.PREPARE_SHIPMENT,
        OrderStatus.CHARGE_CUSTOMER,
        OrderStatus.SHIP_ORDER,
        OrderStatus.ORDER_COMPLETED,
    ):
        stage.until_found(status)


def _signal_an_address(stage: Stage) -> None:
    stage.until_status("order", OrderStatus.AWAIT_ADDRESS)
    address = stage.status("order")["shippingAddress"]
    stage.signal("order", SIGNAL_UPDATE_ADDRESS, {**address, "line1": "Rose Cottage"})


def _update_the_address(stage: Stage) -> None:
    stage.until_status("order", OrderStatus.AWAIT_ADDRESS)
    stage.patch("order", {"shippingAddress": {"line1": "Rose Cottage"}})
    stage.until_condition("order", "SpecApplied", "False", "InvalidAddress")
    stage.say("refused: no house number. The order still waits, and leaves for the earlier address if nothing comes")
    stage.patch("order", {"shippingAddress": {"line1": "7 Rose Street"}})


def _mend_the_worker(stage: Stage) -> None:
    stage.until_condition("order", "Stalled", "True", "WorkflowTaskFailed")
    stage.say("the order is stalled, not failed: charged, and where it stood")
    stage.mend_worker()


def _kill_the_worker(stage: Stage) -> None:
    stage.until_status("order", OrderStatus.RESERVE_STOCK)
    stage.kill_worker()
    stage.start_worker()


def _take_the_key_away(stage: Stage) -> None:
    stage.until_status("order", OrderStatus.CHARGE_CUSTOMER)
    stage.take_the_key_away()
    stage.apply("later")
    stage.until_condition("later", "Reconciling", "True", "TemporalUnauthenticated")
    stage.say(f"no progress: {stage.status('later')['message']}")
    stage.put_a_key_back()


def _submit_again(stage: Stage) -> None:
    stage.until_phase("first", "Completed")
    stage.apply("second")


def _sell_nearly_all(stage: Stage) -> None:
    stage.until_on_hand("screws", 1000)
    stage.apply("order")
    stage.until_phase("order", "Completed")
    stage.until_on_hand("screws", 10_000)


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="happy-path",
            system="000",
            story="a table goes through every step, with a pause after each",
            watch="every step in Temporal, and in the resource within a second; three lines shipped at once",
            end="Completed, charged once, three tracking numbers",
            endings={"order": Ending(story="a table", phase="Completed", captured=TABLE_MINOR)},
        ),
        Scenario(
            name="advanced-visibility",
            system="000",
            story="Temporal finds the order by where it stands",
            watch="the search attribute OrderStatus; status.orderStatus follows within a second",
            end="Completed, found at Check Fraud, Prepare Shipment, Charge Customer, Ship Order and Order Completed",
            endings={"order": Ending(story="found at every status", phase="Completed", captured=TABLE_MINOR)},
            play=_find_at_every_status,
        ),
        Scenario(
            name="address-by-signal",
            system="000",
            story="the charged order waits half a minute for another address, which a Signal brings",
            watch="status.pendingAction, then status.shippingAddress: taken unchecked, house number or not",
            end="Completed, shipped to the address of the Signal",
            endings={
                "order": Ending(story="moves", phase="Completed", captured=TABLE_MINOR, line1="Rose Cottage"),
            },
            play=_signal_an_address,
        ),
        Scenario(
            name="address-by-update",
            system="000",
            story="the same by kubectl patch: checked, and refused without a house number",
            watch="condition SpecApplied: False with the reason InvalidAddress, then True",
            end="Completed, shipped to the second address",
            endings={
                "order": Ending(story="moves", phase="Completed", captured=TABLE_MINOR, line1="7 Rose Street"),
            },
            play=_update_the_address,
        ),
        Scenario(
            name="child-workflows",
            system="000",
            story="every line is shipped by a child workflow on the queue of the shipping workers",
            watch="workflows shipment/… in Temporal while the order is at Ship Order",
            end="Completed when all three children have ended",
            endings={"order": Ending(story="three children", phase="Completed", captured=TABLE_MINOR)},
        ),
        Scenario(
            name="nexus-operation",
            system="000",
            story="every line is shipped behind a Nexus endpoint, in another Temporal namespace",
            watch="temporal workflow list --namespace shipping",
            end="Completed when all three operations have ended",
            endings={"order": Ending(story="three operations", phase="Completed", captured=TABLE_MINOR)},
        ),
        Scenario(
            name="api-failure",
            system="000",
            story="the payment provider does not answer four times; tried again after 1, 2, 4 and 8 seconds",
            watch="status.steps: attempts and lastError of ChargePayment",
            end="Completed at the fifth attempt, charged once",
            endings={
                "order": Ending(
                    story="charged at the fifth attempt",
                    phase="Completed",
                    captured=TABLE_MINOR,
                    attempts={StepName.CHARGE_PAYMENT: 5},
                ),
            },
        ),
        Scenario(
            name="recoverable-failure",
            system="000",
            story="a bug in the workflow's code after the charge; then a worker without it",
            watch="condition Stalled, reason WorkflowTaskFailed, while the workflow stays open",
            end="Completed by the mended worker, charged once",
            endings={"order": Ending(story="stalled, then mended", phase="Completed", captured=TABLE_MINOR)},
            prepare=lambda stage: stage.break_worker(StepName.SHIP),
            play=_mend_the_worker,
            patience_seconds=300.0,  # the server spaces its attempts: ten seconds, and more from the fourth on
        ),
        Scenario(
            name="non-recoverable-failure",
            system="000",
            story="the card is invalid: one attempt, then everything is undone in reverse",
            watch="status.steps and condition Compensated",
            end="Failed, nothing charged, nothing packed",
            endings={
                "order": Ending(story="an invalid card", phase="Failed", attempts={StepName.CHARGE_PAYMENT: 1}),
            },
        ),
        Scenario(
            name="key-rotation",
            system="000",
            story="the API key for Temporal is taken away while an order is under way, then another one is put there",
            watch="condition Reconciling of the second order, /readyz of the worker; no process is restarted",
            end="both Completed, each charged once",
            endings={
                "order": Ending(story="under way without a key", phase="Completed", captured=TABLE_MINOR),
                "later": Ending(story="ordered without a key", phase="Completed", captured=TABLE_MINOR),
            },
            held_back=frozenset({"later"}),
            play=_take_the_key_away,
            secured=True,
        ),
        Scenario(
            name="killed-worker",
            system="001",
            story="the worker is killed while the order pauses for 15 seconds, and started again",
            watch="the order stays at Reserve Stock, and goes on when the pause is over",
            end="Completed, every step carried out once",
            endings={"order": Ending(story="outlives its worker", phase="Completed", captured=3_250)},
            play=_kill_the_worker,
        ),
        Scenario(
            name="duplicate-order",
            system="001",
            story="order number 11235 is submitted twice, each time for 999 pieces",
            watch="phase and message of the second order",
            end="the first Completed, the second a Duplicate that took nothing",
            endings={
                "first": Ending(story="takes 999 pieces", phase="Completed", captured=249_750),
                "second": Ending(story="the same number", phase="Duplicate"),
            },
            held_back=frozenset({"second"}),
            play=_submit_again,
        ),
        Scenario(
            name="errors-everywhere",
            system="001",
            story="every attempt of every step fails with a probability of 33 %",
            watch="status.steps: how often each step was tried",
            end="all Completed, each charged once",
            endings={
                name: Ending(story="three of a kind, unlike luck", phase="Completed", captured=250)
                for name in ("first", "second", "third")
            },
        ),
        Scenario(
            name="restock",
            system="001",
            story="999 of 1000 pieces are sold, and the supplier brings what is missing to 10000",
            watch="kubectl get stockitems.order-platform.dev screws",
            end="Completed; 10000 pieces on hand again",
            endings={"order": Ending(story="takes 999 pieces", phase="Completed", captured=249_750)},
            held_back=frozenset({"order"}),
            play=_sell_nearly_all,
        ),
        Scenario(
            name="review",
            system="002",
            story="a person reviews the order within three minutes; it is dispatched on another queue",
            watch="kubectl get ord --field-selector status.phase=Waiting",
            end="Completed once approved",
            endings={"order": Ending(story="reviewed", phase="Completed", captured=9_999)},
            play=_approve("maria"),
        ),
        Scenario(
            name="decisions",
            system="002",
            story="a person adds a line and approves, rejects, cancels; about one order nobody decides",
            watch="column MESSAGE: who has to act until when, then why it ended",
            end="one Completed with the added line, one Rejected, one Cancelled, one Expired; nothing else charged",
            endings={
                "added-to": Ending(story="a line is added", phase="Completed", captured=DECIDED_MINOR),
                "rejected": Ending(story="rejected", phase="Rejected"),
                "cancelled": Ending(story="cancelled", phase="Cancelled"),
                "expired": Ending(story="nobody decides", phase="Expired"),
            },
            play=_decide_about_all_but_one,
        ),
        Scenario(
            name="flaky-calls",
            system="002",
            story="of a hundred calls 33 fail and 34 take five seconds longer",
            watch="status.steps: how often each step was tried, and how long it took",
            end="Completed, charged once",
            endings={"order": Ending(story="slow, but sure", phase="Completed", captured=9_999)},
            patience_seconds=240.0,
        ),
        Scenario(
            name="enrichment",
            system="003",
            story="customer, stock and recommendations asked at once; some calls fail; a person approves",
            watch="status.enrichment, attempts in status.steps, condition Notified",
            end="Completed with a mail; a charge or write-back that fails five times would be undone",
            endings={"order": Ending(story="enriched and approved", phase="Completed", captured=10_500)},
            play=_approve("maria"),
        ),
        Scenario(
            name="below-threshold",
            system="004",
            story="500.00: nobody has to approve",
            watch="status.approval",
            end="Completed by itself",
            endings={"order": Ending(story="500.00", phase="Completed", captured=50_000)},
        ),
        Scenario(
            name="above-threshold",
            system="004",
            story="1500.00 waits for a person, who approves",
            watch="status.pendingAction: until when",
            end="Completed once approved, with who and when in status.approval",
            endings={"order": Ending(story="1500.00", phase="Completed", captured=150_000)},
            play=_approve("bob"),
        ),
    )
}

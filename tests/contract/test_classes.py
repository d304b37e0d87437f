"""The classes that ship carry the numbers of the systems that they stand for."""

from pathlib import Path

import pytest
import yaml

from order_domain.judgement import judge
from order_domain.pipeline import StepName
from order_domain.policy import (
    AddressExpiry,
    AddressMessage,
    ApprovalExpiry,
    ApprovalMode,
    OrderClassSpec,
    ShippingMode,
    ShortagePolicy,
)
from order_domain.retry import StepRetry

CLASSES = Path(__file__).resolve().parents[2] / "manifests" / "classes"


def the(name: str) -> OrderClassSpec:
    return judge(OrderClassSpec, yaml.safe_load((CLASSES / f"{name}.yaml").read_text())["spec"])


@pytest.mark.parametrize(
    ("name", "pipeline"),
    [
        (
            "scenario-demo",
            "Receive Validate GetItems CheckFraud PrepareShipment ChargePayment AddressWindow Ship",
        ),
        ("durable-stock", "Receive Validate CheckFraud ReserveStock ChargePayment Ship"),
        ("reviewed-ledger", "Receive Validate Approval ChargePayment Ship"),
        ("enriched-saga", "Receive Validate Enrich ReserveStock Approval ChargePayment UpdateOrderStatus Notify"),
        ("threshold", "Receive Validate Approval ReserveStock ChargePayment Ship"),
        ("standard", "Receive Validate CheckFraud ReserveStock Approval ChargePayment Ship Notify"),
    ],
)
def test_a_class_has_the_steps_of_its_system(name: str, pipeline: str) -> None:
    assert " ".join(the(name).pipeline) == pipeline


@pytest.mark.parametrize(
    ("name", "retry"),
    [
        ("scenario-demo", StepRetry(max_interval_seconds=30, max_attempts=0, start_to_close_seconds=5)),
        ("durable-stock", StepRetry(max_interval_seconds=100, max_attempts=0, start_to_close_seconds=10)),
        (
            "reviewed-ledger",
            StepRetry(max_interval_seconds=100, max_attempts=0, start_to_close_seconds=10, total_seconds=20),
        ),
        ("enriched-saga", StepRetry(max_interval_seconds=30, max_attempts=5, start_to_close_seconds=30)),
        ("threshold", StepRetry(max_interval_seconds=100, max_attempts=3, start_to_close_seconds=30)),
        ("standard", StepRetry(max_interval_seconds=30, max_attempts=0, start_to_close_seconds=10)),
    ],
)
def test_a_class_tries_as_often_and_as_long_as_its_system(name: str, retry: StepRetry) -> None:
    policies = the(name).retry

    assert policies.default == retry.model_copy(update={"initial_seconds": 1, "coefficient": 2})
    assert policies.of(StepName.CHARGE_PAYMENT) == policies.default


def test_a_parcel_of_class_reviewed_ledger_is_tried_ten_times_however_long_that_takes() -> None:
    ship = the("reviewed-ledger").retry.of(StepName.SHIP)

    assert (ship.max_attempts, ship.start_to_close_seconds, ship.total_seconds) == (10, 10, None)


@pytest.mark.parametrize("path", sorted(CLASSES.glob("*.yaml")), ids=lambda path: path.stem)
def test_only_class_reviewed_ledger_ships_in_workflows_of_their_own(path: Path) -> None:
    shipping = the(path.stem).shipping

    apart = (shipping.mode, shipping.task_queue) == (ShippingMode.CHILD_WORKFLOWS, "shipping")
    assert apart == (path.stem == "reviewed-ledger")


@pytest.mark.parametrize(("name", "seconds"), [("reviewed-ledger", 180), ("enriched-saga", 900)])
def test_a_class_that_always_asks_waits_as_long_as_its_system_and_then_gives_up(name: str, seconds: int) -> None:
    approval = the(name).approval

    assert (approval.mode, approval.window_seconds) == (ApprovalMode.ALWAYS, seconds)
    assert approval.on_expiry is ApprovalExpiry.EXPIRE


@pytest.mark.parametrize("name", ["standard", "threshold"])
def test_a_class_with_a_threshold_asks_above_1000_dollars_for_five_minutes(name: str) -> None:
    approval = the(name).approval

    assert (approval.mode, approval.threshold_minor, approval.currency) == (ApprovalMode.THRESHOLD, 100_000, "USD")
    assert approval.window_seconds == 300


@pytest.mark.parametrize("name", ["scenario-demo", "durable-stock"])
def test_a_class_without_a_gate_asks_nobody(name: str) -> None:
    assert the(name).approval.mode is ApprovalMode.NEVER


def test_class_scenario_demo_waits_30_seconds_for_an_address_that_starts_with_a_digit() -> None:
    window = the("scenario-demo").address_window

    assert (window.seconds, window.via, window.house_number_first) == (30, AddressMessage.UPDATE, True)
    assert window.on_expiry is AddressExpiry.CONTINUE


def test_class_durable_stock_waits_a_week_for_missing_pieces() -> None:
    inventory = the("durable-stock").inventory

    assert (inventory.on_shortage, inventory.backorder_seconds) == (ShortagePolicy.BACKORDER, 7 * 24 * 3600)


def test_class_enriched_saga_can_be_undone_until_the_shops_books_are_written() -> None:
    assert the("enriched-saga").pivot is StepName.UPDATE_ORDER_STATUS

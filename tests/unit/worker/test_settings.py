"""Settings come from the environment, or say which variable is wrong."""

from datetime import timedelta
from pathlib import Path

import pytest

from order_domain.pipeline import StepName
from order_domain.policy import ShippingPolicy
from order_process.settings import Address, SettingsError
from order_worker.settings import Role, Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            "ORDER_WORKER_ROLES": "orders",
            "ORDER_WORKER_TASK_QUEUE": "special",
            "ORDER_LEDGER_URL": "postgresql://orders@db/orders",
            "ORDER_WORKER_PAYMENT_PROVIDER": "stripe",
            "ORDER_WORKER_MAIL_PROVIDER": "smtp",
            "ORDER_WORKER_PROVIDER_STORE": "/var/lib/providers.db",
            "ORDER_WORKER_METRICS_ADDRESS": "127.0.0.1:1",
            "ORDER_WORKER_PROBES_ADDRESS": "[::1]:2",
            "ORDER_WORKER_GRACEFUL_SHUTDOWN_SECONDS": "3",
            "ORDER_WORKER_MAX_CONCURRENT_ACTIVITIES": "4",
            "ORDER_WORKER_MAX_CONCURRENT_WORKFLOW_TASKS": "3",
            "ORDER_WORKER_SIMULATION": "true",
            "ORDER_WORKER_SIMULATE_BUG": "ChargePayment",
        }
    )
    assert settings.roles == {Role.ORDERS}
    assert settings.task_queue == "special"
    assert settings.ledger_url == "postgresql://orders@db/orders"
    assert (settings.payment_provider, settings.mail_provider) == ("stripe", "smtp")
    assert str(settings.provider_store) == "/var/lib/providers.db"
    assert settings.metrics_address == Address("127.0.0.1", 1)
    assert settings.probes_address == Address("::1", 2)
    assert settings.graceful_shutdown == timedelta(seconds=3)
    assert settings.max_concurrent_activities == 4
    assert settings.max_concurrent_workflow_tasks == 3
    assert settings.simulation
    assert settings.simulate_bug is StepName.CHARGE_PAYMENT


STRIPE = {"ORDER_WORKER_PAYMENT_PROVIDER": "stripe"}


@pytest.mark.parametrize("ledger", [{}, {"ORDER_LEDGER_URL": "sqlite:////var/lib/orders.db"}])
def test_a_provider_that_moves_money_is_refused_with_a_ledger_in_one_file(ledger: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"ORDER_WORKER_PAYMENT_PROVIDER is 'stripe'.*ORDER_LEDGER_URL"):
        Settings.from_environment({**STRIPE, **ledger})


def test_a_worker_for_shipments_moves_no_money() -> None:
    assert Settings.from_environment({**STRIPE, "ORDER_WORKER_ROLES": "shipping"}).payment_provider == "stripe"


@pytest.mark.parametrize(
    ("variables", "store"),
    [
        ({}, "order-providers.db"),
        ({"ORDER_LEDGER_URL": "postgresql://orders@db/orders"}, None),
        ({"ORDER_LEDGER_URL": "postgresql://orders@db/orders", "ORDER_WORKER_PROVIDER_STORE": "a.db"}, "a.db"),
    ],
)
def test_the_simulated_providers_keep_their_books_where_the_ledger_is(
    variables: dict[str, str], store: str | None
) -> None:
    assert Settings.from_environment(variables).provider_store == (store and Path(store))


@pytest.mark.parametrize(
    ("roles", "task_queue"),
    [
        ("", "orders"),
        ("orders", "orders"),
        ("shipping, orders", "orders"),
        ("shipping", ShippingPolicy().task_queue),
    ],
)
def test_the_default_task_queue_is_the_one_where_the_worker_is_looked_for(roles: str, task_queue: str) -> None:
    assert Settings.from_environment({"ORDER_WORKER_ROLES": roles}).task_queue == task_queue


def test_a_shipping_worker_can_poll_another_task_queue() -> None:
    variables = {"ORDER_WORKER_ROLES": "shipping", "ORDER_WORKER_TASK_QUEUE": "parcels"}
    assert Settings.from_environment(variables).task_queue == "parcels"


def test_an_empty_metrics_address_switches_metrics_off() -> None:
    assert Settings.from_environment({"ORDER_WORKER_METRICS_ADDRESS": ""}).metrics_address is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ORDER_WORKER_ROLES", "shiping"),
        ("ORDER_WORKER_ROLES", "orders,"),
        ("ORDER_LEDGER_URL", "not a url"),
        ("ORDER_LEDGER_URL", "mysql://host/orders"),
        ("ORDER_LEDGER_URL", "sqlite://"),
        ("ORDER_WORKER_METRICS_ADDRESS", "9464"),
        ("ORDER_WORKER_METRICS_ADDRESS", "host:0"),
        ("ORDER_WORKER_PROBES_ADDRESS", "host:65536"),
        ("ORDER_WORKER_HEALTH_ADDRESS", "host:65536"),
        ("ORDER_WORKER_GRACEFUL_SHUTDOWN_SECONDS", "-1"),
        ("ORDER_WORKER_GRACEFUL_SHUTDOWN_SECONDS", "soon"),
        ("ORDER_WORKER_MAX_CONCURRENT_ACTIVITIES", "0"),
        ("ORDER_WORKER_MAX_CONCURRENT_WORKFLOW_TASKS", "1"),
        ("ORDER_WORKER_SIMULATION", "yes"),
        ("ORDER_WORKER_SIMULATE_BUG", "ChargePayment"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({variable: value})


@pytest.mark.parametrize("step", ["Teleport", StepName.APPROVAL])
def test_a_bug_is_simulated_only_at_a_step_with_an_activity(step: str) -> None:
    with pytest.raises(SettingsError, match=r"ORDER_WORKER_SIMULATE_BUG is .*: write one of Receive, "):
        Settings.from_environment({"ORDER_WORKER_SIMULATION": "true", "ORDER_WORKER_SIMULATE_BUG": step})


def test_a_refused_ledger_url_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"ORDER_LEDGER_URL": "mysql://user:hunter2@host/orders"})
    assert "hunter2" not in str(refused.value)


def test_nor_is_a_ledger_url_shown_with_the_settings() -> None:
    url = "postgresql://user:hunter2@host/orders"

    assert "hunter2" not in repr(Settings.from_environment({"ORDER_LEDGER_URL": url}))


@pytest.mark.parametrize(("word", "value"), [("allowed", True), ("refused", False)])
def test_the_words_of_earlier_releases_are_still_taken(word: str, value: bool) -> None:
    variables = {"ORDER_WORKER_SIMULATION": word, "ORDER_WORKER_HEALTH_ADDRESS": "127.0.0.1:3"}

    settings = Settings.from_environment(variables)

    assert settings.simulation is value
    assert settings.probes_address == Address("127.0.0.1", 3)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"^ORDER_WORKER_ROLES is 'x': .*; ORDER_WORKER_SIMULATION is 'y': [^;]*$"):
        Settings.from_environment({"ORDER_WORKER_ROLES": "x", "ORDER_WORKER_SIMULATION": "y"})

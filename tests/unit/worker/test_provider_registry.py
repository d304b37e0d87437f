"""Providers are chosen by name, and cost nothing before they are."""

import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.common import MetricMeter

from order_process.settings import SettingsError
from order_worker.bootstrap import Providers, tell_what_is_simulated
from order_worker.metrics import Metrics
from order_worker.providers import registry
from order_worker.providers.notification.smtp import SMTPMailer
from order_worker.providers.registry import Opening
from order_worker.settings import Role, Settings

POSTGRESQL = "postgresql://orders@db/orders"
"""Nothing connects to it: only providers that touch nothing outside go with a ledger in a file."""


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"payment_provider": "paypal"}, "ORDER_WORKER_PAYMENT_PROVIDER is 'paypal': write one of simulated, stripe"),
        ({"mail_provider": "pigeon"}, "ORDER_WORKER_MAIL_PROVIDER is 'pigeon': write one of simulated, smtp"),
    ],
)
async def test_an_unknown_provider_is_refused_with_the_known_ones(settings: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        await Providers.open(Settings(ledger_url=POSTGRESQL, **settings), {})  # type: ignore[arg-type]


async def test_a_chosen_provider_reads_its_own_variables(tmp_path: Path) -> None:
    settings = Settings(mail_provider="smtp", provider_store=tmp_path / "providers.db")
    variables = {"SMTP_HOST": "mail.example.com", "SMTP_FROM": "shop@example.com"}
    providers = await Providers.open(settings, variables)
    await providers.close()
    assert isinstance(providers.mailer, SMTPMailer)


@pytest.mark.parametrize(("setting", "name"), [("payment_provider", "stripe"), ("mail_provider", "smtp")])
async def test_a_provider_without_its_variables_is_refused(tmp_path: Path, setting: str, name: str) -> None:
    settings = Settings(ledger_url=POSTGRESQL, provider_store=tmp_path / "providers.db", **{setting: name})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=name.upper()):
        await Providers.open(settings, {})


async def test_the_store_of_the_simulated_providers_is_opened_once_and_only_if_one_asks(tmp_path: Path) -> None:
    async with AsyncExitStack() as resources:
        opening = Opening({}, tmp_path / "providers.db", resources)
        await registry.FRAUD["simulated"](opening)
        assert not (tmp_path / "providers.db").exists()
        await registry.MAIL["simulated"](opening)
        first = opening.store
        await registry.PAYMENT["simulated"](opening)
        assert first is opening.store


def test_a_worker_that_does_not_use_stripe_does_not_import_it() -> None:
    code = "import order_worker.__main__, sys; sys.exit('stripe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SIMULATED = {"payment", "mail", "fraud", "shop", "warehouse", "carrier", "supplier"}


@pytest.mark.parametrize(
    ("settings", "variables", "simulated"),
    [
        ({}, {}, SIMULATED),
        ({"payment_provider": "stripe"}, {"STRIPE_API_KEY": "sk_test"}, SIMULATED - {"payment"}),
        ({"mail_provider": "smtp"}, {"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com"}, SIMULATED - {"mail"}),
        ({"roles": frozenset({Role.SHIPPING})}, {}, {"warehouse", "carrier"}),
    ],
)
async def test_a_worker_says_what_is_simulated_in_its_log_and_metrics(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    variables: dict[str, str],
    simulated: set[str],
) -> None:
    chosen = Settings(ledger_url=POSTGRESQL, provider_store=tmp_path / "providers.db", **settings)
    providers = await Providers.open(chosen, variables)
    metrics = RecordedMetrics()
    tell_what_is_simulated(chosen, providers, metrics)
    await providers.close()
    [line] = [record for record in caplog.records if record.name == "order_worker.bootstrap"]
    assert (line.levelname, line.message) == (
        "WARNING",
        f"simulated providers, which touch nothing outside: {', '.join(sorted(simulated))}",
    )
    assert metrics.ports == simulated


class RecordedMetrics(Metrics):
    """Remembers the ports."""

    def __init__(self) -> None:
        super().__init__(MetricMeter.noop)
        self.ports: set[str] = set()

    def simulated_provider(self, port: str) -> None:
        self.ports.add(port)

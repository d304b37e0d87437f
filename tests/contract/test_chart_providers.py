"""The companies that a worker deals with, and their secrets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from charts import (
    SHARED_LEDGER,
    STRIPE,
    TEMPORAL_VARIABLES,
    Render,
    RenderingFailed,
    environment,
    in_the_pod,
    only,
    pod,
)
from settings_variables import worker_variables

from order_worker.providers.notification.smtp import SMTPMailer
from order_worker.settings import Settings as WorkerSettings


@pytest.mark.parametrize(
    "ledger", [SHARED_LEDGER["ledger"], {"url": "postgresql://orders@db/orders"}], ids=["secret", "url"]
)
def test_with_a_ledger_outside_the_simulated_providers_keep_their_books_beside_it(
    render: Render, ledger: Mapping[str, Any]
) -> None:
    spec = pod(only(render("order-platform", {"ledger": ledger}), "Deployment", "order-platform-worker-orders"))
    for container in (*spec["initContainers"], *spec["containers"]):
        assert WorkerSettings.from_environment(in_the_pod(container)).provider_store is None


@pytest.mark.parametrize("ledger", [SHARED_LEDGER["ledger"], {"url": "postgresql://orders@db/orders"}])
def test_a_provider_that_moves_money_is_installed_with_a_ledger_outside(
    render: Render, ledger: Mapping[str, Any]
) -> None:
    manifests = render("order-platform", {"worker": STRIPE, "ledger": ledger})

    [container] = pod(only(manifests, "Deployment", "order-platform-worker-orders"))["containers"]
    assert environment(container)["ORDER_WORKER_PAYMENT_PROVIDER"] == "stripe"


def test_a_provider_that_moves_money_is_refused_with_a_ledger_in_a_pod(render: Render) -> None:
    with pytest.raises(RenderingFailed, match=r"stripe, which moves money.*set ledger\.existingSecret\.name to"):
        render("order-platform", {"worker": STRIPE})


SMTP = {
    "mail": {
        "provider": "smtp",
        "smtp": {
            "host": "mail.example.com",
            "port": 2525,
            "security": "tls",
            "from": "shop@example.com",
            "username": "shop",
            "existingSecret": {"name": "mail"},
        },
    }
}


def test_nothing_outside_is_touched_unless_somebody_asks_for_it(render: Render) -> None:
    [container] = pod(only(render("order-platform"), "Deployment", "order-platform-worker-orders"))["containers"]
    variables = {name: value for name, value in environment(container).items() if value is not None}
    settings = WorkerSettings.from_environment(variables)

    assert (settings.payment_provider, settings.mail_provider, settings.simulation) == ("simulated", "simulated", False)


def test_simulated_faults_can_be_allowed(render: Render) -> None:
    manifests = render("order-platform", {"worker": {"simulation": {"allowed": True}}})
    [container] = pod(only(manifests, "Deployment", "order-platform-worker-orders"))["containers"]
    variables = {name: value for name, value in environment(container).items() if value is not None}

    assert WorkerSettings.from_environment(variables).simulation is True


@pytest.mark.parametrize(
    ("values", "variable", "secret"),
    [(STRIPE, "STRIPE_API_KEY_FILE", ("stripe", "secret-key")), (SMTP, "SMTP_PASSWORD_FILE", ("mail", "password"))],
    ids=["stripe", "smtp"],
)
def test_a_providers_secret_is_a_file_that_is_replaced_when_it_is_rotated(
    render: Render, values: Mapping[str, Any], variable: str, secret: tuple[str, str]
) -> None:
    spec = pod(
        only(
            render("order-platform", {**SHARED_LEDGER, "worker": values}), "Deployment", "order-platform-worker-orders"
        )
    )
    [container] = spec["containers"]
    file = str(environment(container)[variable])
    [mount] = [item for item in container["volumeMounts"] if file.startswith(f"{item['mountPath']}/")]
    [volume] = [item["secret"] for item in spec["volumes"] if item["name"] == mount["name"]]
    [item] = volume["items"]

    assert (volume["secretName"], item["key"]) == secret
    assert f"{mount['mountPath']}/{item['path']}" == file
    # The kubelet never replaces what is mounted by subPath.
    assert "subPath" not in mount


def test_the_mail_server_comes_through_the_chart(render: Render, tmp_path: Path) -> None:
    [container] = pod(only(render("order-platform", {"worker": SMTP}), "Deployment", "order-platform-worker-orders"))[
        "containers"
    ]
    (tmp_path / "password").write_text("secret")
    variables = {name: value for name, value in environment(container).items() if value is not None}
    mailer = SMTPMailer.from_environment({**variables, "SMTP_PASSWORD_FILE": str(tmp_path / "password")})

    server = mailer._server
    assert (server.host, server.port, server.security, server.username) == ("mail.example.com", 2525, "tls", "shop")


@pytest.mark.parametrize("values", [STRIPE, SMTP], ids=["stripe", "smtp"])
def test_a_worker_reads_every_variable_of_its_providers(render: Render, values: Mapping[str, Any]) -> None:
    [container] = pod(
        only(
            render("order-platform", {**SHARED_LEDGER, "worker": values}), "Deployment", "order-platform-worker-orders"
        )
    )["containers"]

    assert environment(container).keys() <= worker_variables() | TEMPORAL_VARIABLES


def test_a_worker_for_shipments_gets_no_secret_of_a_provider(render: Render) -> None:
    workers = {"shipping": {"roles": ["shipping"]}}
    manifests = render("order-platform", {**SHARED_LEDGER, "worker": {**STRIPE, **SMTP}, "workers": workers})
    spec = pod(only(manifests, "Deployment", "order-platform-worker-shipping"))

    assert [volume["name"] for volume in spec["volumes"]] == ["data", "ledger"]
    assert [name for name in environment(spec["containers"][0]) if name.startswith(("STRIPE_", "SMTP_"))] == []

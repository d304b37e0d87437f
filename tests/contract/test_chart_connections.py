"""The connection to Temporal as the chart gives it: by files that are replaced when their Secret is."""

from typing import Any

import pytest
from charts import SHARED_LEDGER, Manifest, Render, RenderingFailed, environment, mounted, only, pod

FILES = "/etc/order-platform/temporal"
SECRETS = {
    "tls": {
        "serverName": "temporal.internal",
        "ca": {"existingSecret": {"name": "temporal-ca"}},
        "certificate": {"existingSecret": {"name": "client"}},
    },
    "apiKey": {"existingSecret": {"name": "key"}},
}


def programs(manifests: list[Manifest]) -> dict[str, tuple[Manifest, Manifest]]:
    """Pod and container of every program that talks to Temporal."""
    pods = {
        "operator": pod(only(manifests, "Deployment", "order-platform-operator")),
        "worker": pod(only(manifests, "Deployment", "order-platform-worker-orders")),
        "nexus": pod(only(manifests, "Deployment", "order-platform-worker-nexus")),
        "check": only(manifests, "Pod", "order-platform-test")["spec"],
        "prepare": next(
            pod(item) for item in manifests if item["kind"] == "Job" and "prepare" in item["metadata"]["name"]
        ),
    }
    return {name: (spec, spec["containers"][0]) for name, spec in pods.items()}


def rendered(render: Render, **temporal: Any) -> dict[str, tuple[Manifest, Manifest]]:
    workers = {"nexus": {"roles": ["shipping"], "temporalNamespace": "shipping"}}
    values = {**SHARED_LEDGER, "workers": workers, "temporal": temporal}
    return programs(render("order-platform", values, hooks=True))


def variables(container: Manifest) -> dict[str, str | None]:
    names = ("TEMPORAL_TLS", "TEMPORAL_API")
    return {name: value for name, value in environment(container).items() if name.startswith(names)}


@pytest.mark.parametrize("program", ["operator", "worker", "nexus", "check", "prepare"])
def test_every_program_that_talks_to_temporal_finds_the_files_that_its_variables_name(
    render: Render, program: str
) -> None:
    spec, container = rendered(render, **SECRETS)[program]

    assert variables(container) == {
        "TEMPORAL_TLS": "true",
        "TEMPORAL_TLS_SERVER_NAME": "temporal.internal",
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": f"{FILES}/ca.crt",
        "TEMPORAL_TLS_CLIENT_CERT_PATH": f"{FILES}/tls.crt",
        "TEMPORAL_TLS_CLIENT_KEY_PATH": f"{FILES}/tls.key",
        "TEMPORAL_API_KEY_FILE": f"{FILES}/api-key",
    }
    found = mounted(spec, container)
    assert {path: secret["name"] for path, secret in found.items() if path.startswith(FILES)} == {
        f"{FILES}/ca.crt": "temporal-ca",
        f"{FILES}/tls.crt": "client",
        f"{FILES}/tls.key": "client",
        f"{FILES}/api-key": "key",
    }


def test_without_secrets_nothing_is_mounted_and_nothing_said(render: Render) -> None:
    for spec, container in rendered(render).values():
        assert variables(container) == {}
        assert [path for path in mounted(spec, container) if path.startswith(FILES)] == []


@pytest.mark.parametrize(
    ("temporal", "said"),
    [
        ({"tls": {"enabled": True}}, {"TEMPORAL_TLS": "true"}),
        ({"apiKey": SECRETS["apiKey"]}, {"TEMPORAL_API_KEY_FILE": f"{FILES}/api-key"}),
    ],
)
def test_each_way_has_its_own_variables_alone(render: Render, temporal: Any, said: dict[str, str]) -> None:
    _, container = rendered(render, **temporal)["operator"]

    assert variables(container) == said


def test_a_key_can_be_taken_away_without_stopping_a_pod(render: Render) -> None:
    spec, _ = rendered(render, **SECRETS)["operator"]
    [volume] = [each for each in spec["volumes"] if each["name"] == "temporal"]

    optional = {
        source["secret"]["name"]: source["secret"].get("optional", False) for source in volume["projected"]["sources"]
    }

    assert optional == {"temporal-ca": False, "client": False, "key": True}


def test_a_key_is_no_value(render: Render) -> None:
    with pytest.raises(RenderingFailed, match="apiKey"):
        rendered(render, apiKey="secret")


def test_the_worker_controller_wants_a_connection_with_credentials_of_its_own(render: Render) -> None:
    versioned = {"rollout": {"mode": "workerController"}}
    values = {**SHARED_LEDGER, "worker": {"defaults": versioned}, "temporal": {"apiKey": SECRETS["apiKey"]}}

    with pytest.raises(RenderingFailed, match="name a Connection that has them"):
        render("order-platform", values)

    named = {"rollout": {"mode": "workerController", "connection": "mine"}}
    render("order-platform", {**values, "worker": {"defaults": named}})

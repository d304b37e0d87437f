"""What the chart does with the keys of payloads, and the codec server."""

from typing import Any

import pytest
from charts import Manifest, Render, RenderingFailed, environment, only, pod
from settings_variables import codec_server_variables

from order_codec.settings import EncryptionSettings

KEYS = {"existingSecret": {"name": "payload-keys", "key": "ring"}}
ENCRYPTING = {"encryption": {**KEYS, "write": True, "namespaces": {"shop": "shop-1", "market": "market-1"}}}
SERVING = {**ENCRYPTING, "codecServer": {"enabled": True, "origins": ["https://temporal.example.com"]}}


def container(spec: Manifest) -> Manifest:
    [found] = spec["containers"]
    return dict(found)


@pytest.mark.parametrize("name", ["operator", "worker-orders", "codec-server"])
def test_all_who_read_payloads_have_the_keys_as_a_file_that_is_replaced_when_it_is_rotated(
    render: Render, name: str
) -> None:
    spec = pod(only(render("order-platform", SERVING), "Deployment", f"order-platform-{name}"))

    [volume] = [each for each in spec["volumes"] if each["name"] == "encryption"]
    assert volume["secret"] == {
        "secretName": "payload-keys",
        "defaultMode": 0o440,
        "items": [{"key": "ring", "path": "keys"}],
    }
    mount = {"name": "encryption", "mountPath": "/etc/order-platform/encryption", "readOnly": True}
    assert mount in container(spec)["volumeMounts"]
    assert environment(container(spec))["ORDER_ENCRYPTION_KEYS_FILE"] == "/etc/order-platform/encryption/keys"


@pytest.mark.parametrize("name", ["operator", "worker-orders"])
def test_whether_and_with_which_keys_is_encrypted_comes_through_the_chart(render: Render, name: str) -> None:
    variables = environment(
        container(pod(only(render("order-platform", ENCRYPTING), "Deployment", f"order-platform-{name}")))
    )

    settings = EncryptionSettings.from_environment(
        {key: value for key, value in variables.items() if key.startswith("ORDER_ENCRYPTION_")}
    )
    assert settings.write
    assert settings.namespaces == {"shop": "shop-1", "market": "market-1"}


def test_without_keys_nothing_is_mounted_and_nothing_is_said(render: Render) -> None:
    assert "ncryption" not in str(render("order-platform"))
    assert "codec" not in str(render("order-platform"))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"encryption": {"write": True}}, "need a Secret with keys"),
        ({"encryption": {"namespaces": {"shop": "first"}}}, "need a Secret with keys"),
        ({"codecServer": {"enabled": True}}, "the codec server needs the keys"),
        ({**KEYS, "codecServer": {"enabled": True, "origins": ["*"]}}, "origins"),
    ],
)
def test_values_that_cannot_work_are_refused(render: Render, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RenderingFailed, match=complaint):
        render("order-platform", values)


def test_the_codec_server_has_no_account_and_no_token(render: Render) -> None:
    spec = pod(only(render("order-platform", SERVING), "Deployment", "order-platform-codec-server"))

    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "default"
    assert {"name": "api-server", "configMap": {"name": "kube-root-ca.crt"}} in spec["volumes"]
    assert container(spec)["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_codec_server_reads_every_variable_that_the_chart_sets(render: Render) -> None:
    values = {**SERVING, "codecServer": {**SERVING["codecServer"], "tls": {"existingSecret": "codec-tls"}}}  # type: ignore[dict-item]
    spec = pod(only(render("order-platform", values), "Deployment", "order-platform-codec-server"))

    assert environment(container(spec)).keys() <= codec_server_variables()


def test_the_codec_server_reaches_names_and_the_api_server_and_nothing_else(render: Render) -> None:
    manifests = render("order-platform", {**SERVING, "networkPolicy": {"enabled": True}})
    rules = only(manifests, "NetworkPolicy", "order-platform-codec-server")["spec"]

    assert [[port["port"] for port in rule["ports"]] for rule in rules["egress"]] == [[53, 53], [443, 6443]]
    assert [[port["port"] for port in rule["ports"]] for rule in rules["ingress"]] == [[8086], [8087]]


def test_with_a_certificate_of_its_own_the_codec_server_serves_https(render: Render) -> None:
    plain = only(render("order-platform", SERVING), "Service", "order-platform-codec-server")
    values = {**SERVING, "codecServer": {"enabled": True, "tls": {"existingSecret": "codec-tls"}}}
    secured = only(render("order-platform", values), "Service", "order-platform-codec-server")

    assert [port["port"] for port in plain["spec"]["ports"]] == [80]
    assert [port["port"] for port in secured["spec"]["ports"]] == [443]

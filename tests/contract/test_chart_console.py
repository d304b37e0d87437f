"""The console as the chart installs it: what it is told, what it may, who reaches it."""

import base64
from typing import Any

import pytest
from charts import SHARED_LEDGER, Render, RenderingFailed, environment, granted, kinds, mounted, names, only, pod, pods
from settings_variables import console_variables

from order_console.settings import IdentityMode
from order_console.settings import Settings as ConsoleSettings

NAME = "order-platform-console"
LEDGER = {"ledger": {"existingSecret": {"name": "ledger-reader"}}}
PROXY = {"identity": "proxy", "proxy": {"existingSecret": {"name": "proof"}, "users": ["ana", "bob"]}}


def on(**console: Any) -> dict[str, Any]:
    return {"console": {"enabled": True, **console}}


def container(render: Render, **console: Any) -> dict[str, Any]:
    [found] = pod(only(render("order-platform", on(**console)), "Deployment", NAME))["containers"]
    return dict(found)


def test_without_a_word_there_is_no_console(render: Render) -> None:
    assert not [name for _, _, name in names(render("order-platform")) if "console" in name]


def test_it_comes_with_all_that_it_needs(render: Render) -> None:
    values = {**on(), "networkPolicy": {"enabled": True}}

    assert {kind for kind, _, name in names(render("order-platform", values)) if "console" in name} == {
        *("Deployment", "Service", "ServiceAccount", "Secret", "NetworkPolicy", "PodDisruptionBudget"),
        *("ClusterRole", "ClusterRoleBinding"),
    }


def test_the_console_reads_every_variable_that_the_chart_sets(render: Render) -> None:
    told = environment(container(render, **PROXY, **LEDGER))

    assert told.keys() <= console_variables()
    assert {"ORDER_CONSOLE_PROXY_SECRET", "ORDER_CONSOLE_LEDGER_URL_FILE", "ORDER_CONSOLE_SESSION_KEY"} <= told.keys()


def test_its_settings_come_through_the_chart(render: Render) -> None:
    values = {**on(hosts=["orders.example.com"], port=9000), "watch": {"namespaces": ["shop", "outlet"]}}
    [found] = pod(only(render("order-platform", values), "Deployment", NAME))["containers"]
    settings = ConsoleSettings.from_environment({name: v for name, v in environment(found).items() if v is not None})

    assert settings.identity is IdentityMode.TOKEN
    assert settings.listen is not None
    assert settings.listen.port == found["ports"][0]["containerPort"] == 9000
    assert settings.namespaces == "shop,outlet"
    assert settings.hosts.split(",") == [
        "orders.example.com",
        NAME,
        f"{NAME}.order-platform",
        f"{NAME}.order-platform.svc",
    ]


def test_no_secret_is_written_into_the_pod(render: Render) -> None:
    for variable in container(render, **PROXY, **LEDGER)["env"]:
        if variable["name"].endswith(("_KEY", "_SECRET", "_URL")):
            assert "secretKeyRef" in variable["valueFrom"], variable


def test_the_ledgers_url_is_a_file_that_the_kubelet_replaces(render: Render) -> None:
    spec = pod(only(render("order-platform", on(**LEDGER)), "Deployment", NAME))
    [found] = spec["containers"]

    file = str(environment(found)["ORDER_CONSOLE_LEDGER_URL_FILE"])
    assert mounted(spec, found) == {file: {"name": "ledger-reader", "key": "url"}}


def test_for_everybody_it_reads_single_orders_itself_and_still_writes_none(render: Render) -> None:
    rules = granted(render("order-platform", on(identity="anonymous")), "ClusterRole")

    assert {rule for rule in rules if "console" in rule} == {
        "*/order-platform-console: get,list,watch on order-platform.dev/orders"
    }
    told = environment(container(render, identity="anonymous"))
    assert told["ORDER_CONSOLE_IDENTITY"] == IdentityMode.ANONYMOUS


def test_it_lists_and_watches_orders_and_may_nothing_else(render: Render) -> None:
    assert {rule for rule in granted(render("order-platform", on()), "ClusterRole") if "console" in rule} == {
        "*/order-platform-console: list,watch on order-platform.dev/orders"
    }


def test_with_chosen_namespaces_it_reads_orders_in_these_alone(render: Render) -> None:
    manifests = render("order-platform", {**on(), "watch": {"namespaces": ["shop", "outlet"]}})

    assert not [rule for rule in granted(manifests, "ClusterRole") if "console" in rule]
    assert {rule for rule in granted(manifests, "Role") if "console" in rule} == {
        f"{namespace}/order-platform-console: list,watch on order-platform.dev/orders"
        for namespace in ("shop", "outlet")
    }


def test_behind_a_trusted_proxy_it_impersonates_whom_the_values_name_and_nobody_else(render: Render) -> None:
    proxy = {**PROXY["proxy"], "groups": ["order-approvers"]}
    rules = granted(render("order-platform", on(identity="proxy", proxy=proxy)), "ClusterRole")

    assert {rule for rule in rules if "console" in rule} == {
        "*/order-platform-console: list,watch on order-platform.dev/orders",
        "*/order-platform-console: impersonate on /users [ana,bob]",
        "*/order-platform-console: impersonate on /groups [order-approvers]",
    }


def test_every_role_of_the_console_is_bound_to_it_alone(render: Render) -> None:
    manifests = render("order-platform", {**on(**PROXY), "watch": {"namespaces": ["shop"]}})
    bindings = [
        item for item in manifests if item["kind"].endswith("Binding") and "console" in item["metadata"]["name"]
    ]

    assert {item["roleRef"]["name"] for item in bindings} == {NAME}
    assert {subject["name"] for item in bindings for subject in item["subjects"]} == {NAME}


def test_the_chart_makes_a_key_for_sessions_that_the_console_takes(render: Render) -> None:
    secret = only(render("order-platform", on()), "Secret", f"{NAME}-session")

    key = base64.b64decode(secret["data"]["key"]).decode()
    assert ConsoleSettings.from_environment({"ORDER_CONSOLE_SESSION_KEY": key}).session_key == key


def test_a_key_of_ones_own_is_used_instead(render: Render) -> None:
    values = on(session={"existingSecret": {"name": "mine", "key": "session"}})
    manifests = render("order-platform", values)

    assert "Secret" not in kinds(manifests)
    [found] = pod(only(manifests, "Deployment", NAME))["containers"]
    [key] = [each for each in found["env"] if each["name"] == "ORDER_CONSOLE_SESSION_KEY"]
    assert key["valueFrom"]["secretKeyRef"] == {"name": "mine", "key": "session"}


def test_it_keeps_to_the_restricted_level_with_a_read_only_root(render: Render) -> None:
    spec = pod(only(render("order-platform", on()), "Deployment", NAME))

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in spec


def test_the_service_the_budget_and_the_policy_are_about_its_pods(render: Render) -> None:
    manifests = render("order-platform", {**on(), "networkPolicy": {"enabled": True}})
    deployment = only(manifests, "Deployment", NAME)
    selector = deployment["spec"]["selector"]["matchLabels"]

    assert only(manifests, "Service", NAME)["spec"]["selector"] == selector
    assert only(manifests, "PodDisruptionBudget", NAME)["spec"]["selector"]["matchLabels"] == selector
    assert only(manifests, "NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"] == selector
    assert selector.items() <= pods(manifests)[f"Deployment/{NAME}"]["metadata"]["labels"].items()


@pytest.mark.parametrize(("console", "database"), [({}, set()), (LEDGER, {5432})], ids=["alone", "with the ledger"])
def test_it_is_reached_on_its_port_and_reaches_the_api_server_and_the_ledger(
    render: Render, console: dict[str, Any], database: set[int]
) -> None:
    proxy = [{"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}]
    policy = {"enabled": True, "console": {"from": proxy}}
    spec = only(render("order-platform", {**on(**console), "networkPolicy": policy}), "NetworkPolicy", NAME)["spec"]

    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8088}], "from": proxy}]
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 443, 6443} | database


def test_an_ingress_and_a_route_lead_every_host_to_the_service(render: Render) -> None:
    hosts = ["orders.example.com", "shop.example.com"]
    gateway = {"name": "front", "namespace": "gateways"}
    manifests = render(
        "order-platform",
        on(
            hosts=hosts,
            ingress={"enabled": True, "className": "nginx", "tlsSecret": "orders-tls"},
            httpRoute={"enabled": True, "parentRefs": [gateway]},
        ),
    )
    ingress, route = only(manifests, "Ingress", NAME)["spec"], only(manifests, "HTTPRoute", NAME)["spec"]

    assert [rule["host"] for rule in ingress["rules"]] == ingress["tls"][0]["hosts"] == route["hostnames"] == hosts
    [path] = ingress["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": NAME, "port": {"name": "http"}}
    assert route["rules"][0]["backendRefs"] == [{"name": NAME, "port": 80}]
    assert route["parentRefs"] == [gateway]


@pytest.mark.parametrize(
    ("console", "complaint"),
    [
        ({"identity": "nobody"}, "/console/identity"),
        ({"identity": "kubeconfig"}, "/console/identity"),
        ({"identity": "proxy"}, r"console\.proxy\."),
        ({**PROXY, "proxy": {"users": ["ana"]}}, r"console\.proxy\.existingSecret\.name"),
        ({"identity": "proxy", "proxy": {"existingSecret": {"name": "a"}}}, r"console\.proxy\.users: .* administrator"),
        ({"ingress": {"enabled": True}}, r"console\.hosts: console\.ingress needs the names"),
        ({"httpRoute": {"enabled": True}, "hosts": ["a.example"]}, r"console\.httpRoute\.parentRefs"),
        ({"hosts": ["https://orders.example.com"]}, "/console/hosts/0"),
        ({"replics": 2}, "replics"),
    ],
)
def test_a_mistake_in_a_value_of_the_console_is_refused_by_name(
    render: Render, console: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RenderingFailed, match=complaint):
        render("order-platform", on(**console))


def test_where_its_pods_run_can_be_said(render: Render) -> None:
    said = {"nodeSelector": {"pool": "pages"}, "priorityClassName": "low", "podLabels": {"team": "shop"}}
    template = pods(render("order-platform", on(**said)))[f"Deployment/{NAME}"]

    assert template["spec"]["nodeSelector"] == {"pool": "pages"}
    assert template["spec"]["priorityClassName"] == "low"
    assert template["metadata"]["labels"]["team"] == "shop"
    [spread] = template["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_its_image_comes_from_the_registry_of_all_and_a_digest_pins_it(render: Render) -> None:
    mirrored = {**SHARED_LEDGER, **on(), "global": {"imageRegistry": "mirror.example"}}
    [found] = pod(only(render("order-platform", mirrored), "Deployment", NAME))["containers"]
    digest = f"sha256:{'0' * 64}"

    assert found["image"] == "mirror.example/order-platform/console:0.1.0"
    assert container(render, image={"digest": digest})["image"] == f"order-platform/console@{digest}"

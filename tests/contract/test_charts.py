"""The charts as Helm renders them. No server; needs the helm program of the development stack."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import (
    SHARED_LEDGER,
    Manifest,
    Render,
    RenderingFailed,
    deployments,
    environment,
    granted,
    labels_of,
    only,
    pod,
)
from settings_variables import operator_variables, worker_variables

from order_operator.cluster.policies import PROVING_POLICY, RULES_LABEL, RULES_VERSION
from order_operator.settings import Settings as OperatorSettings
from order_worker.command_line import parser
from order_worker.providers.notification.smtp import SMTPMailer
from order_worker.settings import Role
from order_worker.settings import Settings as WorkerSettings

ROOT = Path(__file__).resolve().parents[2]

CLUSTER_RULES = {
    "*/order-platform-operator: list,watch on order-platform.dev/orderclasses",
    (
        "*/order-platform-operator: get on apiextensions.k8s.io/customresourcedefinitions "
        "[orders.order-platform.dev,orderclasses.order-platform.dev,stockitems.order-platform.dev]"
    ),
    (
        "*/order-platform-operator: get on admissionregistration.k8s.io/"
        "validatingadmissionpolicies,validatingadmissionpolicybindings [order-platform-orders]"
    ),
    "*/order-platform-viewer: get,list,watch on order-platform.dev/orders,orderclasses,stockitems",
    "*/order-platform-editor: get,list,watch,create,update,patch on order-platform.dev/orders",
    (
        "*/order-platform-editor: use on order-platform.dev/orderclasses "
        "[enriched-saga,reviewed-ledger,standard,threshold]"
    ),
    "*/order-platform-approver: get,list,watch,patch,approve,reject on order-platform.dev/orders",
    "*/order-platform-high-approver: get,list,watch,patch,approve,approve-high,reject on order-platform.dev/orders",
    "*/order-platform-canceller: get,list,watch,patch,cancel,delete on order-platform.dev/orders",
    "*/order-platform-auditor: get,list,watch,audit on order-platform.dev/orders",
    "*/order-platform-auditor: get,list,watch on order-platform.dev/orderclasses",
    (
        "*/order-platform-platform-admin: get,list,watch,create,update,patch,delete on "
        "order-platform.dev/orderclasses,stockitems"
    ),
    "*/order-platform-platform-admin: get,list,watch,patch,retry,adopt,reflect on order-platform.dev/orders",
}
CLASS_STATUS_RULES = {"*/order-platform-operator: update on order-platform.dev/orderclasses/status"}
"""Not of an installation that watches some namespaces: it shares the classes with others."""
LEADER_RULES = {
    "order-platform/order-platform-operator-leader: create on coordination.k8s.io/leases",
    "order-platform/order-platform-operator-leader: get,update on coordination.k8s.io/leases [order-platform-operator]",
}
IDENTITY_RULES = {"kube-system/order-platform-operator-identity: get on /namespaces [kube-system]"}


def order_rules(namespace: str) -> set[str]:
    only = "" if namespace == "*" else f" [{namespace}]"
    return {
        f"{namespace}/order-platform-operator: get on /namespaces{only}",
        f"{namespace}/order-platform-operator: get,list,watch,patch,delete,reflect on order-platform.dev/orders",
        f"{namespace}/order-platform-operator: get,list,watch on order-platform.dev/stockitems",
        f"{namespace}/order-platform-operator: update on order-platform.dev/orders/status,stockitems/status",
        f"{namespace}/order-platform-operator: create on events.k8s.io/events",
    }


def test_two_releases_with_long_names_that_begin_alike_have_no_name_in_common(render: Render) -> None:
    """Argo CD makes release names of application names: cut at 40 characters both had the same ClusterRoles, and in one
    namespace the same Lease, so that one of the two operators did nothing, without a word."""
    releases = [f"prod-emea-fulfilment-order-platform-primary-clust-0{number}" for number in (1, 2)]

    first, second = (
        {
            (item["kind"], item["metadata"]["name"])
            for item in render("order-platform", SHARED_LEDGER, release=release)
            if item["kind"] != "OrderClass"
        }
        for release in releases
    )

    assert first & second == set()
    assert max(len(name) for _, name in first | second) <= 63
    assert max(len(name) for kind, name in first | second if kind == "CronJob") <= 52


def test_the_rights_for_all_namespaces_are_exactly_these(render: Render) -> None:
    manifests = render("order-platform")

    assert granted(manifests, "ClusterRole") == CLUSTER_RULES | CLASS_STATUS_RULES | order_rules("*")
    assert granted(manifests, "Role") == LEADER_RULES | IDENTITY_RULES


def test_an_identity_that_is_given_needs_no_right_to_read_the_clusters(render: Render) -> None:
    assert granted(render("order-platform", {"cluster": "east"}), "Role") == LEADER_RULES


def test_with_chosen_namespaces_nothing_cluster_wide_touches_an_order(render: Render) -> None:
    manifests = render("order-platform", {"watch": {"namespaces": ["shop", "outlet"]}})

    assert granted(manifests, "ClusterRole") == CLUSTER_RULES
    assert granted(manifests, "Role") == LEADER_RULES | IDENTITY_RULES | order_rules("shop") | order_rules("outlet")


def test_every_role_of_the_operator_is_bound_to_it_alone(render: Render) -> None:
    manifests = render("order-platform", {"watch": {"namespaces": ["shop"]}})
    bindings = [item for item in manifests if item["kind"] in ("RoleBinding", "ClusterRoleBinding")]

    assert {item["roleRef"]["name"] for item in bindings} == {
        "order-platform-operator",
        "order-platform-operator-leader",
        "order-platform-operator-identity",
    }
    assert {subject["name"] for item in bindings for subject in item["subjects"]} == {"order-platform-operator"}


def test_a_worker_gets_no_token(render: Render) -> None:
    manifests = render("order-platform")

    assert only(manifests, "ServiceAccount", "order-platform-worker")["automountServiceAccountToken"] is False
    assert pod(only(manifests, "Deployment", "order-platform-worker-orders"))["automountServiceAccountToken"] is False


@pytest.mark.parametrize("deployment", ["order-platform-operator", "order-platform-worker-orders"])
def test_every_container_keeps_to_the_restricted_level_with_a_read_only_root(render: Render, deployment: str) -> None:
    spec = pod(only(render("order-platform"), "Deployment", deployment))

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


TEMPORAL_VARIABLES = {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}


def test_the_operator_reads_every_variable_that_the_chart_sets(render: Render) -> None:
    [container] = pod(only(render("order-platform"), "Deployment", "order-platform-operator"))["containers"]

    assert environment(container).keys() <= operator_variables() | TEMPORAL_VARIABLES


def test_a_worker_reads_every_variable_that_the_chart_sets(render: Render) -> None:
    spec = pod(only(render("order-platform"), "Deployment", "order-platform-worker-orders"))

    for container in (*spec["initContainers"], *spec["containers"]):
        assert environment(container).keys() <= worker_variables() | TEMPORAL_VARIABLES


def test_the_operators_settings_come_through_the_chart(render: Render) -> None:
    manifests = render(
        "order-platform",
        {
            "cluster": "eu-1",
            "temporal": {"address": "temporal:7233", "namespace": "shop", "uiURL": "https://temporal.example.com"},
            "watch": {"namespaces": ["shop", "outlet"]},
            "operator": {"taskQueue": "q", "createSearchAttributes": False, "metrics": {"port": 9000}},
        },
    )
    [container] = pod(only(manifests, "Deployment", "order-platform-operator"))["containers"]
    variables = {name: value for name, value in environment(container).items() if value is not None}
    settings = OperatorSettings.from_environment(variables)

    assert settings.cluster == "eu-1"
    assert settings.namespaces == ("shop", "outlet")
    assert settings.task_queue == "q"
    assert settings.temporal_ui == "https://temporal.example.com"
    assert settings.create_search_attributes is False
    assert settings.metrics is not None
    assert settings.metrics.port == container["ports"][0]["containerPort"] == 9000
    assert (variables["TEMPORAL_ADDRESS"], variables["TEMPORAL_NAMESPACE"]) == ("temporal:7233", "shop")


def test_a_pod_outlives_the_grace_of_its_worker(render: Render) -> None:
    manifests = render("order-platform", {"worker": {"gracefulShutdownSeconds": 100}})
    spec = pod(only(manifests, "Deployment", "order-platform-worker-orders"))
    variables = {name: value for name, value in environment(spec["containers"][0]).items() if value is not None}
    grace = WorkerSettings.from_environment(variables).graceful_shutdown.total_seconds()

    assert (grace, spec["terminationGracePeriodSeconds"]) == (100, 115)


def test_the_embedded_ledger_lies_on_a_writable_volume(render: Render) -> None:
    spec = pod(only(render("order-platform"), "Deployment", "order-platform-worker-orders"))

    assert spec["volumes"] == [{"name": "data", "emptyDir": {}}]
    for container in (*spec["initContainers"], *spec["containers"]):
        [mount] = container["volumeMounts"]
        variables = environment(container)
        assert str(variables["ORDER_LEDGER_URL"]).startswith(f"sqlite:///{mount['mountPath']}/")
        assert str(variables["ORDER_WORKER_PROVIDER_STORE"]).startswith(f"{mount['mountPath']}/")


STRIPE = {"payment": {"provider": "stripe", "stripe": {"existingSecret": {"name": "stripe", "key": "secret-key"}}}}


def test_the_ledgers_secret_wins_over_its_url(render: Render) -> None:
    manifests = render("order-platform", SHARED_LEDGER)
    spec = pod(only(manifests, "Deployment", "order-platform-worker-orders"))

    for container in (*spec["initContainers"], *spec["containers"]):
        [ledger] = [item for item in container["env"] if item["name"] == "ORDER_LEDGER_URL"]
        assert ledger["valueFrom"] == {"secretKeyRef": {"name": "ledger", "key": "url"}}
        assert "value" not in ledger


@pytest.mark.parametrize(
    "ledger", [SHARED_LEDGER["ledger"], {"url": "postgresql://orders@db/orders"}], ids=["secret", "url"]
)
def test_with_a_ledger_outside_the_simulated_providers_keep_their_books_beside_it(
    render: Render, ledger: Mapping[str, Any]
) -> None:
    spec = pod(only(render("order-platform", {"ledger": ledger}), "Deployment", "order-platform-worker-orders"))
    for container in (*spec["initContainers"], *spec["containers"]):
        variables = {name: value for name, value in environment(container).items() if value is not None}
        # As the kubelet does, from the Secret.
        variables.setdefault("ORDER_LEDGER_URL", "postgresql://orders@db/orders")
        assert WorkerSettings.from_environment(variables).provider_store is None


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


def pruning(manifests: list[Manifest]) -> Manifest:
    job = only(manifests, "CronJob", "order-platform-prune-attempts")
    spec: Manifest = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def test_the_log_of_attempts_is_kept_as_long_as_the_values_say(render: Render) -> None:
    values = {"ledger": {**SHARED_LEDGER["ledger"], "attempts": {"keepDays": 30}}}
    [container] = pruning(render("order-platform", values))["containers"]

    program, *arguments = container["command"]
    parsed = parser().parse_args(arguments)
    assert (program, parsed.command, parsed.older_than_days) == ("order-worker", "prune-attempts", 30)
    [ledger] = container["env"]
    assert ledger["valueFrom"]["secretKeyRef"]["name"] == "ledger"


def test_what_prunes_the_log_is_restricted_as_a_worker_is(render: Render) -> None:
    manifests = render("order-platform", SHARED_LEDGER)
    worker, job = pod(only(manifests, "Deployment", "order-platform-worker-orders")), pruning(manifests)

    for name in ("serviceAccountName", "automountServiceAccountToken", "securityContext"):
        assert job[name] == worker[name]
    assert job["containers"][0]["securityContext"] == worker["containers"][0]["securityContext"]
    assert job["containers"][0]["image"] == worker["containers"][0]["image"]


@pytest.mark.parametrize(
    "values",
    [{}, {"ledger": {**SHARED_LEDGER["ledger"], "attempts": {"keepDays": 0}}}],
    ids=["inside a pod", "kept for ever"],
)
def test_a_log_that_cannot_or_shall_not_be_pruned_is_not(render: Render, values: Mapping[str, Any]) -> None:
    assert "prune-attempts" not in cron_jobs(render("order-platform", values))


def cron_jobs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod of each, by its name without the release's."""
    return {
        item["metadata"]["name"].removeprefix("order-platform-"): item["spec"]["jobTemplate"]["spec"]["template"][
            "spec"
        ]
        for item in manifests
        if item["kind"] == "CronJob"
    }


AUDIT_JOBS = ["verify-audit", "audit-heads", "reconcile"]


def audited(render: Render, **audit: Any) -> list[Manifest]:
    return render("order-platform", {"ledger": {**SHARED_LEDGER["ledger"], "audit": audit}})


@pytest.mark.parametrize("job", AUDIT_JOBS)
def test_the_books_are_checked_by_commands_that_exist_and_pods_restricted_as_a_worker_is(
    render: Render, job: str
) -> None:
    manifests = audited(render, existingSecret={"name": "audit"}, anchors={"existingClaim": "anchors"})
    worker, spec = pod(only(manifests, "Deployment", "order-platform-worker-orders")), cron_jobs(manifests)[job]
    [container] = spec["containers"]

    program, *arguments = container["command"]
    assert (program, parser().parse_args(arguments).command) == ("order-worker", job)
    for name in ("serviceAccountName", "automountServiceAccountToken", "securityContext"):
        assert spec[name] == worker[name]
    assert container["securityContext"] == worker["containers"][0]["securityContext"]
    assert container["image"] == worker["containers"][0]["image"]
    assert environment(container).keys() <= worker_variables()


@pytest.mark.parametrize("job", AUDIT_JOBS)
def test_the_keys_of_the_audit_trail_are_mounted_as_a_file_by_all_who_need_them(render: Render, job: str) -> None:
    manifests = audited(render, existingSecret={"name": "audit", "key": "ring"})
    for spec in (pod(only(manifests, "Deployment", "order-platform-worker-orders")), cron_jobs(manifests)[job]):
        [volume] = [item for item in spec["volumes"] if item["name"] == "audit"]
        assert volume["secret"]["items"] == [{"key": "ring", "path": "keys"}]
        [container] = spec["containers"]
        assert environment(container)["ORDER_LEDGER_AUDIT_KEY_FILE"] == "/etc/order-platform/audit/keys"
        assert {"name": "audit", "mountPath": "/etc/order-platform/audit", "readOnly": True} in container[
            "volumeMounts"
        ]


def test_without_a_key_nothing_of_it_is_mounted(render: Render) -> None:
    manifests = render("order-platform", SHARED_LEDGER)
    assert "ORDER_LEDGER_AUDIT_KEY_FILE" not in str(manifests)
    assert "volumes" not in cron_jobs(manifests)["verify-audit"]


def test_anchors_are_written_to_the_claim_and_only_read_by_the_check(render: Render) -> None:
    jobs = cron_jobs(audited(render, anchors={"existingClaim": "anchors"}))
    for job, argument, read_only in (("audit-heads", "--to", False), ("verify-audit", "--anchors", True)):
        [container] = jobs[job]["containers"]
        assert container["command"][-2:] == [argument, "/anchors"]
        assert {"name": "anchors", "mountPath": "/anchors", "readOnly": read_only} in container["volumeMounts"]


def test_without_a_claim_anchors_go_to_the_log(render: Render) -> None:
    [container] = cron_jobs(audited(render))["audit-heads"]["containers"]
    assert container["command"] == ["order-worker", "audit-heads", "--to", "-"]


def test_the_check_knows_from_when_on_every_event_has_a_key(render: Render) -> None:
    [container] = cron_jobs(audited(render, verify={"keyedSince": "2026-11-25T12:00:00Z"}))["verify-audit"][
        "containers"
    ]
    assert parser().parse_args(container["command"][1:]).keyed_since is not None


def test_what_reconciles_has_the_payment_provider_and_no_other(render: Render) -> None:
    mail = {"provider": "smtp", "smtp": {"host": "mail", "from": "a@example.com"}}
    manifests = render("order-platform", {**SHARED_LEDGER, "worker": {**STRIPE, "mail": mail}})
    [container] = cron_jobs(manifests)["reconcile"]["containers"]
    assert environment(container)["ORDER_WORKER_PAYMENT_PROVIDER"] == "stripe"
    assert environment(container)["STRIPE_API_KEY_FILE"] == "/etc/order-platform/stripe/api-key"
    assert "ORDER_WORKER_MAIL_PROVIDER" not in environment(container)


def test_a_ledger_inside_a_pod_has_nothing_that_checks_it_from_another(render: Render) -> None:
    assert cron_jobs(render("order-platform")) == {}


def test_a_check_without_a_schedule_is_none(render: Render) -> None:
    none = {"schedule": ""}
    assert set(cron_jobs(audited(render, verify=none, anchors=none, reconcile=none))) == {"prune-attempts"}


def test_each_task_queue_gets_a_deployment_of_its_own(render: Render) -> None:
    workers = {"orders": {"replicas": 3}, "shipping": {"taskQueue": "ships"}}
    manifests = render("order-platform", {**SHARED_LEDGER, "workers": workers})

    shipping = only(manifests, "Deployment", "order-platform-worker-shipping")
    orders = only(manifests, "Deployment", "order-platform-worker-orders")
    assert (orders["spec"]["replicas"], shipping["spec"]["replicas"]) == (3, 1)
    assert environment(pod(shipping)["containers"][0])["ORDER_WORKER_TASK_QUEUE"] == "ships"
    assert orders["spec"]["selector"] != shipping["spec"]["selector"]


def test_a_worker_for_shipments_can_have_its_own_namespace_in_temporal(render: Render) -> None:
    workers = {
        "orders": {"roles": ["orders"]},
        "nexus": {"taskQueue": "shipping", "roles": ["shipping"], "temporalNamespace": "shipping"},
    }
    manifests = render("order-platform", {**SHARED_LEDGER, "workers": workers})

    for name, role, queue, namespace in (
        ("orders", Role.ORDERS, "orders", "default"),
        ("nexus", Role.SHIPPING, "shipping", "shipping"),
    ):
        [container] = pod(only(manifests, "Deployment", f"order-platform-worker-{name}"))["containers"]
        variables = {key: value for key, value in environment(container).items() if value is not None}
        settings = WorkerSettings.from_environment(variables)
        assert (settings.roles, settings.task_queue) == ({role}, queue)
        assert variables["TEMPORAL_NAMESPACE"] == namespace


def test_a_worker_without_words_of_its_own_has_all_roles_and_a_task_queue_of_its_name(render: Render) -> None:
    manifests = render("order-platform", {"workers": {"orders": None, "all": {}}})

    [container] = pod(only(manifests, "Deployment", "order-platform-worker-all"))["containers"]
    variables = {key: value for key, value in environment(container).items() if value is not None}
    settings = WorkerSettings.from_environment(variables)
    assert (settings.roles, settings.task_queue) == (set(Role), "all")
    assert deployments(manifests) == {"order-platform-operator", "order-platform-worker-all"}


def test_a_number_of_replicas_alone_changes_the_scale_and_nothing_else(render: Render) -> None:
    """As a list, `workers` lost resources and roles of the entry, so that scaling was a rolling update."""
    before = render("order-platform", SHARED_LEDGER)
    after = render("order-platform", SHARED_LEDGER, "--set", "workers.orders.replicas=3")

    assert only(after, "Deployment", "order-platform-worker-orders")["spec"].pop("replicas") == 3
    assert only(before, "Deployment", "order-platform-worker-orders")["spec"].pop("replicas") == 1
    assert before == after


def test_what_an_entry_says_goes_over_the_defaults_key_by_key(render: Render) -> None:
    manifests = render("order-platform", {"workers": {"orders": {"resources": {"limits": {"memory": "1Gi"}}}}})

    [container] = pod(only(manifests, "Deployment", "order-platform-worker-orders"))["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "1Gi"}}


def test_no_replicas_of_a_worker_is_a_number_too(render: Render) -> None:
    manifests = render("order-platform", {"workers": {"orders": {"replicas": 0}}})

    assert only(manifests, "Deployment", "order-platform-worker-orders")["spec"]["replicas"] == 0


def test_the_number_of_pods_can_be_left_to_somebody_else(render: Render) -> None:
    values = {"operator": {"replicas": None}, "workers": {"orders": {"replicas": None}}}

    for name in deployments(manifests := render("order-platform", values)):
        assert "replicas" not in only(manifests, "Deployment", name)["spec"]


@pytest.mark.parametrize("deployment", ["order-platform-operator", "order-platform-worker-orders"])
def test_a_pod_is_ready_within_a_second_of_serving(render: Render, deployment: str) -> None:
    [container] = pod(only(render("order-platform"), "Deployment", deployment))["containers"]

    assert container["startupProbe"]["httpGet"] == container["readinessProbe"]["httpGet"]
    assert container["startupProbe"]["periodSeconds"] == 1


def test_new_operators_stand_by_before_the_first_old_one_goes(render: Render) -> None:
    operator = only(render("order-platform"), "Deployment", "order-platform-operator")

    assert operator["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "100%", "maxUnavailable": 0}


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

    assert [volume["name"] for volume in spec["volumes"]] == ["data"]
    assert [name for name in environment(spec["containers"][0]) if name.startswith(("STRIPE_", "SMTP_"))] == []


def test_a_digest_pins_the_image(render: Render) -> None:
    digest = f"sha256:{'0' * 64}"
    image = {"registry": "mirror:5000", "repository": "shop/operator", "tag": "1", "digest": digest}
    manifests = render("order-platform", {"operator": {"image": image}})

    [container] = pod(only(manifests, "Deployment", "order-platform-operator"))["containers"]
    assert container["image"] == f"mirror:5000/shop/operator@{digest}"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"operater": {}}, "operater"),
        ({"operator": {"replcas": 1}}, "replcas"),
        ({"workers": {"a": {"taskqueue": "b"}}}, "taskqueue"),
        ({"workers": {"a": {"roles": ["billing"]}}}, "roles/0"),
        ({"workers": {"Orders_2": {}}}, "Orders_2"),
        ({"workers": [{"name": "orders", "taskQueue": "orders"}]}, r"a map by name.* workers\.<name>\.taskQueue"),
        (
            {"workers": {"orders": {"terminationGracePeriodSeconds": 25}}},
            r"workers\.orders\.terminationGracePeriodSeconds: the pod would be killed after 25 s",
        ),
        ({"temporal": {"address": "no-port"}}, "/temporal/address"),
        ({"workers": {"orders": {"replicas": 2}}}, "SQLite"),
        ({"workers": {"more": {"taskQueue": "orders"}}}, "SQLite"),
        ({"operator": {"env": [{"name": "TEMPORAL_ADDRESS", "value": "x"}]}}, "TEMPORAL_ADDRESS is set twice"),
        ({"defaultClass": "premium"}, "no installed class is named premium"),
        ({"ledger": {"attempts": {"keepDays": -1}}}, "/ledger/attempts/keepDays"),
        ({"ledger": {"attempts": {"schedule": "daily"}}}, "/ledger/attempts/schedule"),
        ({"worker": {"payment": {"provider": "paypal"}}}, "/worker/payment/provider"),
        (
            {**SHARED_LEDGER, "worker": {"payment": {"provider": "stripe"}}},
            "worker.payment.stripe.existingSecret.name",
        ),
        ({"worker": {"mail": {"provider": "smtp"}}}, "worker.mail.smtp.host"),
        ({"worker": {"mail": {"provider": "smtp", "smtp": {"host": "a", "from": "b@c", "username": "d"}}}}, "together"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_in_the_values_is_refused_by_name(render: Render, values: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(RenderingFailed, match=complaint):
        render("order-platform", values)


def test_the_classes_are_the_committed_ones_and_one_is_the_default(render: Render) -> None:
    rendered = {item["metadata"]["name"]: item for item in render("order-platform") if item["kind"] == "OrderClass"}
    sources = [yaml.safe_load(path.read_text()) for path in (ROOT / "manifests/classes").glob("*.yaml")]

    assert {name: item["spec"] for name, item in rendered.items()} == {
        item["metadata"]["name"]: item["spec"] for item in sources
    }
    default = "order-platform.dev/default-class"
    assert [name for name, item in rendered.items() if default in item["metadata"]["labels"]] == ["standard"]


def test_editors_may_use_the_classes_that_ask_a_person_and_those_that_are_named(render: Render) -> None:
    values = {"userRoles": {"create": True, "aggregate": False, "classes": ["express", "standard"]}}

    classes = "[enriched-saga,express,reviewed-ledger,standard,threshold]"
    wanted = f"*/order-platform-editor: use on order-platform.dev/orderclasses {classes}"
    assert wanted in granted(render("order-platform", values), "ClusterRole")


def test_what_decides_about_money_is_part_of_no_role_of_the_cluster(render: Render) -> None:
    values = {"userRoles": {"create": True, "aggregate": True, "classes": []}}
    roles = [item for item in render("order-platform", values) if item["kind"] == "ClusterRole"]
    aggregated = [role for role in roles if any("aggregate-to" in label for label in role["metadata"]["labels"])]
    verbs = {verb for role in aggregated for rule in role["rules"] for verb in rule["verbs"]}

    assert {role["metadata"]["name"] for role in aggregated} == {"order-platform-viewer", "order-platform-editor"}
    assert verbs == {"get", "list", "watch", "create", "update", "patch", "use"}
    assert not any("aggregate-to" in label for role in render("order-platform") for label in labels_of(role))


POLICIES = {"order-platform-orders", "order-platform-classes", "order-platform-status"}


def test_the_policies_hold_where_a_namespace_is_labelled_and_an_operator_knows_their_rules(render: Render) -> None:
    manifests = [item for item in render("order-platform-crds") if item["kind"] != "CustomResourceDefinition"]
    bindings = [item for item in manifests if item["kind"].endswith("Binding")]
    policies = [item for item in manifests if item["kind"].endswith("Policy")]

    assert {item["metadata"]["name"] for item in policies if item["kind"].startswith("Validating")} == POLICIES
    assert {labels_of(item)[RULES_LABEL] for item in policies} == {RULES_VERSION}
    assert {item["metadata"]["name"] for item in bindings} == {item["metadata"]["name"] for item in policies}
    assert PROVING_POLICY in POLICIES
    for binding in bindings:
        selector = binding["spec"]["matchResources"]["namespaceSelector"]
        assert selector == {"matchLabels": {"order-platform.dev/policies": "enforced"}}
        assert binding["spec"]["policyName"] == binding["metadata"]["name"]
        assert binding["spec"].get("validationActions", ["Deny"]) == ["Deny"]
    # For half a minute after the start of an API server one with parameters fails: with Fail it takes no order then.
    by_parameters = {item["metadata"]["name"] for item in policies if "paramKind" in item["spec"]}
    ignoring = {item["metadata"]["name"] for item in policies if item["spec"]["failurePolicy"] == "Ignore"}
    assert ignoring - {"order-platform-stamps"} == by_parameters


def test_a_cluster_without_mutating_policies_gets_the_validating_ones(render: Render) -> None:
    kinds = {item["kind"] for item in render("order-platform-crds", None, "--kube-version=1.32.0")}

    assert "ValidatingAdmissionPolicy" in kinds


def test_the_policies_can_be_left_out_or_hold_everywhere(render: Render) -> None:
    without = render("order-platform-crds", {"policies": {"enabled": False}})
    everywhere = render("order-platform-crds", {"policies": {"namespaceSelector": {"matchLabels": None}}})

    assert {item["kind"] for item in without} == {"CustomResourceDefinition"}
    selectors = [
        item["spec"]["matchResources"]["namespaceSelector"] for item in everywhere if item["kind"].endswith("Binding")
    ]
    assert selectors == [{}] * len(selectors)
    assert selectors


@pytest.mark.parametrize(("keep", "annotations"), [(True, {"helm.sh/resource-policy": "keep"}), (False, None)])
def test_the_kinds_survive_an_uninstall_if_they_are_to(
    render: Render, keep: bool, annotations: dict[str, str] | None
) -> None:
    manifests = render("order-platform-crds", {"keep": keep})

    kinds = [item for item in manifests if item["kind"] == "CustomResourceDefinition"]
    assert [item["metadata"].get("annotations") for item in kinds] == [annotations] * 3


def test_a_chart_can_be_part_of_another(render: Render) -> None:
    assert render("order-platform", {"global": {"anything": 1}})

"""Where the ledger is, and the Jobs that look after it."""

from collections.abc import Mapping
from typing import Any

import pytest
from charts import (
    SHARED_LEDGER,
    STRIPE,
    Manifest,
    Render,
    environment,
    mounted,
    only,
    pod,
)
from settings_variables import worker_variables

from order_worker.command_line import parser
from order_worker.settings import IN_THE_FILE


def test_the_embedded_ledger_lies_on_a_writable_volume(render: Render) -> None:
    spec = pod(only(render("order-platform"), "Deployment", "order-platform-worker-orders"))

    assert spec["volumes"] == [{"name": "data", "emptyDir": {}}]
    for container in (*spec["initContainers"], *spec["containers"]):
        [mount] = container["volumeMounts"]
        variables = environment(container)
        assert str(variables["ORDER_LEDGER_URL"]).startswith(f"sqlite:///{mount['mountPath']}/")
        assert str(variables["ORDER_WORKER_PROVIDER_STORE"]).startswith(f"{mount['mountPath']}/")


def test_the_ledgers_secret_wins_over_its_url(render: Render) -> None:
    manifests = render("order-platform", SHARED_LEDGER)
    spec = pod(only(manifests, "Deployment", "order-platform-worker-orders"))

    for container in (*spec["initContainers"], *spec["containers"]):
        variables = environment(container)
        assert variables["ORDER_LEDGER_URL"] == IN_THE_FILE
        file = str(variables["ORDER_LEDGER_URL_FILE"])
        assert mounted(spec, container)[file] == {"name": "ledger", "key": "url"}


def pruning(manifests: list[Manifest]) -> Manifest:
    job = only(manifests, "CronJob", "order-platform-prune-attempts")
    spec: Manifest = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def test_the_log_of_attempts_is_kept_as_long_as_the_values_say(render: Render) -> None:
    values = {"ledger": {**SHARED_LEDGER["ledger"], "attempts": {"keepDays": 30}}}
    spec = pruning(render("order-platform", values))
    [container] = spec["containers"]

    program, *arguments = container["command"]
    parsed = parser().parse_args(arguments)
    assert (program, parsed.command, parsed.older_than_days) == ("order-worker", "prune-attempts", 30)
    assert mounted(spec, container)[str(environment(container)["ORDER_LEDGER_URL_FILE"])]["name"] == "ledger"


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
    assert [volume["name"] for volume in cron_jobs(manifests)["verify-audit"]["volumes"]] == ["ledger"]


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

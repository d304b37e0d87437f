"""doctor, report, logs and completion."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_cluster import NOW, Ask, FakeCluster

from order_cli.completing import proposals
from order_cli.kind_checks import KINDS
from order_cli.redaction import redacted


def test_a_doctor_without_rights_says_what_it_could_not_check(kubectl_order: Ask, fake: FakeCluster) -> None:
    forbidden = 'Error from server (Forbidden): x is forbidden: User "vera" cannot list resource "x" in API group "" '
    for kind in ("customresourcedefinitions", "deployments", "validatingadmissionpolicybindings", "orderclasses"):
        fake.answer(f"^get {kind}", error=f"{forbidden} at the cluster scope")

    said = kubectl_order("doctor")

    assert said.out.count("? ") == 4
    assert "you (bob@example.com) in shop may:" in said.out


def test_a_doctor_finds_that_nobody_leads(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^get leases", out={"spec": {"holderIdentity": "", "renewTime": None}})

    said = kubectl_order("doctor")

    assert (said.code, "✗ operator order-platform-operator: nobody leads" in said.out) == (1, True)


def test_a_doctor_finds_policies_that_are_not_bound(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^get validatingadmissionpolicybindings", out="binding/order-platform-status")

    said = kubectl_order("doctor")

    assert (said.code, "names of approvers are not checked" in said.out) == (1, True)


def test_a_report_holds_no_address_no_mail_address_and_no_token(
    kubectl_order: Ask, fake: FakeCluster, tmp_path: Path
) -> None:
    secrets = ["Ana Torres", "1 Main Street", "Springfield", "62701", "ana@example.com", "tok_visa"]
    order = fake.orders["order-1500"]
    order["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(order["spec"])}
    order["status"]["message"] = "no delivery to Ana Torres, 1 Main Street"
    fake.write()
    target = tmp_path / "report.zip"

    said = kubectl_order(f"report order-1500 -n shop --to {target}")

    with zipfile.ZipFile(target) as bundle:
        texts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert said.code == 0
    assert set(texts) == {"order.json", "events.json", "class.json", "logs.txt", "about.json"}
    assert [(name, secret) for name, text in texts.items() for secret in secrets if secret in text] == []
    assert json.loads(texts["order.json"])["spec"]["shippingAddress"]["country"] == "US"


def test_a_report_about_the_installation_holds_no_value_of_a_variable(
    kubectl_order: Ask, fake: FakeCluster, tmp_path: Path
) -> None:
    target = tmp_path / "report.zip"

    kubectl_order(f"report --install --to {target}")

    with zipfile.ZipFile(target) as bundle:
        text = bundle.read("deployments.json").decode()
    assert "ORDER_LEDGER_URL" in text
    assert "sqlite:" not in text


@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))
)
def test_anything_can_be_redacted(value: object) -> None:
    json.dumps(redacted(value))


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["appr"], ["approve"]),
        (["why", "o-4"], ["o-4eyes"]),
        (["why", "-n", "shop", "order"], ["order-1500"]),
        (["list", "--phase", "Comp"], ["Compensating", "Completed"]),
        (["list", "--fai"], ["--failed"]),
        (["approve", "--re"], ["--reason"]),
        (["create", "--scenario", "happy"], ["happy-path"]),
        (["create", "--class", "thr"], ["threshold"]),
        (["list", "-o", "y"], ["yaml"]),
        (["wait", "x", "--for", "f"], ["finished"]),
        (["list", ""], []),
    ],
)
def test_words_are_completed(fake: FakeCluster, words: list[str], proposed: list[str]) -> None:
    names = "\n".join(f"order.order-platform.dev/{name}" for name in fake.orders)
    fake.answer("^get orders.order-platform.dev --output=name", out=names)
    fake.answer("^get orders.order-platform.dev .*--output=name", out=names)
    fake.answer("^get orderclasses.order-platform.dev --output=name", out="orderclass.order-platform.dev/threshold")

    assert proposals(words) == proposed


def kinds(fake: FakeCluster) -> dict[str, Any]:
    """The answer about the kinds, to be changed."""
    answer = next(each for each in fake._usual() if "customresourcedefinitions.*--output=json" in each["call"])
    return json.loads(answer["out"])  # type: ignore[no-any-return]


def test_a_doctor_finds_kinds_that_are_older_than_the_program(kubectl_order: Ask, fake: FakeCluster) -> None:
    found = kinds(fake)
    [version] = found["items"][0]["spec"]["versions"]
    del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["retry"]
    fake.answer("^get customresourcedefinitions .*--output=json", out=found)

    said = kubectl_order("doctor")

    assert (said.code, "kind orders is older than this program, it lacks spec.retry" in said.out) == (1, True)


def test_a_doctor_finds_kinds_that_are_not_served(kubectl_order: Ask, fake: FakeCluster) -> None:
    found = kinds(fake)
    found["items"][1]["status"] = {}
    fake.answer("^get customresourcedefinitions .*--output=json", out=found)

    assert "✗ kinds orderclasses.order-platform.dev are there and not served" in kubectl_order("doctor").out


def pods(fake: FakeCluster, **metrics: str) -> None:
    """Of the operator, by name, with what each says of itself."""
    running = {"status": {"phase": "Running"}}
    found = [{"metadata": {"name": name, "namespace": "order-platform"}, **running} for name in metrics]
    fake.answer("^get pods", out={"items": found})
    for name, text in metrics.items():
        fake.answer(f"^get --raw /api/v1/namespaces/order-platform/pods/{name}:[0-9]+/proxy/metrics", out=text)


LEADS, STANDS_BY = (
    "orders_operator_active 1.0\n",
    "orders_operator_active 0.0\norders_operator_temporal_reachable 0.0\n",
)


@pytest.mark.parametrize(
    ("reachable", "code", "told"),
    [
        ("1.0", 0, "✓ operator order-platform-operator: reaches Temporal"),
        ("0.0", 1, "✗ operator order-platform-operator: does not reach Temporal"),
    ],
)
def test_a_doctor_asks_the_operator_that_leads_about_temporal(
    kubectl_order: Ask, fake: FakeCluster, reachable: str, code: int, told: str
) -> None:
    fake.answer("^get leases", out={"spec": {"holderIdentity": "two", "renewTime": NOW.isoformat()}})
    pods(fake, one=STANDS_BY, two=f"{LEADS}orders_operator_temporal_reachable {reachable}\n")

    said = kubectl_order("doctor --install")

    assert (said.code, told in said.out) == (code, True), said.out


@pytest.mark.parametrize(
    ("monitors", "told"), [("", "! Prometheus Operator is not told"), ("a\nb", "✓ Prometheus Operator")]
)
def test_a_doctor_sees_whether_prometheus_is_told_to_scrape(
    kubectl_order: Ask, fake: FakeCluster, monitors: str, told: str
) -> None:
    pods(fake)
    listed = "\n".join(f"crd/{name}" for name in (*KINDS, "podmonitors.monitoring.coreos.com"))
    fake.answer("^get customresourcedefinitions --output=name", out=listed)
    fake.answer("^get podmonitors", out=monitors)

    assert told in kubectl_order("doctor --install").out


def test_a_doctor_of_the_installation_asks_nothing_about_the_caller_and_orders(
    kubectl_order: Ask, fake: FakeCluster
) -> None:
    pods(fake)

    said = kubectl_order("doctor --install")

    assert "you (" not in said.out
    of_the_caller = ("get orders.", "create", "get namespace", "config")
    assert not [call for call in fake.calls() if call["call"].startswith(of_the_caller)]


def test_a_version_names_that_of_the_kinds(kubectl_order: Ask) -> None:
    assert "kinds          v1alpha1\n" in kubectl_order("version").out

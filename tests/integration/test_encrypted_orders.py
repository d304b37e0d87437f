"""Orders whose payloads Temporal cannot read: end to end, with keys that are rotated, lost and found again."""

import base64
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import yaml
from cluster import Cluster
from encryption_keys import ring_file

from order_devstack import encryption, ports
from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.probes import http_ok
from order_devstack.stack import Stack
from order_domain.policy import ShippingMode

NAME, STREET, MAIL = "Planted Person", "77 Hidden Street", "planted.person@example.com"
TOKEN, NEW_STREET, WHY = "tok_plantedtoken", "78 Hidden Street", "planted reason of a person"
PLANTED = (NAME, STREET, MAIL, TOKEN, NEW_STREET, WHY)
ADDRESS = {"name": NAME, "line1": STREET, "city": "Springfield", "postalCode": "62701", "country": "US"}
PERSONAL = {
    "customer": {"id": "CUST-PLANTED", "email": MAIL},
    "shippingAddress": ADDRESS,
    "payment": {"method": TOKEN},
}
ALONE = ("operator", "worker")
"""Programs that carry orders out which ship by activities, without the others."""
_namespaces = count(1)


class EncryptedShop(Cluster):
    """A namespace on a platform that encrypts, with the keys in the stack's own folder."""

    disturbed = False
    """Whether the keys may be others than at first."""

    def __init__(self, stack: Stack, namespace: str) -> None:
        super().__init__(stack, namespace)
        self.otherwise: set[str] = set()
        """Programs that run with further variables."""

    def place(self, name: str, **changes: object) -> None:
        """An order that is full of what nobody else may read."""
        self.apply(name, **{**PERSONAL, **changes})

    def restart(self, *programs: str, **variables: str) -> None:
        """With further variables, or as at first."""
        self.disturbed = True
        self.otherwise = self.otherwise | set(programs) if variables else self.otherwise - set(programs)
        stack = self.stack.with_environment(dict.fromkeys(programs, variables))
        stack.stop(*programs)
        stack.start(*programs)


def found_in_temporal(stack: Stack, texts: tuple[str, ...]) -> set[str]:
    """Those that Temporal's own database file holds anywhere, in its log of changes too."""
    database = stack.root / "data" / "temporal.db"
    content = b"".join(file.read_bytes() for file in database.parent.glob("temporal.db*"))
    return {text for text in texts if text.encode() in content}


@pytest.fixture(scope="module")
def encrypted_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A platform of its own that encrypts from its first start."""
    stack = Stack(tmp_path_factory.mktemp("encrypted"))
    ring_file(stack.root, "first")
    assert encryption.is_on(stack.root)
    try:
        stack.up()
        yield stack
    finally:
        stack.clean()


@pytest.fixture
def shop(encrypted_platform: Stack) -> Iterator[EncryptedShop]:
    stack = encrypted_platform
    shop = EncryptedShop(stack, f"private-{next(_namespaces)}")
    yield shop
    if shop.disturbed:
        ring_file(stack.root, "third", "second", "first")
        stack.stop(*shop.otherwise)
    stack.up()


def test_nothing_of_a_person_is_in_temporals_database(shop: EncryptedShop) -> None:
    """Whole orders by every way of shipping, an edit, a decision with a reason, a declined payment and a failure."""
    pipeline = ["Receive", "Validate", "CheckFraud", "ReserveStock", "ChargePayment", "Ship", "Notify"]
    for mode in ShippingMode:
        kind = f"private-{mode.lower()}"
        spec = {"pipeline": pipeline, "shipping": {"mode": mode}}
        shop.create(
            {
                "apiVersion": "order-platform.dev/v1alpha1",
                "kind": "OrderClass",
                "metadata": {"name": kind},
                "spec": spec,
            }
        )
        shop.place(kind, className=kind)
    shop.place("approved", total=150_000)
    shop.place("declined", payment={"method": "tok_chargeDeclined"})
    shop.reaches("Waiting", "approved")
    shop.patch("approved", shippingAddress={**ADDRESS, "line1": NEW_STREET})
    shop.eventually(lambda s: s.get("shippingAddress", {}).get("line1") == NEW_STREET, "approved")
    shop.patch("approved", approval={"decision": "Approved", "by": "maria", "reason": WHY})
    for name in (*(f"private-{mode.lower()}" for mode in ShippingMode), "approved"):
        shop.reaches("Completed", name)
    shop.eventually(lambda s: s.get("phase") in {"Rejected", "Failed", "Cancelled"}, "declined")

    shop.stack.stop("temporal")
    try:
        assert found_in_temporal(shop.stack, PLANTED) == set()
        assert found_in_temporal(shop.stack, (f"order/{shop.namespace}/approved",)), "the file is Temporal's"
    finally:
        shop.stack.up()


def test_a_scan_finds_what_is_not_encrypted(cluster: Cluster) -> None:
    """Or the test above would prove nothing."""
    cluster.apply("plain", **PERSONAL)
    cluster.reaches("Completed", "plain")

    assert {NAME, STREET, MAIL, TOKEN} <= found_in_temporal(cluster.stack, PLANTED)


def test_orders_go_on_over_a_rotation_and_their_histories_stay_readable(shop: EncryptedShop) -> None:
    shop.place("waiting", total=150_000)
    shop.reaches("Waiting", "waiting")

    ring_file(shop.stack.root, "third", "second", "first")
    shop.restart("worker")  # it replays the whole history
    shop.patch("waiting", approval={"decision": "Approved", "by": "maria"})

    shop.reaches("Completed", "waiting")


def test_without_its_key_an_order_says_so_and_goes_on_when_the_key_is_back(shop: EncryptedShop) -> None:
    """All others go on meanwhile."""
    lost = {"ORDER_ENCRYPTION_NAMESPACES": f"{shop.namespace}=lost"}
    beside = EncryptedShop(shop.stack, f"{shop.namespace}-beside")
    ring_file(shop.stack.root, "first", "lost")
    shop.restart(*ALONE, **lost)
    shop.place("order", total=150_000)
    shop.reaches("Waiting")

    ring_file(shop.stack.root, "first")
    shop.restart(*ALONE, **lost)
    stalled = shop.eventually(
        lambda s: any(c["type"] == "Stalled" and c["reason"] == "EncryptionKeyMissing" for c in s.get("conditions", []))
    )
    assert "'lost'" in next(c["message"] for c in stalled["conditions"] if c["type"] == "Stalled")
    beside.place("order")
    beside.reaches("Completed")
    shop.place("new")
    shop.eventually(lambda s: any(c["reason"] == "EncryptionKeyMissing" for c in s.get("conditions", [])), "new")

    ring_file(shop.stack.root, "first", "lost")
    shop.eventually(lambda s: not any(c["reason"] == "EncryptionKeyMissing" for c in s.get("conditions", [])))
    shop.patch("order", approval={"decision": "Approved", "by": "maria"})
    shop.reaches("Completed")
    shop.reaches("Completed", "new")


@pytest.mark.parametrize("late", ALONE)
def test_programs_may_begin_to_encrypt_in_any_order(shop: EncryptedShop, late: str) -> None:
    """All have the keys; one does not write with them yet."""
    shop.restart(late, ORDER_ENCRYPTION_WRITE="false")
    shop.place("order", total=150_000)
    shop.reaches("Waiting")
    shop.restart(late)
    shop.patch("order", approval={"decision": "Approved", "by": "maria"})

    shop.reaches("Completed")


def history(shop: EncryptedShop, name: str, *arguments: str) -> str:
    """The content of all payloads that Temporal's command line shows of an order's history."""
    identifier = shop.status(name)["workflow"]["id"]
    shown = shop.stack.temporal("workflow", "show", "--workflow-id", identifier, "--output", "json", *arguments)
    return "".join(
        base64.b64decode(found).decode(errors="replace") for found in re.findall(r'"data": "([^"]+)"', shown)
    )


def test_the_stacks_web_ui_and_command_line_read_payloads_by_its_codec_server(shop: EncryptedShop) -> None:
    stack = shop.stack
    stack.start("codec-server")
    shop.place("order")
    shop.reaches("Completed")

    assert STREET not in history(shop, "order")
    assert STREET in history(shop, "order", "--codec-endpoint", stack.addresses["codec-server"])
    with urllib.request.urlopen(f"{stack.addresses['temporal-ui']}/api/v1/settings", timeout=10) as answer:  # noqa: S310
        assert json.load(answer)["Codec"]["Endpoint"] == stack.addresses["codec-server"]


def test_what_somebody_sends_by_the_command_line_is_encrypted_by_the_codec_server_and_heard(
    shop: EncryptedShop,
) -> None:
    stack = shop.stack
    stack.start("codec-server")
    shop.place("signalled", total=150_000)
    identifier = shop.reaches("Waiting", "signalled")["workflow"]["id"]

    by_codec = ("--codec-endpoint", stack.addresses["codec-server"])
    sent = ("--workflow-id", identifier, "--name", "approve_order", "--input", "true")
    stack.temporal("workflow", "signal", *sent, *by_codec)

    shop.reaches("Completed", "signalled")
    events = json.loads(stack.temporal("workflow", "show", "--workflow-id", identifier, "--output", "json"))["events"]
    [signal] = [event for event in events if "workflowExecutionSignaledEventAttributes" in event]
    [payload] = signal["workflowExecutionSignaledEventAttributes"]["input"]["payloads"]
    assert base64.b64decode(payload["metadata"]["encoding"]) == b"binary/encrypted"
    assert base64.b64decode(payload["metadata"]["encryption-scope"]) == b"namespace:default"


def test_an_account_of_the_cluster_decodes_what_it_may_read_and_leaves_a_line(
    shop: EncryptedShop, tmp_path: Path
) -> None:
    foreign = EncryptedShop(shop.stack, f"{shop.namespace}-foreign")
    for each in (shop, foreign):
        each.place("order")
        each.reaches("Completed")
    shop.kubectl("create", "serviceaccount", "clerk")
    shop.kubectl("create", "role", "reader", "--verb=get", "--resource=orders.order-platform.dev")
    shop.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={shop.namespace}:clerk")
    authorization = f"Bearer {shop.kubectl('create', 'token', 'clerk').strip()}"

    with a_codec_server(shop.stack, tmp_path) as (endpoint, log):
        asking = ("--codec-endpoint", endpoint, "--codec-auth", authorization)
        assert STREET in history(shop, "order", *asking)
        assert STREET not in history(foreign, "order", *asking)
        of_nobody = urllib.request.Request(f"{endpoint}/decode", b"{}", {"Authorization": "Bearer of-nobody"})  # noqa: S310
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(of_nobody, timeout=10)  # noqa: S310

    lines = [json.loads(line) for line in log.read_text().splitlines() if "order_codec.audit" in line]
    of_the_order = [line for line in lines if any("/order/" in name for name in line["workflows"])]
    assert {line["caller"] for line in lines} == {f"system:serviceaccount:{shop.namespace}:clerk"}
    assert {name for line in of_the_order for name in line["workflows"]} == {shop.status()["workflow"]["id"]}
    assert all(line["temporal_namespace"] == "default" for line in lines)
    assert not any(planted in log.read_text() for planted in PLANTED)


@contextmanager
def a_codec_server(stack: Stack, folder: Path) -> Iterator[tuple[str, Path]]:
    """The program as the chart runs it: its address, and its log."""
    [cluster] = yaml.safe_load(stack.kubeconfig.read_text())["clusters"]
    authority = folder / "ca.crt"
    authority.write_bytes(base64.b64decode(cluster["cluster"]["certificate-authority-data"]))
    chosen = ports.choose(["codec", "probes"], keep={})
    variables = {
        "PATH": "/usr/bin:/bin",
        "ORDER_ENCRYPTION_KEYS_FILE": str(stack.root / "encryption-keys"),
        "ORDER_CODEC_LISTEN": f"127.0.0.1:{chosen['codec']}",
        "ORDER_CODEC_PROBES": f"127.0.0.1:{chosen['probes']}",
        "ORDER_CODEC_API_SERVER": stack.addresses["kube-apiserver"],
        "ORDER_CODEC_API_SERVER_CA_FILE": str(authority),
    }
    log = folder / "codec-server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "order_codec"], env=variables, stderr=output, stdout=output
        )
        try:
            wait_until_nothing_is_missing(
                lambda: "" if http_ok(chosen["probes"], "/readyz") else "an answer", within_seconds=60.0, say=print
            )
            yield f"http://127.0.0.1:{chosen['codec']}", log
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()

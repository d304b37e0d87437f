"""G1 to G3, D9, B24, F79: a Temporal that asks for a certificate and an API key and cannot read payloads, and a ledger
that asks for a password, all replaced while orders are under way."""

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import pytest
from encryption_keys import ring_file
from password_server import PasswordServer, password_server
from secured_platform import Secured, secured_platform

from order_devstack import scenario_player
from order_devstack.scenarios import SCENARIOS
from order_devstack.stack import PLATFORM

APPROVED = {"decision": "Approved", "by": "maria"}
OVER_THRESHOLD = 150_000
WORKERS = [name for name in PLATFORM if name != "operator"]
PIPELINE = ["Receive", "ReserveStock", "ChargePayment", "Ship", "Notify"]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PasswordServer]:
    with password_server(tmp_path_factory.mktemp("ledger") / "url") as started:
        yield started


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, ledger: PasswordServer) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    keys = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(folder, "first")), "ORDER_ENCRYPTION_WRITE": "true"}
    with secured_platform(folder, {"ORDER_LEDGER_URL_FILE": str(ledger.mounted), **keys}) as it:
        yield it


@pytest.fixture(autouse=True)
def _without_a_restart(secured: Secured, ledger: PasswordServer) -> Iterator[None]:
    """Whatever is replaced, no process ends. A test that fails half-way leaves the next one what counts."""
    before = {name: secured.stack.pid(name) for name in PLATFORM}
    secured.listen()
    yield
    secured.credentials.restore()
    ledger.restore()
    after = {name: secured.stack.pid(name) for name in PLATFORM}
    if after != before:
        secured.stack.up()
    polls(secured)
    assert after == before


def readiness(secured: Secured, program: str) -> str:
    """What a program says at /readyz."""
    try:
        with urllib.request.urlopen(f"{secured.stack.addresses[f'{program}-probes']}/readyz", timeout=5) as answer:  # noqa: S310
            return str(answer.read().decode()).strip()
    except urllib.error.HTTPError as refused:
        return refused.read().decode().strip()


def polls(secured: Secured) -> None:
    """Wait until the worker says so."""
    secured.shop.until(lambda: readiness(secured, "worker") == "ok")


@pytest.mark.parametrize("mode", ["Activities", "ChildWorkflows", "Nexus"])
def test_orders_are_carried_with_encryption_a_certificate_and_an_api_key_at_once(secured: Secured, mode: str) -> None:
    shop = secured.shop
    name = mode.lower()
    shop.create(
        {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "OrderClass",
            "metadata": {"name": f"by-{name}"},
            "spec": {"pipeline": PIPELINE, "shipping": {"mode": mode}},
        }
    )

    shop.apply(name, className=f"by-{name}")

    assert shop.reaches("Completed", name)["payment"]["capturedMinor"] == 50_000
    (identifier,) = (each for each in shop.workflows() if f"/{name}/" in each)
    memo = shop.workflow(identifier)["workflowExecutionInfo"]["memo"]["fields"]["order"]
    assert base64.b64decode(memo["metadata"]["encoding"]) == b"binary/encrypted"


def test_a_replaced_key_counts_before_the_former_is_refused(secured: Secured) -> None:
    shop = secured.shop
    shop.apply("key-in-time", total=OVER_THRESHOLD)
    shop.reaches("Waiting", "key-in-time")

    secured.credentials.replace_key()
    shop.until(lambda: secured.says("API key was replaced", *PLATFORM))
    secured.credentials.revoke_keys(but_the_last=True)
    shop.patch("key-in-time", approval=APPROVED)

    shop.reaches("Completed", "key-in-time")


def test_a_key_that_is_refused_first_holds_orders_up_and_the_next_one_lets_them_go_on(secured: Secured) -> None:
    shop = secured.shop
    shop.apply("key-refused", total=OVER_THRESHOLD)
    shop.reaches("Waiting", "key-refused")

    secured.credentials.revoke_keys()
    shop.until(lambda: "Temporal does not allow this" in readiness(secured, "worker"))
    shop.apply("too-early")
    held = shop.eventually(lambda status: "API key" in status.get("message", ""), "too-early")
    assert held["phase"] == "Pending"
    shop.patch("key-refused", approval=APPROVED)
    secured.credentials.replace_key()

    shop.reaches("Completed", "key-refused")
    shop.reaches("Completed", "too-early")
    polls(secured)


@pytest.mark.long
def test_workers_whose_polls_are_refused_until_the_sdk_gives_them_up_poll_again(secured: Secured) -> None:
    """It does so after a minute."""
    shop = secured.shop
    shop.apply("for-minutes", total=OVER_THRESHOLD)
    shop.reaches("Waiting", "for-minutes")

    secured.credentials.revoke_keys()
    shop.until(lambda: secured.says("Beginning worker shutdown", *WORKERS), seconds=180)
    shop.until(lambda: "not polling Temporal" in readiness(secured, "worker"))
    secured.credentials.replace_key()
    shop.until(lambda: secured.says("polling task queue", *WORKERS))
    shop.patch("for-minutes", approval=APPROVED)

    shop.reaches("Completed", "for-minutes")


def test_a_key_that_is_taken_away_is_missed_by_name(secured: Secured) -> None:
    shop = secured.shop
    shop.apply("key-taken", total=OVER_THRESHOLD)
    shop.reaches("Waiting", "key-taken")

    secured.credentials.withdraw_key()
    shop.until(lambda: "there is no API key for Temporal" in readiness(secured, "worker"))
    shop.until(lambda: secured.says("API key was taken away", "operator"))  # or it would start the order
    shop.apply("without-key")
    shop.eventually(lambda status: "TEMPORAL_API_KEY_FILE" in status.get("message", ""), "without-key")
    assert shop.condition("Reconciling", "without-key")["reason"] == "TemporalUnauthenticated"
    assert shop.status("key-taken")["phase"] == "Waiting"
    secured.credentials.replace_key()
    shop.patch("key-taken", approval=APPROVED)

    shop.reaches("Completed", "key-taken")
    shop.reaches("Completed", "without-key")


def test_key_rotation_holds_both_orders_up_and_lets_both_end(secured: Secured) -> None:
    secured.stack.kubectl("create", "namespace", "play-key-rotation")

    outcome = scenario_player.play(secured.stack, SCENARIOS["key-rotation"], namespace="play-key-rotation")

    assert outcome.problems == []


def test_a_replaced_certificate_counts(secured: Secured) -> None:
    shop = secured.shop
    shop.apply("certificate-in-time", total=OVER_THRESHOLD)
    shop.reaches("Waiting", "certificate-in-time")

    secured.credentials.replace_certificate()
    shop.until(lambda: secured.says("reached with other certificates", *PLATFORM))
    shop.patch("certificate-in-time", approval=APPROVED)

    shop.reaches("Completed", "certificate-in-time")


def test_a_certificate_that_is_refused_first_holds_orders_up_and_the_next_one_lets_them_go_on(secured: Secured) -> None:
    shop = secured.shop
    shop.apply("certificate-refused", total=OVER_THRESHOLD)
    shop.reaches("Waiting", "certificate-refused")

    secured.credentials.replace_authority()
    shop.until(lambda: secured.says("orders wait: Temporal closes the connection", "operator"))
    shop.apply("before-the-certificate")
    shop.eventually(lambda status: "closes the connection" in status.get("message", ""), "before-the-certificate")
    shop.patch("certificate-refused", approval=APPROVED)
    secured.credentials.replace_certificate()

    shop.reaches("Completed", "certificate-refused")
    shop.reaches("Completed", "before-the-certificate")
    polls(secured)


def test_a_password_of_the_ledger_that_is_refused_first_fails_no_order(
    secured: Secured, ledger: PasswordServer
) -> None:
    shop = secured.shop
    shop.apply("password-changed", total=OVER_THRESHOLD)
    shop.reaches("Waiting", "password-changed")

    ledger.change("second")
    ledger.disconnect_all()
    shop.patch("password-changed", approval=APPROVED)
    shop.until(lambda: "the ledger does not answer" in readiness(secured, "worker"))
    ledger.mount("second")

    assert shop.reaches("Completed", "password-changed")["payment"]["capturedMinor"] == OVER_THRESHOLD
    polls(secured)


def test_a_certificate_that_has_ended_is_told_by_its_date_and_the_former_goes_on(secured: Secured) -> None:
    """A bad replacement stops nothing that works."""
    shop = secured.shop

    secured.credentials.replace_certificate(valid=timedelta(minutes=-1))
    shop.until(lambda: secured.says("the certificate ended on", *PLATFORM))
    shop.apply("former-certificate")

    shop.reaches("Completed", "former-certificate")
    secured.credentials.replace_certificate()

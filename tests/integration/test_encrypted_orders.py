"""Orders whose payloads Temporal cannot read: end to end, with keys that are rotated, lost and found again."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from cluster import Cluster
from encryption_keys import ring_file

from order_devstack.stack import PLATFORM, Stack
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
_namespaces = count(1)


class EncryptedShop(Cluster):
    """A namespace on a platform that encrypts, and the file with the keys of all its programs."""

    def __init__(self, stack: Stack, namespace: str, keys: Path) -> None:
        super().__init__(stack, namespace)
        self.keys = keys

    def place(self, name: str, **changes: object) -> None:
        """An order that is full of what nobody else may read."""
        self.apply(name, **{**PERSONAL, **changes})

    def restart(self, *programs: str, **variables: str) -> None:
        """With further variables."""
        stack = self.stack.with_environment(dict.fromkeys(programs, variables))
        stack.stop(*programs)
        stack.start(*programs)


def found_in_temporal(stack: Stack, texts: tuple[str, ...]) -> set[str]:
    """Those that Temporal's own database file holds anywhere, in its log of changes too."""
    database = stack.root / "data" / "temporal.db"
    content = b"".join(file.read_bytes() for file in database.parent.glob("temporal.db*"))
    return {text for text in texts if text.encode() in content}


@pytest.fixture(scope="module")
def encrypted_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Path]]:
    """A platform of its own that encrypts from its first start."""
    keys = ring_file(tmp_path_factory.mktemp("keys"), "first")
    variables = {"ORDER_ENCRYPTION_KEYS_FILE": str(keys), "ORDER_ENCRYPTION_WRITE": "true"}
    stack = Stack(tmp_path_factory.mktemp("encrypted"), ui=False, environment=dict.fromkeys(PLATFORM, variables))
    try:
        stack.up()
        yield stack, keys
    finally:
        stack.clean()


@pytest.fixture
def shop(encrypted_platform: tuple[Stack, Path]) -> Iterator[EncryptedShop]:
    stack, keys = encrypted_platform
    shop = EncryptedShop(stack, f"private-{next(_namespaces)}", keys)
    yield shop
    ring_file(keys.parent, "third", "second", "first")
    stack.stop(*PLATFORM)
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

    ring_file(shop.keys.parent, "third", "second", "first")
    shop.restart("worker")  # it replays the whole history
    shop.patch("waiting", approval={"decision": "Approved", "by": "maria"})

    shop.reaches("Completed", "waiting")


def test_without_its_key_an_order_says_so_and_goes_on_when_the_key_is_back(shop: EncryptedShop) -> None:
    """All others go on meanwhile."""
    lost = {"ORDER_ENCRYPTION_NAMESPACES": f"{shop.namespace}=lost"}
    beside = EncryptedShop(shop.stack, f"{shop.namespace}-beside", shop.keys)
    ring_file(shop.keys.parent, "first", "lost")
    shop.restart(*PLATFORM, **lost)
    shop.place("order", total=150_000)
    shop.reaches("Waiting")

    ring_file(shop.keys.parent, "first")
    shop.restart(*PLATFORM, **lost)
    stalled = shop.eventually(
        lambda s: any(c["type"] == "Stalled" and c["reason"] == "EncryptionKeyMissing" for c in s.get("conditions", []))
    )
    assert "'lost'" in next(c["message"] for c in stalled["conditions"] if c["type"] == "Stalled")
    beside.place("order")
    beside.reaches("Completed")
    shop.place("new")
    shop.eventually(lambda s: any(c["reason"] == "EncryptionKeyMissing" for c in s.get("conditions", [])), "new")

    ring_file(shop.keys.parent, "first", "lost")
    shop.eventually(lambda s: not any(c["reason"] == "EncryptionKeyMissing" for c in s.get("conditions", [])))
    shop.patch("order", approval={"decision": "Approved", "by": "maria"})
    shop.reaches("Completed")
    shop.reaches("Completed", "new")


@pytest.mark.parametrize("first", [("operator",), ("worker", "shipping-worker", "nexus-worker")], ids=lambda p: p[0])
def test_programs_may_begin_to_encrypt_in_any_order(shop: EncryptedShop, first: tuple[str, ...]) -> None:
    """All have the keys; some do not write with them yet."""
    shop.restart(*(name for name in PLATFORM if name not in first), ORDER_ENCRYPTION_WRITE="false")
    shop.place("order", total=150_000)
    shop.reaches("Waiting")
    shop.restart(*PLATFORM)
    shop.patch("order", approval={"decision": "Approved", "by": "maria"})

    shop.reaches("Completed")

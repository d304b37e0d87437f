"""Secrets on a node of their own: one encrypts what Temporal keeps, another opens the ledger, and the kubelet replaces
both while orders run."""

import base64
import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from asking import address, ask
from cluster_shop import FAST, Shop, open_for_business
from encryption_keys import key_lines
from installation import LEDGER_SECRET, RELEASE, TEMPORAL_NAMESPACE, Installation

from order_devstack.cluster.backing_servers import GUARDED_ROLE, LEDGER, TEMPORAL, ledger_url
from order_devstack.cluster.cluster import Cluster
from order_devstack.images import Image

pytestmark = pytest.mark.cluster

KEYS = "payload-keys"
CODEC = f"{RELEASE}-codec-server"
PLAIN_STREET, STREET = "11 Readable Street", "22 Hidden Street"
NAME, MAIL, TOKEN = "Planted Person", "planted.person@example.com", "tok_plantedtoken"
PLANTED = (STREET, NAME, MAIL, TOKEN)
WITH_KEYS = ("operator", "worker", "codec-server")
"""Components whose pods have the keys."""
_namespaces, _prefixes = count(1), count(1)


@pytest.fixture(scope="module")
def in_the_clear(built_images: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A platform that can read what is encrypted and writes nothing so yet; its ledger asks for a password."""
    folder = tmp_path_factory.mktemp("secrets")
    node = Cluster(folder / "node", say=lambda _: None)
    try:
        node.up()
        for image in built_images:
            if image.archive.stem != "console":
                node.load(image.archive)
        node.execute(LEDGER, f"CREATE ROLE {GUARDED_ROLE} LOGIN SUPERUSER PASSWORD 'first'")
        platform = Installation(node, folder)
        platform.prepare_namespace()
        open_ledger(platform, "first")
        platform.put_secret(KEYS, keys=key_lines("first"))
        platform.install(encryption(write=False))
        open_for_business(platform)
        yield platform
    finally:
        node.down()


@pytest.fixture(scope="module")
def encrypting(in_the_clear: Installation) -> Installation:
    """The same after an order in the clear: switched on as docs/encryption.md says it, with a codec server."""
    before = Shop(in_the_clear, "before")
    before.complete(before.place(1, of=FAST, **personal(PLAIN_STREET, name="Readable Person")))
    in_the_clear.upgrade({**encryption(write=True), "codecServer": {"enabled": True}})
    return in_the_clear


@pytest.fixture
def private(encrypting: Installation) -> Shop:
    """A namespace of its own."""
    return Shop(encrypting, f"private-{next(_namespaces)}")


def encryption(*, write: bool) -> dict[str, Any]:
    return {"encryption": {"existingSecret": {"name": KEYS}, "write": write}}


def open_ledger(platform: Installation, password: str) -> None:
    """Give the workers the ledger's URL with this password."""
    platform.put_secret(LEDGER_SECRET, url=ledger_url(f"{GUARDED_ROLE}:{password}"))


def personal(street: str = STREET, *, name: str = NAME) -> dict[str, Any]:
    address = {"name": name, "line1": street, "city": "Springfield", "postalCode": "62701", "country": "US"}
    return {
        "customer": {"id": "CUST-PLANTED", "email": MAIL if name == NAME else "ana@example.com"},
        "shippingAddress": address,
        "payment": {"method": TOKEN if name == NAME else "tok_visa"},
    }


def found_in_temporal(platform: Installation, *texts: str) -> set[str]:
    """Those that lie anywhere in Temporal's databases."""
    content = "".join(platform.node.dump(database) for database in TEMPORAL)
    return {text for text in texts if text in content or text.encode().hex() in content}


def history(platform: Installation, shop: Shop, name: str, *arguments: str) -> str:
    """What Temporal's command line shows of an order's history."""
    workflow = shop.orders()[name]["status"]["workflow"]["id"]
    target = ("--workflow-id", workflow, "--namespace", TEMPORAL_NAMESPACE, "--output", "json")
    return platform.node.temporal("workflow", "show", *target, *arguments)


def readable(shown: str) -> str:
    """With every payload in it."""
    return shown + "".join(decoded(data) for data in re.findall(r'"data":\s*"([^"]+)"', shown))


def keys_used(platform: Installation, shop: Shop, name: str) -> set[str]:
    """Ids of the keys that an order's history is encrypted with."""
    return set(map(decoded, re.findall(r'"encryption-key-id":\s*"([^"]+)"', history(platform, shop, name))))


def keys_of_a_new_order(platform: Installation, shop: Shop) -> set[str]:
    [name] = shop.place(1, of=FAST, prefix=f"new-{next(_prefixes)}", **personal())
    shop.complete([name])
    return keys_used(platform, shop, name)


def decoded(data: str) -> str:
    return base64.b64decode(data).decode(errors="replace")


def pods(platform: Installation, *components: str) -> dict[str, int]:
    """Name of each pod -> how often its containers were started again."""
    return {
        pod["metadata"]["name"]: sum(each["restartCount"] for each in pod["status"]["containerStatuses"])
        for component in components
        for pod in platform.pods(component)
    }


def mounted(platform: Installation, pod: str, file: str) -> str:
    return platform.kubectl("exec", pod, "--", "python3", "-c", f"print(open('{file}').read())")


def test_nothing_of_a_person_is_in_temporals_databases_once_the_values_say_so(
    encrypting: Installation, private: Shop
) -> None:
    orders = private.place(2, of=FAST, **personal())

    private.complete(orders)

    assert found_in_temporal(encrypting, *PLANTED, PLAIN_STREET) == {PLAIN_STREET}
    assert keys_used(encrypting, private, orders[0]) == {"first"}
    private.nothing_is_lost_or_twice(orders)


def test_the_codec_server_decodes_the_orders_that_a_caller_may_read_and_no_others(
    encrypting: Installation, private: Shop
) -> None:
    foreign = Shop(encrypting, f"{private.namespace}-foreign")
    for each in (private, foreign):
        each.complete(each.place(1, of=FAST, **personal()))
    endpoint = f"http://{address(encrypting, CODEC)}"
    asking = ("--codec-endpoint", endpoint, "--codec-auth", f"Bearer {private.token('viewer')}")

    assert STREET not in readable(history(encrypting, private, "order-0"))
    assert STREET in readable(history(encrypting, private, "order-0", *asking))
    assert STREET not in readable(history(encrypting, foreign, "order-0", *asking))

    for header in ({}, {"Authorization": "Bearer forged"}):
        assert ask(encrypting, CODEC, "POST", "/decode", json.dumps({"payloads": []}), header).status == 401
    log = encrypting.kubectl("logs", f"deployment/{CODEC}")
    read = [json.loads(line) for line in log.splitlines() if "order_codec.audit" in line]
    assert {line["caller"] for line in read} == {f"system:serviceaccount:{private.namespace}:viewer"}
    assert not any(planted in log for planted in PLANTED)


def test_a_key_that_is_replaced_in_its_secret_counts_without_a_restart(encrypting: Installation, private: Shop) -> None:
    [waiting] = private.place(1, prefix="waiting", of="threshold", total=150_000, **personal())
    encrypting.until(lambda: private.phases()[waiting] == "Waiting", "the order Waiting")
    before = pods(encrypting, *WITH_KEYS)

    for ring in (("first", "second"), ("second", "first")):
        encrypting.put_secret(KEYS, keys=key_lines(*ring))
        text = key_lines(*ring).strip()
        encrypting.until(
            lambda text=text: all(
                mounted(encrypting, pod, "/etc/order-platform/encryption/keys").strip() == text for pod in before
            ),
            f"the keys {ring} in every pod",
        )
    # A program looks at the file every second.
    encrypting.until(lambda: keys_of_a_new_order(encrypting, private) == {"second"}, "orders with the second key alone")
    private.patch(waiting, approval={"decision": "Approved", "by": "maria"})

    private.complete([waiting])
    assert keys_used(encrypting, private, waiting) == {"first", "second"}
    assert pods(encrypting, *WITH_KEYS) == before
    assert found_in_temporal(encrypting, *PLANTED) == set()


def test_a_password_of_the_ledger_that_is_replaced_in_its_secret_counts_without_a_restart(
    encrypting: Installation, private: Shop
) -> None:
    before = pods(encrypting, "operator", "worker")

    encrypting.node.execute(LEDGER, f"ALTER ROLE {GUARDED_ROLE} PASSWORD 'second'")
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename"
    encrypting.node.execute(LEDGER, f"{ended} = '{GUARDED_ROLE}'")
    orders = private.place(5, of=FAST)
    encrypting.until(lambda: encrypting.ready("worker") == 0, "a worker that says that it has no ledger")
    open_ledger(encrypting, "second")

    private.complete(orders)
    encrypting.until(lambda: encrypting.ready("worker") == 1, "a worker with its ledger")
    assert pods(encrypting, "operator", "worker") == before
    private.nothing_is_lost_or_twice(orders)

"""An operator and kinds of another release, on a real API server."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster import ORDERS, STOCK_ITEMS, Cluster

from order_devstack.stack import Stack
from order_operator.crd.comparison import lacking
from order_operator.crd.order import order_crd
from order_operator.crd.order_class import order_class_crd
from order_operator.crd.stock_item import stock_item_crd
from order_operator.crd.structural_schema import Schema


def kind(stack: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.kubectl("get", "crd", name, "--output=json"))
    return found


def store(stack: Stack, name: str, changed: Callable[[Schema], None]) -> None:
    """Change the schema of the kind's only version."""
    crd = kind(stack, name)
    changed(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"])
    crd["metadata"] = {key: crd["metadata"][key] for key in ("name", "labels", "annotations") if key in crd["metadata"]}
    del crd["status"]
    stack.kubectl("replace", "--filename=-", input=json.dumps(crd))


@pytest.fixture
def kinds_of_another_release(platform: Stack) -> Iterator[Callable[[str, Callable[[Schema], None]], None]]:
    """Stores a changed kind; afterwards those of this release are back."""
    kept: dict[str, dict[str, Any]] = {}

    def change(name: str, changed: Callable[[Schema], None]) -> None:
        kept[name] = kind(platform, name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        store(platform, name, changed)

    yield change
    for name, properties in kept.items():
        store(platform, name, lambda found, properties=properties: found.update(properties))  # type: ignore[misc]


def ready(stack: Stack) -> str:
    """What /readyz says; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"{stack.addresses['operator-probes']}/readyz", timeout=5) as answer:  # noqa: S310
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        return refused.read().decode()
    except OSError:
        return ""


@pytest.mark.parametrize("crd", [order_crd, order_class_crd, stock_item_crd])
def test_what_the_api_server_made_of_a_kind_of_this_release_lacks_nothing(
    platform: Stack, crd: Callable[[], Schema]
) -> None:
    wanted = crd()

    assert lacking(kind(platform, wanted["metadata"]["name"]), wanted) is None


def test_an_operator_waits_for_kinds_of_its_own_release_and_says_so(
    cluster: Cluster, kinds_of_another_release: Callable[[str, Callable[[Schema], None]], None]
) -> None:
    """B35"""
    stack = cluster.stack
    stack.kill("operator")
    sold = kind(stack, STOCK_ITEMS)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    sold = sold["properties"]["status"]["properties"]["sold"]
    kinds_of_another_release(STOCK_ITEMS, lambda found: found["status"]["properties"].pop("sold"))
    stack.up(["operator"], keep=True)

    cluster.until(lambda: "it lacks status.sold" in ready(stack))
    assert STOCK_ITEMS in ready(stack)
    store(stack, STOCK_ITEMS, lambda found: found["status"]["properties"].update(sold=sold))
    cluster.until(lambda: ready(stack) == "ok\n")
    cluster.apply()
    cluster.reaches("Completed")


def test_a_status_that_the_api_server_refuses_is_told_by_an_event(
    cluster: Cluster, kinds_of_another_release: Callable[[str, Callable[[Schema], None]], None]
) -> None:
    """B35: it was tried for ever, and nobody saw why the order stood still."""

    def knows_no_waiting(found: Schema) -> None:
        found["status"]["properties"]["phase"]["enum"].remove("Waiting")

    kinds_of_another_release(ORDERS, knows_no_waiting)

    cluster.apply(total=150_000)

    cluster.until(lambda: "StatusRefused" in cluster.events("order"))

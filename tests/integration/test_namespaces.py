"""An operator of chosen namespaces, with the chart's rights in them and no others."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster

from order_devstack.stack import Stack

CHART = Path(__file__).resolve().parents[2] / "charts" / "order-platform"
RIGHTS = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"}
_installations = count(1)


class Installation:
    """The chart's rights for two namespaces, and an operator that has them."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.release = f"chosen-{next(_installations)}"
        self.home = f"{self.release}-system"
        self.shops = [Cluster(stack, f"{self.release}-{name}") for name in ("a", "b")]
        stack.kubectl("create", "namespace", self.home)
        values = json.dumps({"namespaces": [shop.namespace for shop in self.shops]})
        rendered = stack.helm(
            "template",
            self.release,
            str(CHART),
            "--namespace",
            self.home,
            "--set-json",
            f"watch={values}",
            "--no-hooks",
        )
        objects = [item for item in yaml.safe_load_all(rendered) if item and item["kind"] in RIGHTS]
        self._rights = yaml.safe_dump_all(objects)
        self.grant()
        self.name = f"{self.release}-order-platform-operator"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(self._as_the_operator()))

    def _as_the_operator(self) -> dict[str, Any]:
        config: dict[str, Any] = yaml.safe_load(self.stack.kubeconfig.read_text())
        token = self.stack.kubectl("create", "token", self.name, "--namespace", self.home).strip()
        config["users"] = [{"name": "operator", "user": {"token": token}}]
        [cluster] = config["clusters"]
        config["contexts"] = [{"name": "operator", "context": {"cluster": cluster["name"], "user": "operator"}}]
        return {**config, "current-context": "operator"}

    def start(self) -> None:
        """The operator with these rights in place of the stack's own."""
        self.stack.kill("operator")
        variables = {
            "KUBECONFIG": str(self.kubeconfig),
            "ORDER_OPERATOR_NAMESPACES": ",".join(shop.namespace for shop in self.shops),
            "ORDER_OPERATOR_LEASE_NAMESPACE": self.home,
            "ORDER_OPERATOR_LEASE_NAME": self.name,
        }
        self.stack.with_environment({"operator": variables}).up(["operator"], keep=True)

    def grant(self) -> None:
        """All rights of the chart."""
        self.stack.kubectl("apply", "--filename=-", input=self._rights)

    def withdraw(self, shop: Cluster) -> None:
        """What deleting a namespace does to the rights in it."""
        [binding] = [
            item["metadata"]["name"]
            for item in yaml.safe_load_all(self._rights)
            if item["kind"] == "RoleBinding" and item["metadata"]["namespace"] == shop.namespace
        ]
        shop.kubectl("delete", "rolebinding", binding)


@pytest.fixture
def installation(platform: Stack, tmp_path: Path) -> Iterator[Installation]:
    yield Installation(platform, tmp_path)
    platform.kill("operator")
    platform.up()


def test_orders_of_the_chosen_namespaces_are_carried_out_with_the_rights_of_the_chart(
    installation: Installation,
) -> None:
    installation.start()

    for shop in installation.shops:
        shop.apply()
    for shop in installation.shops:
        assert shop.reaches("Completed")


def test_a_namespace_without_rights_holds_up_no_other(installation: Installation) -> None:
    """B11: the operator ended for all within seconds, and again at each start."""
    served, lost = installation.shops
    installation.withdraw(lost)

    installation.start()

    served.apply(total=150_000)
    served.reaches("Waiting")
    served.patch("order", approval={"decision": "Approved", "by": "bob", "totalMinor": 150_000})
    served.reaches("Completed")
    assert lost.namespace in (installation.stack.root / "log" / "operator.log").read_text()


def test_a_namespace_whose_rights_come_back_is_watched_again(installation: Installation) -> None:
    """kopf did not return when a watch had ended: that namespace was deaf until the operator's next start."""
    _, lost = installation.shops
    installation.withdraw(lost)
    installation.start()
    log = installation.stack.root / "log" / "operator.log"
    lost.until(lambda: "a watch ended and is started again" in log.read_text())

    installation.grant()
    lost.apply()

    assert lost.reaches("Completed")


def test_an_order_that_is_deleted_with_the_rights_to_it_goes_once_they_are_back(installation: Installation) -> None:
    """F27: deleting a namespace may take the rights in it first. The order's finalizer waits, and is not stuck."""
    served, lost = installation.shops
    installation.start()
    lost.apply(total=150_000)
    lost.reaches("Waiting")

    installation.withdraw(lost)
    lost.delete("order", "--wait=false")
    served.apply()
    served.reaches("Completed")
    assert lost.order()["metadata"]["finalizers"]
    installation.grant()

    lost.until(lambda: lost.order() == {}, seconds=120)
    [identifier] = lost.workflows()
    assert lost.workflow(identifier)["workflowExecutionInfo"]["status"].endswith("COMPLETED")

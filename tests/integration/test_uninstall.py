"""What the chart runs before `helm uninstall`, with the rights that it gives it, on a real API server.

No controller runs here: the Deployment is an object, and a Lease is what the test writes into it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from access import MERGE, ROOT, APIServer
from ordering_rights import STANDARD, Shop

from order_devstack.errors import CommandFailed
from order_devstack.platform import CHARTS
from order_devstack.stack import Stack
from order_operator.cluster.api_names import FINALIZER
from order_operator.commands.before_uninstall import REASON, OpenOrders

_installations = count(1)
ENFORCED = {"order-platform.dev/policies": "enforced"}


class Release:
    """One that carries the orders of a namespace of its own, under the policies."""

    def __init__(self, stack: Stack, server: APIServer, folder: Path, wish: OpenOrders) -> None:
        self.stack, self.server, self.folder, self.wish = stack, server, folder, wish
        self.home = f"leaving-{next(_installations)}"
        self.name = f"{self.home}-order-platform"
        self.shop = Shop(server, self.home, ENFORCED)
        values = (f"--set=watch.namespaces={{{self.home}}}", "--set=classes.install=false", "--set=defaultClass=")
        about = (f"--set=cluster={self.home}", f"--set=uninstall.openOrders={wish}")
        chart = str(CHARTS / "order-platform")
        stack.helm("install", self.home, chart, f"--namespace={self.home}", *values, *about)
        self.hold_the_lease("")

    @property
    def lease(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.home}/leases/{self.name}-operator"

    @property
    def scale(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.home}/deployments/{self.name}-operator/scale"

    def hold_the_lease(self, holder: str) -> None:
        spec = {"holderIdentity": holder or None, "leaseDurationSeconds": 15}
        self.server.must(ROOT, "PATCH", self.lease, {"spec": spec}, content=MERGE)

    def changes(self) -> int:
        """How often the operator's Deployment was written."""
        deployment = self.server.must(ROOT, "GET", self.scale.removesuffix("/scale"))
        return int(deployment["metadata"]["generation"])

    def replicas(self) -> int:
        scale: dict[str, Any] = self.server.must(ROOT, "GET", self.scale)
        return int(scale["spec"].get("replicas", 0))

    def upgrade(self) -> None:
        """With the values that it has."""
        chart = str(CHARTS / "order-platform")
        self.stack.helm("upgrade", self.home, chart, f"--namespace={self.home}", "--reuse-values")

    def before_uninstall(self, patience: int = 30) -> tuple[int, str]:
        """Exit code and words of the hook's command, run as its service account."""
        hooks = yaml.safe_load_all(self.stack.helm("get", "hooks", self.home, f"--namespace={self.home}"))
        before = [hook for hook in hooks if hook and hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"]
        [job] = [hook for hook in before if hook["kind"] == "Job"]
        rights = [hook for hook in before if hook["kind"] != "Job"]
        self.stack.kubectl("apply", "--filename=-", input=yaml.safe_dump_all(rights))
        pod = job["spec"]["template"]["spec"]
        [container] = pod["containers"]
        arguments = [*container["command"][1:], f"--patience={patience}"]
        said = {item["name"]: item["value"] for item in container["env"]}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "order_operator", *arguments],
            env={**os.environ, **said, "KUBECONFIG": self.as_the_hook(pod)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def as_the_hook(self, pod: dict[str, Any]) -> str:
        token = self.stack.kubectl("create", "token", pod["serviceAccountName"], f"--namespace={self.home}").strip()
        config: dict[str, Any] = yaml.safe_load(self.stack.kubeconfig.read_text())
        config["users"] = [{"name": "hook", "user": {"token": token}}]
        [cluster] = config["clusters"]
        config["contexts"] = [{"name": "hook", "context": {"cluster": cluster["name"], "user": "hook"}}]
        file = self.folder / "kubeconfig"
        file.write_text(json.dumps({**config, "current-context": "hook"}))
        return str(file)


@pytest.fixture
def release(request: pytest.FixtureRequest, servers: Stack, api_server: APIServer, tmp_path: Path) -> Iterator[Release]:
    made = Release(servers, api_server, tmp_path, request.param)
    yield made
    servers.helm("uninstall", made.home, f"--namespace={made.home}", "--no-hooks")


def of(*wishes: OpenOrders) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("release", wishes, indirect=True)


@of(*OpenOrders)
def test_an_installation_without_open_orders_stops_its_operator_and_gives_its_lease_away(release: Release) -> None:
    """The next one waited a quarter of a minute for the Lease of a process that was gone."""
    release.shop.place("ended", STANDARD)
    release.shop.show("ended", phase="Completed")

    code, said = release.before_uninstall()

    assert (code, said) == (0, "the operator is stopped\n")
    assert release.replicas() == 0
    assert release.server.send(ROOT, "GET", release.lease).code == 404


@of(OpenOrders.REFUSE)
def test_nothing_is_stopped_while_orders_are_open(release: Release) -> None:
    release.shop.place("waiting", STANDARD)
    release.shop.show("waiting", phase="Waiting")

    code, said = release.before_uninstall()

    assert code == 1
    assert f"1 orders are still open:\n  {release.home}/waiting: Waiting\n" in said
    assert "uninstall.openOrders" in said
    assert f"upgrades it only after: helm rollback {release.home} 1 --namespace {release.home}\n" in said
    # Not even for a moment.
    assert (release.replicas(), release.changes()) == (2, 1)


@of(OpenOrders.REFUSE)
def test_the_command_that_a_refusal_names_makes_upgrades_possible_again(release: Release) -> None:
    """Helm answered the upgrade that the refusal advised by "has no deployed releases"."""
    # No controller runs here: the Job never ends, which Helm takes as it takes a refusal.
    with pytest.raises(CommandFailed, match="before-uninstall"):
        release.stack.helm("uninstall", release.home, f"--namespace={release.home}", "--timeout=2s")
    with pytest.raises(CommandFailed, match="no deployed releases"):
        release.upgrade()

    release.stack.helm("rollback", release.home, "1", f"--namespace={release.home}")

    release.upgrade()


@of(OpenOrders.CANCEL)
def test_open_orders_are_cancelled_and_their_ends_are_waited_for(release: Release) -> None:
    release.shop.place("waiting", STANDARD)

    code, said = release.before_uninstall(patience=3)

    assert release.shop.read("waiting")["spec"]["cancellation"]["reason"] == REASON
    assert code == 1
    assert "not all orders that were cancelled have ended" in said
    assert release.replicas() == 2
    release.shop.show("waiting", phase="Cancelled")
    assert release.before_uninstall() == (0, "the operator is stopped\n")


@of(OpenOrders.LEAVE)
def test_orders_that_are_left_are_held_until_somebody_can_undo_them(release: Release) -> None:
    """Deleted without a finalizer, they were charged and shipped all the same."""
    release.shop.place("waiting", STANDARD)

    code, said = release.before_uninstall()

    assert (code, said) == (0, "the operator is stopped; 1 open orders stay, each held\n")
    assert release.shop.read("waiting")["metadata"]["finalizers"] == [FINALIZER]
    release.server.must(ROOT, "PATCH", release.shop.path("waiting"), {"metadata": {"finalizers": None}}, content=MERGE)


@of(OpenOrders.REFUSE)
def test_a_leader_that_never_answers_again_is_waited_for_as_long_as_its_lease_lasts(release: Release) -> None:
    release.hold_the_lease("somebody who is gone")

    code, _ = release.before_uninstall()

    assert code == 0
    assert release.server.send(ROOT, "GET", release.lease).code == 404


@of(OpenOrders.REFUSE)
def test_a_second_release_with_classes_is_refused_with_the_way_out(release: Release) -> None:
    """Helm spoke of ownership, and of no way out."""
    chart = str(CHARTS / "order-platform")
    arguments = ("install", "second", chart, f"--namespace={release.home}", "--dry-run=server")

    with pytest.raises(Exception, match=r"belong to the release order-platform in namespace order-platform: set cl"):
        release.stack.helm(*arguments)


@of(OpenOrders.REFUSE)
def test_an_upgrade_leaves_the_operators_lease_as_it_is(release: Release) -> None:
    release.hold_the_lease("the leader")

    release.upgrade()

    assert release.server.must(ROOT, "GET", release.lease)["spec"]["holderIdentity"] == "the leader"

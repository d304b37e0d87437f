"""The platform as Helm installs it on a whole node, and what a test does to it there."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from order_devstack import images
from order_devstack.cluster.backing_servers import ledger_url
from order_devstack.cluster.cluster import Cluster
from order_devstack.platform import CHARTS

NAMESPACE = RELEASE = "order-platform"
KINDS = "order-platform-crds"
TASK_QUEUE = "orders"
TEMPORAL_NAMESPACE = "orders"
"""None that the server has: the chart's Job makes it."""
OPERATOR, WORKER = "order-platform-operator", "order-platform-worker-orders"
"""Deployments."""
HELM_SECONDS = 180
"""An installation takes ten; the rest is for a busy machine."""
PATIENCE_SECONDS = 90.0
LEDGER_SECRET = "ledger"
"""Its key `url` is the ledger's."""
_POLL_SECONDS = 0.3


class Installation:
    """Both charts in one namespace, in which Pod Security enforces `restricted`."""

    def __init__(self, node: Cluster, folder: Path, charts: Path = CHARTS) -> None:
        """`folder` is for the files of values."""
        self.node = node
        self._folder = folder
        self._charts = charts

    def install(self, changes: Mapping[str, Any] | None = None) -> None:
        """As the README says it, with --wait."""
        self._helm("install", KINDS, {})
        self._helm("install", RELEASE, self._values(changes))

    def upgrade(self, changes: Mapping[str, Any] | None = None) -> None:
        """Bring the platform to its usual values with these changes; returns when its pods are ready."""
        self._helm("upgrade", RELEASE, self._values(changes))

    def upgrade_without_waiting(self, changes: Mapping[str, Any]) -> None:
        """The same, for pods that will not become ready."""
        self._helm("upgrade", RELEASE, self._values(changes), wait=False)

    def upgrade_to_this_release(self, changes: Mapping[str, Any] | None = None) -> None:
        """From another one's charts, the kinds first."""
        self._charts = CHARTS
        self._helm("upgrade", KINDS, {})
        self.upgrade(changes)

    def take_over(self) -> None:
        """The usual values, also where something else than Helm has set a field, as an autoscaler sets replicas."""
        self._helm("upgrade", RELEASE, self._values({}), "--force-conflicts")

    def roll_back(self, seconds: int = HELM_SECONDS) -> None:
        """To the release before. Raises CommandFailed where its pods are not ready so soon."""
        self.node.helm("rollback", RELEASE, "--namespace", NAMESPACE, "--wait", f"--timeout={seconds}s")

    def reinstall(self) -> None:
        """The platform, with its usual values, on kinds that have stayed; nothing where it is installed."""
        self._helm("upgrade", RELEASE, self._values({}), "--install")

    def uninstall(self) -> None:
        """The platform, not its kinds."""
        self.node.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", f"--timeout={HELM_SECONDS}s")

    def prepare_namespace(self) -> None:
        """The namespace, and the Secret with the ledger's URL."""
        enforced = "pod-security.kubernetes.io/enforce: restricted"
        manifest = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    {enforced}\n"
        self.node.kubectl("apply", "--filename=-", input=manifest)
        self.put_secret(LEDGER_SECRET, url=ledger_url())

    def put_secret(self, name: str, **content: str) -> None:
        """Make it, or replace what is in it."""
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": content}
        self.kubectl("apply", "--filename=-", input=json.dumps(secret))

    def kubectl(self, *arguments: str, input: str = "") -> str:  # noqa: A002 - as subprocess spells it
        """In the namespace of the release."""
        return self.node.kubectl("--namespace", NAMESPACE, *arguments, input=input)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """In the namespaces that they name."""
        self.node.kubectl(
            "apply", "--filename=-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Those of `operator` or `worker` that are not about to go."""
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        found = json.loads(self.kubectl("get", "pods", "--selector", selector, "--output=json"))["items"]
        return [
            pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] != "Succeeded"
        ]

    def ready(self, component: str) -> int:
        """How many of them are ready."""
        return sum(
            condition["type"] == "Ready" and condition["status"] == "True"
            for pod in self.pods(component)
            for condition in pod["status"].get("conditions", [])
        )

    def is_whole(self) -> bool:
        """Whether each Deployment has as many new and ready pods as it wants, and no others."""
        deployments = json.loads(self.kubectl("get", "deployments", "--output=json"))["items"]
        return bool(deployments) and all(
            each["status"].get("observedGeneration") == each["metadata"]["generation"]
            and each["spec"]["replicas"]
            == each["status"].get("replicas", 0)
            == each["status"].get("updatedReplicas", 0)
            == each["status"].get("availableReplicas", 0)
            for each in deployments
        )

    def becomes_whole(self) -> None:
        """Wait for it."""
        self.until(self.is_whole, "all pods ready")

    def leader(self) -> str:
        """Name of the operator's pod that leads; empty if none does."""
        found = self.kubectl("get", "lease", OPERATOR, "--ignore-not-found", "--output=json")
        holder = json.loads(found or "{}").get("spec", {}).get("holderIdentity") or ""
        return next((name for pod in self.pods("operator") if (name := pod["metadata"]["name"]) in holder), "")

    def kill(self, pod: str) -> None:
        """SIGKILL for every process of the pod's first container."""
        [first, *_] = json.loads(self.kubectl("get", "pod", pod, "--output=json"))["status"]["containerStatuses"]
        self.node.kill_container(first["containerID"])

    def workflows(self, query: str) -> list[dict[str, Any]]:
        """Those that Temporal lists."""
        target = (f"--namespace={TEMPORAL_NAMESPACE}", "--limit=1000", "--output=json")
        found: list[dict[str, Any]] = json.loads(self.node.temporal("workflow", "list", "--query", query, *target))
        return found

    def attempts(self, query: str) -> dict[str, Any]:
        """What the histories of these workflows tell of tasks that were repeated or timed out: how many, and why."""
        script = (sys.executable, str(Path(__file__).with_name("histories.py")))
        address = self.node.variables()["TEMPORAL_ADDRESS"]
        found: dict[str, Any] = json.loads(self.node.run([*script, address, TEMPORAL_NAMESPACE, query]))
        return found

    def waiting_tasks(self, task_queue: str) -> int:
        """How many tasks wait for a worker, as Temporal knows it."""
        asked = ("task-queue", "describe", f"--task-queue={task_queue}", f"--namespace={TEMPORAL_NAMESPACE}")
        stats = json.loads(self.node.temporal(*asked, "--output=json"))["stats"]
        return sum(int(each["approximateBacklogCount"]) for each in stats)

    def scale(self, deployment: str, replicas: int) -> None:
        """By hand."""
        self.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}")

    def worker_says(self, *command: str) -> str:
        """What a command says inside a worker's pod."""
        return self.kubectl("exec", f"deployment/{WORKER}", "--container=worker", "--", *command)

    def requests(self) -> list[dict[str, Any]]:
        """What the platform's service accounts have asked of the API server, in the order of its answers."""
        prefix = f"system:serviceaccount:{NAMESPACE}:"
        lines = map(json.loads, self.node.audit_log.read_text().splitlines())
        return [line for line in lines if line["user"]["username"].startswith(prefix)]

    def until(self, holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once `holds` is true; else fail with the state of all pods."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds:.0f} s\n{self.kubectl('get', 'pods')}")
            time.sleep(_POLL_SECONDS)

    def _values(self, changes: Mapping[str, Any] | None) -> dict[str, Any]:
        image = {"registry": images.REGISTRY, "tag": images.version(), "pullPolicy": "Never"}
        usual = {
            "temporal": {"address": "temporal.infra:7233", "namespace": TEMPORAL_NAMESPACE},
            "ledger": {"existingSecret": {"name": LEDGER_SECRET}},
            "operator": {"image": image},
            "worker": {"image": image, "simulation": {"allowed": True}},
        }
        return _merged(usual, changes or {})

    def _helm(self, action: str, release: str, values: Mapping[str, Any], *options: str, wait: bool = True) -> None:
        file = self._folder / f"{release}.json"
        file.write_text(json.dumps(values))
        waiting = ("--wait", f"--timeout={HELM_SECONDS}s") if wait else ()
        chart = (release, str(self._charts / release), "--values", str(file), "--namespace", NAMESPACE)
        self.node.helm(action, *chart, *waiting, *options)


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in changes.items():
        earlier = merged.get(name)
        merged[name] = _merged(earlier, value) if isinstance(earlier, dict) and isinstance(value, Mapping) else value
    return merged

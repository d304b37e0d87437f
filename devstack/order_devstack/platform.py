"""The product itself inside the stack: its charts, its operator, its worker.

No controller-manager runs, so the charts' Deployments are objects only; the operator and the worker are processes.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from order_devstack import control_plane
from order_devstack.conditions import wait_for_condition, wait_until_nothing_is_missing
from order_devstack.ports import HOST
from order_devstack.probes import http_ok
from order_devstack.processes import Service
from order_devstack.temporal_server import NAMESPACE as TEMPORAL_NAMESPACE
from order_devstack.temporal_server import SHIPPING_NAMESPACE, ensure_nexus_endpoint
from order_domain.policy import ShippingPolicy
from order_worker.settings import Role

_CHECKOUT = Path(__file__).resolve().parents[2]
CHARTS = _CHECKOUT / "charts"
_LEDGER_SOURCE = _CHECKOUT / "worker" / "order_worker" / "ledger"
_STOCK_SAMPLE = _CHECKOUT / "manifests" / "samples" / "stock.yaml"
_STOCK_ITEM, _STOCK_ITEMS = "stockitem.order-platform.dev", "stockitems.order-platform.dev"
NAMESPACE = "order-platform"
# Enough that a benchmark does not run out; samples and demo orders use these items. The last three are the articles of
# the class scenario-demo.
STOCK = dict.fromkeys(("PROD-001", "PROD-002", "PROD-003", "654300", "654321", "654322"), 100_000)
_SERVED_SECONDS = 60.0
"""It takes one or two; the rest is for a busy machine."""

Run = Callable[..., str]
"""Runs a client program of the stack with the given arguments; returns its output, raises DevstackError."""


def install_chart(release: str, chart: Path, values: Mapping[str, object], root: Path, helm: Run, kubectl: Run) -> bool:
    """Bring the release to `chart` and `values`; whether there was anything to do. Idempotent."""
    record = root / "run" / f"{release}.chart"
    digest = _digest(chart, "*", values)
    status = _release_status(release, helm)
    if status == "deployed" and record.exists() and record.read_text() == digest:
        return False
    if status.startswith("pending"):
        # Helm was killed half-way and now refuses to go on. Only the record of that attempt goes: the objects carry
        # the release's name, so the next attempt takes them over.
        selector = f"owner=helm,name={release},status={status}"
        kubectl("delete", "secret", "--namespace", NAMESPACE, "--selector", selector)
    values_file = root / "run" / f"{release}.values.json"
    values_file.parent.mkdir(parents=True, exist_ok=True)
    values_file.write_text(json.dumps(values))
    helm(
        *("upgrade", "--install", release, str(chart), "--values", str(values_file)),
        *("--namespace", NAMESPACE, "--create-namespace"),
        "--no-hooks",  # hooks are Jobs, and nothing here would ever finish a Job
    )
    record.write_text(digest)
    return True


def wait_for_crds(kubectl: Run, say: Callable[[str], None]) -> None:
    """Until the API server serves every kind that is defined; `say` is told what is missing while it takes long.
    Raises DevstackError if it does not in time.

    The condition Established does not tell it all: it is remembered, and a server that has just started denies for a
    moment that it knows a kind (404), or answers its first list with 429. An answer alone does not tell either: a kind
    that becomes established is taken away once more.
    """
    for kind in wait_for_condition(kubectl, "Established", "crd", within_seconds=_SERVED_SECONDS, say=say):
        spec = kind["spec"]
        stored = next(version["name"] for version in spec["versions"] if version["storage"])
        path = f"/apis/{spec['group']}/{stored}/{spec['names']['plural']}?limit=1"
        wait_until_nothing_is_missing(partial(_unserved, kubectl, path), within_seconds=_SERVED_SECONDS, say=say)


def operator(
    root: Path,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
    extra: Mapping[str, str],
    kubectl: Run,
    say: Callable[[str], None],
    *,
    ui: bool,
) -> Service:
    """The operator with the rights of the chart's service account."""
    kubeconfig = root / "operator.kubeconfig"

    def prepare() -> None:
        wait_for_crds(kubectl, say)
        name = "order-platform-operator"
        # Longer than a stack lives; made anew at every start of the process.
        token = kubectl("create", "token", name, "--namespace", NAMESPACE, "--duration=720h").strip()
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(control_plane.kubeconfig(root, ports["kube-apiserver"], {name: token}))

    return Service(
        command=_python("order_operator"),
        environment={
            **environment,
            **_temporal(ports),
            "KUBECONFIG": str(kubeconfig),
            "ORDER_OPERATOR_LEASE_NAMESPACE": NAMESPACE,
            "ORDER_OPERATOR_IDENTITY": "devstack",  # there is only one, so that it need not wait for a dead one's lease
            "ORDER_OPERATOR_METRICS_ADDRESS": f"{HOST}:{ports['operator-metrics']}",
            "ORDER_OPERATOR_PROBES_ADDRESS": f"{HOST}:{ports['operator-probes']}",
            **({"ORDER_OPERATOR_TEMPORAL_UI": f"http://{HOST}:{ports['temporal-ui']}"} if ui else {}),
            **extra,
        },
        ports=[ports["operator-metrics"], ports["operator-probes"]],
        prepare=prepare,
        # Not /livez: the test of upgrades starts an operator of an earlier release, which does not know it.
        answers=lambda: http_ok(ports["operator-probes"], "/healthz"),
    )


def worker(root: Path, ports: Mapping[str, int], environment: Mapping[str, str], extra: Mapping[str, str]) -> Service:
    """The worker for orders on the embedded ledger, with stock to sell."""
    return _worker("worker", {"ORDER_WORKER_ROLES": Role.ORDERS}, root, ports, environment, extra)


def shipping_worker(
    root: Path, ports: Mapping[str, int], environment: Mapping[str, str], extra: Mapping[str, str]
) -> Service:
    """The worker for shipments that are child workflows of their orders."""
    return _worker("shipping-worker", {"ORDER_WORKER_ROLES": Role.SHIPPING}, root, ports, environment, extra)


def nexus_worker(
    root: Path, ports: Mapping[str, int], environment: Mapping[str, str], extra: Mapping[str, str], temporal: Run
) -> Service:
    """The worker for shipments behind the Nexus endpoint, in a Temporal namespace of their own."""
    variables = {"ORDER_WORKER_ROLES": Role.SHIPPING, "TEMPORAL_NAMESPACE": SHIPPING_NAMESPACE}
    service = _worker("nexus-worker", variables, root, ports, environment, extra)
    default = ShippingPolicy()

    def prepare() -> None:
        service.prepare()
        ensure_nexus_endpoint(temporal, default.endpoint, default.task_queue)

    return replace(service, prepare=prepare)


def _worker(
    name: str,
    own: Mapping[str, str],
    root: Path,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
    extra: Mapping[str, str],
) -> Service:
    data = root / "data"
    outside = bool({"ORDER_LEDGER_URL", "ORDER_LEDGER_URL_FILE"} & extra.keys())
    ledger = ledger_variables(root)
    if outside:
        del ledger["ORDER_LEDGER_URL"]
    variables = {
        **environment,
        **_temporal(ports),
        **ledger,
        "ORDER_WORKER_METRICS_ADDRESS": f"{HOST}:{ports[f'{name}-metrics']}",
        "ORDER_WORKER_PROBES_ADDRESS": f"{HOST}:{ports[f'{name}-probes']}",
        "ORDER_WORKER_SIMULATION": "true",
        **own,
        **extra,
    }

    def prepare() -> None:
        # Seconds that a worker which was only killed need not wait for.
        record = root / "run" / "worker.ledger"
        digest = _digest(_LEDGER_SOURCE, "*.py", {"url": variables.get("ORDER_LEDGER_URL", ""), "stock": STOCK})
        if not outside and _ledger(root).exists() and record.exists() and record.read_text() == digest:
            return
        from order_devstack import stack_ledger  # noqa: PLC0415 - slow to import, and other commands need none of it

        data.mkdir(parents=True, exist_ok=True)
        stack_ledger.prepare(variables, STOCK)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(digest)

    return Service(
        command=_python("order_worker"),
        environment=variables,
        ports=[ports[f"{name}-metrics"], ports[f"{name}-probes"]],
        prepare=prepare,
        answers=lambda: http_ok(ports[f"{name}-probes"], "/readyz"),
    )


def ledger_variables(root: Path) -> dict[str, str]:
    """Where the worker, and its commands in a shell, find the ledger and the books of the simulated providers."""
    return {
        "ORDER_LEDGER_URL": f"sqlite:///{_ledger(root)}",
        "ORDER_WORKER_PROVIDER_STORE": str(root / "data" / "providers.db"),
    }


def _ledger(root: Path) -> Path:
    return root / "data" / "ledger.db"


def keep_articles(kubectl: Run) -> None:
    """A StockItem for each of the articles that the samples sell, in the namespace default. One that is there stays as
    it is."""
    sample = yaml.safe_load(_STOCK_SAMPLE.read_text())
    present = kubectl("get", _STOCK_ITEMS, "--namespace", "default", "--output=name").split()
    items = [
        {**sample, "metadata": {"name": sku.lower(), "namespace": "default"}, "spec": {**sample["spec"], "sku": sku}}
        for sku in STOCK
        if sku.startswith("PROD-") and f"{_STOCK_ITEM}/{sku.lower()}" not in present
    ]
    if items:
        kubectl("apply", "--filename=-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _temporal(ports: Mapping[str, int]) -> dict[str, str]:
    return {"TEMPORAL_ADDRESS": f"{HOST}:{ports['temporal']}", "TEMPORAL_NAMESPACE": TEMPORAL_NAMESPACE}


def _python(module: str) -> list[str]:
    # -P: the current directory may hold folders named like packages.
    return [sys.executable, "-P", "-m", module]


def _unserved(kubectl: Run, path: str) -> str:
    """The path if the API server answers it with nothing; an error is raised."""
    return "" if kubectl("get", "--raw", path) else path


def _release_status(release: str, helm: Run) -> str:
    listed = json.loads(helm("list", "--namespace", NAMESPACE, "--filter", f"^{release}$", "--output", "json"))
    return str(listed[0]["status"]) if listed else "absent"


def _digest(folder: Path, pattern: str, values: Mapping[str, object]) -> str:
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for file in sorted(folder.rglob(pattern)):
        if file.is_file():
            digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()

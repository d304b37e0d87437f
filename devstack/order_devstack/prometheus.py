"""Prometheus, if this machine has it: it scrapes the stack as the chart's PodMonitors have a cluster scraped, and
evaluates the chart's alerts. Debian's package `prometheus` has the program, and promtool."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from order_devstack import platform
from order_devstack.ports import HOST
from order_devstack.probes import http_ok
from order_devstack.processes import Service

SCRAPE_SECONDS = 5
"""A newcomer looks a minute after the start; a cluster's 30 s would show two points by then."""
_RELABELINGS = platform.CHARTS / "order-platform" / "files" / "monitoring" / "relabelings.yaml"
_POD_LABEL = "__meta_kubernetes_pod_label_"

Rules = Callable[[], str]
"""The chart's PrometheusRule, as YAML."""


def program() -> Path | None:
    """None where it is not installed."""
    found = shutil.which("prometheus")
    return Path(found) if found else None


def prometheus(
    found: Path,
    root: Path,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
    processes: Sequence[str],
    rules: Rules,
) -> Service:
    """Scrapes the metrics of `processes`: the operator, and workers by their names."""
    file, data = root / "run" / "prometheus.yml", root / "data" / "prometheus"
    address = f"{HOST}:{ports['prometheus']}"

    def prepare() -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        alerts = file.with_name("alerts.yml")
        alerts.write_text(yaml.safe_dump({"groups": yaml.safe_load(rules())["spec"]["groups"]}))
        file.write_text(yaml.safe_dump(configuration(ports, processes, alerts), sort_keys=False))

    return Service(
        command=[
            str(found),
            f"--config.file={file}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=2d",
            f"--web.listen-address={address}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ],
        environment=environment,
        ports=[ports["prometheus"]],
        prepare=prepare,
        answers=lambda: http_ok(ports["prometheus"], "/-/ready"),
    )


def configuration(ports: Mapping[str, int], processes: Sequence[str], rules: Path) -> dict[str, Any]:
    """Targets get the labels that Prometheus Operator gives those of a PodMonitor."""
    relabelings = yaml.safe_load(_RELABELINGS.read_text())
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "order-platform",
                "static_configs": [_target(name, ports[f"{name}-metrics"]) for name in processes],
                "relabel_configs": [native(each) for each in relabelings["relabelings"]],
                "metric_relabel_configs": [native(each) for each in relabelings["metricRelabelings"]],
            }
        ],
    }


_WORKERS = {"worker": "orders", "shipping-worker": "shipping", "nexus-worker": "nexus"}
"""What the chart would call them."""


def _target(name: str, port: int) -> dict[str, Any]:
    component = "worker" if name in _WORKERS else "operator"
    worker = {f"{_POD_LABEL}order_platform_dev_worker": _WORKERS[name]} if name in _WORKERS else {}
    return {
        "targets": [f"{HOST}:{port}"],
        "labels": {
            "namespace": platform.NAMESPACE,
            "pod": name,
            "container": component,
            "endpoint": "metrics",
            f"{_POD_LABEL}app_kubernetes_io_component": component,
            **worker,
        },
    }


def native(relabeling: Mapping[str, Any]) -> dict[str, Any]:
    """A relabelling of Prometheus Operator's kinds as Prometheus itself spells it."""
    return dict(_snake_case(relabeling))


def _snake_case(relabeling: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in relabeling.items():
        yield re.sub(r"([A-Z])", lambda letter: f"_{letter[1].lower()}", key), value

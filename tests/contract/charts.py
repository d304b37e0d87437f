"""The charts as Helm renders them, and what to look for in it. No server."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[2] / "charts"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


class RenderingFailed(Exception):
    """Helm refused the values."""


def rendering(helm: Path, folder: Path) -> Render:
    """Renders a chart with values; raises RenderingFailed with what Helm said."""

    def run(
        chart: str,
        values: Mapping[str, Any] | None = None,
        *arguments: str,
        release: str = "order-platform",
        namespace: str = "order-platform",
        hooks: bool = False,
    ) -> list[Manifest]:
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values or {})))
        command = [helm, "template", release, CHARTS / chart, "--namespace", namespace, "--values", file]
        extra = [*arguments, *([] if hooks else ["--no-hooks"])]
        done = subprocess.run([*command, *extra], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RenderingFailed(done.stderr)
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return run


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pod(deployment: Manifest) -> Manifest:
    spec: Manifest = deployment["spec"]["template"]["spec"]
    return spec


def environment(container: Manifest) -> dict[str, str | None]:
    return {item["name"]: item.get("value") for item in container["env"]}


def granted(manifests: list[Manifest], kind: str) -> set[str]:
    """`role: verbs on group/resources [names]`, one line per rule of the roles of this kind."""
    return {
        f"{role['metadata'].get('namespace', '*')}/{role['metadata']['name']}: {','.join(rule['verbs'])} on "
        f"{','.join(rule['apiGroups'])}/{','.join(rule['resources'])}"
        + (f" [{','.join(rule['resourceNames'])}]" if "resourceNames" in rule else "")
        for role in manifests
        if role["kind"] == kind
        for rule in role["rules"]
    }


def deployments(manifests: list[Manifest]) -> set[str]:
    return {item["metadata"]["name"] for item in manifests if item["kind"] == "Deployment"}


def labels_of(manifest: Manifest) -> dict[str, str]:
    found: dict[str, str] = manifest["metadata"].get("labels", {})
    return found


def kinds(manifests: list[Manifest]) -> set[str]:
    return {item["kind"] for item in manifests}


def names(manifests: list[Manifest]) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of each."""
    return {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in manifests}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The template of each pod, by kind and name of what makes it."""
    found: dict[str, Manifest] = {}
    for item in manifests:
        name = f"{item['kind']}/{item['metadata']['name']}"
        if item["kind"] == "Pod":
            found[name] = item
        elif item["kind"] == "CronJob":
            found[name] = item["spec"]["jobTemplate"]["spec"]["template"]
        elif item["kind"] in ("Deployment", "Job"):
            found[name] = item["spec"]["template"]
    return found


SHARED_LEDGER = {"ledger": {"existingSecret": {"name": "ledger"}}}

TEMPORAL_VARIABLES = {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}

STRIPE = {"payment": {"provider": "stripe", "stripe": {"existingSecret": {"name": "stripe", "key": "secret-key"}}}}

"""The charts as Helm renders them, and what to look for in it. No server."""

import json
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[2] / "charts"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


class RenderingFailed(Exception):
    """Helm refused the values."""


@cache
def _rendered(helm: Path, chart: Path, values: str, arguments: tuple[str, ...]) -> str:
    """A chart does not change while tests run: many ask for the same."""
    command = [helm, "template", chart, "--values=-", *arguments]
    done = subprocess.run(command, input=values, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RenderingFailed(done.stderr)
    return done.stdout


def rendering(helm: Path) -> Render:
    """Renders a chart with values; raises RenderingFailed with what Helm said."""

    def run(
        chart: str,
        values: Mapping[str, Any] | None = None,
        *arguments: str,
        release: str = "order-platform",
        namespace: str = "order-platform",
        hooks: bool = False,
    ) -> list[Manifest]:
        options = (f"--name-template={release}", f"--namespace={namespace}", *([] if hooks else ["--no-hooks"]))
        text = _rendered(helm, CHARTS / chart, json.dumps(values or {}), (*options, *arguments))
        return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]

    return run


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pod(deployment: Manifest) -> Manifest:
    spec: Manifest = deployment["spec"]["template"]["spec"]
    return spec


def environment(container: Manifest) -> dict[str, str | None]:
    return {item["name"]: item.get("value") for item in container["env"]}


def in_the_pod(container: Manifest, *, ledger: str = "postgresql://orders@db/orders") -> dict[str, str]:
    """The variables as a program has them, with the ledger's URL instead of the mounted file that holds it."""
    variables = {name: value for name, value in environment(container).items() if value is not None}
    if variables.pop("ORDER_LEDGER_URL_FILE", None) is not None:
        variables["ORDER_LEDGER_URL"] = ledger
    return variables


def mounted(spec: Manifest, container: Manifest) -> dict[str, Manifest]:
    """The files of Secrets that a container finds, by their path: name of the Secret and its key."""
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    found: dict[str, Manifest] = {}
    for mount in container.get("volumeMounts", []):
        volume = volumes[mount["name"]]
        sources = [volume["secret"]] if "secret" in volume else []
        sources += [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        assert not sources or mount["readOnly"]
        assert "subPath" not in mount  # the kubelet would never replace it
        for secret in sources:
            name = secret.get("secretName") or secret["name"]
            for item in secret["items"]:
                found[f"{mount['mountPath']}/{item['path']}"] = {"name": name, "key": item["key"]}
    return found


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

"""What is installed in the cluster, as far as the caller may see it."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from order_cli.kubectl import Json, Kubectl
from order_cli.problems import CommandError

OURS = "--selector=app.kubernetes.io/part-of=order-platform"


def own_version() -> str:
    """Of this program."""
    try:
        return version("kubectl-order")
    except PackageNotFoundError:
        return "unknown"


def deployments(kubectl: Kubectl) -> list[Json]:
    """Of operators and workers, in all namespaces. Raises CommandError where the caller may not look."""
    return list(kubectl.json("get", "deployments.apps", "--all-namespaces", OURS).get("items", []))


def component(deployment: Json) -> str:
    """`operator` or `worker`."""
    return str(deployment["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))


def release(deployment: Json) -> str:
    """The version of the chart that made it."""
    return str(deployment["metadata"].get("labels", {}).get("app.kubernetes.io/version", "unknown"))


def operators(found: Sequence[Json]) -> list[Json]:
    """Those of the operators."""
    return [deployment for deployment in found if component(deployment) == "operator"]


def server_and_client(kubectl: Kubectl) -> tuple[str, str]:
    """Versions of kubectl and of the API server; the latter is empty where it does not answer."""
    try:
        known = kubectl.json("version")
    except CommandError:
        known = kubectl.json("version", "--client")
    return str(known["clientVersion"]["gitVersion"]), str(known.get("serverVersion", {}).get("gitVersion", ""))


def minor(text: str) -> tuple[int, int]:
    """`v1.36.3` -> (1, 36). Raises ValueError."""
    major, small = text.removeprefix("v").split(".")[:2]
    return int(major), int("".join(each for each in small if each.isdigit()))

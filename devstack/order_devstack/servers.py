"""Obtains the real servers and their clients in exactly the versions that `devstack/servers/*/go.mod` pin.

A fitting binary in `$KUBEBUILDER_ASSETS` or on PATH is used; otherwise it is built once per user with Go and kept
in a cache that all checkouts share. Nothing prebuilt is downloaded.
"""

import enum
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from order_devstack import go
from order_devstack.locking import exclusive

MODULES = Path(__file__).resolve().parents[1] / "servers"
_KUBERNETES_STAMPS = (
    "k8s.io/component-base/version.gitVersion=v{version}",
    "k8s.io/component-base/version.gitMajor={major}",
    "k8s.io/component-base/version.gitMinor={minor}",
)


class Use(enum.Enum):
    """What a program is for. Each is obtained only when it is needed: together they build for half an hour."""

    STACK = "stack"
    """The servers of a stack and their clients."""
    TESTS = "tests"
    """Tests on a stack."""
    CLUSTER = "cluster"
    """A whole node, and what runs beside it."""
    KEDA = "keda"
    """Scaling by Temporal's backlog on a whole node."""
    MATRIX = "matrix"
    """Other versions of what the platform works with."""


_TOGETHER = (Use.STACK, Use.TESTS)
"""What everybody obtains who works on the project."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One program: where it is pinned, how it is built, and how it tells its version."""

    name: str
    folder: str
    """Module directory under `devstack/servers`."""
    module: str
    """The module in that go.mod whose version is the version of the program."""
    package: str
    """The main package."""
    version_arguments: tuple[str, ...]
    """Empty: it tells none, so that only a build of the cache is used."""
    stamps: tuple[str, ...] = ()
    """Variables that the linker fills in; unstamped, Kubernetes and Helm report versions that charts misread.
    `{version}`, `{major}` and `{minor}` are the program's, `{client_minor}` is that of its client of Kubernetes."""
    any_patch: bool = False
    """Accept another patch release of the same minor version."""
    uses: tuple[Use, ...] = (Use.STACK,)


# Kubernetes patch releases carry fixes only and envtest publishes one of them per minor version, so asking for the
# exact patch would refuse nearly every $KUBEBUILDER_ASSETS. The others change behaviour within a minor: exact.
TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="etcd",
            folder="etcd",
            module="go.etcd.io/etcd/server/v3",
            package="go.etcd.io/etcd/server/v3",
            version_arguments=("--version",),
        ),
        Tool(
            name="kubectl",
            folder="kubernetes",
            module="k8s.io/kubernetes",
            package="k8s.io/kubernetes/cmd/kubectl",
            version_arguments=("version", "--client"),
            stamps=_KUBERNETES_STAMPS,
            any_patch=True,
        ),
        Tool(
            name="kube-apiserver",
            folder="kubernetes",
            module="k8s.io/kubernetes",
            package="k8s.io/kubernetes/cmd/kube-apiserver",
            version_arguments=("--version",),
            stamps=_KUBERNETES_STAMPS,
            any_patch=True,
        ),
        Tool(
            name="helm",
            folder="helm",
            module="helm.sh/helm/v4",
            package="helm.sh/helm/v4/cmd/helm",
            version_arguments=("version", "--short"),
            stamps=("helm.sh/helm/v4/internal/version.version=v{version}",),
        ),
        Tool(
            name="temporal",
            folder="temporal",
            module="github.com/temporalio/cli",
            package="github.com/temporalio/cli/cmd/temporal",
            version_arguments=("--version",),
            stamps=("github.com/temporalio/cli/internal/temporalcli.Version={version}",),
        ),
        Tool(
            name="toxiproxy-server",
            folder="toxiproxy",
            module="github.com/Shopify/toxiproxy/v2",
            package="github.com/Shopify/toxiproxy/v2/cmd/server",
            version_arguments=("-version",),
            stamps=("github.com/Shopify/toxiproxy/v2.Version={version}",),
            uses=(Use.TESTS,),
        ),
        *(
            Tool(
                name=name,
                folder="registry",
                module="github.com/google/go-containerregistry",
                package=f"github.com/google/go-containerregistry/cmd/{name}",
                version_arguments=arguments,
                uses=(Use.TESTS,),
            )
            for name, arguments in (("crane", ("version",)), ("registry", ()))
        ),
        *(
            Tool(
                name=name,
                folder="kubernetes",
                module="k8s.io/kubernetes",
                package=f"k8s.io/kubernetes/cmd/{name}",
                version_arguments=("--version",),
                stamps=_KUBERNETES_STAMPS,
                any_patch=True,
                uses=(Use.CLUSTER,),
            )
            for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
        ),
        Tool(
            name="coredns",
            folder="coredns",
            module="github.com/coredns/coredns",
            package="order-platform.dev/devstack/servers/coredns",  # a main of our own: fewer plugins
            version_arguments=("-version",),
            uses=(Use.CLUSTER,),
        ),
        Tool(
            name="temporal-server",
            folder="temporal-server",
            module="go.temporal.io/server",
            package="go.temporal.io/server/cmd/server",
            version_arguments=("--version",),
            uses=(Use.TESTS, Use.CLUSTER),
        ),
        Tool(
            name="temporal-sql-tool",
            folder="temporal-server",
            module="go.temporal.io/server",
            package="go.temporal.io/server/cmd/tools/sql",
            version_arguments=("--version",),
            uses=(Use.CLUSTER,),
        ),
        Tool(
            name="helm3",
            folder="helm3",
            module="helm.sh/helm/v3",
            package="helm.sh/helm/v3/cmd/helm",
            version_arguments=(),  # on PATH its name is helm
            stamps=(
                "helm.sh/helm/v3/internal/version.version=v{version}",
                # What `helm template` takes for the cluster's version; 1.20 without.
                "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={client_minor}",
                "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor={client_minor}",
            ),
            uses=(Use.MATRIX,),
        ),
        Tool(
            name="metrics-server",
            folder="metrics-server",
            module="sigs.k8s.io/metrics-server",
            package="sigs.k8s.io/metrics-server/cmd/metrics-server",
            version_arguments=("--version",),
            stamps=("k8s.io/client-go/pkg/version.gitVersion=v{version}",),
            uses=(Use.CLUSTER,),
        ),
        *(
            Tool(
                name=f"keda-{program}",
                folder="keda",
                module="github.com/kedacore/keda/v2",
                package=f"github.com/kedacore/keda/v2/cmd/{program}",
                version_arguments=(),
                uses=(Use.KEDA,),
            )
            for program in ("operator", "adapter")
        ),
    )
}


def module_of(tool: Tool) -> Path:
    """The folder that pins it: the usual one, or that of another version in `$ORDER_DEVSTACK_VERSIONS`, such as
    `kubernetes-1.32` or `kubernetes-1.32,temporal-1.29`."""
    chosen = [name for name in os.environ.get("ORDER_DEVSTACK_VERSIONS", "").split(",") if name]
    of_this = [name for name in chosen if name.rpartition("-")[0] == tool.folder]
    return MODULES / (of_this[-1] if of_this else tool.folder)


def pinned_version(go_mod: str, module: str) -> str:
    """Version of `module`, without the leading v, in the text of a go.mod. Raises ValueError if it is not required."""
    found = re.search(rf"^(?:require)?\s+{re.escape(module)} v(\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod does not require {module}")
    return found[1]


def fits(tool: Tool, answer: str, pinned: str) -> bool:
    """Whether `answer`, what the program printed about its version, is the pinned version."""
    try:
        # The first line only: etcd and kubectl go on with versions of Go and Kustomize.
        found = go.parse_version(answer.split("\n", 1)[0])
    except ValueError:
        return False
    wanted = go.parse_version(pinned)
    return found[:2] == wanted[:2] if tool.any_patch else found == wanted


def cache_directory() -> Path:
    """`$ORDER_DEVSTACK_CACHE`, else `order-platform/servers` in the user's cache directory."""
    if chosen := os.environ.get("ORDER_DEVSTACK_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "order-platform" / "servers"


def cache_key(tool: Tool, module: Path, go_version: str) -> str:
    """Name of the cache entry; another pin, checksum, link flag or Go version is another entry."""
    digest = hashlib.sha256()
    for part in (
        (module / "go.mod").read_bytes(),
        (module / "go.sum").read_bytes(),
        *(source.read_bytes() for source in sorted(module.glob("*.go"))),
        " ".join(_ldflags(tool, module)).encode(),
        go_version.encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return f"{tool.name}-{_pinned(tool, module)}-{digest.hexdigest()[:12]}"


def names_for(*uses: Use) -> tuple[str, ...]:
    """Names of the programs with one of these uses."""
    return tuple(tool.name for tool in TOOLS.values() if _is_for(tool, uses))


def _is_for(tool: Tool, uses: Iterable[Use]) -> bool:
    return any(use in tool.uses for use in uses)


def obtain(names: Iterable[str], *, out: TextIO = sys.stderr) -> dict[str, Path]:
    """Paths of the named programs, built where no fitting one is found; progress goes to `out`.

    Raises DevstackError if Go is missing or too old, or a build fails.
    """
    cache = cache_directory()
    found: dict[str, Path] = {}
    for name in names:
        tool = TOOLS[name]
        found[name] = _installed(tool, cache) or _built(tool, cache, out)
    return found


def _installed(tool: Tool, cache: Path) -> Path | None:
    if not tool.version_arguments:
        return None
    folders = (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH"))
    for candidate in (shutil.which(tool.name, path=folder) for folder in folders if folder):
        if candidate is None:
            continue
        # A stack puts links to the cache on PATH; whether a cached build is current is for its key to decide.
        program = Path(candidate).resolve()
        if not program.is_relative_to(cache.resolve()) and fits(tool, _answer(tool, program), _pinned(tool)):
            return program
    return None


def _answer(tool: Tool, program: Path) -> str:
    try:
        return subprocess.run(
            [program, *tool.version_arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _built(tool: Tool, cache: Path, out: TextIO) -> Path:
    module = module_of(tool)
    # One answer for all: who installs Go for the first program should not have to do it again for the next.
    together = [each for each in TOOLS.values() if _is_for(each, _TOGETHER) or not _is_for(tool, _TOGETHER)]
    at_least = max((go.required_by(_go_mod(MODULES / each.folder)) for each in together), key=go.parse_version)
    key = cache_key(tool, module, go.toolchain(at_least))
    program = cache / key / tool.name
    if program.exists():
        return program

    def say_who_builds() -> None:
        print(f"{tool.name}: another process is building it, waiting", file=out, flush=True)

    with exclusive(cache / f"{key}.lock", on_wait=say_who_builds):
        if program.exists():
            return program
        began = time.monotonic()
        unfinished = cache / f"{key}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was killed
        try:
            go.build(
                module,
                tool.package,
                ldflags=_ldflags(tool, module),
                output=unfinished / tool.name,
                log=cache / f"{key}.log",
                out=out,
            )
            unfinished.replace(program.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        print(f"{tool.name}: built in {time.monotonic() - began:.0f} s, {program}", file=out, flush=True)
    return program


def _ldflags(tool: Tool, module: Path) -> list[str]:
    version = _pinned(tool, module)
    major, minor, _ = go.parse_version(version)
    known: dict[str, object] = {"version": version, "major": major, "minor": minor}
    if any("{client_minor}" in stamp for stamp in tool.stamps):
        _, known["client_minor"], _ = go.parse_version(pinned_version(_go_mod(module), "k8s.io/client-go"))
    return ["-s", "-w", *(f"-X {stamp.format(**known)}" for stamp in tool.stamps)]


def _pinned(tool: Tool, module: Path | None = None) -> str:
    return pinned_version(_go_mod(module or module_of(tool)), tool.module)


def _go_mod(module: Path) -> str:
    return (module / "go.mod").read_text()

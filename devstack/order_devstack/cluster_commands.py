"""`python -m order_devstack cluster …`: a whole Kubernetes of one node on this machine."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from order_devstack.cluster import debian, machine
from order_devstack.cluster.backing_servers import ledger_url
from order_devstack.cluster.cluster import Cluster
from order_devstack.processes import State

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_NOT_RUNNING = 3  # as `systemctl status` says it


def add_to(commands: "Commands") -> None:
    """Add the command `cluster` with its own commands."""
    cluster = commands.add_parser(
        "cluster",
        help="a whole Kubernetes of one node, with pods",
        description="A whole Kubernetes of one node on this machine, in namespaces of its own: containerd, kubelet, "
        "kube-proxy, DNS and the control plane, with Temporal and PostgreSQL beside it. It needs root. Nothing is left "
        "when it stops.",
    ).add_subparsers(required=True, metavar="COMMAND")
    cluster.add_parser("tools", help="install what it needs from Debian").set_defaults(run=_tools)
    cluster.add_parser(
        "check", help="whether it can run here and its images be built; if not, says what is missing and exits with 1"
    ).set_defaults(run=_check)
    up = cluster.add_parser("up", help="start it, and load images")
    up.add_argument("--keda", action="store_true", help="with KEDA; built the first time, some six minutes")
    up.add_argument("image", nargs="*", type=Path, help="docker-archives, such as those of `make images`")
    up.set_defaults(run=_up)
    cluster.add_parser("down", help="stop it; its logs stay").set_defaults(run=_down)
    cluster.add_parser("status", help="whether it runs; exit code 0 if so, else 3").set_defaults(run=_status)
    load = cluster.add_parser("load", help="give the node images")
    load.add_argument("image", nargs="+", type=Path, help="docker-archives")
    load.set_defaults(run=_load)
    run = cluster.add_parser("exec", help="run a command in the node's network, kubectl, helm and temporal set up")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    run.set_defaults(run=_exec)


def _tools(_options: argparse.Namespace) -> int:
    if not debian.install():
        print("everything is there already")
    return 0


def _check(_options: argparse.Namespace) -> int:
    machine.check(images=True)
    print("a cluster can run here")
    return 0


def _up(options: argparse.Namespace) -> int:
    cluster = Cluster(_folder(options), with_keda=options.keda)
    if not cluster.up():
        print("the cluster runs already")
    _load(options)
    return _status(options)


def _down(options: argparse.Namespace) -> int:
    print("cluster: stopped" if _cluster(options).down() else "no cluster runs")
    return 0


def _status(options: argparse.Namespace) -> int:
    cluster = _cluster(options)
    running = cluster.state() is State.RUNNING
    print(f"cluster:     {cluster.state().value}, logs in {cluster.log_folder}")
    if running:
        print("in it:       python -m order_devstack cluster exec -- kubectl get pods --all-namespaces")
        print(f"kubeconfig:  {cluster.kubeconfig}, for programs in the node's network")
        print("for pods:    Temporal at temporal.infra:7233, namespace default")
        print(f"             PostgreSQL for the ledger at {ledger_url()}")
    return 0 if running else _NOT_RUNNING


def _load(options: argparse.Namespace) -> int:
    cluster = _cluster(options)
    for image in options.image:
        cluster.load(image)
        print(f"loaded {image}")
    return 0


def _exec(options: argparse.Namespace) -> NoReturn:
    cluster = _cluster(options)
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    command = cluster.command(words or [os.environ.get("SHELL", "/bin/sh")])
    os.execvpe(command[0], command, cluster.variables())  # noqa: S606 - the user's own command


def _cluster(options: argparse.Namespace) -> Cluster:
    return Cluster(_folder(options))


def _folder(options: argparse.Namespace) -> Path:
    folder: Path = options.dir / "cluster"
    return folder

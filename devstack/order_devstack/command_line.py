"""Arguments, output and exit codes of `python -m order_devstack`."""

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

from order_devstack import cluster_commands, demo, encryption, images, platform, prometheus, scenario_player, servers
from order_devstack.encryption import CODEC_SERVER
from order_devstack.errors import DevstackError
from order_devstack.processes import State
from order_devstack.scenarios import SCENARIOS
from order_devstack.stack import KNOWN, PROCESSES, PROMETHEUS, Stack

_DEFAULT_DIRECTORY = Path(__file__).resolve().parents[2] / ".devstack"
_IMAGES = images.CHECKOUT / "dist" / "images"
_NOT_ALL_RUNNING = 3  # as `systemctl status` says it


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except DevstackError as error:
        print(f"order_devstack: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"order_devstack: {error.strerror or error}: {error.filename or options.dir}.", file=sys.stderr)
    except KeyboardInterrupt:
        print("order_devstack: interrupted.", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="order_devstack",
        description="Starts real servers (etcd, kube-apiserver, temporal) and the product (operator, worker) "
        "on loopback ports of this machine. The servers are built from source with Go when they are not "
        "at hand, once per user.",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=_DEFAULT_DIRECTORY,
        help="state directory: data, logs, pid files, kubeconfig (default: .devstack of this checkout)",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('order-platform')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up",
        help="start what does not run, and install the charts",
        description="Starts what does not run, with the data it had, installs the charts and has the articles of "
        "the samples kept in stock (`kubectl get stock`). Does nothing when everything runs. If something fails, what "
        "this command started is stopped again.",
    )
    up.add_argument(
        "--encrypt",
        action="store_true",
        help="encrypt what Temporal keeps, from now on, and have a codec server decode it for the Web UI",
    )
    up.add_argument("--keep", action="store_true", help="after a failure leave running what was started")
    down = commands.add_parser("down", help="stop it; the data stays")
    for command, run in ((up, _up), (down, _down)):
        command.add_argument(
            "process",
            nargs="*",
            help=f"only these of: {', '.join(KNOWN)}. The charts go with the operator or the worker.",
        )
        command.set_defaults(run=run)
    commands.add_parser("status", help="show the processes; exit code 0 if all run, else 3").set_defaults(run=_status)
    commands.add_parser("clean", help="stop everything and delete the state directory").set_defaults(run=_clean)
    obtain = commands.add_parser(
        "obtain",
        help="only get the servers and clients, and say where they are",
        description="Finds each program in $KUBEBUILDER_ASSETS or on PATH in the pinned version, else builds it "
        "with Go into $ORDER_DEVSTACK_CACHE (default: order-platform/servers in the user's cache directory).",
    )
    obtain.add_argument("--cluster", action="store_true", help="those of a whole node, too")
    obtain.add_argument("--keda", action="store_true", help="KEDA, too")
    obtain.set_defaults(run=_obtain)
    play = commands.add_parser(
        "demo",
        help="real orders on a real stack, each to its end",
        description="Starts the stack, applies six orders, decides about those that wait and shows how all of them "
        "end. Exit code 0 only if every order ended as it should. Stops what it started.",
    )
    play.add_argument("--keep", action="store_true", help="leave the stack running afterwards")
    play.set_defaults(run=_demo)
    scenario = commands.add_parser(
        "scenario",
        help="one demonstration of a reference system; without a name, list them",
        description="Plays one scenario in a namespace of its own on the running stack, which it starts where it does "
        "not run and leaves running: applies its manifest, does what a person would do, shows how the orders move and "
        "says how to see more. Exit code 0 only if everything ended as it should. Scenarios that kill or break the "
        "worker leave it running as it was.",
    )
    scenario.add_argument("name", nargs="?", help="one of those that are listed without it")
    scenario.set_defaults(run=_scenario)
    build = commands.add_parser(
        "images",
        help="build the images of operator and worker, without a container engine",
        description="Builds images/Containerfile with buildah on a Debian that mmdebstrap makes, and writes a "
        "docker-archive of each image.",
    )
    build.add_argument("--out", type=Path, default=_IMAGES, help="folder of the archives (default: dist/images)")
    build.set_defaults(run=_images)
    cluster_commands.add_to(commands)
    return parser


def _demo(options: argparse.Namespace) -> int:
    return 0 if demo.play(Stack(options.dir), keep=options.keep) else 1


def _scenario(options: argparse.Namespace) -> int:
    if options.name is None:
        for each in SCENARIOS.values():
            print(f"{each.name:25}{each.system}  {each.story}")
        return 0
    return 0 if scenario_player.show(Stack(options.dir), scenario_player.find(options.name)) else 1


def _up(options: argparse.Namespace) -> int:
    stack = Stack(options.dir)
    if options.encrypt and not encryption.is_on(stack.root):
        if any(stack.pid(name) is not None for name in PROCESSES):
            raise DevstackError("this stack runs without encryption: `make down` first; its orders stay readable.")
        encryption.switch_on(stack.root)
    watched = [] if prometheus.program() is None else [PROMETHEUS]
    decoding = [CODEC_SERVER] if encryption.is_on(stack.root) else []
    names = options.process or [*PROCESSES, *decoding, *watched]
    changed = stack.up([name for name in names if name not in (PROMETHEUS, CODEC_SERVER)], keep=options.keep)
    for beside in (CODEC_SERVER, PROMETHEUS):
        if beside in names and stack.pid(beside) is None:
            stack.start(beside)
            changed = True
    if not changed:
        print("everything runs already")
    if {"operator", "worker"} <= set(names):
        platform.keep_articles(stack.kubectl)
    print(f"for your shell:  . {stack.root / 'env'}")
    return 0


def _down(options: argparse.Namespace) -> int:
    Stack(options.dir).stop(*options.process or KNOWN)
    return 0


def _status(options: argparse.Namespace) -> int:
    stack = Stack(options.dir)
    rows = stack.status()
    print(f"{'PROCESS':16}{'STATE':10}{'PID':>8}  {'ADDRESS':40}LOG")
    for row in rows:
        print(f"{row.name:16}{row.state.value:10}{row.pid or '-':>8}  {row.address or '-':40}{row.log}")
    print(f"\nkubeconfig:      {stack.kubeconfig if stack.kubeconfig.exists() else '-'}")
    print(f"Temporal Web UI: {stack.addresses.get('temporal-ui', '-')}")
    if PROMETHEUS not in {row.name for row in rows}:
        print("Prometheus:      not installed; apt-get install prometheus, and `make up` starts it too")
    needed = [row.state for row in rows if row.name in PROCESSES or row.state is State.DIED]
    return 0 if all(state is State.RUNNING for state in needed) else _NOT_ALL_RUNNING


def _clean(options: argparse.Namespace) -> int:
    Stack(options.dir).clean()
    return 0


def _images(options: argparse.Namespace) -> int:
    images.build(options.out.absolute())
    return 0


def _obtain(options: argparse.Namespace) -> int:
    asked_for = {servers.Use.CLUSTER: options.cluster, servers.Use.KEDA: options.keda, servers.Use.MATRIX: False}
    uses = [use for use in servers.Use if asked_for.get(use, True)]
    for name, path in servers.obtain(servers.names_for(*uses)).items():
        print(f"{name}: {path}")
    return 0

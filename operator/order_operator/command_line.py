"""The command `order-operator`: without an argument it is the operator. Its help is the reference of its settings."""

import argparse
from datetime import timedelta

from order_codec.settings import EncryptionSettings
from order_operator.commands.before_uninstall import OpenOrders
from order_operator.commands.prepare_temporal import Endpoint
from order_operator.settings import Settings
from order_process import command_line
from order_process.settings import Variable

PROGRAM = "order-operator"
SETTINGS = (Settings, EncryptionSettings)
OTHERS = (
    Variable(("KUBECONFIG",), "How to reach the API server, outside a pod.", "~/.kube/config"),
    command_line.TEMPORAL,
    command_line.TEMPORAL_API_KEY_FILE,
)


def parser() -> argparse.ArgumentParser:
    """Of `order-operator`."""
    description = "Starts a workflow for each Order and StockItem, and shows in them what becomes of it."
    made = command_line.parser(PROGRAM, description, SETTINGS, OTHERS)
    commands = made.add_subparsers(dest="command", metavar="command")
    prepare = commands.add_parser(
        "prepare-temporal",
        help="make the namespace, search attributes and Nexus endpoints that orders need and Temporal lacks, or print "
        "the commands where this is not allowed, and exit; fails while something is missing",
    )
    prepare.add_argument("--dry-run", action="store_true", help="make nothing")
    prepare.add_argument(
        "--retention-days", type=_days, default=timedelta(days=30), metavar="N", help="of a namespace that is made: 30"
    )
    prepare.add_argument("--namespace", action="append", default=[], help="a further namespace, of other workers")
    prepare.add_argument(
        "--nexus-endpoint", action="append", default=[], type=_endpoint, metavar="NAME=NAMESPACE/QUEUE"
    )
    uninstall = commands.add_parser(
        "before-uninstall",
        help="see to the orders that are still open, stop the operator, give its Lease away, and exit; fails where the "
        "installation has to stay",
    )
    uninstall.add_argument("--open-orders", required=True, type=OpenOrders, choices=list(OpenOrders))
    uninstall.add_argument("--deployment", required=True, help="of the operator, in the Lease's namespace")
    uninstall.add_argument(
        "--way-back", default="", metavar="COMMAND", help="what to say that helps Helm upgrade again after a refusal"
    )
    forget = commands.add_parser(
        "forget-customer",
        help="delete a customer's ended orders, and their histories in Temporal, and exit; run `order-worker "
        "erase-customer` first; fails while some are under way",
    )
    forget.add_argument("customer_id", metavar="CUSTOMER_ID")
    forget.add_argument(
        "--namespace", action="append", default=[], help="a further Temporal namespace, in which shipments run"
    )
    check = commands.add_parser("check", help="tell whether this installation can carry orders, part by part, and exit")
    for command in (prepare, uninstall, forget, check):
        command.add_argument(
            "--patience", type=int, default=120, metavar="SECONDS", help="how long it asks again and waits: 120"
        )
    return made


def _days(argument: str) -> timedelta:
    if not argument.isdecimal() or not 1 <= int(argument) <= 3650:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 3650, not {argument!r}")
    return timedelta(days=int(argument))


def _endpoint(argument: str) -> Endpoint:
    name, separator, target = argument.partition("=")
    namespace, slash, queue = target.partition("/")
    if not (name and separator and namespace and slash and queue):
        raise argparse.ArgumentTypeError(f"must be <name>=<namespace>/<task queue>, not {argument!r}")
    return Endpoint(name, namespace, queue)

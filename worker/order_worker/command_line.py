"""The command `order-worker`, its subcommands and their arguments. Its help is the reference of the settings."""

import argparse

from order_codec.settings import EncryptionSettings
from order_process import command_line
from order_worker import audit_commands
from order_worker.ledger import installations
from order_worker.ledger.audit_keys import AuditSettings
from order_worker.providers.notification.smtp_settings import SMTPSettings
from order_worker.providers.payment.stripe.settings import StripeSettings
from order_worker.settings import Settings

PROGRAM = "order-worker"
SETTINGS = (Settings, AuditSettings, StripeSettings, SMTPSettings, EncryptionSettings)
OTHERS = (command_line.TEMPORAL, command_line.TEMPORAL_API_KEY_FILE)


def parser() -> argparse.ArgumentParser:
    """Of `order-worker`."""
    description = "Carries orders, or their shipments, through their workflows."
    made = command_line.parser(PROGRAM, description, SETTINGS, OTHERS)
    commands = made.add_subparsers(dest="command", metavar="command")
    commands.add_parser("migrate", help="bring the ledger's database to this release's schema, and exit")
    commands.add_parser(
        "check-ledger", help="tell whether the ledger answers and has a schema that suits this release, and exit"
    )
    ensure = commands.add_parser(
        "ensure-stock", help="add articles that the ledger does not have yet, leave the others alone, and exit"
    )
    ensure.add_argument("pieces", nargs="+", type=_pieces, metavar="SKU=PIECES")
    audit_commands.add_to(commands)
    assign = commands.add_parser(
        "assign-cluster",
        help="let the orders that an earlier release received belong to one installation, and exit: until then each of "
        "them holds its order number for all installations; may run while workers do, and may be repeated",
    )
    assign.add_argument("cluster", type=_cluster, help="the operator's Helm value `cluster`, or the uid of kube-system")
    assign.add_argument("--namespace", help="only the orders of this namespace (default: all)")
    prune = commands.add_parser(
        "prune-attempts",
        help="delete from the log of attempts those of orders that made none for so many days, and exit; may run while "
        "workers do, and may be repeated",
    )
    prune.add_argument("--older-than-days", required=True, type=_days, metavar="N", help="1 to 36500")
    return made


def _pieces(argument: str) -> tuple[str, int]:
    sku, _, pieces = argument.partition("=")
    if not sku or not pieces.isdecimal():
        raise argparse.ArgumentTypeError(f"must be <sku>=<whole number>, not {argument!r}")
    return sku, int(pieces)


def _cluster(argument: str) -> str:
    if argument in installations.UNKNOWN or len(argument) > 63:
        raise argparse.ArgumentTypeError(f"must name one installation in at most 63 characters, not {argument!r}")
    return argument


def _days(argument: str) -> int:
    if not argument.isdecimal() or not 1 <= int(argument) <= 36_500:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 36500, not {argument!r}")
    return int(argument)

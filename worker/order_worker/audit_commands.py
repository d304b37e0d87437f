"""The commands of `order-worker` for auditors: each reads the ledger, says what it found, and ends."""

import argparse
import asyncio
import csv
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from order_domain.errors import LedgerUnavailable, ProviderUnavailable
from order_domain.money import format_amount
from order_process.settings import SettingsError
from order_worker.bootstrap import payment_provider
from order_worker.ledger import anchors, erasure, story
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.database import Ledger
from order_worker.ledger.reconciliation import Reconciliation, Summary
from order_worker.ledger.schema import SchemaMismatch
from order_worker.ledger.snapshot import snapshot
from order_worker.ledger.story import Entry
from order_worker.ledger.verification import Flaw, Verification
from order_worker.settings import Settings

FLAWED = 1
"""Exit code for books that somebody has to look at."""

UNCHECKED = 2
"""Exit code where nothing could be found out: wrong use, wrong settings, a ledger that does not answer."""

logger = logging.getLogger(__name__)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the commands and their arguments."""
    check = commands.add_parser(
        "verify-audit",
        help="check every audit trail, and all books against it, in one snapshot; exit code 1 if anything is wrong, 2 "
        "if it could not be checked or was called wrongly",
    )
    check.add_argument(
        "--anchors", nargs="+", type=Path, default=[], metavar="PATH", help="files or folders that audit-heads filled"
    )
    check.add_argument(
        "--keyed-since", type=moment, metavar="MOMENT", help="every event from then on must be sealed with a key"
    )
    check.add_argument("-o", "--output", choices=("text", "json"), default="text")
    write = commands.add_parser("audit-heads", help="write the ends of all audit trails where nobody can change them")
    write.add_argument("--to", required=True, metavar="DIR|-", help="a folder, or - for standard output")
    tell = commands.add_parser("audit", help="tell what happened to an order, by whom and about which amount")
    tell.add_argument("order", type=_name, metavar="NAMESPACE/NAME")
    tell.add_argument("-o", "--output", choices=("table", "json", "csv"), default="table")
    compare = commands.add_parser(
        "reconcile",
        help="compare the ledger's payments with the payment provider's books, in both directions, and follow refunds "
        "to their end; moves no money; exit code 1 if anything differs, 2 if it could not be compared or was called "
        "wrongly",
    )
    compare.add_argument(
        "--since",
        type=moment,
        metavar="MOMENT",
        help=f"default: {REFUNDS_MAY_FAIL.days} days ago, while refunds may fail",
    )
    compare.add_argument("-o", "--output", choices=("text", "json"), default="text")
    forget = commands.add_parser(
        "erase-customer",
        help="take a customer's data out of all orders that have ended; exit code 1 if some are under way",
    )
    forget.add_argument("customer_id", metavar="CUSTOMER_ID")


REFUNDS_MAY_FAIL = timedelta(days=35)
"""A bank may send a refund back up to a month later."""


def moment(argument: str) -> datetime:
    """An RFC 3339 moment with its time zone."""
    try:
        read = datetime.fromisoformat(argument)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise argparse.ArgumentTypeError(f"must be a moment such as 2026-11-25T12:00:00Z, not {argument!r}")
    return read


def _name(argument: str) -> tuple[str, str]:
    namespace, _, name = argument.partition("/")
    if not namespace or not name or "/" in name:
        raise argparse.ArgumentTypeError(f"must be <namespace>/<name>, not {argument!r}")
    return namespace, name


def run(parsed: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int | None:
    """The exit code; None if the command is none of these. Raises SettingsError, SchemaMismatch."""
    if parsed.command not in _COMMANDS:
        return None
    keys = KeyRing.from_environment(environment)
    try:
        return _COMMANDS[parsed.command](parsed, settings, keys)
    except (SettingsError, SchemaMismatch):
        raise
    except (LedgerUnavailable, ProviderUnavailable, anchors.AnchorUnreadable, OSError) as error:
        sys.stderr.write(f"order-worker: {with_its_cause(error)}\n")
        return UNCHECKED
    except Exception:
        logger.exception("ended by an error that nobody thought of")
        return UNCHECKED


def with_its_cause(error: Exception) -> str:
    """In one line: a database tells more, with the statement and a link."""
    cause = str(error.__cause__ or "").partition("\n")[0]
    return f"{error}: {cause}" if cause else str(error)


def _verify(parsed: argparse.Namespace, settings: Settings, keys: KeyRing | None) -> int:
    given = anchors.read(parsed.anchors)
    check = Verification(keys, anchors.heads(given), parsed.keyed_since)
    found = 0
    with snapshot(settings.ledger_url) as tx:
        for flaw in check.flaws(tx):
            found += 1
            _tell_flaw(flaw, parsed.output)
        if parsed.anchors:
            for flaw in anchors.flaws(tx, given, keys):
                found += 1
                _tell_flaw(flaw, parsed.output)
    counted = {"orders": check.orders, "events": check.events, "unkeyed": check.unkeyed, "anchors": len(given)}
    if parsed.output == "json":
        sys.stdout.write(f"{json.dumps({'flaws': found, **counted})}\n")
        return FLAWED if found else 0
    checked = ", ".join(f"{count} {what}" for what, count in counted.items())
    sys.stdout.write(f"{found or 'no'} flaws in the audit trail ({checked})\n")
    return FLAWED if found else 0


def _tell_flaw(flaw: Flaw, output: str) -> None:
    sys.stdout.write(f"{json.dumps(asdict(flaw)) if output == 'json' else flaw}\n")


def _write_heads(parsed: argparse.Namespace, settings: Settings, keys: KeyRing | None) -> int:
    out = sys.stdout if parsed.to == "-" else Path(parsed.to)
    if isinstance(out, Path) and not out.is_dir():
        raise anchors.AnchorUnreadable(f"{out} is no folder")

    async def write() -> anchors.Anchor:
        ledger = await Ledger.open(settings.ledger_url, keys)
        try:
            return await ledger.transaction(partial(anchors.write, keys=keys, out=out))
        finally:
            await ledger.close()

    anchor = asyncio.run(write())
    heads = len(anchor.heads)
    sys.stderr.write(f"anchor {anchor.number} written: {heads} trails moved, of {anchor.content['orders']}\n")
    return 0


def _story(parsed: argparse.Namespace, settings: Settings, _: KeyRing | None) -> int:
    namespace, name = parsed.order
    with snapshot(settings.ledger_url) as tx:
        entries = list(story.tell(tx, namespace, name))
    if not entries:
        sys.stderr.write(f"order-worker: the ledger has no order {namespace}/{name}\n")
        return UNCHECKED
    _PRINTERS[parsed.output](entries)
    return 0


_COLUMNS = (
    "time",
    "order uid",
    "event",
    "who",
    "channel",
    "what",
    "state",
    "amount",
    "minor units",
    "digest",
    "detail",
)


def _cells(entry: Entry) -> tuple[str, ...]:
    amount = ""
    if entry.amount_minor is not None and entry.currency is not None:
        amount = format_amount(entry.amount_minor, entry.currency)
    return (
        entry.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        entry.uid,
        str(entry.seq),
        entry.who,
        entry.channel,
        entry.what,
        entry.state,
        amount,
        "" if entry.amount_minor is None else str(entry.amount_minor),
        entry.digest or "",
        entry.detail,
    )


def _table(entries: list[Entry]) -> None:
    """One paragraph per uid. What people wrote is shown without its control characters."""
    shown: str | None = None
    for entry in entries:
        if entry.uid != shown:
            sys.stdout.write(f"{chr(10) if shown else ''}order uid {entry.uid}\n")
            shown = entry.uid
        at, _, seq, who, channel, what, state, amount, _, digest, detail = map(_printable, _cells(entry))
        lines = f"lines or address {digest}" if digest else ""
        rest = "  ".join(filter(None, (amount, lines, detail)))
        sys.stdout.write(f"{at}  {seq:>3}  {who:<20}  {channel:<10}  {what:<15}  {state:<7}  {rest}".rstrip() + "\n")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _json(entries: list[Entry]) -> None:
    for entry in entries:
        sys.stdout.write(f"{json.dumps(asdict(entry) | {'at': entry.at.isoformat()})}\n")


def _csv(entries: list[Entry]) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows([_inert(cell) for cell in _cells(entry)] for entry in entries)


def _inert(cell: str) -> str:
    """No spreadsheet takes what a person wrote for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _erase(parsed: argparse.Namespace, settings: Settings, keys: KeyRing | None) -> int:
    async def erase() -> list[erasure.Erased]:
        ledger = await Ledger.open(settings.ledger_url, keys)
        try:
            uids = await ledger.transaction(partial(erasure.orders_of, customer_id=parsed.customer_id))
            return [await ledger.transaction(partial(erasure.erase, uid=uid)) for uid in uids]
        finally:
            await ledger.close()

    results = asyncio.run(erase())
    for result in results:
        outcome = "erased" if result.done else "under way: not erased, call again when it has ended"
        sys.stdout.write(f"order {result.order}: {outcome}\n")
    if not results:
        sys.stdout.write("the ledger has no order of this customer\n")
    return 0 if all(result.done for result in results) else FLAWED


def _reconcile(parsed: argparse.Namespace, settings: Settings, keys: KeyRing | None) -> int:
    since = parsed.since or datetime.now(UTC) - REFUNDS_MAY_FAIL

    async def compare() -> tuple[int, Summary]:
        found = 0
        ledger = await Ledger.open(settings.ledger_url, keys)
        try:
            async with payment_provider(settings, os.environ) as provider:
                reconciliation = Reconciliation(ledger, provider, since)
                async for flaw in reconciliation.flaws():
                    found += 1
                    _tell_flaw(flaw, parsed.output)
                return found, reconciliation.summary()
        finally:
            await ledger.close()

    found, summary = asyncio.run(compare())
    if parsed.output == "json":
        sys.stdout.write(f"{json.dumps({'flaws': found, **summary._asdict()})}\n")
    else:
        counted = ", ".join(f"{count} {what}" for what, count in summary._asdict().items())
        sys.stdout.write(f"{found or 'no'} differences between ledger and provider ({counted})\n")
    return FLAWED if found else 0


_PRINTERS = {"table": _table, "json": _json, "csv": _csv}
_COMMANDS = {
    "verify-audit": _verify,
    "audit-heads": _write_heads,
    "audit": _story,
    "erase-customer": _erase,
    "reconcile": _reconcile,
}

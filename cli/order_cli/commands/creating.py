"""`kubectl order create`."""

import json
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from order_cli import addresses, articles, rights
from order_cli.commands.waiting import seconds
from order_cli.order import Order
from order_cli.problems import CommandError, NotFound, UsageError
from order_cli.session import Session
from order_cli.vocabulary import GROUP
from order_cli.waits import judge_end, until

_SCENARIOS = resources.files("order_cli") / "scenarios"
"""Also where the program is one file."""
_KIND_ORDER = re.compile(r"^kind: Order$", re.MULTILINE)
_NAME = re.compile(r"^(metadata:\n  name: )\S+", re.MULTILINE)


def create_command(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the new order.")] = None,
    file: Annotated[str | None, typer.Option("--filename", "-f", help="A manifest; - reads standard input.")] = None,
    scenario: Annotated[str | None, typer.Option(help="A demonstration's manifest; `list` names them.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="The class to follow; default: the cluster's.")
    ] = None,
    sku: Annotated[list[str] | None, typer.Option(help="SKU=2@12.50; once for each article.")] = None,
    customer: Annotated[str | None, typer.Option(help="The shop's identifier of the customer.")] = None,
    email: Annotated[str | None, typer.Option(help="Where the confirmation goes.")] = None,
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "USD",
    payment: Annotated[str, typer.Option(help="A token of the payment provider, never a card number.")] = "tok_visa",
    recipient: addresses.Recipient = None,
    company: addresses.Company = None,
    line1: addresses.Line1 = None,
    line2: addresses.Line2 = None,
    city: addresses.City = None,
    state: addresses.State = None,
    postal_code: addresses.PostalCode = None,
    country: addresses.Country = None,
    phone: addresses.Phone = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit code 4 unless it completed.")] = False,
    timeout: Annotated[str, typer.Option(help="With --wait: how long, 5m; 0 for ever.")] = "5m",
) -> int:
    """From a manifest, from a scenario, or from flags. --dry-run=server -o yaml shows what would be written."""
    session: Session = context.obj
    if scenario == "list":
        for found in scenarios():
            session.terminal.line(found)
        return 0
    if sum(bool(each) for each in (file, scenario, sku)) != 1:
        raise UsageError(
            "an order comes from one of: -f FILE, --scenario NAME, or --sku with --customer and an address"
        )
    if file and name:
        raise UsageError("the manifest names the order: give no NAME beside -f")
    if scenario:
        needs, text = _parts_of(scenario, name)
        for each in needs:
            _make_if_missing(session, each)
    elif file:
        text = _read(str(file))
    else:
        address = addresses.given(
            name=recipient, company=company, line1=line1, line2=line2, city=city, state=state, postalCode=postal_code,
            country=country, phone=phone,
        )  # fmt: skip
        missing = [each for each in addresses.NEEDED if not address.get(each)]
        if missing or not customer or not name:
            flags = [*([] if name else ["NAME"]), *([] if customer else ["--customer"])]
            flags += [f"--{'recipient' if each == 'name' else each}" for each in missing]
            raise UsageError(f"an order needs {', '.join(flags)} as well")
        spec = {
            **({"className": class_name} if class_name else {}),
            "customer": {"id": customer, **({"email": email} if email else {})},
            "currency": currency,
            "lines": articles.new_lines([articles.parse(each, currency) for each in sku or []]),
            "shippingAddress": address,
            "payment": {"method": payment},
            "requestedBy": rights.me(session.kubectl),
        }
        text = json.dumps(
            {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Order", "metadata": {"name": name}, "spec": spec}
        )
    return _placed(session, text, wait=wait, timeout=timeout)


def _placed(session: Session, text: str, *, wait: bool, timeout: str) -> int:
    dry_run = [f"--dry-run={session.flags.dry_run}"] if session.flags.dry_run else []
    made = session.kubectl.objects("create", "--filename=-", *dry_run, namespace=session.flags.namespace, text=text)
    orders = [Order(item) for item in made if item.get("kind") == "Order"]
    if session.terminal.for_people:
        for item in made:
            kind, metadata = item.get("kind", "object"), item["metadata"]
            where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
            told = "would be created (dry run)" if dry_run else "created"
            session.terminal.note(f"✓ {kind} {where}{metadata['name']} {told}", "good")
    else:
        session.terminal.objects(made, one=len(made) == 1)
    if not wait or dry_run:
        return 0
    code = 0
    for order in orders:
        try:
            ended = until(session, order, lambda each: each.finished, seconds(timeout))
            session.terminal.note(f"✓ {judge_end(ended)}", "good")
        except CommandError as error:
            session.terminal.error(str(error))
            code = code or error.code
    return code


def scenarios() -> list[str]:
    """Names of the manifests that came with this program."""
    return sorted(file.name.removesuffix(".yaml") for file in _SCENARIOS.iterdir() if file.name.endswith(".yaml"))


def _manifest(scenario: str) -> str:
    if scenario not in scenarios():
        raise NotFound(f"no scenario is called {scenario}: there are {', '.join(scenarios())}")
    return (_SCENARIOS / f"{scenario}.yaml").read_text(encoding="utf-8")


def _parts_of(scenario: str, name: str | None) -> tuple[list[str], str]:
    """The classes and articles that it needs, and its orders; a single one under the name that is wanted."""
    documents = re.split(r"^---\n", _manifest(scenario), flags=re.MULTILINE)
    orders = [each for each in documents if _KIND_ORDER.search(each)]
    if name:
        if len(orders) > 1:
            raise UsageError(f"{scenario} has {len(orders)} orders: give no NAME")
        orders = [_NAME.sub(rf"\g<1>{name}", orders[0], count=1)]
    return [each for each in documents if not _KIND_ORDER.search(each)], "---\n".join(orders)


def _make_if_missing(session: Session, manifest: str) -> None:
    """A class is the cluster's, and there from the scenario's second time on."""
    dry_run = [f"--dry-run={session.flags.dry_run}"] if session.flags.dry_run else []
    try:
        session.kubectl.run("create", "--filename=-", *dry_run, namespace=session.flags.namespace, text=manifest)
    except CommandError as error:
        if "already exists" not in str(error):
            raise


def _read(file: str) -> str:
    return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")

"""Plays one scenario on a running stack: `make scenario NAME=<name>`, and the tests of the scenarios."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from order_devstack import live_orders
from order_devstack.errors import DevstackError
from order_devstack.live_orders import Screen
from order_devstack.scenarios import SCENARIOS, Scenario
from order_devstack.secured_temporal import Credentials
from order_devstack.stack import PROCESSES, Stack
from order_devstack.stage import Stage

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "samples" / "scenarios"


@dataclass(frozen=True)
class Outcome:
    """How a scenario went."""

    namespace: str
    orders: Mapping[str, Any]
    """As they ended, by name."""
    seen: Mapping[str, Sequence[str]]
    """Every `orderStatus` that an order was seen at, in order."""
    problems: Sequence[str]
    """How it ended otherwise than the catalogue says; empty if it went well."""


def find(name: str) -> Scenario:
    """The scenario of this name; raises DevstackError, with the names there are, if there is none."""
    if name not in SCENARIOS:
        raise DevstackError(f"no scenario is called {name}; there are {', '.join(SCENARIOS)}.")
    return SCENARIOS[name]


def documents(scenario: Scenario) -> list[dict[str, Any]]:
    """The objects of the scenario's manifest."""
    return list(yaml.safe_load_all((MANIFESTS / f"{scenario.name}.yaml").read_text()))


def play(stack: Stack, scenario: Scenario, *, namespace: str, console: Console | None = None) -> Outcome:
    """Play it in `namespace`, which exists and has no orders; without `console` in silence.

    Raises DevstackError if something does not happen in time. However it ends, the worker runs as it did before.
    """
    objects = _with_articles_of_its_own(documents(scenario))
    with Screen(console or Console(quiet=True, force_terminal=False), scenario.endings) as screen:
        stage = Stage(stack, namespace, objects, screen, scenario.patience_seconds)
        try:
            scenario.prepare(stage)
            names = [document["metadata"]["name"] for document in objects]
            stage.apply(*(name for name in names if name not in scenario.held_back))
            scenario.play(stage)
            stage.until_finished()
        finally:
            stage.restore()
    problems = [f"{name}: was never applied" for name in scenario.endings if name not in stage.orders]
    for name, order in stage.orders.items():
        problems += scenario.endings[name].problems(order)
    return Outcome(namespace, stage.orders, stage.seen, problems)


def show(stack: Stack, scenario: Scenario) -> bool:
    """Play it for a person; whether it ended as the catalogue says. Starts what does not run of the stack, and leaves
    it running. A scenario with a secured Temporal gets a stack of its own, which is gone afterwards."""
    console = Console(highlight=False)
    if not scenario.secured:
        return _show(stack, scenario, console)
    folder = stack.root / "secured"
    own = Stack(folder, ui=False, credentials=Credentials(folder / "credentials"))
    own.clean()
    try:
        return _show(own, scenario, console)
    finally:
        own.clean()


def _show(stack: Stack, scenario: Scenario, console: Console) -> bool:
    if any(stack.pid(name) is None for name in PROCESSES):
        console.print("the stack does not run, or not all of it: starting it")
        stack.up()
    namespace = live_orders.new_namespace(stack, f"scenario-{scenario.name}")
    console.print(f"\n{scenario.name}, of system {scenario.system}, in namespace {namespace}", soft_wrap=True)
    for title, text in (("what happens", scenario.story), ("watch", scenario.watch), ("in the end", scenario.end)):
        console.print(f"  {title:13} {text}", soft_wrap=True)
    console.print()
    began = time.monotonic()
    outcome = play(stack, scenario, namespace=namespace, console=console)
    for problem in outcome.problems:
        console.print(f"[red]{problem}[/red]")
    if not outcome.problems:
        console.print(f"it ended as it should, after {time.monotonic() - began:.0f} s.")
    if not scenario.secured:
        _next_steps(stack, outcome, console)
    return not outcome.problems


def _next_steps(stack: Stack, outcome: Outcome, console: Console) -> None:
    console.print("\nTo see more:")
    console.print(f"  . {stack.root / 'env'}", soft_wrap=True)
    console.print(f"  kubectl get ord --namespace {outcome.namespace} --output=wide", soft_wrap=True)
    for name, order in outcome.orders.items():
        console.print(f"  kubectl order track {name} --namespace {outcome.namespace}", soft_wrap=True)
        console.print(f"  kubectl describe ord {name} --namespace {outcome.namespace}", soft_wrap=True)
        workflow = live_orders.status_of(order).get("workflow", {}).get("id", "-")
        console.print(f"  temporal workflow show --workflow-id {workflow}", soft_wrap=True)
    console.print(f"Temporal's Web UI: {stack.addresses.get('temporal-ui', '-')}")
    console.print("To stop the stack: make down.")


def _with_articles_of_its_own(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An article has one stock for all namespaces, and only its first item keeps it: what a manifest declares as a
    StockItem gets a name that no earlier play has used."""
    token = secrets.token_hex(3)
    skus = {item["spec"]["sku"]: f"{item['spec']['sku']}-{token}" for item in objects if item["kind"] == "StockItem"}
    for item in objects:
        for owner in (item["spec"], *item["spec"].get("lines", [])):
            if owner.get("sku") in skus:
                owner["sku"] = skus[owner["sku"]]
    return objects

"""`order-operator prepare-temporal` on a real Temporal server."""

import os
import subprocess
import sys
import uuid

from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.errors import CommandFailed
from order_devstack.stack import Stack
from order_workflows.contract import SEARCH_ATTRIBUTES


def prepare(servers: Stack, namespace: str, *arguments: str) -> tuple[int, list[str]]:
    temporal = {"TEMPORAL_ADDRESS": servers.addresses["temporal"], "TEMPORAL_NAMESPACE": namespace}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "order_operator", "prepare-temporal", "--patience=30", *arguments],
        env={**os.environ, **temporal},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def by_hand(servers: Stack, command: str) -> None:
    """A namespace that has just been made is not known everywhere yet."""

    def refusal() -> str:
        try:
            servers.temporal(*command.split())
        except CommandFailed as failed:
            return str(failed)
        return ""

    wait_until_nothing_is_missing(refusal, within_seconds=60.0, say=print)


def a_name() -> str:
    return f"prepared-{uuid.uuid4().hex[:8]}"


def test_a_namespace_and_what_orders_search_by_are_made_once(servers: Stack) -> None:
    name = a_name()

    first = prepare(servers, name, "--retention-days=3")
    second = prepare(servers, name)

    names = [key.name for key in SEARCH_ATTRIBUTES]
    assert first == (0, [f"namespace {name}: made", *(f"search attribute {each}: made" for each in names)])
    assert second == (0, [f"namespace {name}: is there", *(f"search attribute {each}: is there" for each in names)])
    assert "259200s" in servers.temporal("operator", "namespace", "describe", "--namespace", name, "--output=json")


def test_what_it_would_make_is_said_as_the_command_that_makes_it(servers: Stack) -> None:
    name, shipping = a_name(), a_name()
    code, said = prepare(
        servers, name, "--dry-run", "--namespace", shipping, "--nexus-endpoint", f"{name}={shipping}/ships"
    )

    assert code == 1
    for line in said:
        what, command = line.split(": is missing, would run: temporal ")
        assert what
        by_hand(servers, command)
    assert prepare(servers, name, "--dry-run", "--namespace", shipping)[0] == 0


def test_an_endpoint_is_made_and_one_that_leads_elsewhere_is_left_alone(servers: Stack) -> None:
    name = a_name()
    made = prepare(servers, name, "--nexus-endpoint", f"{name}={name}/ships")
    again = prepare(servers, name, "--nexus-endpoint", f"{name}={name}/ships")
    elsewhere = prepare(servers, name, "--nexus-endpoint", f"{name}={name}/others")

    assert (made[0], made[1][-1]) == (0, f"Nexus endpoint {name}: made")
    assert (again[0], again[1][-1]) == (0, f"Nexus endpoint {name}: is there")
    assert (elsewhere[0], elsewhere[1][-1]) == (1, f"Nexus endpoint {name}: leads to {name}/ships")


def test_an_attribute_of_another_type_is_named_and_left_alone(servers: Stack) -> None:
    name = a_name()
    servers.temporal("operator", "namespace", "create", "--namespace", name)
    create = ("search-attribute", "create", "--namespace", name, "--name", "OrderTotalMinor", "--type", "Keyword")
    servers.temporal("operator", *create)

    code, said = prepare(servers, name)

    assert code == 1
    assert "search attribute OrderTotalMinor: is Keyword, orders need Int" in said


def test_a_temporal_that_does_not_answer_is_said_in_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "order_operator", "prepare-temporal", "--patience=1"],
        env={**os.environ, "TEMPORAL_ADDRESS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout.startswith("order-operator prepare-temporal: ")
    assert done.stdout.count("\n") == 1

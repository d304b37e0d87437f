"""`kubectl order` imports nothing of the other packages; the words that both know are the same."""

import tomllib

import pytest
import yaml
from pages import ROOT

from order_cli import kind_checks, vocabulary
from order_cli.money import amount, digits
from order_domain.money import MINOR_DIGITS, format_amount
from order_domain.snapshot import StepState
from order_domain.status import TERMINAL_PHASES, OrderStatus, Phase
from order_operator.cluster.conditions import ConditionType


def test_phases_are_the_domains() -> None:
    assert set(vocabulary.PHASES) == set(Phase)
    assert set(vocabulary.TERMINAL_PHASES) == TERMINAL_PHASES


def test_statuses_are_the_domains_in_their_order() -> None:
    assert list(vocabulary.STATUSES) == list(OrderStatus)


def test_states_of_steps_are_the_domains() -> None:
    assert set(vocabulary.STEP_STATES) == set(StepState)


def test_conditions_are_ones_that_the_operator_sets() -> None:
    assert set(vocabulary.CONDITIONS) <= set(ConditionType)


def test_the_fields_that_a_doctor_looks_for_are_those_of_the_kind() -> None:
    kind = yaml.safe_load((ROOT / "manifests/crds/orders.yaml").read_text())

    assert kind_checks.missing_fields(kind) == []


def test_verbs_are_ones_that_the_charts_roles_grant() -> None:
    roles = (ROOT / "charts/order-platform/templates/user-roles.yaml").read_text()
    granted = {
        verb.strip()
        for line in roles.splitlines()
        if "verbs: [" in line
        for verb in line.split("[")[1].rstrip("]").split(",")
    }

    assert {
        vocabulary.APPROVE,
        vocabulary.APPROVE_HIGH,
        vocabulary.REJECT,
        vocabulary.CANCEL,
        vocabulary.RETRY,
    } <= granted


@pytest.mark.parametrize("currency", sorted(MINOR_DIGITS))
def test_amounts_are_written_as_the_domain_writes_them(currency: str) -> None:
    assert digits(currency) == MINOR_DIGITS[currency]
    assert amount(-123_456, currency) == format_amount(-123_456, currency)


def test_it_needs_typer_and_rich_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["project"]

    assert [line.split(">")[0] for line in project["dependencies"]] == ["typer", "rich"]


def test_its_version_is_that_of_the_platform() -> None:
    versions = {
        tomllib.loads((ROOT / file).read_text())["project"]["version"]
        for file in ("pyproject.toml", "cli/pyproject.toml")
    }

    assert len(versions) == 1

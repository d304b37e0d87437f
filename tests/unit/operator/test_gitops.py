"""The health checks in docs/gitops.md, run on the statuses that the operator writes."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lupa
import pytest
import yaml
from builders import a_snapshot, an_observation, an_order_resource
from temporalio.client import WorkflowExecutionStatus

from order_domain.status import OrderStatus, Phase
from order_operator.cluster.conditions import Reason
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import PendingWork, Retry
from order_operator.orders.reflection import reflect
from order_operator.problem import Problem

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PAGE = (Path(__file__).resolve().parents[3] / "docs/gitops.md").read_text()


def status_of(observation: Observation | None, **more: Any) -> dict[str, Any]:
    return reflect(an_order_resource(), observation, now=NOW, temporal_namespace="default", **more)


def at(status: OrderStatus, **changes: object) -> Observation:
    run = WorkflowExecutionStatus.COMPLETED if status.terminal else WorkflowExecutionStatus.RUNNING
    return an_observation(status=run, snapshot=a_snapshot(status=status, **changes))


def argo_cd(status: dict[str, Any], generation: int = 1) -> tuple[str, str]:
    """Health and message as Argo CD finds them."""
    [script] = re.findall(r"^```lua\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lua = lupa.LuaRuntime()
    check = lua.eval(f"function(obj) {script} end")
    health = check(lua.table_from({"metadata": {"generation": generation}, "status": status}, recursive=True))
    return health["status"], health["message"]


@pytest.mark.parametrize("status", OrderStatus)
def test_argo_cd_calls_an_order_degraded_that_needs_a_person_and_healthy_otherwise(status: OrderStatus) -> None:
    stalled = {Phase.FAILED, Phase.INVALID, Phase.DUPLICATE, Phase.MANUAL_REVIEW}
    shown = status_of(at(status))

    assert argo_cd(shown) == ("Degraded" if status.phase in stalled else "Healthy", shown["message"])


def test_argo_cd_waits_for_an_order_that_is_not_accepted_yet_or_is_held_up() -> None:
    away = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal does not answer")
    retry = PendingWork((Retry("charge_payment", None, 3, "connection refused", None),))

    assert argo_cd({})[0] == "Progressing"
    assert argo_cd(status_of(None))[0] == "Progressing"
    assert argo_cd(status_of(None, problem=away)) == ("Progressing", "Temporal does not answer")
    assert argo_cd(status_of(at(OrderStatus.CHARGE_CUSTOMER), work=retry))[0] == "Progressing"
    assert argo_cd(status_of(at(OrderStatus.CHARGE_CUSTOMER)), generation=2)[0] == "Progressing"


def test_argo_cd_calls_a_suspended_order_suspended() -> None:
    assert argo_cd(status_of(at(OrderStatus.CHARGE_CUSTOMER, suspended=True)))[0] == "Suspended"


def test_the_expressions_for_flux_name_every_end_once() -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    [check] = yaml.safe_load(text)["healthCheckExprs"]
    failed = set(re.findall(r"'(\w+)'", check["failed"]))

    ends = {status.phase.value for status in OrderStatus if status.terminal}
    assert check["current"] == "status.phase == 'Completed'"
    assert failed == ends - {"Completed"} | {"ManualReview"}

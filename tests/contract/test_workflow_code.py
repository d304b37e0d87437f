"""Workflow code is loaded by the sandbox, and imports nothing that could break determinism."""

import ast
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grimp
import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from order_worker.sandbox import checking_runner
from order_workflows.order_workflow import OrderWorkflow
from order_workflows.shipment_workflow import ShipmentWorkflow
from order_workflows.stock_item_workflow import StockItemWorkflow

ROOT = Path(__file__).parents[2]
ALLOWED = {"order_domain": {"pydantic", "pydantic_core"}, "order_workflows": {"pydantic", "temporalio"}}
"""Third-party packages by package of ours. The sandbox stops a stray import only if it misbehaves while it loads."""


async def test_the_sandbox_loads_the_workflows() -> None:
    async def no_histories() -> AsyncIterator[WorkflowHistory]:
        return
        yield

    replayer = Replayer(
        workflows=[OrderWorkflow, ShipmentWorkflow, StockItemWorkflow],
        data_converter=pydantic_data_converter,
        workflow_runner=checking_runner(),
    )

    results = await replayer.replay_workflows(no_histories())

    assert results.replay_failures == {}


@pytest.mark.parametrize("package", ALLOWED)
def test_workflow_code_imports_no_other_third_party_package(package: str) -> None:
    graph = grimp.build_graph("order_domain", "order_workflows", include_external_packages=True)
    ours = {package, *graph.find_descendants(package)}

    imported = {name.partition(".")[0] for module in ours for name in graph.find_modules_directly_imported_by(module)}

    third_party = imported - {"order_domain", "order_workflows"} - set(sys.stdlib_module_names)
    assert third_party <= ALLOWED[package]
    assert third_party, "the graph was not built"


def test_every_timer_of_a_workflow_has_a_name_in_temporals_page() -> None:
    nameless = []
    for file in (ROOT / "workflows/order_workflows").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            given = {keyword.arg for keyword in node.keywords}
            waits = called in {"wait_condition", "until", "_until"} and ("timeout" in given or len(node.args) > 1)
            if (waits or called == "sleep") and not given & {"summary", "timeout_summary"} and len(node.args) < 3:
                nameless.append(f"{file.name}:{node.lineno}")

    assert nameless == []


@pytest.mark.parametrize("folder", ["operator", "worker", "workflows", "devstack"])
def test_the_folders_of_the_packages_are_no_packages(folder: str) -> None:
    """An `operator/__init__.py` would hide Python's own module of that name."""
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()

"""How workflows are run: bare in production, in the SDK's sandbox wherever they are tested.

Why: docs/decisions/0009-sandbox-in-tests-only.md.
"""

from typing import Any, ClassVar

from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

_MODELS = (
    "order_domain",
    "order_workflows.contract",
    "order_workflows.activities",
    "order_workflows.earlier_rules",
    "order_workflows.reference_messages",
)


def production_runner() -> WorkflowRunner:
    """No sandbox: it would cost a third of the worker's CPU."""
    return UnsandboxedWorkflowRunner()


def checking_runner() -> WorkflowRunner:
    """Fails on clocks, dice and network in workflow code.

    Only models and names are passed through: defining them anew for each run tells nothing. A module that is passed
    through escapes the sandbox, so it never holds workflow code such as the steps.
    """
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*_MODELS)
    return _PreparedOnce(restrictions=restrictions)


class _PreparedOnce(SandboxedWorkflowRunner):
    """Each worker that starts loads each workflow only to see that it can; in one process once is enough."""

    _prepared: ClassVar[set[type]] = set()

    def prepare_workflow(self, defn: Any) -> None:
        if defn.cls not in self._prepared:
            super().prepare_workflow(defn)
            self._prepared.add(defn.cls)
